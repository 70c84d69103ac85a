"""The simulated state store: two images. Writes go to the volatile one, a flush makes them durable, a crash falls back.

What a crash may do to it: batches since the last flush are kept up to some batch and lost from there on. A batch is atomic,
and a later one never survives an earlier one (RocksDB's write-ahead log, recovered to a point in time).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ferrite.core.kv import MemoryStore, Pair, Write
from ferrite.sim.dice import Stream


class SimStore:
    """An `OrderedStore` with a volatile and a durable image."""

    def __init__(self) -> None:
        self._volatile = MemoryStore()
        self._durable = MemoryStore()
        self._unflushed: list[list[Write]] = []

    def get(self, key: bytes) -> bytes | None:
        """Read the volatile image."""
        return self._volatile.get(key)

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Scan the volatile image."""
        return self._volatile.scan(start, end, reverse=reverse)

    def pin(self) -> MemoryStore:
        """Return a copy of the volatile image."""
        return self._volatile.pin()

    def write(self, batch: Iterable[Write]) -> None:
        """Write one atomic batch to the volatile image."""
        writes = list(batch)
        self._volatile.write(writes)
        self._unflushed.append(writes)

    def flush(self) -> None:
        """Make everything written so far durable."""
        for batch in self._unflushed:
            self._durable.write(batch)
        self._unflushed.clear()

    def replace(self, pairs: Iterable[Pair]) -> None:
        """Become exactly these pairs, durably and atomically: a snapshot was installed."""
        self._durable = MemoryStore(pairs)
        self._volatile = self._durable.pin()
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
        self._volatile = self._durable.pin()
        for batch in self._unflushed:
            self._volatile.write(batch)
