"""The log thread of a simulated node: group commit of the real `LogStore` on the simulated disk, with a sync that takes time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ferrite.core import Identity, Index, RecoveredLog, actions, events
from ferrite.core.disk import DiskError, LogCorrupt, LogOptions, LogStore
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
        if not self._syncing:
            self._begin()

    def _begin(self) -> None:
        """Do what has queued, up to the next sync."""
        while self._queue and self.alive and not self._failed:
            match self._queue[0]:
                case actions.Persist():
                    self._write(self._take_persists())
                    return
                case actions.LoadEntries() as order:
                    self._load(order)
                case actions.DiscardLog(first_index=first_index):
                    self._discard(first_index)
            if self._queue:
                self._queue.popleft()

    def _take_persists(self) -> list[actions.Persist]:
        batch: list[actions.Persist] = []
        while self._queue and isinstance(self._queue[0], actions.Persist):
            batch.append(self._queue[0])
            self._queue.popleft()
        return batch

    def _write(self, batch: list[actions.Persist]) -> None:
        world, node = self._world, self._node
        dice = world.dice.stream("sync", node.node_id)
        last = batch[-1].write_seq
        self._syncing = True
        for order in batch:
            world.invariants.performed(node.node_id, order.write_seq)
        try:
            self._log.append(batch)
        except PowerLost:
            node.crash(power_loss=True)
            return
        except DiskError as error:
            self._fail(last, error)
            return
        disk = world.options.disk
        world.timeline.after(disk.sync_min_us + dice.exponential(disk.sync_mean_us), lambda: self._end(last))

    def _end(self, write_seq: int) -> None:
        if not self.alive:
            return
        world, node = self._world, self._node
        try:
            self._log.sync()
            world.invariants.persisted(node.node_id, write_seq)
            self._upkeep()
        except PowerLost:
            node.crash(power_loss=True)
            return
        except DiskError as error:
            self._fail(write_seq, error)
            return
        self._syncing = False
        node.report(events.Persisted(write_seq=write_seq))
        self._begin()

    def _upkeep(self) -> None:
        """What the real log thread does when it has nothing better to do: the durable mark, and the next segment's zeros."""
        dice = self._world.dice.stream("upkeep", self._node.node_id)
        status = self._node.status()
        if status is not None and dice.chance(200_000):
            self._log.update_mark(status.commit_index)
        if dice.chance(500_000):
            self._log.prepare_spare()

    def _fail(self, write_seq: int, error: DiskError) -> None:
        """Never again on this handle (DR6)."""
        self._failed = True
        self._node.report(
            events.PersistFailed(write_seq=write_seq, disk_full=error.disk_full, detail=error.detail)
        )

    def _load(self, order: actions.LoadEntries) -> None:
        world, node = self._world, self._node
        try:
            entries = self._log.load(order.first_index, order.end_index, order.bytes_max)
        except (DiskError, LogCorrupt) as error:
            corrupt = isinstance(error, LogCorrupt)
            node.report(events.StorageFailed(corrupt=corrupt, disk_full=False, detail=str(error)))
            return
        loaded = events.EntriesLoaded(first_index=order.first_index, entries=tuple(entries))
        delay_us = 1 + world.dice.stream("load", node.node_id).exponential(world.options.disk.load_mean_us)
        world.timeline.after(delay_us, lambda: node.report(loaded) if self.alive else None)

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
