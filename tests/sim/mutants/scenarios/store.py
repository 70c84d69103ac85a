"""Stories of the data model: each command stands in the committed log, and the replay on the plain model judges its answer."""

from __future__ import annotations

from functools import partial

from ferrite.core.kv import (
    CommandFailed,
    CommandResult,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    LeaseGrant,
    LeaseTimeToLive,
    Operation,
    Put,
    Range,
    SetNoSpace,
    Tick,
    Txn,
)
from ferrite.sim.answers import Replied
from ferrite.sim.cluster import Cluster
from ferrite.sim.node import Node
from ferrite.sim.options import KvOptions
from tests.sim.helpers import ask, finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    bring_up,
    leader_of,
    next_leader,
    others,
    put,
    status_of,
    take_down,
)


def do(cluster: Cluster, node: Node, command: Operation) -> CommandResult:
    """Propose, and return the state machine's answer."""
    answer = ask(cluster, partial(node.propose, command, None, 10 * SECOND_US))
    assert isinstance(answer, Replied), answer
    return answer.result  # type: ignore[return-value]  # of a proposal it is a command's


def a_lease_ends_by_a_tick() -> None:
    cluster = quiet_cluster(kv=KvOptions(housekeeping=True))
    leader = leader_of(cluster)
    do(cluster, leader, LeaseGrant(lease_id=7, ttl_s=2))
    do(cluster, leader, Put(key=b"held", value=b"v", lease=7))
    cluster.run_for(10 * SECOND_US)
    put(cluster, leader, b"k", b"v")
    finish(cluster)


def a_nested_transaction_compares_what_the_outer_one_writes() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    put(cluster, leader, b"k", b"before")
    equal = Compare(target=CompareTarget.VALUE, result=CompareResult.EQUAL, key=b"k", operand=b"before")
    inner = Txn(compares=(equal,), success=(Put(key=b"then"),), failure=(Put(key=b"else"),))
    do(cluster, leader, Txn(success=(Put(key=b"k", value=b"after"), inner)))
    finish(cluster)


def the_compacted_revision_is_read() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    put(cluster, leader, b"k", b"first")
    mark = put(cluster, leader, b"k", b"second")
    put(cluster, leader, b"k", b"third")
    do(cluster, leader, Compact(revision=mark))
    do(cluster, leader, Tick())
    do(cluster, leader, Txn(success=(Range(key=b"k", revision=mark),)))
    finish(cluster)


def a_leader_falls_while_a_lease_runs_out() -> None:
    cluster = quiet_cluster(kv=KvOptions(housekeeping=True))
    old = leader_of(cluster)
    do(cluster, old, LeaseGrant(lease_id=7, ttl_s=30))
    cluster.run_for(3 * SECOND_US)
    take_down(old)
    new = next_leader(cluster, old)
    do(cluster, new, LeaseTimeToLive(lease_id=7))
    bring_up(old)
    cluster.run_for(30 * SECOND_US)
    finish(cluster)


def a_full_store_is_cleared() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    put(cluster, leader, b"k", b"v")
    do(cluster, leader, SetNoSpace(on=True))
    assert isinstance(do(cluster, leader, Put(key=b"k", value=b"more")), CommandFailed)
    do(cluster, leader, Delete(key=b"k"))
    finish(cluster)


def a_transaction_reads_what_is_compacted() -> None:
    """On every node alike it fails as a whole, also on one that applies it later, from its log."""
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    late = others(cluster, leader)[0]
    take_down(late)
    put(cluster, leader, b"k", b"first")
    put(cluster, leader, b"k", b"second")
    mark = put(cluster, leader, b"k", b"third")
    do(cluster, leader, Compact(revision=mark))
    do(cluster, leader, Tick())
    do(cluster, leader, Txn(success=(Put(key=b"k", value=b"lost"), Range(key=b"k", revision=mark - 1))))
    bring_up(late)
    finish(cluster)


def all_nodes_restart_after_a_sweep_of_deletions() -> None:
    """The newest revisions are deletions, which a sweep may take away: the revision does not go back with them."""
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    put(cluster, leader, b"stays", b"v")
    put(cluster, leader, b"k", b"v")
    put(cluster, leader, b"gone", b"v")
    do(cluster, leader, Delete(key=b"gone"))
    top = put(cluster, leader, b"k", b"w") + 1
    do(cluster, leader, Delete(key=b"k"))
    do(cluster, leader, Compact(revision=top))
    do(cluster, leader, Tick())
    cluster.run_for(SECOND_US)
    for node in cluster.nodes.values():
        node.store.flush()
        take_down(node)
    for node in cluster.nodes.values():
        bring_up(node)
    assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US)
    put(cluster, leader_of(cluster), b"k", b"again")
    finish(cluster)


def a_node_is_killed_between_applying_and_flushing() -> None:
    """Data and applied index fall back together, by however many batches the crash takes: nothing is missing, nothing twice."""
    for kept in reversed(range(6)):
        cluster = quiet_cluster(seed=kept + 1)
        leader = leader_of(cluster)
        late = others(cluster, leader)[0]
        for number in range(5):
            put(cluster, leader, b"k%d" % number, b"v")
        cluster.run_for(SECOND_US)
        take_down(late, power_loss=False)
        late.store.fall_back(kept)
        bring_up(late)
        cluster.run_for(SECOND_US)
        assert status_of(late).applied_index == status_of(leader).applied_index
        finish(cluster)
