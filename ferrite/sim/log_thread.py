"""The log thread of a simulated node: group commit of the real `LogStore` on the simulated disk, with a sync that takes time."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from ferrite.core import Identity, Index, RecoveredLog, actions, events
from ferrite.core.disk import DiskError, LogCorrupt, LogOptions, LogStore, check_log
from ferrite.sim.checks.recovery import image_problem
from ferrite.sim.dice import seeded
from ferrite.sim.disk import PowerLost
from ferrite.sim.world import World

if TYPE_CHECKING:
    from ferrite.sim.node import Node

LOG_OPTIONS: Final = LogOptions(segment_bytes=16 << 10, record_bytes_max=2 << 10, spare_slice_bytes=4 << 10)
"""Small, so that logs roll over to new segments, drop old ones, and split large writes into several records, all the time."""


Order = actions.Persist | actions.LoadEntries | actions.DiscardLog


class LogThread:
    """Writes `Persist`s in order: whatever has queued goes into one write and one sync."""

    def __init__(self, world: World, node: Node, log: LogStore) -> None:
        self.alive = True
        self._world = world
        self._node = node
        self._log = log
        self._queue: deque[Order] = deque()
        self._rows: deque[int] = deque()
        """The step that ordered each job, when a recording is made."""
        self._sync = world.dice.stream("sync", node.node_id)
        self._upkeep_dice = world.dice.stream("upkeep", node.node_id)
        self._syncing = False
        self._failed = False

    @classmethod
    def open(cls, world: World, node: Node, identity: Identity) -> tuple[LogThread, RecoveredLog]:
        """Recover the log. Raises PowerLost, and what `LogStore.open` raises."""
        log, recovered = LogStore.open(node.disk, identity, options=LOG_OPTIONS)
        return cls(world, node, log), recovered

    def order(self, order: Order) -> None:
        """Queue a job. All kinds are done in the order given: a load reads what stood there when it was ordered."""
        self._queue.append(order)
        self._rows.append(self._node.step_row)
        if not self._syncing:
            self._begin()

    def _begin(self) -> None:
        """Do what has queued, up to the next sync."""
        while self._queue and self.alive and not self._failed:
            match self._queue[0]:
                case actions.Persist():
                    self._write(*self._take_persists())
                    return
                case actions.LoadEntries() as order:
                    self._load(order, self._rows[0])
                case actions.DiscardLog(first_index=first_index):
                    self._discard(first_index)
            if self._queue:
                self._queue.popleft()
                self._rows.popleft()

    def _take_persists(self) -> tuple[list[actions.Persist], list[int]]:
        batch: list[actions.Persist] = []
        rows: list[int] = []
        while self._queue and isinstance(self._queue[0], actions.Persist):
            batch.append(self._queue[0])
            rows.append(self._rows.popleft())
            self._queue.popleft()
        return batch, rows

    def _write(self, batch: list[actions.Persist], rows: list[int]) -> None:
        world, node = self._world, self._node
        last = batch[-1].write_seq
        self._syncing = True
        for order in batch:
            world.invariants.performed(node.seen_as, order.write_seq)
        try:
            self._log.append(batch)
        except PowerLost:
            node.crash(power_loss=True)
            return
        except DiskError as error:
            self._fail(last, error)
            return
        disk = world.options.disk
        delay_us = disk.sync_min_us + self._sync.exponential(disk.sync_mean_us)
        world.timeline.after(delay_us, self._end, last, rows)

    def _end(self, write_seq: int, rows: list[int]) -> None:
        world, node = self._world, self._node
        if not self.alive or (node.disk.stalled and node.disk.holds_up(partial(self._end, write_seq, rows))):
            return
        try:
            self._log.sync()
            world.invariants.persisted(node.seen_as, write_seq)
            self._upkeep()
        except PowerLost:
            node.crash(power_loss=True)
            return
        except DiskError as error:
            self._fail(write_seq, error)
            return
        self._syncing = False
        row = 0
        if world.recording is not None:
            row = world.row("disk", node=node.node_id, cause=rows, text=f"write {write_seq} is durable")
        node.report(events.Persisted(write_seq=write_seq), row)
        self._begin()

    def _upkeep(self) -> None:
        """What the real log thread does when it has nothing better to do: the durable mark, and the next segment's zeros."""
        dice = self._upkeep_dice
        if dice.chance(200_000) and self._node.replica is not None:
            self._log.update_mark(self._node.replica.glance().commit_index)
        if dice.chance(500_000):
            self._log.prepare_spare()

    def _fail(self, write_seq: int, error: DiskError) -> None:
        """Never again on this handle (DR6)."""
        self._failed = True
        self._node.report(
            events.PersistFailed(write_seq=write_seq, disk_full=error.disk_full, detail=error.detail)
        )

    def _load(self, order: actions.LoadEntries, row: int) -> None:
        world, node = self._world, self._node
        try:
            entries = self._log.load(order.first_index, order.end_index, order.bytes_max)
        except (DiskError, LogCorrupt) as error:
            corrupt = isinstance(error, LogCorrupt)
            node.report(events.StorageFailed(corrupt=corrupt, disk_full=False, detail=str(error)))
            return
        world.invariants.loaded(node.seen_as, order.first_index, entries)
        loaded = events.EntriesLoaded(first_index=order.first_index, entries=tuple(entries))
        delay_us = 1 + world.dice.stream("load", node.node_id).exponential(world.options.disk.load_mean_us)
        world.timeline.after(delay_us, self._loaded, loaded, row)

    def _loaded(self, loaded: events.EntriesLoaded, order_row: int) -> None:
        if self.alive:
            text = f"{len(loaded.entries)} entries from {loaded.first_index} were read"
            row = self._world.row("disk", node=self._node.node_id, cause=[order_row], text=text)
            self._node.report(loaded, row)

    def check_image(self) -> None:
        """F5: what a power loss at this moment would leave is recovered to what it must be. Raises Violation."""
        world, node = self._world, self._node
        image = node.disk.image(seeded(world.dice.seed, "image", node.node_id, world.timeline.now_us))
        identity = Identity(node_id=node.node_id, instance=node.instance, boot=node.boot + 1)
        try:
            problem = image_problem(
                world.invariants.ghost.disk(node.seen_as), check_log(image, identity)[0], identity
            )
        except LogCorrupt as error:
            problem = None if node.may_refuse else str(error)
        if problem:
            raise world.violation(
                "F5", "Every image that a crash may leave is recovered to at least what was durable.", problem
            )

    def _discard(self, first_index: Index) -> None:
        try:
            self._log.discard(first_index)
        except PowerLost:
            self._node.crash(power_loss=True)
        except DiskError as error:
            self._failed = True
            self._node.report(
                events.StorageFailed(corrupt=False, disk_full=error.disk_full, detail=error.detail)
            )
