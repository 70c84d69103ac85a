"""What the scenarios share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from ferrite.core import AddLearner, Index, NodeId, ReplicaConfig, ReplicaStatus, encode_frame, messages
from ferrite.core.kv import Get, Put
from ferrite.sim import DiskOptions
from ferrite.sim.answers import Replied
from ferrite.sim.checks.witness import check_fresh
from ferrite.sim.cluster import Cluster
from ferrite.sim.history import OK
from ferrite.sim.node import Node
from tests.sim.helpers import (
    SECOND_US,
    Consistency,
    ask,
    cut,
    get,
    leader_of,
    others,
    put,
    step_until,
)

SHORT_LOG = ReplicaConfig(
    flush_entries=10,
    flush_interval_us=SECOND_US,
    log_entries_max=20,
    log_retention_entries=2,
    snapshot_chunk_bytes=512,
)


def status_of(node: Node) -> ReplicaStatus:
    status = node.status()
    assert status is not None, f"node {node.node_id} is down"
    return status


def propose(node: Node, count: int) -> None:
    """Ask for so many writes at once, and wait for no answer."""
    for number in range(count):
        node.propose(Put(key=b"k", value=b"%d" % number), None, 60 * SECOND_US, lambda _: None)


def take_down(node: Node, *, power_loss: bool = True) -> None:
    node.held_down = True
    node.crash(power_loss=power_loss)


def bring_up(node: Node) -> None:
    node.held_down = False
    node.start()


def deliver(cluster: Cluster, source: Node, target: Node, message: messages.Message) -> None:
    """A frame arrives now, as if its source had sent it."""
    header = messages.Header(
        cluster_id=cluster.cluster_id,
        source=source.node_id,
        source_instance=source.instance,
        source_boot=source.boot,
        target=target.node_id,
        target_instance=target.instance,
    )
    target.frame_arrived(encode_frame(header, [message]))


def isolate(cluster: Cluster, node: Node) -> None:
    cut(cluster, [node], others(cluster, node))


def next_leader(cluster: Cluster, old: Node) -> Node:
    assert cluster.run_until(lambda: cluster.leader() not in (None, old), 30 * SECOND_US), "no other leader"
    return leader_of(cluster)


def isolated_leader_with_tail(cluster: Cluster, length: int) -> tuple[Node, Index]:
    """Cut the leader off with entries that nobody else has; return it, and the last index that all have."""
    old = leader_of(cluster)
    put(cluster, old, b"k", b"agreed")
    cluster.run_for(SECOND_US)
    agreed = status_of(old).last_log_index
    isolate(cluster, old)
    propose(old, length)
    cluster.run_for(50_000)
    assert status_of(old).last_log_index == agreed + length
    return old, agreed


@contextmanager
def slow_disks(cluster: Cluster, sync_us: int) -> Iterator[None]:
    """Every sync that begins inside takes so long."""
    world = cluster.world
    before = world.options
    world.options = replace(before, disk=DiskOptions(sync_min_us=sync_us, sync_mean_us=1))
    yield
    world.options = before


def write_seen(cluster: Cluster, node: Node, key: bytes, value: bytes) -> None:
    """Write, and let the history know that it was acknowledged."""
    revision = put(cluster, node, key, value)
    cluster.history.acknowledged_revision = max(cluster.history.acknowledged_revision, revision)


def begin_read(cluster: Cluster, node: Node, key: bytes) -> None:
    """Ask for a linearizable read; its answer is checked against what was acknowledged before it began."""
    operation = cluster.history.invoke(
        "reader", "get", key, None, request_id=0, now_us=cluster.now_us, linearizable=True
    )

    def answered(answer: object) -> None:
        if isinstance(answer, Replied):
            found = answer.result
            operation.revision = found.revision  # type: ignore[attr-defined]  # a GetResult
            entry = found.entry  # type: ignore[attr-defined]  # the same
            operation.entries = (entry,) if entry else ()
            cluster.history.complete(operation, OK, cluster.now_us)
            check_fresh(operation)

    node.read(Get(key=key), Consistency.LINEARIZABLE, 20 * SECOND_US, answered)


def add_learners(cluster: Cluster, *spares: NodeId) -> None:
    leader = leader_of(cluster)
    for spare in spares:
        change = AddLearner(member=cluster.member(spare))
        added = ask(cluster, partial(leader.change_membership, change, 5 * SECOND_US))
        assert isinstance(added, Replied), added
        cluster.run_for(SECOND_US)


def is_joint(node: Node) -> bool:
    status = node.status()
    return status is not None and status.membership.joint


__all__ = [
    "SECOND_US",
    "SHORT_LOG",
    "add_learners",
    "begin_read",
    "bring_up",
    "cut",
    "deliver",
    "get",
    "is_joint",
    "isolate",
    "isolated_leader_with_tail",
    "leader_of",
    "next_leader",
    "others",
    "propose",
    "put",
    "slow_disks",
    "status_of",
    "step_until",
    "take_down",
    "write_seen",
]
