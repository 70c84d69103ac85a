"""Backups as pairs: what is in one, what a new cluster takes over, and what it does not."""

from dataclasses import replace

import pytest

from ferrite.core import Index, Member, Membership, NodeId, Term
from ferrite.core.kv import (
    BackupContents,
    BackupNote,
    CommandErrorCode,
    CommandFailed,
    Delete,
    ExpectedSnapshot,
    Get,
    GetResult,
    LeaseGrant,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    MemoryStore,
    Put,
    PutResult,
    Range,
    RangeResult,
    RestorePlan,
    Session,
    SnapshotHeader,
    SnapshotInvalid,
    StateMachine,
    Tick,
    backup_pairs,
    install_batches,
    load_state,
    open_backup,
    read_snapshot,
    replicated_pairs,
    restored,
    summarize,
    write_snapshot,
)
from tests.core.kv.helpers import IDENTITY, Machine, command, put

NOTE = BackupNote(saved_unix_ms=1_700_000_000_000, version="0.1.0", cluster_name="test")
ANY = ExpectedSnapshot()
MEMBERSHIP = Membership(
    voters=(NodeId(4),),
    members={NodeId(4): Member(node_id=NodeId(4), instance=b"4" * 16, http_addr="h:1", grpc_addr="g:1")},
)
PLAN = RestorePlan(
    cluster_id=b"new-cluster-id-1", membership=MEMBERSHIP, revision_bump=1000, mark_compacted=True
)
LEASE = 77


def header_for(machine: StateMachine) -> SnapshotHeader:
    return SnapshotHeader(
        snapshot_id=b"s" * 16,
        cluster_id=b"c" * 16,
        group_id=0,
        last_index=machine.applied_index,
        last_term=Term(1),
        membership=b"",
        source=NodeId(1),
    )


def saved(old: Machine) -> bytes:
    pairs = backup_pairs(old.store, 0, NOTE)
    return b"".join(write_snapshot(header_for(old.machine), pairs))


def opened(data: bytes) -> BackupContents:
    return open_backup(read_snapshot([data], expected=ANY))


def restore(data: bytes, plan: RestorePlan = PLAN) -> Machine:
    store = MemoryStore()
    for batch in install_batches(restored(opened(data), plan)):
        store.write(batch)
    return Machine(store)


def some_machine() -> Machine:
    """Revision 6: `a` twice, `b` put and deleted, `leased` with 90 of 100 s left, a session with one command."""
    machine = Machine()
    machine.apply(put(b"a", b"1"), put(b"a", b"2"), put(b"b"), command(Delete(key=b"b")))
    machine.apply(command(LeaseGrant(lease_id=LEASE, ttl_s=100), time_us=10_000_000))
    machine.apply(
        command(Put(key=b"leased", value=b"v", lease=LEASE), time_us=20_000_000, session=session(1))
    )
    return machine


def session(request: int) -> Session:
    return Session(client_id=b"client", request_id=request, lowest_unacknowledged=1)


def read(machine: Machine, query: Get | Range) -> object:
    return machine.machine.read(query)


def everything(machine: Machine) -> list[tuple[bytes, bytes, int, int, int, int]]:
    found = read(machine, Range(key=b"\x00", range_end=b"\x00"))
    assert isinstance(found, RangeResult)
    return [
        (kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease) for kv in found.entries
    ]


def test_a_backup_says_what_it_holds() -> None:
    old = some_machine()
    summary = summarize(opened(saved(old)))
    assert opened(saved(old)).note == NOTE
    assert (summary.revision, summary.compacted_revision, summary.key_count) == (6, 0, 2)
    assert (summary.lease_count, summary.session_count) == (1, 1)
    assert summary.pair_count == len(list(replicated_pairs(old.store, 0)))


def test_the_new_cluster_has_every_key_with_its_revisions_at_a_higher_revision() -> None:
    old = some_machine()
    new = restore(saved(old))
    assert everything(new) == everything(old)
    assert new.machine.revision == 1006
    new.apply(put(b"next"))
    found = read(new, Get(key=b"next"))
    assert isinstance(found, GetResult) and found.entry is not None
    assert found.entry.mod_revision == 1007


def test_no_revision_of_the_old_cluster_can_be_read_in_the_new_one() -> None:
    new = restore(saved(some_machine()))
    for revision in (1, 6, 500, 1005):
        found = read(new, Range(key=b"a", revision=revision))
        assert isinstance(found, CommandFailed)
        assert found.code is CommandErrorCode.COMPACTED
    assert isinstance(read(new, Range(key=b"a", revision=1006)), RangeResult)


def test_what_compaction_left_over_goes_with_the_ticks_of_the_new_cluster() -> None:
    new = restore(saved(some_machine()))
    before, size_bytes = everything(new), new.machine.size_bytes
    new.apply(command(Tick()))
    assert not new.machine.compaction_pending
    assert new.machine.size_bytes < size_bytes
    assert everything(new) == before


def test_without_a_bump_and_a_mark_the_history_stays_readable() -> None:
    new = restore(saved(some_machine()), replace(PLAN, revision_bump=0, mark_compacted=False))
    assert new.machine.revision == 6
    found = read(new, Range(key=b"a", revision=2))
    assert isinstance(found, RangeResult)
    assert [entry.value for entry in found.entries] == [b"1"]


def test_a_lease_keeps_the_time_that_it_had_left_and_its_keys() -> None:
    new = restore(saved(some_machine()))
    left = new.result(command(LeaseTimeToLive(lease_id=LEASE, with_keys=True), time_us=20_000_000))
    assert isinstance(left, LeaseTimeToLiveResult)
    assert (left.remaining_us, left.granted_ttl_s, left.keys) == (90_000_000, 100, (b"leased",))
    new.apply(command(Tick(), time_us=110_000_000))
    assert [entry[0] for entry in everything(new)] == [b"a"]


def test_a_retry_of_a_command_of_the_old_cluster_is_refused_and_not_run_again() -> None:
    new = restore(saved(some_machine()))
    assert new.machine.session_count == 0
    for request in (1, 2):
        retried = new.result(command(Put(key=b"leased", value=b"again"), session=session(request)))
        assert isinstance(retried, CommandFailed)
        assert retried.code is CommandErrorCode.SESSION_EXPIRED
    fresh = new.result(command(Put(key=b"x", value=b""), session=replace(session(1), client_id=b"another")))
    assert isinstance(fresh, PutResult)


def test_tombstones_are_numbered_on_so_that_they_go_in_their_turn() -> None:
    once = restore(saved(some_machine()))
    once.apply(command(Put(key=b"y", value=b""), session=replace(session(1), client_id=b"other")))
    twice = restore(saved(once))
    for client_id in (b"client", b"other"):
        retried = twice.result(
            command(Put(key=b"y", value=b""), session=replace(session(1), client_id=client_id))
        )
        assert isinstance(retried, CommandFailed)


def test_the_membership_is_the_plans_and_the_logs_position_stays() -> None:
    new = restore(saved(some_machine()))
    state = load_state(new.store, 0)
    assert state.membership == MEMBERSHIP
    assert (state.applied_index, state.applied_term, state.installed_index) == (Index(6), 1, 6)
    assert state.time_us == 20_000_000


def test_a_backup_that_is_restored_twice_gives_the_same_state() -> None:
    data = saved(some_machine())
    assert restore(data).machine.state_hash() == restore(data).machine.state_hash()


def test_a_snapshot_is_no_backup_and_a_backup_no_snapshot() -> None:
    old = some_machine()
    snapshot = b"".join(write_snapshot(header_for(old.machine), replicated_pairs(old.store, 0)))
    with pytest.raises(SnapshotInvalid, match="not a backup"):
        opened(snapshot)
    with pytest.raises(SnapshotInvalid, match="does not belong to the replicated state"):
        list(install_batches(read_snapshot([saved(old)], expected=ANY)))


def test_a_header_that_names_another_position_is_noticed() -> None:
    old = some_machine()
    header = replace(header_for(old.machine), last_index=Index(9))
    data = b"".join(write_snapshot(header, backup_pairs(old.store, 0, NOTE)))
    with pytest.raises(SnapshotInvalid, match="index 9"):
        summarize(opened(data))
    with pytest.raises(SnapshotInvalid, match="index 9"):
        restore(data)


def test_a_note_of_another_format_or_with_other_fields_is_noticed() -> None:
    old = some_machine()
    key, _ = next(backup_pairs(old.store, 0, NOTE))
    for note in (b"", b"\x90", b"\x94\x02\x01\xa1v\xa1n", b"\x94\x01\xa1x\xa1v\xa1n"):
        data = b"".join(write_snapshot(header_for(old.machine), [(key, note)]))
        with pytest.raises(SnapshotInvalid):
            opened(data)


def test_a_backup_without_a_position_is_refused() -> None:
    pairs = backup_pairs(MemoryStore(), 0, NOTE)
    data = b"".join(write_snapshot(header_for(StateMachine(MemoryStore(), IDENTITY)), pairs))
    with pytest.raises(SnapshotInvalid, match="which index"):
        summarize(opened(data))
