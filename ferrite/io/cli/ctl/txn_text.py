r"""etcdctl's text form of a transaction:

    value("seat/7") = "free"        conditions: value, mod, create, version, lease; = != < >
                                    an empty line
    put seat/7 "alice"              what to do when all hold: put, get, del with their options
                                    an empty line
    get seat/7                      what to do otherwise

Words with spaces stand in quotes; between double quotes \n, \t, \", \\, \xNN mean what they mean in Go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.io.cli.ctl.exit_codes import wrong_input
from ferrite.io.cli.ctl.keys import SORT_TARGETS
from ferrite.io.cli.ctl.words import data, lease_id, number, selection

if TYPE_CHECKING:
    from ferrite.io.client import Condition, Step

_CONDITION: Final = re.compile(
    r"""\s*(?P<target>\w+)\s*\(\s*(?P<key>"(?:[^"\\]|\\.)*")\s*\)\s*(?P<result>!=|=|<|>)\s*(?P<operand>"(?:[^"\\]|\\.)*"|\d+)\s*"""
)
_WORD: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|\S+)""")
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPED: Final = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b'"': b'"', b"\\": b"\\",
    b"'": b"'",
}  # fmt: skip
_TARGETS: Final = {
    "value": "Value", "val": "Value", "mod": "Mod", "create": "Create", "version": "Version", "ver": "Version",
    "lease": "LeaseOf",
}  # fmt: skip
CONDITION_EXAMPLE: Final = 'value("key") = "text" or mod("key") > "0"'


def unquoted(text: str) -> bytes:
    """The bytes of a word, quoted or not. Raises ClickException."""
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return data(text[1:-1])
    if not (len(text) >= 2 and text[0] == text[-1] == '"'):
        return data(text)

    def replaced(match: re.Match[bytes]) -> bytes:
        name = match[1]
        if name in _ESCAPED:
            return _ESCAPED[name]
        if len(name) == 3 and name[:1] == b"x":
            return bytes([int(name[1:], 16)])
        if len(name) > 3:
            return chr(int(name[1:], 16)).encode("utf-8", "replace")
        if len(name) == 3 and int(name, 8) < 256:
            return bytes([int(name, 8)])
        raise wrong_input(
            f"{text}: \\{name.decode(errors='replace')} means nothing; for a backslash write \\\\"
        )

    return _ESCAPE.sub(replaced, data(text[1:-1]))


def split_words(line: str) -> tuple[bytes, ...]:
    """A line's words."""
    return tuple(unquoted(word) for word in _WORD.findall(line.rstrip()))


def parse_condition(line: str) -> Condition:
    """Raises ClickException."""
    from ferrite import client

    match = _CONDITION.fullmatch(line)
    if match is None or match["target"] not in _TARGETS:
        raise wrong_input(f"malformed condition: {line.strip()}; expected one such as {CONDITION_EXAMPLE}")
    operand = unquoted(match["operand"])
    target = _TARGETS[match["target"]]
    wanted: bytes | int = operand
    if target == "LeaseOf":
        wanted = lease_id(operand.decode(errors="replace"))
    elif target != "Value":
        wanted = number(operand.decode(errors="replace"), f"number in {line.strip()}")
    key = unquoted(match["key"])
    if not key:
        raise wrong_input(f"malformed condition: {line.strip()}; the key is empty")
    side = getattr(client, target)(key)
    compare: dict[str, Callable[[], Condition]] = {
        "=": lambda: side == wanted,
        "!=": lambda: side != wanted,
        "<": lambda: side < wanted,
        ">": lambda: side > wanted,
    }
    return compare[match["result"]]()


def parse_step(line: str) -> Step:
    """One put, get or del. Raises ClickException."""
    from ferrite.client import InvalidArgument

    name, *words = split_words(line)
    parser = _PARSERS.get(name.decode(errors="replace"))
    if parser is None:
        raise wrong_input(f"invalid request: {line.strip()}; expected put, get or del with their arguments")
    command, make = parser
    try:
        context = command.make_context(command.name, [_typed(word) for word in words])
    except click.ClickException as error:
        raise wrong_input(f"{line.strip()}: {error.format_message()}") from None
    try:
        step: Step = make(**context.params)
    except InvalidArgument as error:
        raise wrong_input(f"{line.strip()}: {error.detail}") from None
    return step


def _typed(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _put(
    words: tuple[str, ...], lease: str, *, prev_kv: bool, ignore_value: bool, ignore_lease: bool
) -> Step:
    from ferrite.client import Put

    if len(words) != (1 if ignore_value else 2):
        expected = "the key alone" if ignore_value else "a key and a value"
        raise wrong_input(f"put takes {expected} here; {len(words)} words given")
    return Put(
        data(words[0]),
        b"" if ignore_value else data(words[1]),
        lease=lease_id(lease),
        prev_kv=prev_kv,
        ignore_value=ignore_value,
        ignore_lease=ignore_lease,
    )


def _get(
    words: tuple[str, ...], *, prefix: bool, from_key: bool, rev: int, limit: int, order: str | None,
    sort_by: str | None, keys_only: bool, count_only: bool,
) -> Step:  # fmt: skip
    from ferrite.client import Step
    from ferrite.core import kv
    from ferrite.io.client.selection import key_range

    start, end = _bounds(key_range, words, "get", prefix=prefix, from_key=from_key)
    return Step(
        kv.Range(
            key=start,
            range_end=end,
            limit=limit,
            revision=rev,
            sort_target=kv.SortTarget[SORT_TARGETS[(sort_by or "KEY").upper()].upper()],
            sort_order=kv.SortOrder.DESCEND if (order or "").upper() == "DESCEND" else kv.SortOrder.ASCEND,
            keys_only=keys_only,
            count_only=count_only,
            with_count=not count_only,
        )
    )


def _del(words: tuple[str, ...], *, prefix: bool, from_key: bool, prev_kv: bool) -> Step:
    from ferrite.client import DeleteRange
    from ferrite.io.client.selection import key_range

    start, end = _bounds(key_range, words, "del", prefix=prefix, from_key=from_key)
    return DeleteRange(start, end, prev_kv=prev_kv)


def _bounds(
    key_range: Callable[..., tuple[bytes, bytes]], words: tuple[str, ...], command: str, *, prefix: bool, from_key: bool
) -> tuple[bytes, bytes]:  # fmt: skip
    selected = {"key": b"", "range_end": b"", "prefix": None, "from_key": False}
    selected.update(selection(words, command, prefix=prefix, from_key=from_key))
    return key_range(**selected)


def _command(name: str, *options: click.Option) -> click.Command:
    """For its parser alone: a line of a transaction takes the options of the command of that name that make sense in one."""
    return click.Command(name, params=[click.Argument(["words"], nargs=-1), *options], add_help_option=False)


def _flag(name: str) -> click.Option:
    return click.Option([name], is_flag=True)


_PARSERS: Final[dict[str, tuple[click.Command, Callable[..., Any]]]] = {
    "put": (
        _command(
            "put", click.Option(["--lease"], default="0"), _flag("--prev-kv"), _flag("--ignore-value"), _flag("--ignore-lease"),
        ),
        _put,
    ),
    "get": (
        _command(
            "get", _flag("--prefix"), _flag("--from-key"), _flag("--keys-only"), _flag("--count-only"),
            click.Option(["--rev"], default=0, type=click.IntRange(min=0)),
            click.Option(["--limit"], default=0, type=click.IntRange(min=0)),
            click.Option(["--order"], type=click.Choice(("ASCEND", "DESCEND"), case_sensitive=False)),
            click.Option(["--sort-by"], type=click.Choice(tuple(SORT_TARGETS), case_sensitive=False)),
        ),
        _get,
    ),
    "del": (_command("del", _flag("--prefix"), _flag("--from-key"), _flag("--prev-kv")), _del),
}  # fmt: skip
