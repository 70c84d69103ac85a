"""Traps 15 to 30: log and commit. Each has bitten a real implementation; the source stands in the docstring."""

from __future__ import annotations

import random

import pytest

from ferrite.core import (
    HardState,
    Index,
    InvariantViolated,
    NodeId,
    Role,
    StopCode,
    Term,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import (
    CLUSTER,
    HEARTBEAT_US,
    Acts,
    commands_in,
    entries,
    entry,
    membership_of,
    terms_of,
)

Response = messages.AppendEntriesResponse


def test_trap_15_figure_8_an_old_terms_entry_on_a_majority_is_not_committed() -> None:
    """Raft figure 8, 5.4.2; etcd TestLeaderOnlyCommitsLogFromCurrentTerm, TestCannotCommitWithoutNewTermEntry."""
    bench = Bench(voters=(1, 2, 3, 4, 5), log=[2], term=3)
    bench.win()
    for peer in (2, 3, 4, 5):
        bench.ack(peer, 2)
    assert bench.status.commit_index == 1
    overwritten = bench.append(5, 1, [9, 9], term=9)
    assert any(order.truncate for order in overwritten.of(actions.Persist)), (
        "and it may indeed be overwritten"
    )


def test_trap_16_a_stale_or_empty_append_cuts_nothing() -> None:
    """openraft 9540c904; PySyncObj truncates always (`__deleteEntriesFrom(prevLogIdx+1)`)."""
    bench = Bench(log=[1, 1, 1, 1])
    acts = bench.append(2, 1, []) + bench.append(2, 1, entries(1)) + bench.append(2, 2, [entry(1, 1)])
    acts += bench.beat(2, commit=1)
    assert not any(order.truncate or order.base for order in acts.of(actions.Persist))
    assert bench.disk.last_index == 5


def test_trap_17_a_follower_commits_no_more_than_the_append_proved() -> None:
    """Raft figure 2; openraft docs/protocol/commit.md: a stale suffix of an old leader must not be committed."""
    bench = Bench(log=[1, 2, 2, 2], term=3)
    bench.append(3, 2, [], commit=5)
    assert bench.status.commit_index == 2, "entries 3 to 5 are a deposed leader's"
    assert bench.applied == [entry(1, 0)]


def test_trap_18_a_heartbeat_carries_the_smaller_of_match_and_commit() -> None:
    """etcd-io/raft sendHeartbeat; etcd #13509 #20269 #21178: "tocommit ... is out of range"."""
    bench = Bench(log=[1] * 5)
    bench.win()
    bench.ack(2)
    assert bench.status.commit_index == 7
    acts = bench.pass_us(2 * HEARTBEAT_US)
    assert {m.leader_commit for m in acts.sent(messages.Heartbeat, 3)} == {0}


def test_trap_18_a_follower_survives_a_commit_index_beyond_its_log() -> None:
    """The same at the receiver: a peer that lost its log must not panic."""
    bench = Bench(log=[1])
    bench.beat(2, commit=500)
    assert bench.status.commit_index <= bench.status.last_log_index


def test_trap_19_late_acknowledgements_of_an_older_leadership_are_dropped() -> None:
    """openraft cecb5de8, fbbf37b1, docs/data/replication-session.md."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.propose()
    late_success = Response(term=Term(2), success=True, match_index=Index(4))
    late_refusal = Response(term=Term(2), success=False, prev_log_index=Index(4), conflict_index=Index(2))
    bench.append(3, 2, [], term=3)
    bench.win()
    assert bench.term == 4
    before = bench.status.peers[2]
    bench.hear(2, late_success, late_refusal)
    assert bench.status.peers[2].match_index == before.match_index == 0
    assert bench.status.commit_index == 2


def test_trap_19_reordered_acknowledgements_leave_the_highest() -> None:
    """RaftOS#1, PySyncObj#3, WRaft#7: matchIndex set from a late response without max."""
    bench = Bench()
    bench.lead()
    for _ in range(4):
        bench.propose()
    for index in (5, 3, 6, 4):
        bench.ack(2, index)
    assert bench.status.peers[2].match_index == 6 and bench.status.commit_index == 6


def slow_commit(joint: tuple[set[int], ...], match: dict[int, int]) -> int:
    """The definition, as dumb as possible: the highest index that a majority of every configuration holds."""
    best = 0
    for index in range(max(match.values()) + 1):
        if all(2 * sum(match[n] >= index for n in config) > len(config) for config in joint):
            best = index
    return best


@pytest.mark.parametrize("seed", range(12))
def test_trap_20_the_commit_index_is_what_the_slow_reference_says(seed: int) -> None:
    """openraft #1802 committed with 2 of 5; "keep a slow reference implementation in tests"."""
    dice = random.Random(seed)
    new = set(dice.sample(range(2, 8), dice.randint(0, 5))) | {1}
    old = set(dice.sample(range(2, 8), dice.randint(0, 5))) | {1} if dice.random() < 0.6 else set()
    joint = tuple(config for config in (new, old) if config)
    bench = Bench(membership=membership_of(new, outgoing=old))
    bench.win()
    match = dict.fromkeys(new | old, 0)
    for _ in range(6):
        bench.propose()
    for _ in range(25):
        own = [n for n in match if n != 1]
        if own and bench.role() is Role.LEADER:
            peer = dice.choice(own)
            index = dice.randint(match[peer], bench.status.last_log_index)
            match[peer] = max(match[peer], index)
            bench.ack(peer, index)
        match[1] = bench.status.last_log_index
        by_counting = slow_commit(joint, match)
        expected = by_counting if by_counting >= 2 else 1
        if bench.status.membership.outgoing or not old:
            assert bench.status.commit_index == expected, (joint, match)
        else:
            return  # C_new is in force: the reference speaks of the joint state only


def test_trap_21_a_term_reaches_the_disk_with_or_before_its_entries() -> None:
    """openraft docs/protocol/io_ordering.md: "no reordering of vote and log I/O"."""
    bench = Bench(auto_persist=False)
    acts = bench.append(2, 1, [4], term=4)
    orders = acts.of(actions.Persist)
    seen = 0
    for order in orders:
        if order.hard_state is not None:
            seen = order.hard_state.term
        assert not order.entries or seen == 4
    assert HardState(cluster_id=CLUSTER, term=Term(4)) in [order.hard_state for order in orders]


@pytest.mark.parametrize("reports", [(0, 1, 2), (0, 2), (1, 2), (2,)])
def test_trap_22_completions_of_cut_writes_acknowledge_nothing(reports: tuple[int, ...]) -> None:
    """testdata/async_storage_writes_append_aba_race.txt; openraft 2af491fb."""
    bench = Bench(auto_persist=False, log=[1])
    sequence = [
        bench.append(2, 2, entries(2, 2), term=2).of(actions.Persist)[-1].write_seq,
        bench.append(3, 2, [entry(3, 9)], term=3).of(actions.Persist)[-1].write_seq,
        bench.append(2, 2, [*entries(2, 2), entry(4, 3)], term=4).of(actions.Persist)[-1].write_seq,
    ]
    acts = Acts([])
    for at in reports:
        acts += bench.persist(sequence[at])  # the bench checks each acknowledgement against the platter
    assert max(m.match_index for m in acts.sent(Response, 2) if m.success) == 5
    assert terms_of(bench.disk.log) == [1, 1, 2, 2, 4]


def test_trap_22_a_host_that_reports_writes_out_of_order_is_stopped() -> None:
    """openraft 2af491fb; contract 1: two actions of one kind are finished in the order given. A host that breaks it is
    a bug of ours."""
    bench = Bench(auto_persist=False)
    for _ in range(2):
        bench.append(2, bench.image.last_index, [1])
    bench.persist(bench.write_seq)
    with pytest.raises(InvariantViolated):
        bench.step(events.Persisted(write_seq=bench.write_seq - 1))


def test_trap_23_the_leader_sends_before_its_fsync_and_counts_itself_after_it() -> None:
    """Thesis 10.2.1; etcd #14370: a single node lost an acknowledged write."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    request, acts = bench.propose()
    assert acts.sent(messages.AppendEntries, 2) != []
    assert bench.ack(2).answer(request) is None
    bench.restart()
    assert bench.disk.last_index == 2, "the crash took it, and nobody had been told"


def test_trap_24_an_empty_or_duplicate_append_acknowledges_only_what_is_on_disk() -> None:
    """yugabyte-db #32875 (2026)."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, entries(1, 1))
    acts = bench.append(2, 3, []) + bench.append(2, 1, entries(1, 1)) + bench.append(2, 2, [entry(1, 1)])
    acts += bench.beat(2, commit=3, round_=4)
    assert not any(m.success and m.match_index > 1 for m in acts.sent(Response))
    assert all(m.last_log_index <= 3 for m in acts.sent(messages.HeartbeatResponse))


def test_trap_24_a_leader_is_not_told_by_a_heartbeat_what_is_not_durable() -> None:
    """The same by another door: `last_log_index` in a heartbeat's answer is a hint, it must not count."""
    bench = Bench()
    bench.lead()
    request, _ = bench.propose()
    acts = bench.pass_us(HEARTBEAT_US)
    for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
        acts += bench.beat_ack(2, sent.round, last=3)
    assert acts.answer(request) is None and bench.status.commit_index == 2


def test_trap_25_a_failed_fsync_stops_the_node() -> None:
    """fsyncgate (PostgreSQL: PANIC on fsync failure); etcd lg.Fatal."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1])
    bench.step(events.PersistFailed(write_seq=bench.write_seq, disk_full=False, detail="fsync: EIO"))
    assert bench.stopped is not None and bench.stopped.code == StopCode.DISK_ERROR


def test_trap_26_what_a_restart_serves_is_confirmed_by_a_leader_first() -> None:
    """etcd #14140 (lazyfs), NATS Jepsen 2.12.1: lost unsynced data on restart gave stale reads."""
    bench = Bench(log=[1, 1], applied=1)
    request, acts = bench.read()
    assert acts.answer(request) is None
    bench = Bench(voters=(1,), log=[1, 1], applied=1, auto_apply=False)
    request, acts = bench.read()
    acts += bench.pass_us(3_000_000)
    assert acts.answer(request) is None, "alone it leads, and still applies its log first"
    served = Acts([])
    while bench.applying is not None:
        served += bench.apply()
    served += bench.pass_us(HEARTBEAT_US)
    answer = served.answer(request)
    assert isinstance(answer, actions.ServeRead) and answer.read_index == 4


def test_trap_28_conflicts_are_not_probed_one_entry_at_a_time() -> None:
    """etcd TestFastLogRejection, probe_and_replicate.txt."""
    leader = Bench(log=[1] * 50 + [5] * 300, term=6)
    follower = Bench(node=2, log=[1] * 50 + [4] * 400, term=6)
    acts = leader.win()
    trips = 0
    while leader.status.peers[2].match_index < 50 and trips < 20:
        back = Acts([])
        for message in acts.messages_to(2):
            back += follower.hear(1, message)
        acts = Acts([])
        for message in back.messages_to(1):
            acts += leader.hear(2, message)
        trips += 1
    assert trips <= 4


def test_trap_29_a_follower_left_in_probe_recovers_by_heartbeats() -> None:
    """heartbeat_resp_recovers_from_probing.txt: else it stalls until the next write."""
    bench = Bench()
    bench.lead()
    bench.step(events.PeerUnreachable(peer=NodeId(3)))
    assert bench.status.peers[3].state == "probe"
    acts = Acts([])
    for _ in range(5):
        more = bench.pass_us(HEARTBEAT_US)
        acts += more
        for peer in (2, 3):
            for sent in more.sent(messages.Heartbeat, peer)[-1:]:
                acts += bench.beat_ack(peer, sent.round)
        for append in acts.sent(messages.AppendEntries, 3)[-1:]:
            acts += bench.ack(3, append.prev_log_index + len(append.entries))
    assert bench.status.peers[3].state == "replicate"


def test_trap_30_a_failed_read_of_the_log_stops_the_node_and_sends_nothing() -> None:
    """openraft #1795 (19f2f037): a storage read error must not be sent as an empty or reversed range."""
    bench = Bench(log=[1] * 30, applied=31, tail_entries=3, auto_load=False)
    bench.win()
    bench.refuse_append(3, 31, hint=2)
    assert bench.loading is not None
    acts = bench.step(events.StorageFailed(corrupt=True, disk_full=False, detail="CRC of segment 1"))
    assert bench.stopped is not None and bench.stopped.code == StopCode.CORRUPTION
    assert acts.sent(messages.AppendEntries) == []


def test_trap_30_while_entries_are_being_loaded_no_hole_is_sent() -> None:
    """The same, while the disk is slow."""
    bench = Bench(log=[1] * 30, applied=31, tail_entries=3, auto_load=False)
    bench.win()
    acts = bench.refuse_append(3, 31, hint=2) + bench.propose()[1] + bench.pass_us(3 * HEARTBEAT_US)
    for sent in acts.sent(messages.AppendEntries, 3):
        assert sent.prev_log_index + len(sent.entries) <= 31 or sent.prev_log_index >= 1
        assert not sent.entries or sent.prev_log_index == 1
    acts = bench.load()
    assert [m.prev_log_index for m in acts.sent(messages.AppendEntries, 3)][:1] == [1]
    assert commands_in([entry(1, 4)]) == [4]
