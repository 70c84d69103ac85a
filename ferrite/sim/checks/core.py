"""Which nodes a healed cluster can be asked to work with: a core that holds a quorum of every membership that may be in force."""

from __future__ import annotations

from collections.abc import Collection

from ferrite.core import Membership, NodeId
from ferrite.sim.checks.ghost import Ghost, is_quorum
from ferrite.sim.cluster import Cluster


def usable_nodes(cluster: Cluster) -> list[NodeId]:
    """All nodes but those that stopped for good, or have lost their data directory."""
    return [
        node.node_id
        for node in cluster.nodes.values()
        if not node.refused and node.instance == cluster.member(node.node_id).instance
    ]


def can_work(cluster: Cluster, nodes: Collection[NodeId]) -> bool:
    """Are these nodes a quorum of every membership that may come into force? A tail that was lost takes a vote away."""
    ghost = cluster.world.invariants.ghost
    voting = []
    for node_id in nodes:
        status, disk = cluster.nodes[node_id].status(), ghost.disk(node_id)
        if not (disk.tail_taken or disk.tail_was_taken if status is None else status.lost_tail):
            voting.append(node_id)
    # Before the first commit the cluster hangs on those who know its membership.
    founded = ghost.commit_index > 0 or any(_knows(cluster, node_id) for node_id in voting)
    return founded and all(is_quorum(membership, voting) for membership in possible_memberships(ghost))


def _knows(cluster: Cluster, node_id: NodeId) -> bool:
    status = cluster.nodes[node_id].status()
    return status is not None and bool(status.membership.voters)


def possible_memberships(ghost: Ghost) -> list[Membership]:
    """The last committed membership, and every later one that stands in some log: it may be committed yet, or cut."""
    index, payload = ghost.committed_memberships[-1] if ghost.committed_memberships else (0, b"")
    found = [ghost.membership(payload)] if payload else []
    for disk in ghost.disks.values():
        for log in (disk.log, disk.durable):
            found += [ghost.membership(later) for at, later in log.memberships if at > index]
    return found


def choose_core(cluster: Cluster) -> list[NodeId]:
    """Return nodes that suffice, drawn from those that can work: all of them, or fewer when the options say so."""
    core = usable_nodes(cluster)
    # Before the first commit nobody but the founder needs to know the membership.
    if not cluster.world.options.core_only or not cluster.world.invariants.ghost.commit_index:
        return core
    for node_id in cluster.world.dice.stream("core").shuffled(core):
        smaller = [other for other in core if other != node_id]
        if can_work(cluster, smaller):
            core = smaller
    return core
