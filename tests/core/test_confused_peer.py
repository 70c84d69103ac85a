"""A peer that is authenticated but confused (its memory, its disk or its software is broken) never brings this node down."""

import msgpack
import pytest

from ferrite.core import (
    Consistency,
    Entry,
    Index,
    RefusalCode,
    RequestId,
    Role,
    SnapshotMeta,
    StopCode,
    Term,
    actions,
    decode_membership,
    events,
    messages,
)
from tests.core import one_replica as one
from tests.core.one_replica import THREE, Host, command, follower, leader

U64_MAX = 2**64 - 1


def append(term: int, prev: tuple[int, int], *entries: Entry, commit: int = 0) -> messages.AppendEntries:
    return messages.AppendEntries(
        term=Term(term),
        prev_log_index=Index(prev[0]),
        prev_log_term=Term(prev[1]),
        entries=entries,
        leader_commit=Index(commit),
    )


def snapshot(index: int, term: int, *, size: int = 4) -> messages.InstallSnapshot:
    meta = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(index), last_term=Term(term), size_bytes=size)
    return messages.InstallSnapshot(term=Term(3), snapshot=meta, offset=0, data=b"data"[:size], done=True)


# -- identity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        messages.RequestVote(term=Term(9), last_log_index=Index(99), last_log_term=Term(9), disrupt=True),
        messages.AppendEntries(
            term=Term(9), prev_log_index=Index(0), prev_log_term=Term(0), entries=(), leader_commit=Index(0)
        ),
        messages.Heartbeat(term=Term(9), leader_commit=Index(0), round=1),
    ],
    ids=lambda message: type(message).__name__,
)
def test_node_id_zero_is_nobody_and_is_not_listened_to(message: messages.Message) -> None:
    host = follower()
    host.hear(message, source=0)
    assert host.replica.status().term == 3
    assert host.replica.check_header(one.header_from(0)) is not None


@pytest.mark.parametrize("term", [1 << power for power in (8, 31, 32, 33, 47, 61, 62, 63)])
def test_no_term_that_is_believed_makes_the_next_election_impossible(term: int) -> None:
    confused, other = follower(), follower()
    for host in (confused, other):
        host.hear(vote_request(term))
        if host.replica.status().term == term:
            host.hear(vote_request(term + 1))
            assert host.replica.status().term == term + 1
        else:
            assert host.replica.status().term == 3


def vote_request(term: int) -> messages.RequestVote:
    return messages.RequestVote(
        term=Term(term), last_log_index=Index(99), last_log_term=Term(3), disrupt=True
    )


# -- entries --------------------------------------------------------------------------------------------------


def test_a_time_at_the_end_of_its_range_does_not_stop_a_later_leader() -> None:
    host = follower()
    host.hear(append(3, (5, 3), command(3, time_us=U64_MAX)))
    host.finish_all()
    lead(host)
    before = host.replica.status().last_log_index
    host.step(
        events.ProposalReceived(request=RequestId(1), command=b"c", deadline_us=host.now_us + 10_000_000),
        after_us=5,
    )
    assert host.replica.status().last_log_index == before + 1


def lead(host: Host) -> None:
    """Make it the leader of the next term."""
    while host.replica.status().role is not Role.LEADER:
        host.finish_all()
        now = host.replica.status()
        if now.role is Role.FOLLOWER:
            host.to_deadline()
        elif now.role is Role.PRE_CANDIDATE:
            host.hear(
                messages.PreVoteResponse(term=now.term, proposed_term=Term(now.term + 1), vote_granted=True)
            )
        else:
            host.hear(messages.RequestVoteResponse(term=now.term, vote_granted=True))


def packed_membership(**changed: object) -> bytes:
    fields: dict[str, object] = {
        "version": 1,
        "voters": [1, 2, 3],
        "outgoing": [],
        "learners": [],
        "members": [[n, one.instance(n), f"n{n}:1", "", ""] for n in (1, 2, 3)],
        "retired": [],
    }
    assert changed.keys() <= fields.keys()
    packed: bytes = msgpack.packb(list({**fields, **changed}.values()))
    return packed


def deep(levels: int) -> bytes:
    """Lists in lists, as msgpack."""
    return b"\x91" * levels + b"\xc0"


BAD_MEMBERSHIPS = {
    "an infinite voter": packed_membership(voters=[float("inf")]),
    "a fractional voter": packed_membership(voters=[1.5, 2, 3]),
    "a voter as text": packed_membership(voters=["1", 2, 3]),
    "a negative voter": packed_membership(voters=[-1, 2, 3]),
    "a boolean voter": packed_membership(voters=[True, 2, 3]),
    "voter zero": packed_membership(voters=[0], members=[[0, one.instance(0), "n0:1", "", ""]]),
    "a voter twice": packed_membership(voters=[1, 1, 2, 3]),
    "voters out of order": packed_membership(voters=[3, 2, 1]),
    "no voter at all": packed_membership(voters=[]),
    "a voter without a member": packed_membership(voters=[1, 2, 3, 4]),
    "a voter that is a learner": packed_membership(learners=[3]),
    "a member as a map": packed_membership(members=[{"node_id": 1}]),
    "a member's id as text": packed_membership(members=[["1", bytes(16), "", "", ""]]),
    "a member's address as a number": packed_membership(
        members=[[n, one.instance(n), 7, "", ""] for n in (1, 2, 3)]
    ),
    "a short instance": packed_membership(members=[[n, b"short", f"n{n}:1", "", ""] for n in (1, 2, 3)]),
    "a retired instance as a number": packed_membership(retired=[[9, 1 << 45]]),
    "another version": packed_membership(version=2),
    "a version of 1000 levels": b"\x96" + deep(1000) + 5 * b"\x90",
    "voters of 1000 levels": b"\x96\x01" + deep(1000) + 4 * b"\x90",
    "nothing": b"",
    "something after it": packed_membership() + b"\x00",
}


@pytest.mark.parametrize("packed", BAD_MEMBERSHIPS.values(), ids=BAD_MEMBERSHIPS)
def test_a_membership_that_no_leader_made_is_refused_with_value_error(packed: bytes) -> None:
    with pytest.raises(ValueError, match="membership"):
        decode_membership(packed)


@pytest.mark.parametrize("packed", BAD_MEMBERSHIPS.values(), ids=BAD_MEMBERSHIPS)
def test_an_entry_with_a_bad_membership_is_dropped_and_counted(packed: bytes) -> None:
    host = follower()
    host.hear(append(3, (5, 3), Entry(Term(3), b"\x02" + bytes(8) + packed)))
    now = host.replica.status()
    assert now.last_log_index == 5
    assert now.membership == THREE
    assert now.counters["messages_dropped_malformed"] == 1


def test_a_contradiction_of_committed_entries_stops_this_node_by_name() -> None:
    host = follower()
    host.hear(append(3, (5, 3), commit=5))
    host.finish_all()
    host.hear(append(3, (3, 2), command(3, b"other")))
    assert host.stop is not None
    assert host.stop.code is StopCode.CORRUPTION
    assert "index 4" in host.stop.detail


def test_an_acknowledgement_of_a_term_that_ended_in_the_same_step_is_not_sent() -> None:
    host = follower()
    host.step(
        events.MessageReceived(header=one.header_from(2), message=append(3, (5, 3), command(3, b"X"))),
        events.MessageReceived(header=one.header_from(3), message=append(4, (5, 3), command(4, b"Y"))),
    )
    host.finish_writes()
    acknowledged = [
        (sent.to, sent.message.term)
        for sent in host.sent
        if isinstance(sent.message, messages.AppendEntriesResponse) and sent.message.match_index == 6
    ]
    assert acknowledged == [(3, 4)]


def test_an_acknowledgement_is_void_once_its_entries_were_cut() -> None:
    host = follower(term=4)
    host.hear(append(4, (5, 3), command(3, b"X")))
    host.hear(append(4, (5, 3), command(4, b"Y")))
    host.sent.clear()
    host.finish_writes(1)
    assert host.sent == []
    host.finish_writes()
    assert [sent.message for sent in host.sent] == [
        messages.AppendEntriesResponse(term=Term(4), success=True, match_index=Index(6))
    ]


# -- snapshots ------------------------------------------------------------------------------------------------


def test_a_snapshot_of_a_later_term_than_its_sender_is_dropped() -> None:
    host = follower()
    host.hear(snapshot(8, 4))
    host.finish_all()
    assert host.replica.status().applied_index == 2
    assert host.replica.status().counters["messages_dropped_malformed"] == 1


def test_a_snapshot_that_contradicts_what_was_committed_meanwhile_stops_this_node_by_name() -> None:
    host = follower()
    host.hear(snapshot(4, 3))  # the log has term 2 there, not yet committed
    assert host.installing is not None
    host.hear(append(3, (5, 3), commit=5))
    host.finish_writes()
    host.finish_install()
    assert host.stop is not None
    assert host.stop.code is StopCode.CORRUPTION


def test_an_acknowledgement_is_void_once_a_snapshot_replaced_the_log() -> None:
    host = follower()
    host.hear(append(3, (5, 3), command(3, b"X")))
    host.hear(snapshot(4, 3))  # the log has term 2 there: nothing of it stays
    host.finish_install()
    host.sent.clear()
    host.finish_writes(1)
    assert host.sent == []
    host.finish_writes()
    assert not [s for s in host.sent if isinstance(s.message, messages.AppendEntriesResponse)]


def test_waiting_for_an_installation_is_no_busy_loop_when_a_flush_is_due() -> None:
    host = follower()
    host.hear(append(3, (5, 3), commit=3))
    host.finish_writes()
    host.finish_load()
    host.finish_apply()
    host.hear(snapshot(9, 3))
    assert host.installing is not None
    for _ in range(20):
        host.hear(messages.Heartbeat(term=Term(3), leader_commit=Index(3), round=1))
        host.step(after_us=100_000)
    host.rest()


def test_nothing_else_uses_the_state_store_while_a_snapshot_is_installed() -> None:
    host = follower(config=one.SMALL)
    host.finish_all()
    host.hear(append(3, (5, 3), commit=5))
    host.finish_load()
    assert host.applying is not None
    host.hear(snapshot(9, 3))
    beside_an_apply = host.installing
    host.finish_apply()
    assert beside_an_apply is None
    assert host.installing is not None
    assert not host.flushing, "a flush was due"
    host.finish_install()
    assert host.replica.status().applied_index == 9


# -- answers that were not asked for ---------------------------------------------------------------------------


def test_only_the_leader_that_was_asked_confirms_a_read() -> None:
    host = follower()
    host.step(
        events.ReadRequested(
            request=RequestId(1), deadline_us=host.now_us + 1_000_000, consistency=Consistency.LINEARIZABLE
        )
    )
    asked = host.sent[-1]
    assert asked.to == 2
    assert isinstance(asked.message, messages.ReadIndex)
    answer = messages.ReadIndexResponse(
        term=Term(3), context=asked.message.context, read_index=Index(0), ready=True
    )
    host.hear(answer, source=3)
    assert 1 not in host.answers
    host.hear(answer, source=2)
    assert isinstance(host.answers[1], actions.ServeRead)


def test_only_the_leader_that_was_asked_refuses_a_forwarded_command() -> None:
    host = follower()
    host.step(
        events.ProposalReceived(request=RequestId(1), command=b"c", deadline_us=host.now_us + 1_000_000)
    )
    assert isinstance(host.sent[-1].message, messages.Forward)
    refusal = messages.ForwardRefused(
        term=Term(3), boot=1, requests=(RequestId(1),), code=RefusalCode.OVERLOADED, detail="full"
    )
    host.hear(refusal, source=3)
    assert 1 not in host.answers
    host.hear(refusal, source=2)
    assert isinstance(host.answers[1], actions.Refuse)


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    host = follower()
    for stranger in range(100, 20_100):
        host.replica.step(
            [
                events.MessageReceived(
                    header=one.header_from(stranger),
                    message=messages.PreVote(term=Term(4), last_log_index=Index(0), last_log_term=Term(0)),
                )
            ],
            host.now_us,
        )
    raft = host.replica._raft
    assert len(raft.boots_seen) <= 10_000
    assert len(raft.instances_seen) <= 10_000


# -- requests -------------------------------------------------------------------------------------------------


def test_a_change_that_expires_while_the_quorum_is_lost_is_answered_once() -> None:
    host = leader()
    host.step(
        events.MembershipChangeRequested(
            request=RequestId(1),
            change=one.change_voters(1, 2, 3, 4),
            deadline_us=host.now_us + 400_000,
        )
    )
    host.step(after_us=5_000_000)  # the process was paused
    assert host.replica.status().role is not Role.LEADER
    assert 1 in host.answers
