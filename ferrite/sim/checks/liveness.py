"""Liveness, with numbers: after everything is healed the cluster elects, answers and converges within bounds of simulated
time.
"""

from __future__ import annotations

from ferrite.core import NodeId, Role
from ferrite.sim.cluster import Cluster
from ferrite.sim.history import OK
from ferrite.sim.node import Node
from ferrite.sim.violation import Violation

ELECTION_TIMEOUTS_MAX = 10
"""L1: a leader within so many maximum election timeouts."""
FRESH_TIMEOUT_US = 10_000_000
"""A healthy cluster answers far sooner, also on the slowest disk and network that a swarm draws."""


def converge(cluster: Cluster) -> None:
    """Heal everything and insist on L1, L2, L3 and F3. Raises Violation."""
    options = cluster.world.options
    cluster.heal()
    within_us = ELECTION_TIMEOUTS_MAX * options.replica.election_timeout_max_us
    # L1: after healing there is a leader, heard by all members, within ten maximum election timeouts.
    if not cluster.run_until(lambda: stable_leader(cluster) is not None, within_us):
        _fail(cluster, "L1", "After healing there is a leader within ten maximum election timeouts.")
    for client in cluster.clients:
        client.active = False
    settle_us = options.settle_seconds * 1_000_000
    # L2: every request in hand is answered.
    if not cluster.run_until(lambda: all(client.operation is None for client in cluster.clients), settle_us):
        hanging = [client.operation for client in cluster.clients if client.operation is not None]
        _fail(cluster, "L2", "After healing every request is answered.", f"still waiting: {hanging}; ")
    _fresh_writes(cluster, settle_us)
    # L3: all members converge to one log, all of it committed and applied, and leave a joint configuration.
    if not cluster.run_until(lambda: converged(cluster), settle_us):
        _fail(cluster, "L3", "After healing all members converge to the same committed and applied log.")
    equal_states(cluster)


def _fresh_writes(cluster: Cluster, within_us: int) -> None:
    """L2: a healthy cluster carries out new requests, from every member."""
    healthy = {node.node_id: node for node in members(cluster)}
    done = [client.write_once(healthy, FRESH_TIMEOUT_US) for client in cluster.clients]
    if not cluster.run_until(lambda: all(client.operation is None for client in cluster.clients), within_us):
        _fail(cluster, "L2", "A healthy cluster answers new requests.")
    if any(operation.outcome != OK for operation in done):
        _fail(
            cluster,
            "L2",
            "A healthy cluster carries out new requests.",
            f"{[o for o in done if o.outcome != OK]}; ",
        )


def members(cluster: Cluster) -> list[Node]:
    """The members according to the leader; every node when there is none."""
    leader = cluster.leader()
    status = leader.status() if leader else None
    if status is None:
        return list(cluster.nodes.values())
    return [cluster.nodes[node] for node in sorted(status.membership.members) if node in cluster.nodes]


def stable_leader(cluster: Cluster) -> NodeId | None:
    """The leader that every running member follows in its term, and that has committed in it."""
    leader = cluster.leader()
    status = leader.status() if leader else None
    if leader is None or status is None or not status.membership_committed or status.membership.joint:
        return None
    for node in members(cluster):
        other = node.status()
        if other is None or other.term != status.term or other.leader != leader.node_id:
            return None
    return leader.node_id


def converged(cluster: Cluster) -> bool:
    """Do all members have the same log, committed and applied to its end, under one simple configuration?"""
    found = set()
    for node in members(cluster):
        status = node.status()
        if status is None or status.applied_index != status.last_log_index or status.membership.joint:
            return False
        found.add(
            (status.term, status.last_log_index, status.last_log_term, status.commit_index, status.leader)
        )
    return len(found) == 1


def equal_states(cluster: Cluster) -> None:
    """F3: at the same applied index all members hold the same state, sessions and membership included. Raises Violation."""
    for node in members(cluster):
        node.check_state_hash()


def _fail(cluster: Cluster, name: str, sentence: str, facts: str = "") -> None:
    lines = []
    for node in cluster.nodes.values():
        status = node.status()
        if status is None:
            lines.append(f"node {node.node_id}: down, stop code {node.stop_code!r}")
        else:
            lines.append(
                f"node {node.node_id}: {status.role.value} term {status.term} "
                f"leader {status.leader} applied {status.applied_index} "
                f"commit {status.commit_index} persisted {status.persisted_index} last {status.last_log_index} "
                f"voters {status.membership.voters}/{status.membership.outgoing} "
                f"learners {status.membership.learners} waiting {node.waiting_count}"
                + (f" peers {dict(status.peers)}" if status.role is Role.LEADER else "")
            )
    raise Violation(
        name,
        sentence,
        facts + "; ".join(lines),
        time_us=cluster.now_us,
        event_number=cluster.world.timeline.events_done,
        kind="liveness",
    )
