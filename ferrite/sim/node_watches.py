"""The watches of one incarnation of a node: the real hub, fed by the state, with its reads of history taking time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrite.core import NodeId
from ferrite.core.kv import AppliedBatch, HistoryPiece, HistoryRead, WatchHub, WatchLimits, read_history
from ferrite.sim.world import World, finding

if TYPE_CHECKING:
    from ferrite.sim.state_thread import StateThread


class NodeWatches:
    """Feeds `hub`. Nothing is read and no dice are thrown as long as nobody watches."""

    def __init__(self, state: StateThread, world: World, node: NodeId) -> None:
        machine, kv = state.machine, world.options.kv
        self._state = state
        self._world = world
        self._dice = world.dice.stream("history", node)
        self._node = node
        self.hub = WatchHub(
            revision=machine.revision,
            compacted_revision=machine.compacted_revision,
            limits=WatchLimits(queue_bytes_max=kv.watch_queue_bytes),
        )

    def applied(self, applied: AppliedBatch) -> None:
        """The batch was written."""
        self.hub.on_applied(
            applied.changes if self.hub.has_live else (),
            revision=applied.meta.revision,
            compacted_revision=applied.meta.compacted_revision,
            previous=self._state.machine.previous,
        )
        self.settle()

    def installed(self) -> None:
        """A snapshot took the place of the state."""
        machine = self._state.machine
        self._world.counters["watches_installed"] += (
            self.hub.count if machine.revision > self.hub.revision else 0
        )
        self.hub.on_installed(revision=machine.revision, compacted_revision=machine.compacted_revision)
        self.settle()

    def settle(self) -> None:
        """Order the next piece of history, if one is wanted."""
        read = self.hub.next_read()
        if read is not None:
            self._later(self._read, read)

    def _later(self, work: Callable[[Any], None], given: object) -> None:
        delay_us = 1 + self._dice.exponential(self._world.options.disk.load_mean_us)
        self._world.timeline.after(delay_us, self._do, work, given)

    def _do(self, work: Callable[[Any], None], given: object) -> None:
        if self._state.alive:
            try:
                work(given)
            except Exception as error:
                raise finding(self._world, self._node, error, who="A node's watches") from error

    def _read(self, read: HistoryRead) -> None:
        # What is read here is what the state is now; the hub hears of it later, and may know more by then.
        piece = read_history(self._state.machine, read, bytes_max=self._world.options.kv.history_bytes)
        self._later(self._found, piece)

    def _found(self, piece: HistoryPiece | None) -> None:
        self.hub.on_history(piece)
        self.settle()
