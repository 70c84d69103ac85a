"""Faults of processes: crashes of every sort, pauses, graceful stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.dice import Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.node import Node
from ferrite.sim.orders import Doom

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

FAILPOINTS: Final = (
    "Persist",
    "Apply",
    "Send",
    "Reply",
    "FlushState",
    "DiscardLog",
    "SaveSnapshot",
    "SendSnapshot",
    "StoreChunk",
    "InstallSnapshot",
)
"""Actions before which a crash can be ordered."""
LOOPS_MAX: Final = 5


def _running(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes.values() if node.running]


def _draw_crash(cluster: Cluster, dice: Stream) -> Drawn | None:
    faults = cluster.world.options.faults
    running = _running(cluster)
    if not running:
        return None
    leader = cluster.leader()
    if dice.chance(faults.crash_all_ppm):
        struck = running
    elif leader is not None and dice.chance(faults.crash_leader_ppm):
        struck = [leader]
    else:
        struck = [dice.pick(running)]
    how, detail = "now", 0
    if dice.chance(faults.crash_in_step_ppm):
        how, detail = (
            ("in a step", dice.between(0, 4)) if dice.chance(700_000) else (dice.pick(FAILPOINTS), 0)
        )
    elif dice.chance(250_000):
        how, detail = "in a change of the disk", dice.between(0, 6)
    return {
        "nodes": tuple(node.node_id for node in struck),
        "data": {
            "how": how,
            "after": detail,
            "power_loss": dice.chance(faults.power_loss_ppm),
            "again": dice.between(1, LOOPS_MAX) if dice.chance(faults.crash_loop_ppm) else 0,
        },
    }


def _crash(cluster: Cluster, fault: Fault) -> None:
    for number in fault.nodes:
        node = cluster.nodes[NodeId(number)]
        _crash_one(node, fault)
        at_us = cluster.now_us
        for _ in range(fault.data["again"]):
            at_us += cluster.world.options.faults.down_mean_us
            cluster.world.timeline.at(at_us, _crash_again, cluster, node, fault)


def _crash_again(cluster: Cluster, node: Node, fault: Fault) -> None:
    if not cluster.world.plan.over:
        _crash_one(node, fault)


def _crash_one(node: Node, fault: Fault) -> None:
    how, power_loss = fault.data["how"], fault.data["power_loss"]
    if not node.running:
        return
    if how == "now":
        node.crash(power_loss=power_loss)
    elif how == "in a change of the disk":
        node.disk.lose_power_after(fault.data["after"])
    elif how == "in a step":
        node.doom = Doom(after_actions=fault.data["after"], power_loss=power_loss)
    else:
        node.doom = Doom(before=how, power_loss=power_loss)


def _draw_pause(cluster: Cluster, dice: Stream) -> Drawn | None:
    awake = [node for node in _running(cluster) if not node.paused]
    if not awake:
        return None
    leader = cluster.leader()
    node = leader if leader in awake and dice.chance(500_000) else dice.pick(awake)
    assert node is not None, "it is awake"
    return {
        "nodes": (node.node_id,),
        "lasts_us": dice.exponential(cluster.world.options.faults.pause_mean_us),
    }


def _pause(cluster: Cluster, fault: Fault) -> None:
    node = cluster.nodes[NodeId(fault.nodes[0])]
    if node.running and not node.paused:
        node.pause()
        cluster.lasts_until(fault.until_us, node.resume)


def _draw_stop(cluster: Cluster, dice: Stream) -> Drawn | None:
    running = _running(cluster)
    return {"nodes": (dice.pick(running).node_id,)} if running else None


def _stop(cluster: Cluster, fault: Fault) -> None:
    cluster.nodes[NodeId(fault.nodes[0])].shut_down(cluster.world.options.faults.request_timeout_us)


KINDS: Final = (
    Kind(name="crash", every_us=lambda faults: faults.crash_every_us, draw=_draw_crash, strike=_crash),
    Kind(name="pause", every_us=lambda faults: faults.pause_every_us, draw=_draw_pause, strike=_pause),
    Kind(name="stop", every_us=lambda faults: faults.stop_every_us, draw=_draw_stop, strike=_stop),
)
