"""Stories of changes of membership."""

from __future__ import annotations

from functools import partial

from ferrite.core import ChangeVoters, NodeId
from ferrite.core.kv import Put
from ferrite.sim.answers import Answer, Refused, Replied
from ferrite.sim.cluster import Cluster
from ferrite.sim.node import Node
from tests.sim.helpers import ask, finish, quiet_cluster, star
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    add_learners,
    bring_up,
    cut,
    is_joint,
    leader_of,
    others,
    step_until,
    take_down,
)

SPARES = (NodeId(4), NodeId(5))


def with_spares() -> tuple[Cluster, Node, list[Node], list[Node]]:
    """Three voters and two learners: the cluster, its leader, the other voters, the learners."""
    cluster = quiet_cluster(nodes=3, spares=2)
    leader = leader_of(cluster)
    add_learners(cluster, *SPARES)
    spares = [cluster.nodes[spare] for spare in SPARES]
    return cluster, leader, [node for node in others(cluster, leader) if node not in spares], spares


def begin_joint(cluster: Cluster, leader: Node) -> None:
    """Let the leader append the joint configuration in which it and the spares replace the others."""
    wanted = ChangeVoters(voters=tuple(sorted((leader.node_id, *SPARES))))
    leader.change_membership(wanted, SECOND_US, lambda _: None)
    step_until(cluster, lambda: is_joint(leader))


def a_leader_and_learners_are_no_majority() -> None:
    cluster, leader, voters, spares = with_spares()
    before = cluster.world.invariants.ghost.commit_index
    cut(cluster, [leader, *spares], voters)
    leader.propose(Put(key=b"k", value=b"v"), None, SECOND_US, lambda _: None)
    cluster.run_for(SECOND_US)
    assert cluster.world.invariants.ghost.commit_index == before
    finish(cluster)


def the_new_voters_alone_are_no_majority() -> None:
    """Nor do they elect, and what they began is given up when the old ones are back."""
    cluster, leader, voters, spares = with_spares()
    before = cluster.world.invariants.ghost.commit_index
    begin_joint(cluster, leader)
    cut(cluster, [leader, *spares], voters)
    cluster.run_for(6 * SECOND_US)
    assert cluster.world.invariants.ghost.commit_index in (before, before + 1), (
        "but for the others' first entry"
    )
    finish(cluster)


def the_old_voters_alone_are_no_majority() -> None:
    cluster, leader, voters, spares = with_spares()
    before = cluster.world.invariants.ghost.commit_index
    begin_joint(cluster, leader)
    cut(cluster, [leader, *voters], spares)
    cluster.run_for(SECOND_US)
    assert cluster.world.invariants.ghost.commit_index == before
    finish(cluster)


def all_voters_are_replaced() -> None:
    cluster, leader, _, _ = with_spares()
    wanted = ChangeVoters(voters=tuple(sorted((leader.node_id, *SPARES))))
    changed = ask(cluster, partial(leader.change_membership, wanted, 5 * SECOND_US))
    assert isinstance(changed, Replied), changed
    finish(cluster)


def a_change_waits_for_a_predecessors_joint_state() -> None:
    """It names a voter that leaves with that state."""
    cluster, first, (second, leaving), spares = with_spares()
    everybody = [node.node_id for node in cluster.nodes.values()]
    wanted = ChangeVoters(voters=tuple(sorted((first.node_id, second.node_id, SPARES[0]))))
    first.change_membership(wanted, SECOND_US, lambda _: None)
    step_until(cluster, lambda: is_joint(second) and is_joint(spares[0]) and is_joint(leaving))
    take_down(first)
    star(cluster, second.node_id, [node for node in everybody if node != second.node_id])
    step_until(cluster, lambda: cluster.leader() is second)
    bring_up(first)
    answers: list[Answer] = []
    named = ChangeVoters(voters=tuple(sorted((first.node_id, second.node_id, leaving.node_id))))
    second.change_membership(named, 10 * SECOND_US, answers.append)
    assert cluster.run_until(lambda: bool(answers), 20 * SECOND_US)
    assert isinstance(answers[0], Refused), answers
    finish(cluster)


def a_leader_sleeps_over_its_quorum_and_its_change() -> None:
    cluster, leader, voters, spares = with_spares()
    begin_joint(cluster, leader)
    cut(cluster, [leader], [*voters, *spares])
    leader.pause()
    cluster.run_for(5 * SECOND_US)
    leader.resume()
    cluster.run_for(SECOND_US)
    finish(cluster)
