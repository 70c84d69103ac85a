"""Keys, values and ranges as callers write them, to the machine's words. Raises `InvalidArgument`."""

from __future__ import annotations

from typing import Final

from ferrite.core import kv
from ferrite.core.client import prefix_end
from ferrite.io.client.errors import InvalidArgument

Data = bytes | str
"""A key or a value; a string stands for its UTF-8."""
_ALL: Final = b"\x00"


def as_bytes(data: Data, name: str = "key") -> bytes:
    """The bytes of a key or a value."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"{name}: the string has no UTF-8: {error}", code="invalid") from None
    raise InvalidArgument(f"{name}: {type(data).__name__} given; bytes or str expected", code="invalid")


def as_key(key: Data, name: str = "key") -> bytes:
    """The bytes of one key: not empty."""
    data = as_bytes(key, name)
    if not data:
        raise InvalidArgument(f"{name}: empty; a key has at least one byte", code="invalid")
    return data


def key_range(
    key: Data, range_end: Data, prefix: Data | None, *, from_key: bool, everything: bool = False
) -> tuple[bytes, bytes]:
    """`key` and `range_end` of one key, `[key, range_end)`, a prefix, or all from `key` on; exactly one of these.

    With `everything`, nothing at all means every key.
    """
    given = as_bytes(key)
    if prefix is not None:
        if given or range_end or from_key:
            raise InvalidArgument("prefix: stands alone, without key, range_end or from_key", code="invalid")
        start = as_bytes(prefix, "prefix")
        return (start, prefix_end(start)) if start else (_ALL, kv.FROM_KEY)
    if from_key:
        if range_end:
            raise InvalidArgument("from_key: means up to the last key; leave range_end out", code="invalid")
        return given or _ALL, kv.FROM_KEY
    if not given and not range_end and everything:
        return _ALL, kv.FROM_KEY
    return as_key(given), as_bytes(range_end, "range_end")
