"""What operators do at the wrong moment: leadership transfers and membership changes, also two at once, and to old leaders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ferrite.core import AddLearner, Change, ChangeVoters, Member, NodeId, RemoveLearner, UpdateAddress
from ferrite.sim.answers import Answer, Replied
from ferrite.sim.dice import Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster


def _asked(cluster: Cluster, dice: Stream) -> Node | None:
    """The node that is asked: mostly the leader, now and then another that believes to be one, or anybody."""
    leaders = cluster.leaders()
    if leaders and dice.chance(850_000):
        return leaders[0] if dice.chance(800_000) else leaders[-1]
    running = [node for node in cluster.nodes.values() if node.running]
    return dice.pick(running) if running else None


def _draw_transfer(cluster: Cluster, dice: Stream) -> Drawn | None:
    node = _asked(cluster, dice)
    target = dice.pick([NodeId(0), *sorted(cluster.nodes)])
    return {"nodes": (node.node_id,), "data": {"target": target}} if node else None


def _transfer(cluster: Cluster, fault: Fault) -> None:
    node, timeout_us = cluster.nodes[NodeId(fault.nodes[0])], cluster.world.options.faults.request_timeout_us
    node.transfer(NodeId(fault.data["target"]), timeout_us, partial(_count, cluster, "transfers"))


def _count(cluster: Cluster, what: str, answer: Answer) -> None:
    cluster.world.counters[f"{what}_{type(answer).__name__.lower()}"] += 1


def _draw_membership(cluster: Cluster, dice: Stream) -> Drawn | None:
    node = _asked(cluster, dice)
    if node is None:
        return None
    changes = [_draw_change(cluster, node, dice) for _ in range(2 if dice.chance(100_000) else 1)]
    return {"nodes": (node.node_id,), "data": {"changes": changes}}


def _draw_change(cluster: Cluster, node: Node, dice: Stream) -> dict[str, Any]:
    status = node.status()
    assert status is not None, "it runs"
    membership = status.membership
    outside = [other for other in sorted(cluster.nodes) if other not in membership.members]
    fresh = [other for other in outside if other not in membership.retired]
    kind = dice.pick(("add", "voters", "voters", "voters", "address", "remove", "strange"))
    if kind == "strange" and membership.retired:
        return {"change": "strange", "node": dice.pick(sorted(membership.retired)), "instance": dice.bits(64)}
    if outside and (kind == "add" or len(membership.members) == 1):
        # One that was removed may come back with its own data directory: else clusters only shrink, and end alone.
        return {"change": "add", "node": dice.pick(fresh or outside)}
    if kind == "remove" and membership.learners:
        return {"change": "remove", "node": dice.pick(membership.learners)}
    if kind == "address" and membership.members:
        return {"change": "address", "node": dice.pick(sorted(membership.members))}
    candidates = sorted({*membership.voters, *membership.learners}) or sorted(cluster.nodes)
    size = dice.between(max(1, min(3, len(candidates) - 1)), len(candidates))
    if dice.chance(150_000):
        size = dice.between(1, len(candidates))
    return {"change": "voters", "voters": dice.subset(candidates, size)}


def _membership(cluster: Cluster, fault: Fault) -> None:
    for drawn in fault.data["changes"]:
        request_change(cluster, cluster.nodes[NodeId(fault.nodes[0])], drawn)


def request_change(cluster: Cluster, node: Node, drawn: dict[str, Any]) -> None:
    """Ask a node for a change, told in the words of a tape; it may name a node that a smaller cluster has not."""
    if drawn.get("node", node.node_id) not in cluster.nodes:
        return
    timeout_us = cluster.world.options.faults.request_timeout_us
    node.change_membership(
        _change(cluster, drawn), timeout_us, partial(_change_answered, cluster, node, drawn)
    )


def _change(cluster: Cluster, drawn: dict[str, Any]) -> Change:
    match drawn:
        case {"change": "voters", "voters": voters}:
            return ChangeVoters(voters=tuple(NodeId(node) for node in voters))
        case {"change": "remove", "node": node}:
            return RemoveLearner(node_id=NodeId(node))
        case {"change": "address", "node": node}:
            return UpdateAddress(member=cluster.member(NodeId(node), moved=True))
        case {"change": "strange", "node": node, "instance": instance}:
            where = f"node{node}.sim:7000"
            return AddLearner(
                member=Member(node_id=NodeId(node), instance=instance.to_bytes(16, "big"), peer_addr=where)
            )
        case _:
            return AddLearner(member=cluster.member(NodeId(drawn["node"])))


def _change_answered(cluster: Cluster, node: Node, drawn: dict[str, Any], answer: Answer) -> None:
    _count(cluster, "changes", answer)
    status = node.status()
    retired = status.membership.retired if status else {}
    # B7: a removed id comes back with its own data directory only.
    if drawn["change"] == "strange" and isinstance(answer, Replied) and drawn["node"] in retired:
        raise cluster.world.violation(
            "B7",
            "The id of a removed member is not given to another data directory.",
            f"{drawn} was carried out",
        )


KINDS: Final = (
    Kind(
        name="transfer",
        every_us=lambda faults: faults.transfer_every_us,
        draw=_draw_transfer,
        strike=_transfer,
    ),
    Kind(
        name="membership",
        every_us=lambda faults: faults.membership_every_us,
        draw=_draw_membership,
        strike=_membership,
    ),
)
