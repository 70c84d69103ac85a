"""Dice: named random streams. Each purpose has its own stream, so that one more fault type reshuffles nothing else.

Everything is integers (parts per million, microseconds): the same seed gives the same run on every machine. All draws of a
stream are made of raw bits, and raw zeros always make the simplest choice: no fault, the shortest delay, the first item. So a
tape is a list of raw numbers per stream, and a tape of zeros is the plainest run there is.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

PPM: Final = 1_000_000
"""Probabilities are given in parts per million."""

_WORD_BITS: Final = 32
_LN2_PPM: Final = 693_147
_FRACTION_BITS: Final = 20
_TAIL_BITS: Final = 16
_TAIL_MASK: Final = (1 << _TAIL_BITS) - 1
_FRACTION_MASK: Final = (1 << _FRACTION_BITS) - 1

_T = TypeVar("_T")
Bits = Callable[[int], int]
"""Given a count, returns a number of so many random bits."""


class Stream:
    """One stream of random numbers for one purpose."""

    __slots__ = ("bits",)

    def __init__(self, bits: Bits) -> None:
        self.bits = bits

    def chance(self, ppm: int) -> bool:
        """True with a probability of `ppm` parts per million; no number is drawn when it cannot be true."""
        return ppm > 0 and self.bits(_WORD_BITS) * PPM >> _WORD_BITS >= PPM - ppm

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        if high <= low:
            return low
        # 32 more bits than the span has: no choice is preferred by more than one in four thousand million.
        width = (high - low).bit_length() + _WORD_BITS
        return low + (self.bits(width) * (high - low + 1) >> width)

    def pick(self, items: Sequence[_T]) -> _T:
        """One of the items, all alike; there must be one."""
        return items[self.between(0, len(items) - 1)]

    def subset(self, items: Sequence[_T], size: int) -> list[_T]:
        """`size` different items, in the order given."""
        chosen: list[_T] = []
        for place, item in enumerate(items):
            if self.between(0, len(items) - place - 1) < size - len(chosen):
                chosen.append(item)
        return chosen

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """All items in a random order."""
        order = list(items)
        for place in range(len(order) - 1):
            other = self.between(place, len(order) - 1)
            order[place], order[other] = order[other], order[place]
        return order

    def exponential(self, mean: int) -> int:
        """An integer, exponentially distributed as near as matters: halvings counted, linear between them; no libm."""
        if mean <= 0:
            return 0
        raw = self.bits(_TAIL_BITS + _FRACTION_BITS)
        halvings = _TAIL_BITS - (raw >> _FRACTION_BITS ^ _TAIL_MASK).bit_length()
        fraction = raw & _FRACTION_MASK
        return mean * _LN2_PPM * ((halvings << _FRACTION_BITS) + fraction) // PPM >> _FRACTION_BITS


def seeded(*name: str | int) -> Stream:
    """Return a new stream that depends on this name and on nothing else."""
    seed_bytes = hashlib.blake2b(repr(name).encode(), digest_size=16).digest()
    return Stream(random.Random(int.from_bytes(seed_bytes, "big")).getrandbits)


Draws = Mapping[str, Sequence[int]]
"""Name of a stream, its parts joined with spaces -> the raw numbers it gave, in order."""


class Dice:
    """The streams of one run, by name: drawn from a seed, or taken from a tape. With `record` every draw is kept in `drawn`."""

    def __init__(self, seed: int, *, tape: Draws | None = None, record: bool = False) -> None:
        self.seed = seed
        self.drawn: dict[str, list[int]] = {}
        self._tape = tape
        self._record = record
        self._streams: dict[tuple[str | int, ...], Stream] = {}

    def stream(self, *name: str | int) -> Stream:
        """Return the stream of this name: always the same object within a run, the same numbers for a seed."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = self._make(name)
        return found

    def _make(self, name: tuple[str | int, ...]) -> Stream:
        key = " ".join(map(str, name))
        stream = seeded(self.seed, *name) if self._tape is None else _played(self._tape.get(key, ()))
        return _recorded(stream, self.drawn.setdefault(key, [])) if self._record else stream


def _played(raw: Iterable[int]) -> Stream:
    """A stream that gives these numbers, then zeros: the plainest choices."""
    rest = iter(raw)

    def bits(count: int) -> int:
        # A draw may have become smaller since the tape was made.
        return next(rest, 0) & ((1 << count) - 1)

    return Stream(bits)


def _recorded(stream: Stream, drawn: list[int]) -> Stream:
    draw = stream.bits

    def bits(count: int) -> int:
        raw = draw(count)
        drawn.append(raw)
        return raw

    return Stream(bits)
