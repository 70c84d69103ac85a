"""Planted bugs are caught: the proof that the checks can fail. Each names the checks that may be the first to see it."""

from collections.abc import Callable
from functools import partial

import pytest

from ferrite.core import AddLearner, ChangeVoters, NodeId, Replica
from ferrite.core.kv import Put
from ferrite.sim import Cluster, Violation, swarm
from ferrite.sim.answers import Replied
from ferrite.sim.node import Node
from tests.sim import mutants
from tests.sim.helpers import SECOND_US, ask, cut, finish, leader_of, others, quiet_cluster, step_until

SECONDS = 8
SPARES = (NodeId(4), NodeId(5))


def first_violation(seeds: range, replica_class: type[Replica] = Replica) -> Violation | None:
    for seed in seeds:
        violation = Cluster(seed, swarm(seed, seconds=SECONDS), replica_class=replica_class).run().violation
        if violation is not None:
            return violation
    return None


@pytest.mark.parametrize(
    "replica_class, seeds, expected",
    [
        (mutants.VotesBeforeDurable, range(5), {"S11"}),
        (mutants.AcknowledgesBeforeDurable, range(5), {"S11", "S10", "DR3"}),
        (mutants.IgnoresSyncErrors, range(5), {"S11", "S10", "S12", "DR3"}),
        (mutants.GrantsEveryVote, range(12, 40), {"S11", "S7", "S1", "S14"}),
        (mutants.AcknowledgesItsOwnEnd, range(5), {"S11", "S12"}),
        (mutants.ReadsWithoutQuorum, range(3, 30), {"S18"}),
    ],
)
def test_a_replica_that_lies_is_caught(
    replica_class: type[Replica], seeds: range, expected: set[str]
) -> None:
    violation = first_violation(seeds, replica_class)
    assert violation is not None, "the planted bug was not found"
    assert violation.name in expected, violation


@pytest.mark.parametrize(
    "plant, seeds, expected",
    [
        (mutants.commits_earlier_terms, range(5), {"S9"}),
        (mutants.truncates_always, range(5), {"S4", "S10", "S12", "CORE"}),
        (mutants.sessions_forget, range(5), {"S17"}),
        (mutants.snapshots_omit_sessions, range(3, 30), {"S16", "S15"}),
    ],
)
def test_a_replaced_function_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    seeds: range,
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    violation = first_violation(seeds)
    assert violation is not None, "the planted bug was not found"
    assert violation.name in expected, violation


def leader_alone_with_spares() -> tuple[Cluster, Node]:
    """Three voters and two learners; then the leader and the learners are cut off from the other voters."""
    cluster = quiet_cluster(nodes=3, spares=2)
    leader = leader_of(cluster)
    for spare in SPARES:
        change = AddLearner(member=cluster.member(spare))
        added = ask(cluster, partial(leader.change_membership, change, 5 * SECOND_US))
        assert isinstance(added, Replied), added
        cluster.run_for(SECOND_US)
    spares = [cluster.nodes[spare] for spare in SPARES]
    cut(cluster, [leader, *spares], [node for node in others(cluster, leader) if node not in spares])
    return cluster, leader


def write_in_the_minority(cluster: Cluster, leader: Node) -> None:
    leader.propose(Put(key=b"k", value=b"v"), None, SECOND_US, lambda _: None)
    cluster.run_for(SECOND_US)


def change_in_the_minority(cluster: Cluster, leader: Node) -> None:
    """The leader believes in all voters when it begins the change; its joint entry reaches the learners only."""
    away = [node for node in others(cluster, leader) if node.node_id not in SPARES]
    cluster.world.network.heal()
    cluster.run_for(SECOND_US)
    wanted = ChangeVoters(voters=tuple(sorted((leader.node_id, *SPARES))))
    leader.change_membership(wanted, SECOND_US, lambda _: None)
    step_until(cluster, lambda: is_joint(leader))
    cut(cluster, [node for node in cluster.nodes.values() if node not in away], away)
    cluster.run_for(SECOND_US)


def is_joint(node: Node) -> bool:
    status = node.status()
    return status is not None and status.membership.joint


MINORITY = [
    (mutants.learners_count, write_in_the_minority),
    (mutants.joint_needs_new_majority_only, change_in_the_minority),
]


@pytest.mark.parametrize("plant, act", MINORITY)
def test_a_wrong_quorum_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    act: Callable[[Cluster, Node], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, leader = leader_alone_with_spares()
    plant(monkeypatch)
    with pytest.raises(Violation, match=r"^S10: "):
        act(cluster, leader)


@pytest.mark.parametrize("act", [act for _, act in MINORITY])
def test_the_right_quorum_commits_nothing_in_a_minority(act: Callable[[Cluster, Node], None]) -> None:
    cluster, leader = leader_alone_with_spares()
    before = cluster.world.invariants.ghost.commit_index
    act(cluster, leader)
    assert cluster.world.invariants.ghost.commit_index == before
    finish(cluster)
