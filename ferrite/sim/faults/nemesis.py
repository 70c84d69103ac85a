"""The nemesis: lets faults strike that have a time of their own, drawn from the dice or as a tape has them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from ferrite.core import StopCode
from ferrite.sim.dice import Stream
from ferrite.sim.faults import (
    clocks,
    combined,
    disks,
    interrupted_change,
    links,
    lost_repair,
    operators,
    processes,
    rolling_restart,
)
from ferrite.sim.faults.kinds import Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

KINDS: Final = {
    kind.name: kind
    for module in (
        processes,
        links,
        clocks,
        disks,
        operators,
        combined,
        interrupted_change,
        lost_repair,
        rolling_restart,
    )
    for kind in module.KINDS
}
"""Every kind of fault that has a time of its own. Those that befall a frame, a disk operation or a timer have a `Site`."""
RESTART_AFTER_STOP_US: Final = 300_000
"""A supervisor's pause before it starts a stopped process again."""


class Nemesis:
    """All faults of one run that strike at a time of their own. Each ends by itself."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def start(self) -> None:
        """Begin every kind that has an interval, or schedule what the tape has."""
        world = self._cluster.world
        if world.plan.taped is not None:
            for fault in world.plan.taped.values():
                if fault.kind in KINDS:
                    world.timeline.at(fault.at_us, self._strike, KINDS[fault.kind], fault)
            return
        for kind in KINDS.values():
            every_us = kind.every_us(world.options.faults)
            if every_us:
                dice = world.plan.schedule_stream(kind.name)
                world.timeline.after(1 + dice.exponential(every_us), self._again, kind, dice, every_us, 1)

    def _again(self, kind: Kind, dice: Stream, every_us: int, number: int) -> None:
        world = self._cluster.world
        if world.plan.over:
            return
        own_dice = Stream(Random(dice.bits(32)).getrandbits)
        world.timeline.after(1 + dice.exponential(every_us), self._again, kind, dice, every_us, number + 1)
        fault = Fault(
            id=f"{kind.name}:{number}", kind=kind.name, at_us=world.timeline.now_us, dice=own_dice.bits(32)
        )
        drawn = kind.draw(self._cluster, own_dice)
        if drawn is not None:
            fault.nodes, fault.links = drawn.get("nodes", ()), drawn.get("links", ())
            fault.until_us = fault.at_us + drawn.get("lasts_us", 0)
            fault.data = drawn.get("data", {})
            self._strike(kind, fault)

    def _strike(self, kind: Kind, fault: Fault) -> None:
        plan = self._cluster.world.plan
        if not plan.over and plan.strike(fault) is not None:
            kind.strike(self._cluster, fault)

    def node_down(self, node: Node) -> None:
        """A process has ended: its supervisor starts it again after a while."""
        world = self._cluster.world
        delay_us = 1 + world.dice.stream("restart", node.node_id).exponential(
            world.options.faults.down_mean_us
        )
        if node.stop_code is not None:
            delay_us = RESTART_AFTER_STOP_US
        if node.stop_code in (StopCode.CORRUPTION, StopCode.IDENTITY):
            return
        if not node.restart_pending:
            node.restart_pending = True
            world.timeline.after(delay_us, self._restart, node)

    def _restart(self, node: Node) -> None:
        if node.restart_pending and not node.running and not node.held_down:
            self._cluster.world.counters["restarts"] += 1
            node.start()
