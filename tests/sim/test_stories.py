"""Known stories of the field, told step by step. Every invariant is checked all the way."""

from dataclasses import replace
from functools import partial

import pytest

from ferrite.core import (
    AddLearner,
    ChangeVoters,
    Index,
    NodeId,
    ReplicaConfig,
    ReplicaStatus,
    StopCode,
    Term,
    encode_frame,
    messages,
)
from ferrite.core.kv import Delete, Get, Put, Session
from ferrite.sim import NetworkOptions, Violation
from ferrite.sim.answers import Answer, Replied
from ferrite.sim.cluster import Cluster
from ferrite.sim.node import Node
from tests.sim.helpers import (
    SECOND_US,
    Consistency,
    Refused,
    ask,
    cut,
    finish,
    get,
    leader_of,
    others,
    put,
    quiet_cluster,
    star,
    step_until,
)
from tests.sim.mutants import ForgetsItsVote

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


def test_a_write_is_read_everywhere_and_a_delete_says_what_it_found() -> None:
    cluster = quiet_cluster()
    for node in cluster.nodes.values():
        put(cluster, node, b"k", b"%d" % node.node_id)
        assert {get(cluster, other, b"k") for other in cluster.nodes.values()} == {b"%d" % node.node_id}
    node = cluster.nodes[NodeId(2)]
    found = [
        ask(cluster, lambda callback: node.propose(Delete(key=b"k"), None, SECOND_US, callback))
        for _ in range(2)
    ]
    assert [answer.result.existed for answer in found if isinstance(answer, Replied)] == [True, False]  # type: ignore[attr-defined]  # a DeleteResult
    finish(cluster)


def test_a_leader_that_crashes_with_an_unreplicated_tail_gives_it_up() -> None:
    cluster = quiet_cluster()
    old = leader_of(cluster)
    put(cluster, old, b"k", b"acknowledged")
    cut(cluster, [old], others(cluster, old))
    answers: list[Answer] = []
    old.propose(Put(key=b"k", value=b"tail"), None, 30 * SECOND_US, answers.append)
    cluster.run_for(50_000)
    assert status_of(old).last_log_index > status_of(old).commit_index
    old.held_down = True
    old.crash(power_loss=True)
    cluster.world.network.heal()
    assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US)
    assert get(cluster, others(cluster, old)[0], b"k") == b"acknowledged"
    put(cluster, others(cluster, old)[1], b"k", b"after")
    old.held_down = False
    old.start()
    finish(cluster)
    assert answers == []
    assert get(cluster, old, b"k") == b"after"


def test_a_partitioned_leader_serves_no_stale_linearizable_read() -> None:
    cluster = quiet_cluster()
    old = leader_of(cluster)
    put(cluster, old, b"k", b"old")
    cut(cluster, [old], others(cluster, old))
    follower = others(cluster, old)[0]
    assert cluster.run_until(lambda: cluster.leader() not in (None, old), 20 * SECOND_US)
    put(cluster, follower, b"k", b"new")
    assert get(cluster, old, b"k", Consistency.SERIALIZABLE) == b"old"
    from ferrite.core.kv import Get

    refused = ask(
        cluster, lambda callback: old.read(Get(key=b"k"), Consistency.LINEARIZABLE, SECOND_US, callback)
    )
    assert isinstance(refused, Refused), refused
    finish(cluster)


def test_figure_8_an_entry_of_an_earlier_term_on_a_majority_is_not_committed() -> None:
    cluster = quiet_cluster(nodes=5, replica=ReplicaConfig(append_entries_max=1))
    first = leader_of(cluster)
    second, third, fourth, fifth = others(cluster, first)
    cut(cluster, [first, second], [third, fourth, fifth])
    first.propose(Put(key=b"k", value=b"earlier"), None, 60 * SECOND_US, lambda _: None)
    cluster.run_for(50_000)
    contested = status_of(first).last_log_index
    assert status_of(second).last_log_index == contested
    # (b) The fifth is elected by third and fourth, and gets no entry out.
    first.held_down = True
    first.crash(power_loss=True)
    star(cluster, fifth.node_id, [third.node_id, fourth.node_id])
    step_until(cluster, lambda: cluster.leader() is fifth)
    star(cluster, fifth.node_id, [])
    cluster.run_for(50_000)
    assert status_of(fifth).persisted_index == contested
    later_term = status_of(fifth).term
    fifth.held_down = True
    fifth.crash(power_loss=True)
    # (c) The first is back and is elected; its old entry reaches a majority, the entry of its new term does not.
    first.held_down = False
    first.start()
    star(cluster, first.node_id, [second.node_id, third.node_id])
    step_until(cluster, lambda: status_of(third).persisted_index == contested)
    assert status_of(first).term > later_term
    assert [status_of(node).persisted_index >= contested for node in (first, second, third)] == [True] * 3
    cluster.run_for(400)
    assert status_of(first).commit_index < contested
    first.held_down = True
    first.crash(power_loss=True)
    # (d) The fifth is back, is elected, and overwrites the old entry everywhere.
    fifth.held_down = False
    fifth.start()
    star(cluster, fifth.node_id, [third.node_id, fourth.node_id])
    assert cluster.run_until(lambda: cluster.leader() is fifth, 60 * SECOND_US)
    first.held_down = False
    finish(cluster)
    assert get(cluster, fifth, b"k") is None


def test_a_forward_that_arrives_twice_is_applied_once() -> None:
    network = NetworkOptions(
        duplicate_ppm=1_000_000, replay_ppm=500_000, slow_ppm=200_000, slow_mean_us=500_000
    )
    cluster = quiet_cluster(network=network)
    revisions = [
        put(cluster, node, b"k", b"%d" % turn) for turn in range(8) for node in cluster.nodes.values()
    ]
    assert revisions == list(range(revisions[0], revisions[0] + 24))
    finish(cluster)


def test_a_repeated_request_of_a_session_gets_its_first_answer_from_any_node() -> None:
    cluster = quiet_cluster()
    session = Session(client_id=b"me", request_id=1, lowest_unacknowledged=1)
    first, *rest = [put(cluster, node, b"k", b"v", session) for node in cluster.nodes.values()]
    assert rest == [first, first]
    old = leader_of(cluster)
    old.crash(power_loss=True)
    assert put(cluster, others(cluster, old)[0], b"k", b"v", session) == first
    finish(cluster)


@pytest.mark.parametrize("power_loss", [True, False])
def test_the_whole_cluster_restarts_with_every_acknowledged_write(power_loss: bool) -> None:
    cluster = quiet_cluster(replica=SHORT_LOG)
    for number in range(60):
        put(cluster, cluster.nodes[NodeId(1 + number % 3)], b"k%d" % (number % 7), b"%d" % number)
    for node in cluster.nodes.values():
        node.held_down = True
        node.crash(power_loss=power_loss)
    cluster.run_for(SECOND_US)
    for node in cluster.nodes.values():
        node.held_down = False
        node.start()
    assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US)
    found = {get(cluster, cluster.nodes[NodeId(2)], b"k%d" % key) for key in range(7)}
    assert found == {b"%d" % number for number in range(53, 60)}
    finish(cluster)


def test_a_change_of_all_voters_ends_though_the_leader_crashes_in_the_joint_state() -> None:
    cluster = quiet_cluster(spares=2)
    for spare in (NodeId(4), NodeId(5)):
        change, leader = AddLearner(member=cluster.member(spare)), leader_of(cluster)
        added = ask(cluster, partial(leader.change_membership, change, 5 * SECOND_US))
        assert isinstance(added, Replied), added
        cluster.run_for(SECOND_US)
    old = leader_of(cluster)
    wanted = (NodeId(3), NodeId(4), NodeId(5))
    old.change_membership(ChangeVoters(voters=wanted), 5 * SECOND_US, lambda _: None)
    assert cluster.run_until(
        lambda: any(status_of(n).membership.joint for n in others(cluster, old)), 5 * SECOND_US, poll_us=100
    )
    old.crash(power_loss=True)
    finish(cluster)
    membership = status_of(leader_of(cluster)).membership
    assert not membership.joint
    assert membership.voters in (wanted, (NodeId(1), NodeId(2), NodeId(3)))


def test_a_leaving_leader_that_restarts_with_the_only_copy_of_its_removal_leads_once_more() -> None:
    """Thesis 4.2.2. Found by seed 3163: after the restart it knew of no commit, took itself for removed, and never campaigned;
    the remaining voter lacked its entry and was refused by it for ever.
    """
    cluster = quiet_cluster(nodes=2)
    leaving = leader_of(cluster)
    staying = others(cluster, leaving)[0]
    leaving.change_membership(ChangeVoters(voters=(staying.node_id,)), 5 * SECOND_US, lambda _: None)
    step_until(
        cluster,
        lambda: (
            not status_of(leaving).membership.joint
            and status_of(leaving).membership.voters == (staying.node_id,)
        ),
    )
    cut(cluster, [leaving], [staying])
    last = status_of(leaving).last_log_index
    step_until(cluster, lambda: status_of(leaving).persisted_index == last)
    assert status_of(staying).membership.joint
    leaving.crash(power_loss=True)
    cluster.run_for(SECOND_US)
    finish(cluster)
    assert status_of(leader_of(cluster)).membership.voters == (staying.node_id,)


def test_a_follower_behind_the_log_gets_a_snapshot_with_sessions() -> None:
    cluster = quiet_cluster(replica=SHORT_LOG)
    behind = others(cluster, leader_of(cluster))[0]
    behind.held_down = True
    end = status_of(behind).last_log_index
    behind.crash(power_loss=True)
    up = leader_of(cluster)
    for number in range(150):
        session = Session(
            client_id=b"c%d" % (number % 5), request_id=1 + number // 5, lowest_unacknowledged=1 + number // 5
        )
        put(cluster, up, b"k%d" % number, b"v" * 50, session)
    assert status_of(up).first_log_index > end + 1
    behind.held_down = False
    behind.start()
    assert cluster.run_until(lambda: cluster.world.counters["snapshots_installed"] > 0, 60 * SECOND_US)
    finish(cluster)
    assert get(cluster, behind, b"k149") == b"v" * 50


def test_a_node_that_lost_its_synced_tail_says_so_and_does_not_vote_until_made_good() -> None:
    cluster = quiet_cluster()
    victim = others(cluster, leader_of(cluster))[0]
    for number in range(22):  # one segment's worth, with marks on the way
        put(cluster, leader_of(cluster), b"k", b"%d" % number)
    cluster.run_for(SECOND_US)
    victim.held_down = True
    victim.crash(power_loss=True)
    lose_last_half(cluster, victim)
    victim.held_down = False
    victim.start()
    assert status_of(victim).lost_tail
    finish(cluster)
    # It is made good by a leader of a later term only.
    leader = leader_of(cluster)
    leader.crash(power_loss=False)
    assert cluster.run_until(lambda: cluster.leader() not in (None, leader), 30 * SECOND_US)
    finish(cluster)
    assert not status_of(victim).lost_tail


def lose_last_half(cluster: Cluster, node: Node) -> None:
    """Zero the second half of what the newest segment holds: more than any crash takes."""
    segments = sorted(name for name in node.disk.list() if name.endswith(".seg"))
    newest = segments[-1]
    raw = node.disk.read(newest, 0, node.disk.size(newest))
    used = -(-len(raw.rstrip(b"\0")) // 512)
    node.disk.take_tail({newest: used // 2 * 512})
    node.store.fall_back()  # a state ahead of its log would be corruption
    cluster.world.invariants.ghost.disk(node.node_id).tail_taken = True


def test_a_single_node_that_lost_its_synced_tail_stops_with_corruption() -> None:
    cluster = quiet_cluster(nodes=1)
    node = cluster.nodes[NodeId(1)]
    for number in range(22):
        put(cluster, node, b"k", b"%d" % number)
    node.held_down = node.may_refuse = True
    node.crash(power_loss=True)
    lose_last_half(cluster, node)
    node.start()
    cluster.run_for(SECOND_US)
    assert node.stop_code is StopCode.CORRUPTION


def second_candidate_asks(cluster: Cluster) -> None:
    """A voter votes and restarts; then another candidate asks it in the same term."""
    voter = others(cluster, leader_of(cluster))[0]
    term = Term(status_of(voter).term + 1)
    log = status_of(voter)
    for candidate in [node for node in cluster.nodes.values() if node is not voter]:
        request = messages.RequestVote(
            term=term, last_log_index=Index(log.last_log_index + 9), last_log_term=term, disrupt=True
        )
        header = messages.Header(
            cluster_id=cluster.cluster_id,
            source=candidate.node_id,
            source_instance=candidate.instance,
            source_boot=candidate.boot,
            target=voter.node_id,
            target_instance=voter.instance,
        )
        voter.frame_arrived(encode_frame(header, [request]))
        cluster.run_for(20_000)
        voter.held_down = True
        voter.crash(power_loss=True)
        voter.held_down = False
        voter.start()


def test_a_vote_is_remembered_over_a_restart() -> None:
    cluster = quiet_cluster()
    second_candidate_asks(cluster)
    finish(cluster)


def test_a_vote_forgotten_over_a_restart_is_caught() -> None:
    cluster = Cluster(1, replace(quiet_cluster().world.options), replica_class=ForgetsItsVote)
    cluster.start()
    assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US)
    cluster.run_for(SECOND_US)
    with pytest.raises(Violation, match="S7"):
        second_candidate_asks(cluster)


def test_a_leader_that_slept_serves_no_read_whose_bound_is_shorter_than_its_sleep() -> None:
    """Found by seed 4799: it took itself for fresh, though a successor may have written meanwhile."""
    cluster = quiet_cluster(nodes=3)
    leader = leader_of(cluster)
    cut(cluster, [leader], others(cluster, leader))
    leader.pause()
    cluster.run_for(3 * SECOND_US)
    query, bound_us = Get(key=b"k"), SECOND_US // 2
    answers: list[Answer] = []
    leader.read(query, Consistency.SERIALIZABLE, SECOND_US, answers.append, max_staleness_us=bound_us)
    leader.resume()
    assert cluster.run_until(lambda: bool(answers), 5 * SECOND_US)
    assert isinstance(answers[0], Refused), answers
    finish(cluster)
