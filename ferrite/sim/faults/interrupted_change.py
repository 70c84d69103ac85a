"""A change of voters that loses its leader half way, inside the joint configuration, and an operator who does not wait.

What everybody fears of a change of members: the leader dies with it, others are out of reach at the same time, and whoever asked
for it has no answer. So the operator asks the next leader at once: to put things back, to do it again, or for something else, and
that leader has not yet left its predecessor's joint configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ferrite.core import Glance, NodeId, Role
from ferrite.sim.dice import Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.operators import request_change
from ferrite.sim.faults.plan import Fault
from ferrite.sim.faults.staging import election_us, take_down
from ferrite.sim.network import links_between
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

PATIENCE: Final = 6
"""How many of the longest election timeouts the story may take."""
LOOK_MIN_US: Final = 100
ASKS_MAX: Final = 2
"""Requests to the next leader: the second is asked whatever becomes of the first."""


def _draw(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = cluster.leader()
    status = leader.status() if leader else None
    if leader is None or status is None or leader.paused:
        return None
    # In a joint configuration already: that change is the one which is interrupted.
    before = status.membership.outgoing or status.membership.voters
    candidates = sorted({*before, *status.membership.voters, *status.membership.learners})
    if len(candidates) == 1:
        return None
    wanted = _voters(candidates, dice)
    others = [node for node in sorted(cluster.nodes) if node != leader.node_id]
    return {
        "nodes": (leader.node_id,),
        "lasts_us": PATIENCE * election_us(cluster),
        "data": {
            "wanted": wanted,
            "copies": dice.pick((0, 0, 1, 1, 2)),
            "how": dice.pick(("crash", "cut off", "pause")),
            "away": dice.subset(others, dice.pick((0, 0, 1))),
            "down_us": election_us(cluster) * dice.between(5, 30) // 10,
            "asks": [_draw_ask(before, wanted, candidates, dice) for _ in range(dice.between(1, ASKS_MAX))],
        },
    }


def _voters(candidates: Sequence[NodeId], dice: Stream) -> list[NodeId]:
    return dice.subset(candidates, dice.between(1, len(candidates)))


def _draw_ask(
    before: Sequence[NodeId], wanted: Sequence[NodeId], candidates: Sequence[NodeId], dice: Stream
) -> dict[str, Any]:
    match dice.pick(("undo", "undo", "again", "other", "address")):
        case "undo":
            return {"change": "voters", "voters": list(before)}
        case "again":
            return {"change": "voters", "voters": list(wanted)}
        case "other":
            return {"change": "voters", "voters": _voters(candidates, dice)}
        case _:
            return {"change": "address", "node": dice.pick(candidates)}


def _strike(cluster: Cluster, fault: Fault) -> None:
    leader = cluster.leader()
    if leader is not None:
        request_change(cluster, leader, {"change": "voters", "voters": fault.data["wanted"]})
        _await_joint(cluster, fault)


def _await_joint(cluster: Cluster, fault: Fault) -> None:
    """Until the leader has appended the joint configuration, and so many others have it."""
    if not _goes_on(cluster, fault):
        return
    glances = _glances(cluster)
    leading = _leading(glances)
    joint = sum(glance.membership.joint for _, glance in glances)
    if leading and leading[1].membership.joint and joint > fault.data["copies"]:
        _fall(cluster, fault, leading[0])
        _await_successor(cluster, fault, leading[1].term)
    else:
        cluster.world.timeline.after(_look_us(cluster), _await_joint, cluster, fault)


def _fall(cluster: Cluster, fault: Fault, leader: Node) -> None:
    """The leader is gone for a while, and so are those who are away, one way or another."""
    network, until_us = cluster.world.network, cluster.now_us + fault.data["down_us"]
    away = [NodeId(node) for node in fault.data["away"]]
    match fault.data["how"]:
        case "crash":
            take_down(cluster, leader, until_us)
        case "pause":
            leader.pause()
            cluster.lasts_until(until_us, leader.resume)
        case _:
            away.append(leader.node_id)
    links = links_between(away, [node for node in sorted(cluster.nodes) if node not in away])
    network.block(links)
    cluster.lasts_until(until_us, network.unblock, links)


def _await_successor(cluster: Cluster, fault: Fault, fallen_term: int) -> None:
    if not _goes_on(cluster, fault):
        return
    leading = _leading(_glances(cluster))
    if leading and leading[1].term > fallen_term:
        for drawn in fault.data["asks"]:
            request_change(cluster, leading[0], drawn)
    else:
        cluster.world.timeline.after(_look_us(cluster), _await_successor, cluster, fault, fallen_term)


def _goes_on(cluster: Cluster, fault: Fault) -> bool:
    return not cluster.world.plan.over and cluster.now_us <= fault.until_us


def _glances(cluster: Cluster) -> list[tuple[Node, Glance]]:
    """What runs; a status of each node would cost too much at every look."""
    return [(node, node.replica.glance()) for node in cluster.nodes.values() if node.replica is not None]


def _leading(glances: list[tuple[Node, Glance]]) -> tuple[Node, Glance] | None:
    """Who leads the latest term."""
    leading = [found for found in glances if found[1].role is Role.LEADER]
    return max(leading, key=lambda found: found[1].term, default=None)


def _look_us(cluster: Cluster) -> int:
    """As often as a message needs with its sync: else the states that count are over before anybody looks."""
    options = cluster.world.options
    step_us = options.network.delay_min_us + options.network.delay_mean_us + options.disk.sync_mean_us
    return max(LOOK_MIN_US, step_us // 2)


KINDS: Final = (
    Kind(
        name="interrupted_change",
        every_us=lambda faults: faults.interrupted_change_every_us,
        draw=_draw,
        strike=_strike,
    ),
)
