"""Compaction: the mark at once, the records a piece at a time; and what watches read of the history."""

import pytest

from ferrite.core import Index, InvariantViolated
from ferrite.core.kv import (
    CommandErrorCode,
    CommandFailed,
    Compact,
    CompactResult,
    Delete,
    Get,
    GetResult,
    KeyValue,
    Put,
    Range,
    RangeResult,
    StateCorrupt,
    Tick,
    Txn,
    TxnResult,
    compaction,
)
from ferrite.core.kv.layout import Layout
from tests.core.kv.helpers import Machine, command, put


def at(host: Machine, revision: int) -> list[bytes] | CommandErrorCode:
    found = host.machine.read(Range(key=b"\x00", range_end=b"\x00", revision=revision))
    if isinstance(found, CommandFailed):
        return found.code
    assert isinstance(found, RangeResult)
    return [entry.value for entry in found.entries]


def test_reads_below_the_mark_fail_from_the_moment_it_is_set() -> None:
    host = Machine()
    host.apply(put(b"a", b"1"), put(b"a", b"2"), put(b"a", b"3"))
    assert host.result(command(Compact(revision=3))) == CompactResult(revision=4, compacted=3)
    assert (host.machine.compacted_revision, host.machine.compaction_pending) == (3, True)
    assert at(host, 2) == CommandErrorCode.COMPACTED
    assert at(host, 3) == [b"2"]
    assert at(host, 5) == CommandErrorCode.FUTURE_REVISION
    failed = host.machine.read(Range(key=b"a", revision=1))
    assert isinstance(failed, CommandFailed)
    assert failed.revision == 3, "the oldest that can be read"
    with pytest.raises(InvariantViolated, match="compacted"):
        host.machine.changes_from(2, bytes_max=1)


@pytest.mark.parametrize("revision, code", [(3, "COMPACTED"), (0, "COMPACTED"), (5, "FUTURE_REVISION")])
def test_what_cannot_be_compacted(revision: int, code: str) -> None:
    host = Machine()
    host.apply(*(put(b"a") for _ in range(3)), command(Compact(revision=3)))
    failed = host.result(command(Compact(revision=revision)))
    assert isinstance(failed, CommandFailed)
    assert (failed.code.name, failed.revision) == (code, 3 if code == "COMPACTED" else 4)


def test_a_tick_removes_a_piece_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SWEEP_CHANGES_MAX", 10)
    host = Machine()
    host.apply(*(put(b"k%d" % (number % 5), b"x") for number in range(40)), command(Compact(revision=41)))
    sizes = []
    while host.machine.compaction_pending:
        before = len(host.store)
        assert len(host.apply(command(Tick())).batch) <= 21, "two records each, and the applied index"
        sizes.append(before - len(host.store))
        assert at(host, 0) == at(host, 41) == [b"x"] * 5
    assert sizes == [10, 20, 20, 20], "the first five superseded nothing"
    assert host.machine.size_bytes == 5 * (45 + 17 + 2 + 1)


def test_a_piece_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SWEEP_BYTES_MAX", 1000)
    host = Machine()
    host.apply(*(put(b"k", b"x" * 400) for _ in range(20)), command(Compact(revision=21)))
    ticks = 0
    while host.machine.compaction_pending:
        host.apply(command(Tick()))
        ticks += 1
    assert ticks == 7


def test_a_mark_that_moves_while_a_sweep_is_at_work_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compaction, "SWEEP_CHANGES_MAX", 3)
    host = Machine()
    host.apply(*(put(b"k%d" % number) for number in range(6)))
    host.apply(*(command(Delete(key=b"k%d" % number)) for number in range(6)))
    host.apply(command(Compact(revision=10)), command(Tick()), command(Tick()))
    host.apply(put(b"new"), command(Compact(revision=14)))
    while host.machine.compaction_pending:
        host.apply(command(Tick()))
    layout = Layout(0)
    left = list(host.store.scan(layout.revision(0, 0), layout.revision(2**62, 0)))
    assert [layout.split_revision(place) for place, _ in left] == [(14, 0)]
    assert list(host.store.scan(*layout.history_between(b"", None))) == []


def test_a_deletion_at_the_mark_stays_until_the_next_one() -> None:
    host = Machine()
    host.apply(put(b"a"), command(Delete(key=b"a")), put(b"b"), command(Compact(revision=3)), command(Tick()))
    (deletion, creation) = host.machine.changes_from(3, bytes_max=1 << 20)
    assert [change.deleted for change in (*deletion.changes, *creation.changes)] == [True, False]
    host.apply(command(Compact(revision=4)), command(Tick()))
    assert [each.revision for each in host.machine.changes_from(4, bytes_max=1 << 20)] == [4]
    assert len(list(host.store.scan(Layout(0).revision(0, 0), Layout(0).revision(9, 0)))) == 1


def three_keys(data: bytes) -> Txn:
    return Txn(success=tuple(Put(key=key, value=data) for key in (b"a", b"b", b"c")))


def test_changes_come_in_whole_revisions_of_about_the_bytes_asked_for() -> None:
    host = Machine()
    host.apply(command(three_keys(b"1")), put(b"a"), command(three_keys(b"2")), put(b"d"))
    for bytes_max, revisions in ((0, [2]), (1, [2]), (160, [2, 3]), (1 << 20, [2, 3, 4, 5])):
        found = host.machine.changes_from(2, bytes_max=bytes_max)
        assert [each.revision for each in found] == revisions
        assert [change.key for change in found[0].changes] == [b"a", b"b", b"c"]
    assert host.machine.changes_from(6, bytes_max=1) == ()
    assert host.machine.changes_from(0, bytes_max=1 << 20) == host.machine.changes_from(2, bytes_max=1 << 20)


def test_a_batch_brings_its_changes_as_they_can_be_read_afterwards() -> None:
    host = Machine()
    host.apply(put(b"a", b"0"))
    applied = host.apply(
        command(three_keys(b"1")), command(Delete(key=b"x")), command(Delete(key=b"a")), put(b"a", b"2")
    )
    assert applied.changes == host.machine.changes_from(3, bytes_max=1 << 20)
    (first, *_), _, (last,) = (each.changes for each in applied.changes)
    assert host.machine.previous(first) == KeyValue(
        key=b"a", value=b"0", create_revision=2, mod_revision=2, version=1
    )
    assert host.machine.previous(last) is None
    host.apply(command(Compact(revision=3)))
    assert host.machine.previous(first) is None, "what it was is compacted"
    assert host.machine.previous(applied.changes[1].changes[0]) is not None


def test_a_change_that_follows_what_is_not_there_is_corruption() -> None:
    host = Machine()
    host.apply(put(b"a"), put(b"a"))
    ((change,),) = (each.changes for each in host.machine.changes_from(3, bytes_max=1))
    host.store.write([(Layout(0).revision(2, 0), None)])
    with pytest.raises(StateCorrupt, match="not there"):
        host.machine.previous(change)


def test_a_read_inside_a_transaction_meets_the_mark_as_well() -> None:
    host = Machine()
    host.apply(put(b"a"), put(b"a"), command(Compact(revision=3)))
    before = host.machine.state_hash()
    for revision, code in ((2, CommandErrorCode.COMPACTED), (4, CommandErrorCode.FUTURE_REVISION)):
        read = Range(key=b"a", revision=revision)
        for operation in (Txn(success=(Put(key=b"b"), read)), Txn(success=(Txn(success=(read,)),))):
            applied = host.machine.apply(Index(host.machine.applied_index + 1), [command(operation)])
            ((_, failed),) = applied.outcomes
            assert isinstance(failed, CommandFailed)
            assert (failed.code, len(applied.batch)) == (code, 1), "the applied index alone"
        assert isinstance(host.machine.read(Txn(success=(read,))), CommandFailed)
    assert host.machine.state_hash() == before


def test_a_transaction_reads_the_state_before_it_by_naming_the_revision() -> None:
    host = Machine()
    host.apply(put(b"a", b"old"))
    ask = Range(key=b"a")
    txn = Txn(success=(Put(key=b"a", value=b"new"), ask, Range(key=b"a", revision=2)))
    result = host.result(command(txn))
    assert isinstance(result, TxnResult)
    values = [each.entries[0].value for each in result.results if isinstance(each, RangeResult)]
    assert values == [b"new", b"old"]
    got = host.machine.read(Get(key=b"a"))
    assert isinstance(got, GetResult)
    assert got.entry is not None
    assert got.entry.value == b"new"
