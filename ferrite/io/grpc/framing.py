"""Protobuf's wire format where it pays to write it ourselves.

Serialized messages of one type may be concatenated: repeated fields add up, of other fields the last one counts. So answers
that are ready as bytes are put together without being built again.
"""

from __future__ import annotations

_LENGTH_DELIMITED = 2


def varint(number: int) -> bytes:
    """A number from 0 as protobuf writes it: seven bits a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, number: int) -> bytes:
    """A field that holds a number from 0."""
    return varint(field << 3) + varint(number)


def message_field(field: int, data: bytes) -> bytes:
    """A field that holds a message, or bytes."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(len(data)) + data
