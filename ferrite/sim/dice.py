"""Dice: named random streams. Each purpose has its own stream, so that one more fault type reshuffles nothing else.

Everything is integers (parts per million, microseconds): the same seed gives the same run on every machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Final, TypeVar

PPM: Final = 1_000_000
"""Probabilities are given in parts per million."""

_LN2_PPM: Final = 693_147
_FRACTION_BITS: Final = 20
_TAIL_BITS: Final = 16

_T = TypeVar("_T")


class Stream:
    """One stream of random numbers for one purpose."""

    def __init__(self, seed_bytes: bytes) -> None:
        self._random = random.Random(int.from_bytes(seed_bytes, "big"))

    def chance(self, ppm: int) -> bool:
        """True with a probability of `ppm` parts per million; no number is drawn when it cannot be true."""
        return ppm > 0 and self._random.randrange(PPM) < ppm

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low if high <= low else self._random.randrange(low, high + 1)

    def pick(self, items: Sequence[_T]) -> _T:
        """One of the items, all alike; there must be one."""
        return items[self._random.randrange(len(items))]

    def subset(self, items: Sequence[_T], size: int) -> list[_T]:
        """`size` different items, in the order given."""
        chosen = set(self._random.sample(range(len(items)), min(size, len(items))))
        return [item for place, item in enumerate(items) if place in chosen]

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """All items in a random order."""
        return self._random.sample(list(items), len(items))

    def exponential(self, mean: int) -> int:
        """An integer, exponentially distributed as near as matters: halvings counted, linear between them; no libm."""
        if mean <= 0:
            return 0
        halvings = _TAIL_BITS - self._random.getrandbits(_TAIL_BITS).bit_length()
        fraction = self._random.getrandbits(_FRACTION_BITS)
        return mean * _LN2_PPM * ((halvings << _FRACTION_BITS) + fraction) // PPM >> _FRACTION_BITS

    def bits(self, count: int) -> int:
        """A number of `count` random bits."""
        return self._random.getrandbits(count)


class Dice:
    """The streams of one run, by name."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[tuple[str | int, ...], Stream] = {}

    def stream(self, *name: str | int) -> Stream:
        """Return the stream of this name: always the same object within a run, the same numbers for a seed."""
        found = self._streams.get(name)
        if found is None:
            text = repr((self.seed, *name)).encode()
            found = self._streams[name] = Stream(hashlib.blake2b(text, digest_size=16).digest())
        return found
