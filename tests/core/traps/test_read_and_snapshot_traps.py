"""Traps 41 to 56, as far as they concern the replica: reads, state machine, snapshots."""

from __future__ import annotations

from ferrite.core import (
    Consistency,
    Index,
    RecoveredState,
    Role,
    SnapshotMeta,
    StopCode,
    Term,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MIN_US, HEARTBEAT_US, Acts, entry, membership_of


def newest_round(acts: Acts, peer: int) -> int:
    return max(m.round for m in acts.sent(messages.Heartbeat, peer))


def snapshot_of(last: int, *, tag: int = 0) -> SnapshotMeta:
    return SnapshotMeta(
        snapshot_id=b"snapshot-%07d" % (100 * last + tag),
        last_index=Index(last),
        last_term=Term(1),
        size_bytes=100,
    )


def whole(snapshot: SnapshotMeta, term: int = 1) -> messages.InstallSnapshot:
    return messages.InstallSnapshot(term=Term(term), snapshot=snapshot, offset=0, data=bytes(100), done=True)


def installed(snapshot: SnapshotMeta) -> events.SnapshotInstalled:
    state = RecoveredState(
        applied_index=snapshot.last_index,
        applied_term=snapshot.last_term,
        membership=membership_of((1, 2, 3)),
        installed_index=snapshot.last_index,
    )
    return events.SnapshotInstalled(snapshot_id=snapshot.snapshot_id, installed=True, state=state)


# -- reads


def test_trap_41_no_read_index_before_the_first_commit_of_the_term() -> None:
    """etcd #7331; raft.go committedEntryInCurrentTerm; TiKV #9239."""
    bench = Bench(log=[1, 1], voters=(1, 2, 3))
    bench.win()
    request, acts = bench.read()
    acts += bench.pass_us(HEARTBEAT_US)
    for peer in (2, 3):
        acts += bench.beat_ack(peer, newest_round(acts, peer), last=3)
    assert acts.answer(request) is None and bench.status.commit_index == 1


def test_trap_42_a_retry_uses_a_fresh_id_and_an_old_answer_confirms_nothing() -> None:
    """etcd #20418, fixed in 3.6.9 after Antithesis runs: a late heartbeat answer matched a retried request."""
    bench = Bench()
    bench.lead()
    _first, acts = bench.read(deadline_us=300_000)
    old = newest_round(acts, 2)
    bench.pass_us(300_000)  # a pause: nobody answered, the client tries again
    second, acts = bench.read()
    assert newest_round(acts, 2) > old
    assert bench.beat_ack(2, old).answer(second) is None
    assert bench.beat_ack(3, old).answer(second) is None


def test_trap_42_rounds_are_not_reused_after_losing_and_winning_again() -> None:
    """The same across leaderships: the answer carries the term of the round."""
    bench = Bench()
    bench.lead()
    _, acts = bench.read()
    late = messages.HeartbeatResponse(term=Term(2), round=newest_round(acts, 2), last_log_index=Index(2))
    bench.append(3, 2, [], term=3)
    bench.lead()
    request, _ = bench.read()
    assert bench.hear(2, late).answer(request) is None
    assert bench.hear(3, late).answer(request) is None


def test_trap_43_a_read_index_from_a_leader_that_fell_meanwhile_is_not_used() -> None:
    """etcd PR #21375, #21378: read index against leader change."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.read()
    asked = acts.sent(messages.ReadIndex, 2)[0]
    bench.beat(3, term=2)
    late = messages.ReadIndexResponse(term=Term(1), context=asked.context, read_index=Index(1), ready=True)
    assert bench.hear(2, late).answer(request) is None


def test_trap_45_during_a_transfer_a_round_confirms_only_what_it_confirms() -> None:
    """openraft #1747 (1ef3e574): after TimeoutNow the old leader must not serve by a lease; here there is none, each
    read needs its own round."""
    bench = Bench()
    bench.lead()
    bench.transfer(3)
    request, acts = bench.read()
    assert acts.answer(request) is None
    bench.beat(3, term=3)
    assert bench.status.leader == 3 and bench.role() is Role.FOLLOWER
    late = messages.HeartbeatResponse(term=Term(2), round=1, last_log_index=Index(2))
    assert bench.hear(2, late).answer(request) is None


def test_trap_48_after_a_restart_no_read_before_the_log_is_applied_again() -> None:
    """etcd #3879; openraft 97d92771."""
    bench = Bench(log=[1, 1, 1], applied=1)
    bench.beat(2)
    request, acts = bench.read()
    question = acts.sent(messages.ReadIndex, 2)[0]
    answer = messages.ReadIndexResponse(
        term=Term(1), context=question.context, read_index=Index(4), ready=True
    )
    assert bench.hear(2, answer).answer(request) is None
    assert isinstance(bench.append(2, 4, commit=4).answer(request), actions.ServeRead)


def test_trap_48_a_restarted_node_is_stale_until_it_heard_a_leader() -> None:
    """The same for reads with a bound on staleness."""
    bench = Bench(log=[1, 1])
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=60_000_000)
    assert isinstance(acts.answer(request), actions.Refuse)
    bench.beat(2)
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=60_000_000)
    assert isinstance(acts.answer(request), actions.ServeRead)


# -- state and snapshots


def test_trap_49_a_crash_between_the_batch_and_its_report_applies_nothing_twice() -> None:
    """etcd v3.5 postmortem, #13766: index and data in one write. What the store says is believed."""
    bench = Bench(auto_apply=False)
    bench.append(2, 1, [1, 1], commit=3)
    assert bench.applying is not None
    done = RecoveredState(applied_index=Index(3), applied_term=Term(1), membership=membership_of((1, 2, 3)))
    bench.restart(state=done)  # the batch was written, the report was not
    acts = bench.append(2, 3, [1], commit=4)
    assert [a.first_index for a in acts.of(actions.Apply)] == [4]


def test_trap_51_a_snapshot_at_or_below_the_commit_index_changes_nothing() -> None:
    """openraft #1892; etcd #18055: two snapshots in short order."""
    bench = Bench()
    bench.hear(2, whole(snapshot_of(10)))
    bench.report(installed(snapshot_of(10)))
    bench.append(2, 10, [1, 1], commit=12, prev_term=1)
    for late in (snapshot_of(10), snapshot_of(10, tag=1), snapshot_of(11), snapshot_of(12)):
        acts = bench.hear(2, whole(late))
        assert acts.of(actions.InstallSnapshot) == [] and acts.of(actions.StoreChunk) == []
    assert bench.status.applied_index == 12 and bench.status.last_log_index == 12


def test_trap_51_a_second_snapshot_while_the_first_is_being_installed_waits_or_is_dropped() -> None:
    """etcd #18055."""
    bench = Bench()
    bench.hear(2, whole(snapshot_of(10)))
    acts = bench.hear(2, whole(snapshot_of(20)))
    assert acts.of(actions.InstallSnapshot) == []
    bench.report(installed(snapshot_of(10)))
    assert bench.status.applied_index == 10


def test_trap_52_a_follower_behind_a_fully_cut_log_gets_a_snapshot() -> None:
    """openraft #1828."""
    bench = Bench(base=(10, 1), applied=10)
    bench.win()
    acts = bench.refuse_append(3, 10, hint=4)
    assert len(acts.of(actions.SaveSnapshot)) == 1


def test_trap_53_a_trigger_that_comes_while_a_snapshot_is_built_is_not_lost() -> None:
    """openraft #1829."""
    bench = Bench(base=(10, 1), log=[1], applied=11, voters=(1, 2, 3, 4, 5))
    bench.win()
    bench.ack(2)
    bench.ack(5)
    assert len(bench.refuse_append(3, 11, hint=2).of(actions.SaveSnapshot)) == 1
    assert bench.refuse_append(4, 11, hint=2).of(actions.SaveSnapshot) == []
    acts = bench.step(events.SnapshotLost(snapshot_id=b"", detail="could not be built"))
    for _ in range(30):
        more = bench.pass_us(HEARTBEAT_US)
        acts += more
        for peer in (2, 3, 4, 5):
            for sent in more.sent(messages.Heartbeat, peer)[-1:]:
                acts += bench.beat_ack(peer, sent.round, last=1)
    assert len(acts.of(actions.SaveSnapshot)) == 1
    acts = bench.step(events.SnapshotSaved(snapshot=snapshot_of(int(bench.status.applied_index))))
    assert sorted(order.to for order in acts.of(actions.SendSnapshot)) == [3, 4]


def test_trap_54_installing_for_long_neither_repeats_the_transfer_nor_loses_the_leader() -> None:
    """NuRaft #121, openraft chunk loop, camunda #14671: a time-out for the transfer must not cover the installation."""
    follower = Bench()
    follower.hear(2, whole(snapshot_of(10)))
    for _ in range(20):
        acts = follower.pass_us(ELECTION_MIN_US // 2) + follower.beat(2, round_=1)
        assert follower.role() is Role.FOLLOWER and acts.sent(messages.HeartbeatResponse, 2) != []
    again = follower.hear(2, whole(snapshot_of(10)))
    assert again.of(actions.StoreChunk) == [] and again.of(actions.InstallSnapshot) == []


def test_trap_55_after_an_install_the_log_is_reset_before_anything_is_acknowledged() -> None:
    """etcd raft.go l.246-270, #10219, #20271: snapshot, then log record, then the answer."""
    bench = Bench(log=[1, 1])
    bench.hear(2, whole(snapshot_of(10)))
    bench.auto_persist = False
    acts = bench.report(installed(snapshot_of(10)))
    assert not any(m.installed for m in acts.sent(messages.InstallSnapshotResponse))
    crashed = bench.restart()
    crashed.auto_persist = True
    acts = crashed.step()
    assert [order.base for order in acts.of(actions.Persist)] == [(10, 1)]
    assert crashed.status.applied_index == crashed.status.last_log_index == 10


def test_trap_55_a_log_that_ends_before_the_state_without_a_snapshot_is_corruption() -> None:
    """The other order on disk: the state must never be ahead of the log."""
    bench = Bench(log=[1], applied=9)
    bench.pass_us(0)
    assert bench.stopped is not None and bench.stopped.code == StopCode.CORRUPTION


def test_trap_56_a_time_out_is_an_unknown_outcome_not_a_failure() -> None:
    """Thesis 6.3; jetcd Jepsen."""
    bench = Bench()
    bench.lead()
    request, _ = bench.propose(deadline_us=200_000)
    answer = bench.pass_us(200_000).answer(request)
    assert isinstance(answer, actions.Abandon)
    bench.ack(2)
    assert bench.status.commit_index == 3, "and indeed it happened"
    assert entry(1).payload[0] == 1
