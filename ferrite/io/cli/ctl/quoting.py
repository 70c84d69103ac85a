"""Bytes as text: Go's %q, which etcdctl's fields form and its watch environment use, and its --hex escapes."""

from __future__ import annotations

import unicodedata
from typing import Final

_SHORT: Final = {
    0x07: r"\a", 0x08: r"\b", 0x0C: r"\f", 0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t", 0x0B: r"\v", 0x22: r"\"", 0x5C: r"\\",
}  # fmt: skip
_INVALID: Final = range(0xDC80, 0xDD00)
"""What `surrogateescape` makes of bytes that are no UTF-8."""
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def quoted(data: bytes) -> str:
    r"""Bytes between quotes, printable and unambiguous: what is no UTF-8 as \xNN."""
    return '"' + "".join(_escaped(ord(one)) for one in data.decode("utf-8", "surrogateescape")) + '"'


def _escaped(code: int) -> str:
    if code in _SHORT:
        return _SHORT[code]
    if code in _INVALID:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if code == 0x20 or unicodedata.category(chr(code)) not in _UNPRINTABLE:
        return chr(code)
    return f"\\u{code:04x}" if code < 0x1_0000 else f"\\U{code:08x}"


def hex_escaped(data: bytes) -> bytes:
    r"""Every byte as \xNN."""
    return "".join(f"\\x{one:02x}" for one in data).encode()
