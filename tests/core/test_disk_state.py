"""What counts as durable, against a disk that finishes writes in order and may crash in the middle of any of them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ferrite.core import Entry, HardState, Index, InvariantViolated, RecoveredLog, Term
from ferrite.core.disk_state import DiskState
from ferrite.core.raft_log import RaftLog
from tests.core.model_disk import Disk, Image, agreed


class Rig:
    """The log, its bookkeeping, the disk below, and what the log holds as a plain image."""

    def __init__(self, entries: int = 0) -> None:
        made = [Entry(Term(1), b"recovered %d" % at) for at in range(entries)]
        runs = ((Index(1), Term(1)),) if entries else ()
        self.log = RaftLog(RecoveredLog(last_index=Index(entries), tail=tuple(made), term_runs=runs), 1 << 20)
        self.state = DiskState(Index(entries), 0)
        self.image = Image(0, made)
        self.disk = Disk(Image(0, list(made)), HardState())
        self.hard_state = HardState()
        self.staged = True
        self.hard_state_written = True

    def append(self, payloads: list[bytes], term: int = 1) -> None:
        made = [Entry(Term(term), payload) for payload in payloads]
        self.log.append(made)
        self.image.entries.extend(made)
        self.staged &= not made

    def truncate(self, first: int) -> None:
        self.log.truncate(Index(first))
        self.state.truncated(Index(first))
        del self.image.entries[first - self.image.base - 1 :]
        self.staged = False

    def reset(self, base: int, term: int) -> None:
        self.log.reset(Index(base), Term(term))
        self.state.reset(Index(base), Term(term))
        self.image = Image(base, [])
        self.staged = False

    def vote(self) -> None:
        self.hard_state = HardState(term=Term(self.hard_state.term + 1))
        self.state.hard_state_changed()
        self.hard_state_written = self.staged = False

    def stage(self) -> None:
        persist = self.state.stage(self.log, self.hard_state)
        self.staged = True
        if persist is None:
            return
        assert (persist.hard_state is None) == self.hard_state_written
        self.hard_state_written = True
        self.disk.order(persist)
        assert self.disk.written.entries == self.image.entries, "the disk is told everything"
        assert self.disk.written.base == self.image.base
        assert self.state.write_seq == persist.write_seq

    def finish(self, count: int) -> None:
        self.state.completed(self.disk.finish(count))


class DiskMachine(RuleBasedStateMachine):
    """Entries are numbered, so that the same index and term with another content are told apart (ABA) and the same are not."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(entries=3)
        self.applied = 0

    @rule(payloads=st.lists(st.sampled_from((b"a", b"b")), min_size=1, max_size=4))
    def append(self, payloads: list[bytes]) -> None:
        self.rig.append(payloads, max(int(self.rig.log.last_term), 1))

    @precondition(lambda self: self.rig.log.last_index > max(self.applied, self.rig.log.base_index))
    @rule(data=st.data())
    def cut_a_conflict(self, data: st.DataObject) -> None:
        lowest = max(self.applied, int(self.rig.log.base_index)) + 1
        self.rig.truncate(data.draw(st.integers(lowest, int(self.rig.log.last_index))))

    @rule()
    def apply(self) -> None:
        self.applied = max(int(self.rig.state.persisted_index), self.applied)

    @rule(ahead=st.integers(0, 3))
    def install_a_snapshot(self, ahead: int) -> None:
        base = max(self.applied, int(self.rig.log.base_index)) + 1 + ahead
        self.rig.reset(base, int(self.rig.log.last_term) + 1)
        self.applied = base

    @rule()
    def vote(self) -> None:
        self.rig.vote()

    @rule()
    def stage(self) -> None:
        self.rig.stage()

    @precondition(lambda self: self.rig.disk.pending)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.rig.finish(data.draw(st.integers(1, len(self.rig.disk.pending))))

    @invariant()
    def nothing_counts_as_durable_that_a_crash_can_take(self) -> None:
        rig = self.rig
        assert rig.state.persisted_index <= rig.disk.certain_last(rig.image)
        assert rig.state.durable_seq <= rig.state.write_seq

    @invariant()
    def everything_counts_once_all_is_written(self) -> None:
        rig = self.rig
        if rig.staged and not rig.disk.pending:
            assert rig.state.persisted_index == rig.log.last_index == agreed(rig.disk.durable, rig.image)
            assert rig.disk.hard_state == rig.hard_state

    @invariant()
    def term_and_vote_count_when_the_disk_has_them(self) -> None:
        assert self.rig.state.hard_state_durable == (self.rig.disk.hard_state == self.rig.hard_state)

    def teardown(self) -> None:
        self.rig.stage()
        if self.rig.disk.pending:
            self.rig.finish(len(self.rig.disk.pending))
        self.everything_counts_once_all_is_written()


DiskMachine.TestCase.settings = settings(
    max_examples=max(settings().max_examples // 2, 1), stateful_step_count=25
)
TestDisk: Any = DiskMachine.TestCase


def test_a_late_completion_does_not_vouch_for_an_entry_written_again_at_its_place() -> None:
    """etcd's async_storage_writes_append_aba_race: same index, same term, another write."""
    rig = Rig()
    rig.append([b"a"])
    rig.stage()
    rig.truncate(1)
    rig.append([b"b"], term=2)
    rig.stage()
    rig.truncate(1)
    rig.append([b"a"], term=2)
    rig.stage()
    for write, persisted in ((1, 0), (1, 0), (1, 1)):
        rig.finish(write)
        assert rig.state.persisted_index == persisted


def test_nothing_to_write_orders_no_write() -> None:
    rig = Rig(entries=2)
    assert rig.state.stage(rig.log, rig.hard_state) is None
    assert rig.state.write_seq == 0


def test_a_cut_alone_is_written() -> None:
    rig = Rig(entries=2)
    rig.truncate(2)
    persist = rig.state.stage(rig.log, rig.hard_state)
    assert persist is not None
    assert (persist.truncate, persist.first_index, persist.entries) == (True, 2, ())


def test_a_cut_of_what_was_never_ordered_is_not_written() -> None:
    rig = Rig(entries=2)
    rig.append([b"a", b"b"])
    rig.truncate(3)
    assert rig.state.stage(rig.log, rig.hard_state) is None


@given(st.integers(1, 5), st.integers(-3, 9))
def test_a_completion_is_one_of_ours_and_in_order(writes: int, seq: int) -> None:
    rig = Rig()
    for _ in range(writes):
        rig.append([b"a"])
        rig.stage()
    rig.finish(1)
    if 1 <= seq <= writes:
        rig.state.completed(seq)
        assert rig.state.persisted_index == seq
    else:
        with pytest.raises(InvariantViolated, match="is one of ours"):
            rig.state.completed(seq)


def test_the_write_that_makes_a_vote_durable_is_known_by_number() -> None:
    rig = Rig()
    rig.vote()
    rig.stage()
    rig.append([b"a"])
    rig.stage()
    assert (rig.state.hard_state_seq, rig.state.write_seq) == (1, 2)
    assert not rig.state.hard_state_durable
    rig.finish(1)
    assert rig.state.hard_state_durable
