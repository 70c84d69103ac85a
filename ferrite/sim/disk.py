"""The simulated disk: the core's `Files` over two images. Writes go to the volatile one (page cache), a sync moves them to
the durable one (platter).

What its faults are allowed to do. Power loss: every 512-byte sector of every un-synced write is kept or lost, each write
whole, not at all, or torn at sectors; a file
may lose its last extensions; names, creations and removals that returned are durable, one under way may have happened or not.
A killed
process loses nothing. A failed sync leaves each sector durable or not, and clean in either case (fsyncgate): it will not be
written
again. A full disk refuses creations and extensions, possibly after a part; a read may fail once. It never loses or changes what a
successful sync covered, but when a fault damages it on purpose (`rot`, `misdirect`, `wipe`, `take_tail`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ferrite.core import NO_NODE, NodeId
from ferrite.core.disk import DiskError
from ferrite.sim.dice import Stream
from ferrite.sim.faults.plan import FaultPlan
from ferrite.sim.options import DiskOptions

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
    """One flat directory of one node. Without a plan it fails only when told to."""

    def __init__(
        self,
        dice: Stream,
        plan: FaultPlan | None = None,
        node_id: NodeId = NO_NODE,
        options: DiskOptions | None = None,
    ) -> None:
        options = options or DiskOptions()
        plan = plan or FaultPlan(0, lambda: 0)
        self.counters: Counter[str] = Counter()
        self._stalls = 0
        self._when_released: list[Callable[[], None]] = []
        self.syncs_fail = False
        """For stories: every sync fails."""
        self.is_full = False
        """For stories: nothing can be created."""
        self._sync_error = plan.site("sync_error", options.sync_error_ppm, node_id)
        self._full = plan.site("full", options.full_ppm, node_id)
        self._read_error = plan.site("read_error", options.read_error_ppm, node_id)
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

    def stall(self) -> None:
        """Answer no sync until released."""
        self._stalls += 1

    def release(self) -> None:
        """Take one stall away; with the last, what waits goes on."""
        self._stalls = max(0, self._stalls - 1)
        if not self._stalls:
            waiting, self._when_released = self._when_released, []
            for go_on in waiting:
                go_on()

    @property
    def stalled(self) -> bool:
        """Does the device answer no sync at the moment?"""
        return self._stalls > 0

    def holds_up(self, go_on: Callable[[], None]) -> bool:
        """Is the device stalled? Then `go_on` is called when it is no more."""
        if self._stalls:
            self._when_released.append(go_on)
        return self._stalls > 0

    def take_tail(self, keep_bytes: dict[str, int]) -> None:
        """Zero synced bytes behind these sizes: amnesia beyond what any crash does."""
        for name, size in keep_bytes.items():
            file = self._files[name]
            file.durable[size:] = bytes(len(file.durable) - size)
            file.volatile = bytearray(file.durable)
            file.pending.clear()

    def rot(self, dice: Stream) -> str:
        """Flip a bit of something that was written and synced; returns where, "" when nothing was."""
        name, sector = self._written_sector(dice)
        if not name:
            return ""
        place = dice.between(0, SECTOR_BYTES * 8 - 1)
        self._change(name, sector, lambda data: _flipped(data, place))
        return f"{name} sector {sector}"

    def misdirect(self, dice: Stream) -> str:
        """Write one sector's content over another's, well-formed data at the wrong place; returns where, "" for nowhere."""
        (name, sector), (other, source) = self._written_sector(dice), self._written_sector(dice)
        if not name or (name, sector) == (other, source):
            return ""
        content = bytes(self._files[other].durable[source * SECTOR_BYTES : (source + 1) * SECTOR_BYTES])
        changed = self._change(name, sector, lambda _: content)
        return f"{other} sector {source} over {name} sector {sector}" if changed else ""

    def wipe(self) -> None:
        """Everything is gone: a new disk."""
        self._files.clear()

    def swap(self, other: SimDisk) -> None:
        """Exchange the contents with another disk: two cables were mixed up."""
        self._files, other._files = other._files, self._files

    def image(self, dice: Stream) -> SimDisk:
        """Return a copy as a power loss at this moment might leave it."""
        copy = SimDisk(dice)
        for name, file in self._files.items():
            copy._files[name] = SimFile(
                volatile=bytearray(), durable=bytearray(file.durable), pending=list(file.pending)
            )
        copy.power_loss()
        return copy

    def _written_sector(self, dice: Stream) -> tuple[str, int]:
        """A synced sector of the log that is not all zeros, named by file and number; ("", 0) when there is none."""
        found = [
            (name, start // SECTOR_BYTES)
            for name, file in sorted(self._files.items())
            if not file.pending
            for start in range(0, len(file.durable), SECTOR_BYTES)
            if any(file.durable[start : start + SECTOR_BYTES])
        ]
        return dice.pick(found) if found else ("", 0)

    def _change(self, name: str, sector: int, change: Callable[[bytes], bytes]) -> bool:
        file, start = self._files[name], sector * SECTOR_BYTES
        before = bytes(file.durable[start : start + SECTOR_BYTES])
        after = change(before)
        file.durable[start : start + len(after)] = after
        file.volatile[start : start + len(after)] = after
        return after != before

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
        """Return what was last written, or fail for this once."""
        if self._read_error.strikes():
            raise DiskError(f"reading {name} at {offset}: input/output error of the simulated disk")
        return bytes(self._file(name).volatile[offset : offset + length])

    def create(self, name: str, size_bytes: int) -> None:
        """Make a file of zeros, durably."""
        if name in self._files:
            raise DiskError(f"{name} exists already; expected a free name")
        full = self.is_full or self._full.strikes() is not None
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
        if self.syncs_fail or self._sync_error.strikes():
            self.counters["sync_errors"] += 1
            for offset, data in file.pending:
                self._survive(file, offset, data)
            file.pending.clear()
            raise DiskError(f"sync of {name}: input/output error of the simulated disk")
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


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
