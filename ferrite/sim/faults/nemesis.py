"""The nemesis: draws when which fault strikes whom, each fault type from its own stream. Every fault ends by itself; `stop`
ends all for good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ferrite.core import (
    AddLearner,
    Change,
    ChangeVoters,
    NodeId,
    RemoveLearner,
    StopCode,
    UpdateAddress,
)
from ferrite.sim.answers import Answer
from ferrite.sim.dice import Stream
from ferrite.sim.network import random_partition
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

REQUEST_TIMEOUT_US = 3_000_000
RESTART_AFTER_STOP_US = 300_000
"""A supervisor's pause before it starts a stopped process again."""


class Nemesis:
    """All faults of one run that strike processes, links and membership."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._faults = cluster.world.options.faults
        self._on = True

    def start(self) -> None:
        """Begin every fault type that has an interval."""
        faults = self._faults
        self._every("crash", faults.crash_every_us, self._crash)
        self._every("pause", faults.pause_every_us, self._pause)
        self._every("partition", faults.partition_every_us, self._partition)
        self._every("stop", faults.stop_every_us, self._stop)
        self._every("transfer", faults.transfer_every_us, self._transfer)
        self._every("membership", faults.membership_every_us, self._membership)

    def stop(self) -> None:
        """No new faults."""
        self._on = False

    def _every(self, name: str, mean_us: int, strike: Callable[[Stream], None]) -> None:
        if not mean_us:
            return
        dice = self._cluster.world.dice.stream("fault", name)
        timeline = self._cluster.world.timeline

        def again() -> None:
            if self._on:
                strike(dice)
                timeline.after(1 + dice.exponential(mean_us), again)

        timeline.after(1 + dice.exponential(mean_us), again)

    # -- processes --------------------------------------------------------------------------------------------

    def _crash(self, dice: Stream) -> None:
        running = [node for node in self._cluster.nodes.values() if node.running]
        if not running:
            return
        leader = self._cluster.leader()
        if dice.chance(self._faults.crash_all_ppm):
            for node in running:
                self._crash_one(node, dice)
        elif leader is not None and dice.chance(self._faults.crash_leader_ppm):
            self._crash_one(leader, dice)
        else:
            self._crash_one(dice.pick(running), dice)

    def _crash_one(self, node: Node, dice: Stream) -> None:
        world = self._cluster.world
        world.counters["crashes"] += 1
        power_loss = dice.chance(self._faults.power_loss_ppm)
        if dice.chance(self._faults.crash_in_step_ppm):
            # At the next step, before one of its actions.
            node.power_loss_next = power_loss
            node.crash_after_actions = dice.between(0, 4)
        elif power_loss and dice.chance(300_000):
            # In the middle of one of the next changes of the disk, recovery included.
            node.disk.lose_power_after(dice.between(0, 6))
        else:
            node.crash(power_loss=power_loss)

    def _pause(self, dice: Stream) -> None:
        running = [node for node in self._cluster.nodes.values() if node.running and not node.paused]
        if not running:
            return
        leader = self._cluster.leader()
        node = leader if leader is not None and dice.chance(500_000) else dice.pick(running)
        self._cluster.world.counters["pauses"] += 1
        node.pause()
        self._cluster.world.timeline.after(1 + dice.exponential(self._faults.pause_mean_us), node.resume)

    def _stop(self, dice: Stream) -> None:
        running = [node for node in self._cluster.nodes.values() if node.running]
        if running:
            self._cluster.world.counters["graceful_stops"] += 1
            dice.pick(running).shut_down(REQUEST_TIMEOUT_US)

    def node_down(self, node: Node) -> None:
        """A process has ended: its supervisor starts it again after a while."""
        dice = self._cluster.world.dice.stream("restart", node.node_id)
        delay_us = 1 + dice.exponential(self._faults.down_mean_us)
        if node.stop_code is not None:
            delay_us = RESTART_AFTER_STOP_US
        if node.stop_code in (StopCode.CORRUPTION, StopCode.IDENTITY):
            return
        if not node.restart_pending:
            node.restart_pending = True
            self._cluster.world.timeline.after(delay_us, lambda: self._restart(node))

    def _restart(self, node: Node) -> None:
        if node.restart_pending and not node.running and not node.held_down:
            self._cluster.world.counters["restarts"] += 1
            node.start()

    # -- links ------------------------------------------------------------------------------------------------

    def _partition(self, dice: Stream) -> None:
        network, world = self._cluster.world.network, self._cluster.world
        leader = self._cluster.leader()
        links = random_partition(sorted(self._cluster.nodes), leader.node_id if leader else NodeId(0), dice)
        world.counters["partitions"] += 1
        world.note(NodeId(0), "partition", tuple(links))
        network.block(links)
        world.timeline.after(
            1 + dice.exponential(self._faults.partition_mean_us), lambda: network.unblock(links)
        )

    # -- operators --------------------------------------------------------------------------------------------

    def _transfer(self, dice: Stream) -> None:
        leader = self._cluster.leader()
        if leader is not None:
            target = dice.pick([NodeId(0), *sorted(self._cluster.nodes)])
            leader.transfer(target, REQUEST_TIMEOUT_US, self._ignore)

    def _membership(self, dice: Stream) -> None:
        leader = self._cluster.leader()
        if leader is None:
            return
        change = self._draw_change(leader, dice)
        if change is not None:
            self._cluster.world.counters["changes_asked"] += 1
            leader.change_membership(change, REQUEST_TIMEOUT_US, self._change_answered)

    def _draw_change(self, leader: Node, dice: Stream) -> Change | None:
        status = leader.status()
        assert status is not None, "a leader runs"
        membership = status.membership
        outside = [
            node
            for node in sorted(self._cluster.nodes)
            if node not in membership.members and node not in membership.retired
        ]
        kind = dice.pick(("add", "voters", "voters", "address", "remove"))
        if kind == "add" and outside:
            return AddLearner(member=self._cluster.member(dice.pick(outside)))
        if kind == "remove" and membership.learners:
            return RemoveLearner(node_id=dice.pick(membership.learners))
        if kind == "address":
            return UpdateAddress(
                member=self._cluster.member(dice.pick(sorted(membership.members)), moved=True)
            )
        candidates = sorted({*membership.voters, *membership.learners})
        size = dice.between(max(1, min(3, len(candidates) - 1)), len(candidates))
        return ChangeVoters(voters=tuple(dice.subset(candidates, size)))

    def _change_answered(self, answer: Answer) -> None:
        self._cluster.world.counters[f"changes_{type(answer).__name__.lower()}"] += 1

    def _ignore(self, answer: Answer) -> None:
        self._cluster.world.counters[f"transfers_{type(answer).__name__.lower()}"] += 1
