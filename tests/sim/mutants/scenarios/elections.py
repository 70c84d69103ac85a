"""Stories of elections. Each ends well with honest code."""

from __future__ import annotations

from ferrite.core import Index, Role, Term, messages
from ferrite.sim import DiskOptions
from tests.sim.helpers import finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    SHORT_LOG,
    bring_up,
    deliver,
    isolate,
    isolated_leader_with_tail,
    leader_of,
    next_leader,
    others,
    propose,
    put,
    status_of,
    step_until,
    take_down,
)


def a_few_writes() -> None:
    cluster = quiet_cluster()
    for node in cluster.nodes.values():
        put(cluster, node, b"k", b"v")
    finish(cluster)


def the_term_rises_while_a_snapshot_is_installed() -> None:
    cluster = quiet_cluster(replica=SHORT_LOG, disk=DiskOptions(snapshot_mean_us=SECOND_US))
    up = leader_of(cluster)
    behind, other = others(cluster, up)
    take_down(behind)
    for number in range(80):
        put(cluster, up, b"k%d" % number, b"v" * 50)
    bring_up(behind)
    replica = behind.replica
    assert replica is not None, "it was brought up"
    step_until(cluster, lambda: replica._raft.snapshots.install_outstanding)
    later = Term(status_of(behind).term + 3)
    deliver(cluster, other, behind, messages.RequestVoteResponse(term=later, vote_granted=False))
    assert cluster.run_until(lambda: cluster.world.counters["snapshots_installed"] > 0, 20 * SECOND_US)
    finish(cluster)


def a_longer_log_of_an_earlier_term_does_not_win() -> None:
    cluster = quiet_cluster()
    old, _ = isolated_leader_with_tail(cluster, 20)
    second = next_leader(cluster, old)
    put(cluster, second, b"k", b"committed")
    take_down(second)
    cluster.world.network.heal()
    cluster.run_for(20 * SECOND_US)
    second.held_down = False
    finish(cluster)


def votes_of_the_last_campaign_arrive() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    candidate, other = others(cluster, leader)
    term = status_of(candidate).term
    isolate(cluster, candidate)
    deliver(cluster, leader, candidate, messages.TimeoutNow(term=term))
    step_until(cluster, lambda: status_of(candidate).role is Role.CANDIDATE)
    for voter in (leader, other):
        deliver(cluster, voter, candidate, messages.RequestVoteResponse(term=term, vote_granted=True))
    cluster.run_for(SECOND_US)
    finish(cluster)


def _two_candidates_ask(*, restart: bool) -> None:
    cluster = quiet_cluster()
    voter = others(cluster, leader_of(cluster))[0]
    log = status_of(voter)
    term = Term(log.term + 1)
    request = messages.RequestVote(
        term=term, last_log_index=Index(log.last_log_index + 9), last_log_term=term, disrupt=True
    )
    for candidate in others(cluster, voter):
        deliver(cluster, candidate, voter, request)
        cluster.run_for(20_000)
        if restart:
            take_down(voter)
            bring_up(voter)
    finish(cluster)


def two_candidates_ask_one_voter() -> None:
    _two_candidates_ask(restart=False)


def a_voter_restarts_between_two_candidates() -> None:
    _two_candidates_ask(restart=True)


def a_cut_off_leader_returns_with_a_tail() -> None:
    """Its log has diverged, and what it knows to be committed is more than the next leader knows at first."""
    cluster = quiet_cluster()
    old, _ = isolated_leader_with_tail(cluster, 10)
    second = next_leader(cluster, old)
    propose(second, 5)
    cluster.run_for(SECOND_US)
    cluster.world.network.heal()
    cluster.run_for(SECOND_US)
    finish(cluster)


def a_cut_off_leader_meets_the_one_after_the_next() -> None:
    """The entry before what it is sent exists, of another term."""
    cluster = quiet_cluster()
    old, _ = isolated_leader_with_tail(cluster, 20)
    second = next_leader(cluster, old)
    propose(second, 5)
    cluster.run_for(SECOND_US)
    take_down(second)
    cluster.world.network.heal()
    assert cluster.run_until(lambda: cluster.leader() not in (None, old), 30 * SECOND_US)
    cluster.run_for(SECOND_US)
    bring_up(second)
    finish(cluster)
