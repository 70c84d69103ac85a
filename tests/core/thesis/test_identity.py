"""Founding a cluster, joining one, and who is listened to: contract 2 (`BootstrapRequested`), 5 and 6, thesis 4.1."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite.core import (
    NO_CLUSTER,
    Index,
    Membership,
    NodeId,
    RefusalCode,
    Role,
    Term,
    actions,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import (
    CLUSTER,
    ELECTION_MAX_US,
    entry,
    instance_of,
    member,
    membership_entry,
    membership_of,
)
from tests.core.thesis.changes import code_of, configs_in, voters

# -- bootstrap and identity


def test_a_node_without_a_cluster_does_nothing_by_itself() -> None:
    """Contract 8: "Only a voter campaigns": without a membership nobody is one."""
    bench = Bench(blank=True)
    acts = bench.pass_us(5 * ELECTION_MAX_US)
    assert acts.of(actions.Send) == [] and acts.of(actions.Persist) == []
    assert bench.status.cluster_id == NO_CLUSTER


def test_the_founder_makes_cluster_and_membership_durable_and_wins_alone_with_its_peers_votes() -> None:
    """Contract 2, BootstrapRequested: "first membership of a new cluster, with every member's instance"."""
    bench = Bench(blank=True)
    founding = membership_of((1, 2, 3))
    _request, _acts = bench.bootstrap(founding)
    assert bench.disk.hard_state.cluster_id == CLUSTER
    assert configs_in(bench) == [founding]
    assert bench.status.membership == founding
    bench.lead()
    assert bench.status.commit_index == bench.status.last_log_index
    restarted = bench.restart()
    assert restarted.status.cluster_id == CLUSTER and restarted.status.membership == founding


def test_a_single_node_cluster_founds_itself() -> None:
    """Bootstrap of one: it becomes leader, and the request is answered."""
    bench = Bench(blank=True)
    request, acts = bench.bootstrap(membership_of((1,)))
    acts += bench.pass_us(2 * ELECTION_MAX_US)
    assert bench.role() is Role.LEADER and isinstance(acts.answer(request), actions.Reply)


def test_a_cluster_is_founded_once() -> None:
    """Contract 6: `ALREADY_INITIALIZED`."""
    bench = Bench()
    request, acts = bench.bootstrap(membership_of((1,)))
    assert code_of(acts.answer(request)) is RefusalCode.ALREADY_INITIALIZED
    assert len(bench.status.membership.voters) == 3


@pytest.mark.parametrize(
    "founding",
    [
        Membership(),
        membership_of((2, 3)),
        Membership(voters=(NodeId(1), NodeId(2)), members={NodeId(1): member(1)}),
        Membership(voters=(NodeId(1),), members={NodeId(1): member(2)}),
    ],
    ids=["nobody", "not the own id", "a voter who is no member", "another data directory"],
)
def test_a_founding_membership_that_makes_no_sense_is_refused(founding: Membership) -> None:
    """Contract 6, `INVALID_CHANGE`: refused at the door, nothing is written."""
    bench = Bench(blank=True)
    request, acts = bench.bootstrap(founding)
    assert code_of(acts.answer(request)) is RefusalCode.INVALID_CHANGE
    assert acts.of(actions.Persist) == [] and bench.status.cluster_id == NO_CLUSTER


def test_requests_before_a_cluster_exists_are_refused_with_that_reason() -> None:
    """Contract 6: `NOT_INITIALIZED`."""
    bench = Bench(blank=True)
    for request, acts in (bench.propose(), bench.read(), bench.change(voters(1)), bench.transfer(2)):
        assert code_of(acts.answer(request)) is RefusalCode.NOT_INITIALIZED


def test_a_fresh_node_adopts_a_cluster_durably_before_it_answers() -> None:
    """Contract 5: "Adopting a cluster is durable (`HardState.cluster_id`) before anything is answered"."""
    bench = Bench(node=4, blank=True, auto_persist=False)
    append = messages.AppendEntries(
        term=Term(3),
        prev_log_index=Index(0),
        prev_log_term=Term(0),
        entries=(membership_entry(1, membership_of((1, 2, 3), learners=(4,))),),
        leader_commit=Index(0),
    )
    acts = bench.hear(1, append)
    assert acts.of(actions.Send) == []
    acts = bench.persist()
    assert bench.disk.hard_state.cluster_id == CLUSTER and bench.disk.hard_state.term == 3
    assert acts.sent(messages.AppendEntriesResponse, 1)[0].match_index == 1


def test_a_fresh_node_adopts_no_cluster_from_a_frame_for_another_instance() -> None:
    """Contract 5: "a node without a cluster adopts it only from a frame addressed to its `instance`"."""
    for other in (bytes(16), instance_of(9)):
        bench = Bench(node=4, blank=True)
        header = bench.header(1, target_instance=other)
        assert bench.replica.check_header(header) is not None
        heartbeat = messages.Heartbeat(term=Term(3), leader_commit=Index(0), round=1)
        acts = bench.hear(1, heartbeat, target_instance=other)
        assert acts.of(actions.Send) == [] and acts.of(actions.Persist) == []
        assert bench.status.cluster_id == NO_CLUSTER and bench.term == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"cluster_id": b"another-cluster!"},
        {"cluster_id": NO_CLUSTER},
        {"group_id": 1},
        {"target": NodeId(2)},
        {"target_instance": instance_of(9)},
        {"source_instance": instance_of(9)},
    ],
    ids=["cluster", "no cluster", "group", "target", "target instance", "member's instance"],
)
def test_frames_that_are_not_for_this_member_are_dropped(wrong: dict[str, Any]) -> None:
    """Contract 5, the header's fields; trap 27: "wiping one node and rejoining under the same id loses committed data"."""
    bench = Bench()
    bench.step()
    assert bench.replica.check_header(bench.header(2)) is None
    assert bench.replica.check_header(bench.header(2, **wrong))
    vote = messages.RequestVote(term=Term(9), last_log_index=Index(9), last_log_term=Term(9))
    acts = bench.hear(2, vote, **wrong)
    assert acts.all == [] and bench.term == 1
    assert any(name.startswith("messages_dropped") and n for name, n in bench.status.counters.items())


def test_frames_of_a_dead_incarnation_are_dropped() -> None:
    """Contract 5: "a boot lower than one already seen is a dead incarnation's: dropped"."""
    bench = Bench()
    beat = messages.Heartbeat(term=Term(1), leader_commit=Index(1), round=1)
    assert bench.hear(2, beat, source_boot=5).messages_to(2) != []
    assert bench.replica.check_header(bench.header(2, source_boot=4))
    assert bench.hear(2, beat, source_boot=4).all == []
    assert bench.replica.check_header(bench.header(2, source_boot=6)) is None
    assert bench.replica.check_header(bench.header(3, source_boot=1)) is None


def test_a_stranger_may_speak_because_memberships_travel_in_the_log() -> None:
    """Thesis 4.1: "a server accepts AppendEntries requests from a leader that is not part of the server's latest
    configuration", and votes for such candidates."""
    bench = Bench()
    acts = bench.append(7, 1, [entry(2)], term=2)
    assert acts.sent(messages.AppendEntriesResponse, 7)[0].success
    bench = Bench()
    vote = messages.RequestVote(term=Term(2), last_log_index=Index(9), last_log_term=Term(2))
    assert bench.hear(7, vote).sent(messages.RequestVoteResponse, 7)[0].vote_granted
