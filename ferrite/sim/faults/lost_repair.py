"""A leader is cut off with its writers; when it returns, the next leader repairs its log; then power fails, and its disk has
forgotten the repair: what was cut is back. The durable mark tells that something is missing.

Beyond what a crash can do, as all damage: one node a run at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.dice import Stream
from ferrite.sim.disk import SECTOR_BYTES
from ferrite.sim.faults.disks import lose_behind, tail_is_missed
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.faults.staging import (
    bring_up,
    capture,
    draw_captives,
    election_us,
    reigning,
)
from ferrite.sim.network import links_between
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

ELECTIONS: Final = 5
"""For so many maximum election timeouts after its return the node may be repaired and its mark be written."""
LOOKS: Final = 10
"""How often in a heartbeat interval is looked whether that has happened: a busy log soon goes on in another segment."""


def _draw(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = reigning(cluster)
    if leader is None or any(node.may_refuse for node in cluster.nodes.values()):
        return None
    heartbeat_us = cluster.world.options.replica.heartbeat_interval_us
    return {
        "nodes": (leader.node_id,),
        "links": tuple(links_between([leader.node_id], sorted(cluster.nodes))),
        "lasts_us": election_us(cluster) * dice.between(12, 24) // 10,
        "data": {
            "captives": draw_captives(cluster, dice),
            # The connections that a node makes itself may take longer to come back than those that are made to it.
            "mute_us": dice.pick((0, heartbeat_us, 3 * heartbeat_us)),
        },
    }


def _strike(cluster: Cluster, fault: Fault) -> None:
    links = [(NodeId(source), NodeId(target)) for source, target in fault.links]
    cluster.world.network.block(links)
    cluster.lasts_until(fault.until_us, cluster.world.network.unblock, links)
    capture(cluster, fault.data["captives"], NodeId(fault.nodes[0]), fault.until_us)
    cluster.world.timeline.at(fault.until_us, _remember, cluster, fault)


def _remember(cluster: Cluster, fault: Fault) -> None:
    """The network is whole again: what the node's log is now, it will be once more."""
    node = cluster.nodes[NodeId(fault.nodes[0])]
    segment = max(_segments(node))
    if cluster.world.plan.over or not segment:
        return
    raw = node.disk.image(fault.stream()).read(segment, 0, node.disk.size(segment))
    keep_bytes = -(-len(raw.rstrip(b"\0")) // SECTOR_BYTES) * SECTOR_BYTES
    log = cluster.world.invariants.ghost.disk(node.seen_as).durable
    end = log.last_index, log.chain_at(log.last_index)
    if keep_bytes:
        _await_repair(cluster, fault, end, (segment, keep_bytes))


def _segments(node: Node) -> list[str]:
    return ["", *(name for name in node.disk.list() if name.endswith(".seg"))]


def _await_repair(
    cluster: Cluster, fault: Fault, end: tuple[int, bytes | None], kept: tuple[str, int]
) -> None:
    """Strike once the old end of the log is cut or overwritten and the mark speaks of what came after it."""
    node, world = cluster.nodes[NodeId(fault.nodes[0])], cluster.world
    late = cluster.now_us > fault.until_us + ELECTIONS * election_us(cluster)
    if world.plan.over or late or max(_segments(node)) != kept[0]:
        return
    repaired = world.invariants.ghost.disk(node.seen_as).durable.chain_at(end[0]) != end[1]
    follows = node.running and cluster.leader() not in (None, node)
    if repaired and follows and tail_is_missed(node, fault.stream(), *kept):
        _forget(cluster, fault, node, kept)
        return
    look_us = 1 + world.options.replica.heartbeat_interval_us // LOOKS
    world.timeline.after(look_us, _await_repair, cluster, fault, end, kept)


def _forget(cluster: Cluster, fault: Fault, node: Node, kept: tuple[str, int]) -> None:
    if any(other.may_refuse for other in cluster.nodes.values()):
        return
    node.held_down = True
    node.crash(power_loss=True)
    node.may_refuse = lose_behind(cluster, node, fault.stream(), *kept)
    links = [(NodeId(source), NodeId(target)) for source, target in fault.links if source == node.node_id]
    cluster.world.network.block(links)
    cluster.lasts_until(cluster.now_us + fault.data["mute_us"], cluster.world.network.unblock, links)
    bring_up(node)


KINDS: Final = (
    Kind(name="lost_repair", every_us=lambda faults: faults.lost_repair_every_us, draw=_draw, strike=_strike),
)
