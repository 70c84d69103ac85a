"""The simulated state store: two images. Writes go to the volatile one, a flush makes them durable, a crash falls back.

What a crash may do to it: batches since the last flush are kept up to some batch and lost from there on. A batch is atomic,
and a later one never survives an earlier one (RocksDB's write-ahead log, recovered to a point in time).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from ferrite.core.kv import MemoryStore, Pair, Write, local_key
from ferrite.sim.dice import Stream

_OWN_RECORDS: Final = local_key(0, b"")
"""What keys begin with that are the node's own, and no replicated state."""
_MASK: Final = (1 << 64) - 1


class StateImage:
    """One image of a state, with a fingerprint of what is replicated in it.

    The fingerprint is the sum of the squared hash of each pair, so a write changes it by what it takes away and what it
    brings. Squared, because hashes of tuples are nearly additive: two values that change places would often cancel out.
    Equal states have equal ones, however they were made. It holds within one process only.
    """

    __slots__ = ("fingerprint", "pairs")

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self.pairs = MemoryStore()
        self.fingerprint = 0
        self.write(pairs)

    def write(self, batch: Iterable[Write]) -> list[Write]:
        """Write one atomic batch; returns it, each key once."""
        writes = list(dict(batch).items())
        get, mark = self.pairs.get, self.fingerprint
        for key, value in writes:
            if key.startswith(_OWN_RECORDS):
                continue
            before = get(key)
            if before is not None:
                mark -= hash((key, before)) ** 2
            if value is not None:
                mark += hash((key, value)) ** 2
        self.fingerprint = mark & _MASK
        self.pairs.write(writes)
        return writes


class SimStore:
    """An `OrderedStore` with a volatile and a durable image."""

    def __init__(self) -> None:
        self._volatile = StateImage()
        self._durable: dict[bytes, bytes] = {}
        """Read by a crash only: nothing is kept in order before that."""
        self._unflushed: list[list[Write]] = []

    def get(self, key: bytes) -> bytes | None:
        """Read the volatile image."""
        return self._volatile.pairs.get(key)

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Scan the volatile image."""
        return self._volatile.pairs.scan(start, end, reverse=reverse)

    def pin(self) -> MemoryStore:
        """Return a copy of the volatile image."""
        return self._volatile.pairs.pin()

    @property
    def fingerprint(self) -> int:
        """The fingerprint of the volatile image."""
        return self._volatile.fingerprint

    def write(self, batch: Iterable[Write]) -> None:
        """Write one atomic batch to the volatile image."""
        self._unflushed.append(self._volatile.write(batch))

    def flush(self) -> None:
        """Make everything written so far durable."""
        for batch in self._unflushed:
            for key, value in batch:
                if value is None:
                    self._durable.pop(key, None)
                else:
                    self._durable[key] = value
        self._unflushed.clear()

    def replace(self, pairs: Collection[Pair]) -> None:
        """Become exactly these pairs, durably and atomically: a snapshot was installed."""
        self._durable = dict(pairs)
        self._volatile = StateImage(pairs)
        self._unflushed.clear()

    def crash(self, dice: Stream, *, power_loss: bool) -> None:
        """Fall back to the durable image and a random number of batches after it; a killed process may lose none."""
        keep_all = not power_loss and dice.chance(500_000)
        kept = (
            len(self._unflushed)
            if keep_all
            else dice.between(0, len(self._unflushed))
            if dice.chance(500_000)
            else 0
        )
        self.fall_back(kept)

    def fall_back(self, batches_kept: int = 0) -> None:
        """Become the durable image and this many of the batches after it."""
        del self._unflushed[batches_kept:]
        self._volatile = StateImage(self._durable.items())
        for batch in self._unflushed:
            self._volatile.write(batch)
