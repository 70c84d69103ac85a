"""What the leader knows of a peer: whatever comes in whatever order, next is above match and the window adds up."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ferrite.core import Index, InvariantViolated, SnapshotMeta, Term
from ferrite.core.progress import Progress, ProgressState

LAST = 30


class ProgressMachine(RuleBasedStateMachine):
    """Calls in any order that the leader could make; the model of the window is a list of what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(next_index=Index(5), last_heard_us=0)
        self.window: list[tuple[int, int]] = []
        self.match = 0

    @precondition(lambda self: self.progress.state is not ProgressState.SNAPSHOT)
    @rule(count=st.integers(0, 4), size=st.integers(0, 99))
    def send(self, count: int, size: int) -> None:
        before = self.progress.next_index
        last = before - 1 + count
        self.progress.sent(Index(last), size)
        if self.progress.state is ProgressState.REPLICATE:
            self.window.append((last, size))
            assert self.progress.next_index == last + 1
        else:
            assert self.progress.probe_outstanding and self.progress.next_index == before

    @rule(index=st.integers(0, LAST), boot=st.integers(1, 3))
    def match_up_to(self, index: int, boot: int) -> None:
        news = self.progress.matched(Index(index), boot)
        assert news == (index > self.match)
        assert not news or self.progress.match_boot == boot
        self.match = max(self.match, index)
        while self.window and self.window[0][0] <= index:
            self.window.pop(0)

    @rule()
    def probe(self) -> None:
        replicating = self.progress.state is ProgressState.REPLICATE
        before = self.progress.next_index
        self.progress.to_probe()
        self.window.clear()
        assert self.progress.state is ProgressState.PROBE
        assert not self.progress.probe_outstanding
        assert self.progress.next_index == (self.match + 1 if replicating else before)

    @rule()
    def replicate(self) -> None:
        self.progress.to_replicate()
        self.window.clear()
        assert self.progress.state is ProgressState.REPLICATE

    @rule()
    def begin_a_snapshot(self) -> None:
        self.progress.to_snapshot()
        self.window.clear()
        self.progress.snapshot = SnapshotMeta(
            snapshot_id=bytes(16), last_index=Index(1), last_term=Term(1), size_bytes=1
        )

    @rule()
    def lose_the_tail(self) -> None:
        self.progress.lost_tail()
        self.window.clear()
        self.match = 0
        assert self.progress.state is ProgressState.PROBE

    @invariant()
    def next_is_above_match(self) -> None:
        assert self.progress.match_index == self.match
        assert self.progress.next_index > self.match

    @invariant()
    def the_window_adds_up(self) -> None:
        assert list(self.progress.inflight) == self.window
        assert self.progress.inflight_messages == len(self.window)
        assert self.progress.inflight_bytes == sum(size for _, size in self.window)
        assert not self.window or self.progress.state is ProgressState.REPLICATE

    @invariant()
    def a_snapshot_is_remembered_only_while_it_is_sent(self) -> None:
        assert (self.progress.snapshot is None) == (self.progress.state is not ProgressState.SNAPSHOT)


ProgressMachine.TestCase.settings = settings(
    max_examples=max(settings().max_examples // 3, 1), stateful_step_count=20
)
TestProgress: Any = ProgressMachine.TestCase


def test_appends_are_not_sent_beside_a_snapshot() -> None:
    progress = Progress(next_index=Index(1), last_heard_us=0)
    progress.to_snapshot()
    with pytest.raises(InvariantViolated, match="PROBE and REPLICATE only"):
        progress.sent(Index(1), 1)


def test_a_late_acknowledgement_changes_neither_match_nor_next() -> None:
    progress = Progress(next_index=Index(9), last_heard_us=0)
    assert progress.matched(Index(7), 1)
    assert not progress.matched(Index(3), 2)
    assert (progress.match_index, progress.next_index, progress.match_boot) == (7, 9, 1)
