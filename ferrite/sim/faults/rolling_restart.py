"""A rolling restart, as for an upgrade: leadership is handed over and comes back, then every follower restarts in turn, and what
the network still held of its leader's earlier frames arrives as soon as it listens again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.answers import Answer
from ferrite.sim.dice import Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.faults.staging import bring_up, election_us, look_again_us, reigning
from ferrite.sim.network import Frame
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

ELECTIONS: Final = 8
"""For so many maximum election timeouts a rolling restart waits for what it needs; then it is given up."""

Late = Mapping[NodeId, Sequence[tuple[Frame, int]]]
"""Follower -> frames that its leader had sent to it before leadership was handed over."""


def _draw(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = reigning(cluster)
    if leader is None:
        return None
    status = leader.status()
    assert status is not None, "it reigns"
    order = dice.shuffled([node for node in status.membership.voters if node != leader.node_id])
    return {
        "nodes": (leader.node_id, *order),
        "lasts_us": ELECTIONS * election_us(cluster),
        "data": {
            "hands_over": dice.chance(800_000),
            "late_frames": dice.pick((0, 4, 16)),
            "power_loss": dice.chance(300_000),
            "down_us": dice.exponential(look_again_us(cluster)),
        },
    }


def _strike(cluster: Cluster, fault: Fault) -> None:
    leader, first, *_ = (NodeId(number) for number in fault.nodes)
    link, count = cluster.world.network.link, fault.data["late_frames"]
    late = {NodeId(node): list(link(leader, NodeId(node)).old)[-count or None :] for node in fault.nodes[1:]}
    if fault.data["hands_over"]:
        _hand_over(cluster, leader, first)
        _await_deputy(cluster, fault, late if count else {})
    else:
        _restart_next(cluster, fault, late if count else {}, 1)


def _hand_over(cluster: Cluster, node: NodeId, target: NodeId) -> None:
    timeout_us = cluster.world.options.faults.request_timeout_us
    cluster.nodes[node].transfer(target, timeout_us, _whatever)


def _whatever(_answer: Answer) -> None:
    """The story looks itself who leads."""


def _is_over(cluster: Cluster, fault: Fault) -> bool:
    return cluster.world.plan.over or cluster.now_us > fault.until_us


def _await_deputy(cluster: Cluster, fault: Fault, late: Late) -> None:
    """Once somebody else leads, leadership is asked back."""
    if _is_over(cluster, fault):
        return
    leader, home = cluster.leader(), NodeId(fault.nodes[0])
    if leader is None or leader.node_id == home:
        cluster.world.timeline.after(look_again_us(cluster), _await_deputy, cluster, fault, late)
        return
    _hand_over(cluster, leader.node_id, home)
    _restart_next(cluster, fault, late, 1)


def _restart_next(cluster: Cluster, fault: Fault, late: Late, place: int) -> None:
    """Restart the follower at this place once the leader is back and has heard that it keeps up; then see to the next one."""
    if _is_over(cluster, fault) or place == len(fault.nodes):
        return
    node = cluster.nodes[NodeId(fault.nodes[place])]
    if node.running and not node.paused and _keeps_up(cluster, NodeId(fault.nodes[0]), node):
        node.held_down = True
        node.crash(power_loss=fault.data["power_loss"])
        cluster.lasts_until(
            cluster.now_us + fault.data["down_us"], _return, cluster, node, late.get(node.node_id, ())
        )
        place += 1
    cluster.world.timeline.after(look_again_us(cluster), _restart_next, cluster, fault, late, place)


def _keeps_up(cluster: Cluster, home: NodeId, node: Node) -> bool:
    leader = cluster.leader()
    status = leader.status() if leader is not None and leader.node_id == home else None
    peer = status.peers.get(node.node_id) if status else None
    return peer is not None and peer.match_index > 0


def _return(cluster: Cluster, node: Node, late: Sequence[tuple[Frame, int]]) -> None:
    bring_up(node)
    if not cluster.world.plan.over:
        for frame in late:
            cluster.world.timeline.after(0, node.frame_arrived, *frame)


KINDS: Final = (
    Kind(
        name="rolling_restart",
        every_us=lambda faults: faults.rolling_restart_every_us,
        draw=_draw,
        strike=_strike,
    ),
)
