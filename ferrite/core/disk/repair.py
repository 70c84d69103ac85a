"""What opening a log writes: a copy of torn bytes, zeros in their place, and the tail of the last segment once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ferrite.core.disk.files import Files, is_torn_copy, segment_name, torn_name
from ferrite.core.disk.sectors import SECTOR_BYTES
from ferrite.core.disk.torn import Cut

TORN_COPIES_MAX: Final = 8
"""Copies of cut bytes that are kept for a human; a node that crashes for ever must not fill its disk with them."""


def keep_and_clear(files: Files, cut: Cut, write_seq: int, names: Sequence[str]) -> str:
    """Copy the cut bytes into a file of their own, then make their place zero again, each step durable before the next.

    May be interrupted anywhere and done again: what is left is torn still. Returns the copy's name.
    """
    segment, copy = segment_name(cut.number), torn_name(cut.number, cut.offset, write_seq)
    copies = sorted(name for name in names if is_torn_copy(name) and name != copy)
    for name in [*copies[: max(0, len(copies) - TORN_COPIES_MAX + 1)], *([copy] if copy in names else [])]:
        files.remove(name)
    length = cut.end - cut.offset
    files.create(copy, length)
    files.write(copy, 0, files.read(segment, cut.offset, length))
    files.sync(copy)
    files.write(segment, cut.offset, bytes(length))
    files.sync(segment)
    return copy


def rewrite(files: Files, number: int, start: int, end: int) -> None:
    """Write `[start, end)` of a segment's records again as it was read, and sync."""
    name, start = segment_name(number), max(start, SECTOR_BYTES)
    if start < end:
        files.write(name, start, files.read(name, start, end - start))
    files.sync(name)
