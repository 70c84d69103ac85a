"""Which watched ranges hold a key."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import MutableMapping
from operator import itemgetter
from typing import Final, Generic, TypeVar

from sortedcontainers import SortedDict

from ferrite.core.kv.operations import FROM_KEY

BLOCK_RANGES_MAX: Final = 64
"""Ranges in one block. A look-up compares once with each block that begins at or before the key, and with the ranges of those
blocks that reach beyond it: of 10,000 disjoint ranges about 150 blocks and one block's ranges.
"""

T = TypeVar("T")
_Range = tuple[bytes, bytes]
_start = itemgetter(0)


class RangeIndex(Generic[T]):
    """Items under ranges of keys, in the three forms of a range (`Range`). A range that is empty or reversed holds nothing."""

    __slots__ = ("_blocks", "_bounded", "_ends", "_firsts", "_open", "_single")

    def __init__(self) -> None:
        self._single: dict[bytes, list[T]] = {}
        self._open: SortedDict[bytes, list[T]] = SortedDict()
        """By start: ranges without an end."""
        self._bounded: dict[_Range, list[T]] = {}
        # The keys of `_bounded`, ascending, in blocks that are not empty; of each block its first range and its greatest end.
        self._blocks: list[list[_Range]] = []
        self._firsts: list[_Range] = []
        self._ends: list[bytes] = []

    def add(self, key: bytes, range_end: bytes, item: T) -> None:
        """Put an item under a range."""
        if not range_end:
            self._single.setdefault(key, []).append(item)
        elif range_end == FROM_KEY:
            self._open.setdefault(key, []).append(item)
        elif key < range_end:
            there = self._bounded.get((key, range_end))
            if there is None:
                self._bounded[key, range_end] = [item]
                self._insert((key, range_end))
            else:
                there.append(item)

    def discard(self, key: bytes, range_end: bytes, item: T) -> None:
        """Take an item away that was added under just this range."""
        if not range_end:
            _remove(self._single, key, item)
        elif range_end == FROM_KEY:
            _remove(self._open, key, item)
        elif key < range_end and _remove(self._bounded, (key, range_end), item):
            self._take_out((key, range_end))

    def holding(self, key: bytes) -> list[T]:
        """Return the items of all ranges that hold the key; the same order for the same history of changes."""
        found = list(self._single.get(key, ()))
        for number in range(bisect_right(self._firsts, key, key=_start)):
            if self._ends[number] > key:
                for watched in self._blocks[number]:
                    if watched[0] > key:
                        break
                    if watched[1] > key:
                        found.extend(self._bounded[watched])
        if self._open:
            for start in self._open.irange(maximum=key):
                found.extend(self._open[start])
        return found

    def _insert(self, watched: _Range) -> None:
        if not self._blocks:
            self._blocks.append([])
            self._firsts.append(watched)
            self._ends.append(watched[1])
        number = self._block_of(watched)
        block = self._blocks[number]
        insort(block, watched)
        self._describe(number)
        if len(block) > BLOCK_RANGES_MAX:
            half = len(block) // 2
            self._blocks[number : number + 1] = [block[:half], block[half:]]
            self._firsts.insert(number + 1, watched)
            self._ends.insert(number + 1, watched[1])
            self._describe(number)
            self._describe(number + 1)

    def _take_out(self, watched: _Range) -> None:
        number = self._block_of(watched)
        self._blocks[number].remove(watched)
        if self._blocks[number]:
            self._describe(number)
        else:
            del self._blocks[number], self._firsts[number], self._ends[number]

    def _block_of(self, watched: _Range) -> int:
        return max(0, bisect_right(self._firsts, watched) - 1)

    def _describe(self, number: int) -> None:
        block = self._blocks[number]
        self._firsts[number] = block[0]
        self._ends[number] = max(end for _, end in block)


K = TypeVar("K")


def _remove(table: MutableMapping[K, list[T]], place: K, item: T) -> bool:
    """Remove the item; was it the last one there?"""
    items = table[place]
    items.remove(item)
    if items:
        return False
    del table[place]
    return True
