"""A node's housekeeper, driven as the real node drives it: asked when it wants to be asked, one proposal at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core.kv import AutoCompaction, CommandFailed, Housekeeper, HousekeepingConfig, MachineFacts
from ferrite.sim.answers import Answer, Replied
from ferrite.sim.options import KvOptions
from ferrite.sim.world import World

if TYPE_CHECKING:
    from ferrite.sim.node import Node

RETRY_US: Final = 1_000_000
"""After a proposal that was not carried out."""
PROPOSAL_TIMEOUT_US: Final = 5_000_000
PAUSED_US: Final = 20_000
"""A node that stands still looks when it goes on, or so much later."""


def housekeeping_config(options: KvOptions) -> HousekeepingConfig:
    """The policy of a run's nodes."""
    by_revisions = options.keep_revisions > 0
    return HousekeepingConfig(
        quota_bytes=options.quota_bytes,
        auto_compaction=AutoCompaction.REVISIONS if by_revisions else AutoCompaction.OFF,
        retention=options.keep_revisions,
    )


class Housekeeping:
    """Of one incarnation of a node. All times are its own clock's."""

    def __init__(self, node: Node, world: World) -> None:
        self._node = node
        self._world = world
        self._boot = node.boot
        self._keeper = Housekeeper(housekeeping_config(world.options.kv))

    def start(self) -> None:
        """Begin at once, if there is anything to do in this run."""
        if self._world.options.kv.housekeeping:
            self._world.timeline.after(1, self._look)

    def _again(self, wait_us: int) -> None:
        clock = self._node.clock
        at_us = clock.when(self._node.local_us + wait_us)
        self._world.timeline.at(max(at_us, self._world.timeline.now_us + 1), self._look)

    def _look(self) -> None:
        node = self._node
        if node.boot != self._boot or node.replica is None:
            return
        if node.paused:
            self._world.timeline.after(PAUSED_US, self._look)
            return
        assert node.state is not None, "a node that runs has a state"
        facts = MachineFacts.of(node.state.machine)
        command, wait_us = self._keeper.consider(node.replica.cluster_time_us(node.local_us), facts)
        if command is None:
            self._again(wait_us)
            return
        self._world.counters[f"proposed_{type(command).__name__.lower()}"] += 1
        node.propose(command, None, PROPOSAL_TIMEOUT_US, self._done)

    def _done(self, answer: Answer) -> None:
        done = isinstance(answer, Replied) and not isinstance(answer.result, CommandFailed)
        self._again(0 if done else RETRY_US)
