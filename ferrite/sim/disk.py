"""The simulated disk: the core's `Files` over two images. Writes go to the volatile one (page cache), a sync moves them to
the durable one (platter).

What its faults are allowed to do. Power loss: every 512-byte sector of every un-synced write is kept or lost, each write
whole, not at all, or torn at sectors; a file
may lose its last extensions; names, creations and removals that returned are durable, one under way may have happened or not.
A killed
process loses nothing. A failed sync leaves each sector durable or not, and clean in either case (fsyncgate): it will not be
written
again. A full disk refuses creations and extensions, possibly after a part. It never loses or changes what a successful sync
covered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ferrite.core.disk import DiskError
from ferrite.sim.dice import Stream

SECTOR_BYTES: Final = 512


class PowerLost(Exception):
    """The node lost its power in the middle of this operation. Nothing in the node may catch it."""


@dataclass(slots=True)
class SimFile:
    """One file: both images, and what was written since the last sync, in order."""

    volatile: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)


def put(image: bytearray, offset: int, data: bytes) -> None:
    """Write into an image, which grows with zeros when needed."""
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class SimDisk:
    """One flat directory of one node. `sync_error_ppm` and `full_ppm` may be changed at any time."""

    def __init__(self, dice: Stream) -> None:
        self.sync_error_ppm = 0
        self.full_ppm = 0
        self.counters: Counter[str] = Counter()
        self._files: dict[str, SimFile] = {}
        self._dice = dice
        self._lose_power_after: int | None = None

    # -- faults -----------------------------------------------------------------------------------------------

    def lose_power_after(self, operations: int | None) -> None:
        """Raise `PowerLost` in the middle of a changing operation, after this many more of them."""
        self._lose_power_after = operations

    def power_loss(self) -> None:
        """Let the dice decide about everything un-synced; the page cache is gone."""
        self._lose_power_after = None
        for file in self._files.values():
            for offset, data in file.pending:
                self._survive(file, offset, data)
            file.pending.clear()
            file.volatile = bytearray(file.durable)

    def process_killed(self) -> None:
        """The process is gone, the page cache stays: what was written is there, and still not durable."""
        self._lose_power_after = None

    def take_tail(self, keep_bytes: dict[str, int]) -> None:
        """Zero synced bytes behind these sizes: amnesia beyond what any crash does. For tests of lost tails."""
        for name, size in keep_bytes.items():
            file = self._files[name]
            file.durable[size:] = bytes(len(file.durable) - size)
            file.volatile = bytearray(file.durable)
            file.pending.clear()

    def _survive(self, file: SimFile, offset: int, data: bytes) -> None:
        fate = self._dice.between(0, 2)
        if fate == 0:
            self.counters["writes_lost"] += 1
            return
        if fate == 1:
            put(file.durable, offset, data)
            return
        self.counters["writes_torn"] += 1
        start = offset
        while start < offset + len(data):
            end = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, offset + len(data))
            if self._dice.chance(500_000):
                put(file.durable, start, data[start - offset : end - offset])
            start = end

    def _changing(self) -> bool:
        """Count a changing operation. True when the power goes off in the middle of it."""
        self.counters["operations"] += 1
        if self._lose_power_after is None:
            return False
        self._lose_power_after -= 1
        return self._lose_power_after < 0

    # -- Files ------------------------------------------------------------------------------------------------

    def list(self) -> tuple[str, ...]:
        """Return all names, in no useful order."""
        return tuple(self._dice.shuffled(sorted(self._files)))

    def size(self, name: str) -> int:
        """Return the size in bytes."""
        return len(self._file(name).volatile)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return what was last written."""
        return bytes(self._file(name).volatile[offset : offset + length])

    def create(self, name: str, size_bytes: int) -> None:
        """Make a file of zeros, durably."""
        if name in self._files:
            raise DiskError(f"{name} exists already; expected a free name")
        full = self._dice.chance(self.full_ppm)
        off = self._changing()
        if full or off:
            if self._dice.chance(500_000):
                part = bytearray(self._dice.between(0, size_bytes))
                self._files[name] = SimFile(volatile=part, durable=bytearray(part))
            if off:
                raise PowerLost
            self.counters["full"] += 1
            raise DiskError(f"creating {name}: no space left on the simulated disk", disk_full=True)
        self._files[name] = SimFile(volatile=bytearray(size_bytes), durable=bytearray(size_bytes))

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write to the volatile image."""
        file = self._file(name)
        off = self._changing()
        if off:
            sectors = self._dice.between(0, len(data) // SECTOR_BYTES)
            data = data[: sectors * SECTOR_BYTES]  # every write of the log begins at a sector
        put(file.volatile, offset, data)
        file.pending.append((offset, bytes(data)))
        if off:
            raise PowerLost

    def sync(self, name: str) -> None:
        """Make this file durable, or fail for ever."""
        file = self._file(name)
        self.counters["syncs"] += 1
        if self._changing():
            raise PowerLost
        if self._dice.chance(self.sync_error_ppm):
            self.counters["sync_errors"] += 1
            for offset, data in file.pending:
                self._survive(file, offset, data)
            file.pending.clear()
            raise DiskError(f"sync of {name}: input/output error of the simulated disk")
        if file.pending:
            for offset, data in file.pending:
                put(file.durable, offset, data)
            file.pending.clear()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, durably."""
        if new in self._files:
            raise DiskError(f"{new} exists already; expected a free name")
        self._file(old)
        off = self._changing()
        if not off or self._dice.chance(500_000):
            self._files[new] = self._files.pop(old)
        if off:
            raise PowerLost

    def remove(self, name: str) -> None:
        """Remove a file, durably."""
        self._file(name)
        off = self._changing()
        if not off or self._dice.chance(500_000):
            del self._files[name]
        if off:
            raise PowerLost

    def _file(self, name: str) -> SimFile:
        file = self._files.get(name)
        if file is None:
            raise DiskError(f"{name} does not exist")
        return file
