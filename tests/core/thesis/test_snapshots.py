"""Log compaction and InstallSnapshot: thesis chapter 5, Raft section 7, contract 3, 4 and 8."""

from __future__ import annotations

import pytest

from ferrite.core import (
    Index,
    LostTail,
    Membership,
    NodeId,
    RecoveredState,
    Role,
    SnapshotMeta,
    Term,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import (
    ELECTION_MIN_US,
    HEARTBEAT_US,
    Acts,
    commands_in,
    entry,
    membership_of,
    terms_of,
)

Response = messages.InstallSnapshotResponse


def meta(last: int = 10, term: int = 1, *, tag: int = 0, size: int = 2500) -> SnapshotMeta:
    return SnapshotMeta(
        snapshot_id=b"snapshot-%07d" % (last * 100 + tag),
        last_index=Index(last),
        last_term=Term(term),
        size_bytes=size,
    )


# -- the receiver


def piece(
    snapshot: SnapshotMeta, offset: int, length: int = 1000, *, term: int = 1
) -> messages.InstallSnapshot:
    end = min(offset + length, snapshot.size_bytes)
    return messages.InstallSnapshot(
        term=Term(term),
        snapshot=snapshot,
        offset=offset,
        data=bytes(end - offset),
        done=end == snapshot.size_bytes,
    )


def receive(bench: Bench, snapshot: SnapshotMeta, *, term: int = 1, leader: int = 2) -> Acts:
    acts = Acts([])
    for offset in range(0, snapshot.size_bytes, 1000):
        acts += bench.hear(leader, piece(snapshot, offset, term=term))
    return acts


def installed(bench: Bench, snapshot: SnapshotMeta, membership: Membership | None = None) -> Acts:
    state = RecoveredState(
        applied_index=snapshot.last_index,
        applied_term=snapshot.last_term,
        membership=membership or membership_of((1, 2, 3)),
        installed_index=snapshot.last_index,
    )
    return bench.report(
        events.SnapshotInstalled(snapshot_id=snapshot.snapshot_id, installed=True, state=state)
    )


def wanted(acts: Acts, to: int = 2) -> list[int]:
    return [m.next_offset for m in acts.sent(Response, to) if not m.installed]


def is_installed(acts: Acts, to: int = 2) -> bool:
    return any(m.installed for m in acts.sent(Response, to))


def test_pieces_are_stored_and_the_next_offset_is_asked_for() -> None:
    """Raft figure 13: "Write data into snapshot file at given offset", "Reply and wait for more data chunks if done is false"."""
    bench = Bench()
    acts = bench.hear(2, piece(meta(), 0))
    assert [(c.offset, len(c.data)) for c in acts.of(actions.StoreChunk)] == [(0, 1000)]
    assert wanted(acts) == [1000]
    acts = bench.hear(2, piece(meta(), 1000))
    assert [c.offset for c in acts.of(actions.StoreChunk)] == [1000] and wanted(acts) == [2000]
    acts = bench.hear(2, piece(meta(), 2000))
    assert acts.of(actions.InstallSnapshot) == [actions.InstallSnapshot(snapshot=meta())]
    assert not is_installed(acts)


def test_a_duplicated_piece_is_stored_once() -> None:
    bench = Bench()
    bench.hear(2, piece(meta(), 0))
    bench.hear(2, piece(meta(), 1000))
    acts = bench.hear(2, piece(meta(), 1000)) + bench.hear(2, piece(meta(), 0))
    assert acts.of(actions.StoreChunk) == [] and set(wanted(acts)) == {2000}


def test_a_piece_that_came_too_early_is_asked_for_in_order() -> None:
    """Contract 4: "the receiver names the offset it wants"."""
    bench = Bench()
    bench.hear(2, piece(meta(), 0))
    acts = bench.hear(2, piece(meta(), 2000))
    assert acts.of(actions.StoreChunk) == [] and wanted(acts) == [1000]
    assert acts.of(actions.InstallSnapshot) == [], "done, but with a hole"


def test_a_first_piece_from_the_middle_asks_for_the_beginning() -> None:
    acts = Bench().hear(2, piece(meta(), 1000))
    assert acts.of(actions.StoreChunk) == [] and wanted(acts) == [0]


def test_a_transfer_is_resumed_after_a_change_of_leader() -> None:
    """Contract 4: "resumable": the same file goes on where it stopped."""
    bench = Bench()
    bench.hear(2, piece(meta(), 0))
    acts = bench.hear(3, piece(meta(), 0, term=2))
    assert wanted(acts, 3) in ([1000], [0])
    if wanted(acts, 3) == [1000]:
        assert [c.offset for c in bench.hear(3, piece(meta(), 1000, term=2)).of(actions.StoreChunk)] == [1000]


def test_another_snapshot_begins_anew() -> None:
    """Pieces of two files are never mixed: offset 0 "starts the file anew"."""
    bench = Bench()
    bench.hear(2, piece(meta(10), 0))
    acts = bench.hear(2, piece(meta(20), 1000))
    assert acts.of(actions.StoreChunk) == [] and wanted(acts) == [0]
    acts = bench.hear(2, piece(meta(20), 0))
    assert [(c.snapshot, c.offset) for c in acts.of(actions.StoreChunk)] == [(meta(20), 0)]
    acts = bench.hear(2, piece(meta(10), 1000))
    assert not any(c.offset for c in acts.of(actions.StoreChunk))


def test_a_snapshot_of_an_older_term_is_answered_with_the_own_term() -> None:
    """Raft figure 13: "Reply immediately if term < currentTerm"."""
    bench = Bench(log=[5])
    acts = bench.hear(2, piece(meta(), 0, term=4))
    assert acts.of(actions.StoreChunk) == []
    assert {m.term for m in acts.messages_to(2)} <= {5}


def test_pieces_keep_the_follower_from_campaigning() -> None:
    """Thesis 3.4: RPCs of the current leader reset the election timer."""
    bench = Bench()
    snapshot = meta(size=10**6)
    for number in range(10):
        bench.hear(2, piece(snapshot, 1000 * number))
        bench.pass_us(ELECTION_MIN_US // 2)
    assert bench.role() is Role.FOLLOWER


def test_the_log_is_reset_and_acknowledged_once_durable() -> None:
    """Raft figure 13: "Discard the entire log", "Reset state machine using snapshot contents"; S11: acknowledged when durable."""
    bench = Bench(log=[1, 1])
    receive(bench, meta(10))
    bench.auto_persist = False
    acts = installed(bench, meta(10))
    order = acts.of(actions.Persist)[0]
    assert order.base == (10, 1) and not is_installed(acts)
    acts = bench.persist()
    assert is_installed(acts)
    status = bench.status
    assert (status.commit_index, status.applied_index, status.last_log_index) == (10, 10, 10)
    bench.auto_persist = True
    acts = bench.append(2, 10, [1], commit=11)
    assert acts.sent(messages.AppendEntriesResponse, 2)[0].match_index == 11
    assert [a.first_index for a in acts.of(actions.Apply)] == [11]


def test_entries_after_a_matching_last_entry_are_kept() -> None:
    """Raft figure 13: "If existing log entry has same index and term as snapshot's last included entry, retain log
    entries following it and reply": they may have been acknowledged."""
    bench = Bench(log=[1] * 14)
    bench.beat(2)
    receive(bench, meta(10))
    acts = installed(bench, meta(10))
    acts += bench.pass_us(0)
    assert bench.disk.last_index == 15 and bench.status.last_log_index == 15
    assert is_installed(acts) and bench.status.applied_index == 10
    acts = bench.append(2, 15, [], commit=15)
    assert [a.first_index for a in acts.of(actions.Apply)] == [11]


def test_entries_after_a_conflicting_last_entry_go() -> None:
    """Raft figure 13: otherwise "Discard the entire log"."""
    bench = Bench(log=[1] * 4 + [2] * 10, term=3)
    receive(bench, meta(10, 3), term=3)
    installed(bench, meta(10, 3))
    assert bench.disk.last_index == 10 and bench.disk.base == (10, 3)
    assert bench.status.last_log_term == 3


def test_the_membership_is_the_snapshots() -> None:
    """Thesis 5.1: the snapshot includes "the latest configuration"; openraft #1808: it is reset on install."""
    bench = Bench(log=[1, 1])
    new = membership_of((1, 2, 4), learners=(5,), retired=(3,))
    receive(bench, meta(10))
    acts = installed(bench, meta(10), new)
    assert bench.status.membership == new and bench.status.membership_committed
    assert acts.of(actions.Announce)[-1].membership == new
    assert bench.restart().status.membership == new


def test_a_configuration_in_the_kept_suffix_stays_in_force() -> None:
    """Thesis 4.1: "a server always uses the latest configuration in its log"."""
    from tests.core.bench_values import membership_entry

    later = membership_of((1, 2, 3), learners=(5,))
    bench = Bench(log=[*[1] * 12, membership_entry(1, later)])
    receive(bench, meta(10))
    installed(bench, meta(10))
    assert bench.status.membership == later and bench.status.membership_index == 14


def test_a_snapshot_never_replaces_newer_state() -> None:
    """Openraft #1892, etcd #18055: a snapshot at or below the commit index brings nothing."""
    for last in (5, 8):
        bench = Bench(log=[1] * 9)
        bench.append(2, 8, [], commit=8)
        assert bench.status.applied_index == 8
        acts = receive(bench, meta(last))
        assert acts.of(actions.StoreChunk) == [] and acts.of(actions.InstallSnapshot) == []
        assert is_installed(acts), "the sender may go on behind it"
        assert bench.status.last_log_index == 10


def test_what_was_applied_while_the_snapshot_came_makes_it_worthless() -> None:
    """The same, when appends overtake the snapshot."""
    bench = Bench()
    snapshot = meta(10)
    bench.hear(2, piece(snapshot, 0))
    bench.append(2, 1, [1] * 12, commit=12)
    acts = bench.hear(2, piece(snapshot, 1000)) + bench.hear(2, piece(snapshot, 2000))
    assert acts.of(actions.InstallSnapshot) == [] and bench.status.applied_index == 12


def test_nothing_is_applied_while_a_snapshot_is_being_installed() -> None:
    """The state store has one writer: an apply below the snapshot would land in the replaced state."""
    bench = Bench(log=[1] * 3)
    acts = receive(bench, meta(10))
    assert acts.of(actions.InstallSnapshot) != []
    acts = bench.append(2, 4, [], commit=4)
    assert acts.of(actions.Apply) == []
    installed(bench, meta(10))
    assert bench.next_apply == 11


def test_an_install_waits_for_the_apply_that_is_outstanding() -> None:
    """The same, the other way round."""
    bench = Bench(auto_apply=False)
    bench.append(2, 1, [1, 1], commit=3)
    assert bench.applying is not None
    acts = receive(bench, meta(10))
    assert acts.of(actions.InstallSnapshot) == []
    assert bench.apply().of(actions.InstallSnapshot) != []


def test_a_snapshot_that_did_not_verify_is_asked_for_again() -> None:
    """Contract 2, SnapshotInstalled: "False = it did not verify; nothing changed"."""
    bench = Bench(log=[1, 1])
    receive(bench, meta(10))
    acts = bench.step(
        events.SnapshotInstalled(snapshot_id=meta(10).snapshot_id, installed=False, detail="SHA-256")
    )
    assert not is_installed(acts) and bench.status.last_log_index == 3
    acts += bench.hear(2, piece(meta(10), 0))
    assert 0 in wanted(acts) or [c.offset for c in acts.of(actions.StoreChunk)] == [0]
    assert bench.stopped is None


def test_requests_whose_entries_a_snapshot_may_have_skipped_are_abandoned() -> None:
    """Contract 8: "Only a snapshot that skips entries makes the outcome unknown before the deadline"."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose()
    acts = receive(bench, meta(10)) + installed(bench, meta(10))
    assert isinstance(acts.answer(request), actions.Abandon)


def test_a_snapshot_past_the_mark_heals_a_lost_tail() -> None:
    """Contract 9: "until a leader of a later term has brought it past the mark"."""
    bench = Bench(lost_tail=LostTail(last_index=Index(8), term=Term(1)))
    receive(bench, meta(10, 2), term=2)
    installed(bench, meta(10, 2))
    assert not bench.status.lost_tail


# -- the sender


def behind(bench: Bench, peer: int = 3) -> Acts:
    """The peer says that it has nothing behind index 1; the leader's log begins at 11."""
    return bench.refuse_append(peer, bench.status.peers[peer].next_index - 1, hint=2)


def leader(**other: object) -> Bench:
    bench = Bench(base=(10, 1), log=[1] * 5, applied=12, snapshot_chunk_bytes=1000, **other)  # type: ignore[arg-type]  # settings
    bench.win()
    bench.ack(2)
    return bench


def sending(bench: Bench) -> SnapshotMeta:
    """Let node 3 fall back, and save the snapshot that the leader orders."""
    acts = behind(bench)
    assert len(acts.of(actions.SaveSnapshot)) == 1
    snapshot = meta(bench.status.applied_index, 2)
    acts = bench.step(events.SnapshotSaved(snapshot=snapshot))
    first = acts.of(actions.SendSnapshot)
    assert [(s.to, s.offset, s.term) for s in first] == [(3, 0, bench.term)]
    assert bench.status.peers[3].state == "snapshot"
    return snapshot


def received(bench: Bench, snapshot: SnapshotMeta, offset: int, *, done: bool = False) -> Acts:
    answer = Response(
        term=Term(bench.term), snapshot_id=snapshot.snapshot_id, next_offset=offset, installed=done
    )
    return bench.hear(3, answer)


def test_a_peer_below_the_first_entry_gets_a_snapshot() -> None:
    """Raft 7: "the leader must occasionally send snapshots to followers that lag behind"; contract 8: "built on demand"."""
    bench = leader()
    snapshot = sending(bench)
    acts = received(bench, snapshot, 1000)
    assert [(s.offset, s.length_max) for s in acts.of(actions.SendSnapshot)] == [(1000, 1000)]
    acts = received(bench, snapshot, 2500)
    assert acts.of(actions.SendSnapshot) == []
    acts = received(bench, snapshot, 2500, done=True)
    peer = bench.status.peers[3]
    assert peer.match_index == snapshot.last_index and peer.state != "snapshot"


def test_replication_goes_on_behind_the_snapshot() -> None:
    """Contract 4: "`installed`: durable, the sender may go on at `last_index + 1`"."""
    bench = leader()
    snapshot = sending(bench)
    bench.propose()
    acts = received(bench, snapshot, 2500, done=True)
    acts += bench.pass_us(HEARTBEAT_US)
    for sent in acts.sent(messages.AppendEntries, 3):
        assert sent.prev_log_index >= snapshot.last_index
    assert commands_in(e for m in acts.sent(messages.AppendEntries, 3) for e in m.entries) != []


def test_no_appends_go_to_a_peer_that_receives_a_snapshot() -> None:
    """Contract 8, progress `SNAPSHOT`."""
    bench = leader()
    sending(bench)
    acts = bench.propose()[1] + bench.pass_us(3 * HEARTBEAT_US)
    assert acts.sent(messages.AppendEntries, 3) == []
    assert acts.sent(messages.Heartbeat, 3) != [], "but heartbeats do"


def test_the_sender_goes_to_the_offset_that_is_wanted() -> None:
    """Contract 4: "resumable: the receiver names the offset it wants"."""
    bench = leader()
    snapshot = sending(bench)
    received(bench, snapshot, 2000)
    acts = received(bench, snapshot, 0) + bench.pass_us(ELECTION_MIN_US // 2)
    assert 0 in [s.offset for s in acts.of(actions.SendSnapshot)] or bench.status.peers[3].state == "snapshot"


def test_a_lost_piece_is_sent_again() -> None:
    """Thesis 5.1 with 3.3: RPCs are retried."""
    bench = leader()
    snapshot = sending(bench)
    received(bench, snapshot, 1000)
    acts = Acts([])
    for _ in range(100):
        more = bench.pass_us(HEARTBEAT_US)
        acts += more
        for peer in (2, 3):
            for sent in more.sent(messages.Heartbeat, peer)[-1:]:
                acts += bench.beat_ack(peer, sent.round, last=1 if peer == 3 else None)
    assert 1000 in [s.offset for s in acts.of(actions.SendSnapshot)]
    assert len(acts.of(actions.SendSnapshot)) < 60, "not at every step"


def test_answers_about_another_snapshot_are_dropped() -> None:
    """Openraft cecb5de8: answers belong to the transfer that asked."""
    bench = leader()
    snapshot = sending(bench)
    acts = received(bench, meta(7), 2500, done=True) + received(bench, meta(7), 1500)
    assert bench.status.peers[3].match_index == 0
    assert not any(s.offset == 1500 for s in acts.of(actions.SendSnapshot))
    assert received(bench, snapshot, 1000).of(actions.SendSnapshot)[0].offset == 1000


def test_a_lost_snapshot_is_built_again() -> None:
    """Contract 2, SnapshotLost: "the core orders a new one when needed"."""
    bench = leader()
    snapshot = sending(bench)
    acts = bench.step(events.SnapshotLost(snapshot_id=snapshot.snapshot_id, detail="EIO"))
    for _ in range(20):
        more = bench.pass_us(HEARTBEAT_US)
        acts += more
        for peer in (2, 3):
            for sent in more.sent(messages.Heartbeat, peer)[-1:]:
                acts += bench.beat_ack(peer, sent.round, last=1 if peer == 3 else None)
    assert len(acts.of(actions.SaveSnapshot)) == 1
    newer = meta(bench.status.applied_index, 2, tag=1)
    acts = bench.step(events.SnapshotSaved(snapshot=newer))
    assert [(s.snapshot, s.offset) for s in acts.of(actions.SendSnapshot)] == [(newer, 0)]


def test_one_snapshot_is_built_for_all_that_need_one() -> None:
    """Contract 3, SaveSnapshot: "one outstanding"."""
    bench = Bench(base=(10, 1), log=[1] * 5, applied=12, voters=(1, 2, 3, 4, 5))
    bench.win()
    bench.ack(2)
    bench.ack(5)
    acts = behind(bench, 3) + behind(bench, 4)
    assert len(acts.of(actions.SaveSnapshot)) == 1
    acts = bench.step(events.SnapshotSaved(snapshot=meta(bench.status.applied_index, 2)))
    assert sorted(s.to for s in acts.of(actions.SendSnapshot)) == [3, 4]


def test_an_empty_log_behind_a_snapshot_still_helps_a_follower() -> None:
    """Openraft #1828: "follower exactly at / behind a fully purged log needs a snapshot even with nothing new to send"."""
    bench = Bench(base=(10, 1), applied=10)
    bench.win()
    acts = behind(bench)
    assert len(acts.of(actions.SaveSnapshot)) == 1


def test_a_follower_exactly_at_the_base_needs_no_snapshot() -> None:
    """The entry before the first is known by the base's term."""
    bench = Bench(base=(10, 1), log=[1] * 5, applied=12)
    bench.win()
    acts = bench.refuse_append(3, 15, hint=11)
    assert acts.of(actions.SaveSnapshot) == []
    assert [m.prev_log_index for m in acts.sent(messages.AppendEntries, 3)] == [10]


def test_entries_behind_a_snapshot_that_is_being_sent_are_kept() -> None:
    """dgraph #9793: "Logs needed by a slow follower purged while it installs -> endless loop"."""
    bench = leader(flush_entries=5, log_entries_max=5, log_retention_entries=0)
    snapshot = sending(bench)
    acts = Acts([])
    for _ in range(20):
        bench.propose()
        acts += bench.ack(2)
        if acts.of(actions.FlushState):
            acts += bench.step(events.StateFlushed(applied_index=bench.status.applied_index))
    cuts = [act.first_index for act in acts.of(actions.DiscardLog)]
    assert all(cut <= snapshot.last_index + 1 for cut in cuts)
    acts = received(bench, snapshot, 2500, done=True) + bench.pass_us(HEARTBEAT_US)
    assert acts.of(actions.SaveSnapshot) == []
    assert any(m.prev_log_index == snapshot.last_index for m in acts.sent(messages.AppendEntries, 3))


def test_a_peer_that_restarts_its_probing_after_a_snapshot_at_the_tip_is_not_stuck() -> None:
    """etcd PR #10308: a follower whose snapshot is exactly the end of the log."""
    bench = leader()
    snapshot = sending(bench)
    assert snapshot.last_index == bench.status.last_log_index
    received(bench, snapshot, 2500, done=True)
    request, acts = bench.propose()
    acts += bench.pass_us(2 * HEARTBEAT_US)
    assert request in commands_in(e for m in acts.sent(messages.AppendEntries, 3) for e in m.entries)


def test_a_deposed_leader_sends_no_more_pieces() -> None:
    bench = leader()
    snapshot = sending(bench)
    old = bench.term
    bench.beat(2, term=old + 1)
    answer = Response(term=Term(old), snapshot_id=snapshot.snapshot_id, next_offset=1000)
    assert bench.hear(3, answer).of(actions.SendSnapshot) == []


@pytest.mark.parametrize("offset", [2501, 10**12, 2**63])
def test_an_offset_beyond_the_file_is_survived(offset: int) -> None:
    """Contract 1: nothing another node says raises."""
    bench = leader()
    snapshot = sending(bench)
    for order in received(bench, snapshot, offset).of(actions.SendSnapshot):
        assert order.offset < snapshot.size_bytes
    assert terms_of([entry(1)]) == [1] and NodeId(3) in bench.status.peers
