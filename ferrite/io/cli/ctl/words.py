"""Words of the command line as bytes, lease ids and ranges of keys."""

from __future__ import annotations

import os
from typing import Any, Final

from ferrite.io.cli.ctl.exit_codes import wrong_input

ID_MAX: Final = 2**63 - 1


def data(word: str) -> bytes:
    """Exactly the bytes that were typed."""
    return os.fsencode(word)


def lease_id(word: str, what: str = "lease id") -> int:
    """A lease's id in hexadecimal digits, as every command prints it. Raises ClickException."""
    try:
        found = int(word, 16)
    except ValueError:
        found = -1
    if not 0 <= found <= ID_MAX:
        raise wrong_input(f"bad {what} {word!r}; expected hexadecimal digits, as lease grant prints them")
    return found


def number(word: str, what: str, minimum: int = 0) -> int:
    """A decimal number. Raises ClickException."""
    try:
        found = int(word)
    except ValueError:
        found = minimum - 1
    if not minimum <= found <= ID_MAX:
        raise wrong_input(f"bad {what} {word!r}; expected a decimal number from {minimum} on")
    return found


def selection(words: tuple[str, ...], command: str, *, prefix: bool, from_key: bool) -> dict[str, Any]:
    """KEY or KEY RANGE_END with etcdctl's flags, as the client library takes them. Raises ClickException."""
    if not 1 <= len(words) <= 2:
        raise wrong_input(f"{command} takes a key and at most a range end; {len(words)} words given")
    if prefix and from_key:
        raise wrong_input("--prefix and --from-key exclude each other; choose one")
    if (prefix or from_key) and len(words) > 1:
        raise wrong_input("with --prefix or --from-key there is one word, the key, and no range end")
    key = data(words[0])
    if prefix:
        return {"prefix": key}
    if from_key:
        return {"key": key, "from_key": True}
    if not key:
        raise wrong_input("the key is empty; for all keys add --prefix")
    return {"key": key, "range_end": data(words[1])} if len(words) > 1 else {"key": key}
