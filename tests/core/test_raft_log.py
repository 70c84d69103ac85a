"""The log against a plain list of entries: every answer is either what the list says, or "must be loaded"."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ferrite.core import Entry, Index, InvariantViolated, RecoveredLog, Term
from ferrite.core.raft_log import RaftLog

CACHE_BYTES_MAX = 60
sizes = st.integers(1, 30)
BLOCK = 1024


def entry(term: int, size: int, mark: int) -> Entry:
    return Entry(Term(term), (b"%d." % mark).ljust(size, b"x")[:size])


def runs_of(entries: list[Entry], base: int) -> tuple[tuple[Index, Term], ...]:
    runs: list[tuple[Index, Term]] = []
    for at, made in enumerate(entries):
        if not runs or runs[-1][1] != made.term:
            runs.append((Index(base + 1 + at), made.term))
    return tuple(runs)


def log_of(terms: list[int], *, base: int = 0, base_term: int = 0, tail: int | None = None) -> RaftLog:
    """A recovered log with these terms after the base, of which the last `tail` entries are in memory."""
    entries = [entry(term, 10, base + 1 + at) for at, term in enumerate(terms)]
    kept = len(entries) if tail is None else tail
    last = base + len(entries)
    return RaftLog(
        RecoveredLog(
            base_index=Index(base),
            base_term=Term(base_term),
            last_index=Index(last),
            term_runs=runs_of(entries, base),
            tail_first_index=Index(last - kept + 1),
            tail=tuple(entries[len(entries) - kept :]),
        ),
        CACHE_BYTES_MAX,
    )


class LogMachine(RuleBasedStateMachine):
    """Does the same to a list `entries` after `base`; the list forgets nothing, the log may forget payloads."""

    @initialize(
        base=st.integers(0, 3),
        steps=st.lists(st.tuples(st.integers(0, 2), sizes), max_size=12),
        kept=st.integers(0, 12),
    )
    def start(self, base: int, steps: list[tuple[int, int]], kept: int) -> None:
        self.base, self.base_term, self.mark = base, 2 if base else 0, 0
        self.entries: list[Entry] = []
        self.grow(steps)
        tail = self.entries[max(len(self.entries) - kept, 0) :]
        self.log = RaftLog(
            RecoveredLog(
                base_index=Index(base),
                base_term=Term(self.base_term),
                last_index=Index(self.last),
                term_runs=runs_of(self.entries, base),
                tail_first_index=Index(self.last - len(tail) + 1),
                tail=tuple(tail),
            ),
            CACHE_BYTES_MAX,
        )

    @property
    def last(self) -> int:
        return self.base + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.base_term

    def grow(self, steps: list[tuple[int, int]]) -> list[Entry]:
        new = []
        for higher, size in steps:
            self.mark += 1
            new.append(entry(max(self.last_term, 1) + higher, size, self.mark))
            self.entries.append(new[-1])
        return new

    @rule(steps=st.lists(st.tuples(st.sampled_from((0, 0, 0, 1, 3)), sizes), max_size=6))
    def append(self, steps: list[tuple[int, int]]) -> None:
        self.log.append(self.grow(steps))

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(self.base + 1, self.last + 1))
        self.log.truncate(Index(first))
        del self.entries[first - self.base - 1 :]

    @rule(ahead=st.integers(0, 5), higher=st.integers(0, 2))
    def reset(self, ahead: int, higher: int) -> None:
        self.base_term = self.last_term + higher
        self.base, self.entries = self.last + ahead, []
        self.log.reset(Index(self.base), Term(self.base_term))

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(self.base + 1, self.last + 1))
        if first > self.base + 1:
            self.base_term = self.entries[first - self.base - 2].term
        del self.entries[: first - self.base - 1]
        self.base = first - 1
        self.log.discard(Index(first))

    @rule(data=st.data())
    def trim_cache(self, data: st.DataObject) -> None:
        needed = data.draw(st.integers(self.base + 1, self.last + 1))
        before = self.log.slice(needed, self.last + 1, 1 << 62)
        self.log.trim_cache(Index(needed))
        assert self.log.slice(needed, self.last + 1, 1 << 62) == before, "what is needed stays"

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(self.base + 1, self.last))
        end = data.draw(st.integers(first + 1, self.last + 1))
        loaded = tuple(self.entries[first - self.base - 1 : end - self.base - 1])
        assert self.log.keep_loaded(Index(first), loaded)
        kept = self.log.slice(first, end, 1 << 62)
        assert kept is not None and kept and kept == loaded[: len(kept)]

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), higher=st.integers(1, 9))
    def load_something_outdated(self, data: st.DataObject, higher: int) -> None:
        first = data.draw(st.integers(self.base + 1, self.last))
        loaded = list(self.entries[first - self.base - 1 :])
        at = data.draw(st.integers(0, len(loaded) - 1))
        loaded[at] = Entry(Term(loaded[at].term + higher), b"other")
        assert not self.log.keep_loaded(Index(first), tuple(loaded))
        assert not self.log.keep_loaded(Index(self.last), (self.entries[-1], self.entries[-1]))

    @invariant()
    def positions_agree(self) -> None:
        log = self.log
        assert (log.base_index, log.base_term) == (self.base, self.base_term)
        assert (log.first_index, log.last_index, len(log)) == (self.base + 1, self.last, len(self.entries))
        assert log.last_term == self.last_term

    @invariant()
    def terms_agree(self) -> None:
        for index in range(max(self.base - 2, 0), self.last + 3):
            known = (
                self.entries[index - self.base - 1].term
                if self.base < index <= self.last
                else self.base_term
                if index == self.base
                else None
            )
            assert self.log.term_at(index) == known
        for index in range(self.base + 1, self.last + 1):
            same = [at for at in range(self.base + 1, index + 1) if self.term(at) == self.term(index)]
            assert self.log.first_index_of_term_at(index) == min(same)
        for term in range(self.last_term + 3):
            held = [at for at in range(self.base + 1, self.last + 1) if self.term(at) == term]
            at_base = self.base if self.base_term == term else 0
            assert self.log.last_index_of_term(term) == (max(held) if held else at_base)

    def term(self, index: int) -> int:
        return self.entries[index - self.base - 1].term

    @invariant()
    def slices_are_what_was_appended_or_must_be_loaded(self) -> None:
        for first in range(self.base + 1, self.last + 1):
            for end in {first + 1, first + 3, self.last + 1}:
                got = self.log.slice(first, end, 45)
                if got is None:
                    continue
                wanted = self.entries[first - self.base - 1 : end - self.base - 1]
                assert got and list(got) == wanted[: len(got)]
                size = sum(len(one.payload) for one in got)
                assert len(got) == 1 or size <= 45
                cut = len(got) < len(wanted)
                assert not cut or size + len(wanted[len(got)].payload) > 45 or first < self.log._cache_first
        assert self.log.slice(self.last + 1, self.last + 1, 1) == ()

    @invariant()
    def bytes_are_right_to_a_few_blocks(self) -> None:
        assert self.log.bytes >= 0
        assert self.log.cache_bytes == sum(len(one.payload) for one in self.log._cache)


LogMachine.TestCase.settings = settings(
    max_examples=max(settings().max_examples // 3, 1), stateful_step_count=20
)
TestLog: Any = LogMachine.TestCase


# -- up-to-date -----------------------------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 4), st.integers(0, 4)), st.tuples(st.integers(1, 4), st.integers(0, 4)))
def test_the_later_last_term_is_more_up_to_date_and_then_the_longer_log(
    mine: tuple[int, int], other: tuple[int, int]
) -> None:
    term, length = mine
    log = log_of([term] * length)
    own = (term if length else 0, length)
    assert log.is_up_to_date(last_log_term=other[0], last_log_index=other[1]) == (other >= own)


# -- bytes ----------------------------------------------------------------------------------------------------


def real_bytes(log: RaftLog, size: int) -> int:
    return len(log) * size


@pytest.mark.parametrize("count", [10, BLOCK, 3 * BLOCK + 17])
def test_the_bytes_of_appended_entries_are_counted(count: int) -> None:
    log = log_of([])
    log.append([entry(1, 10, at) for at in range(count)])
    assert log.bytes == 10 * count
    log.reset(Index(count + 5), Term(2))
    assert log.bytes == 0 and log.bytes_above(0) == 0


@pytest.mark.parametrize("first", [2, BLOCK, BLOCK + 1, 2 * BLOCK + 500, 3 * BLOCK + 1])
def test_a_discard_and_a_truncation_take_their_bytes_away_to_a_block(first: int) -> None:
    discarded, truncated = log_of([]), log_of([])
    for log in (discarded, truncated):
        log.append([entry(1, 10, at) for at in range(3 * BLOCK)])
    discarded.discard(Index(first))
    truncated.truncate(Index(first))
    for log in (discarded, truncated):
        assert abs(log.bytes - real_bytes(log, 10)) <= 10 * BLOCK
    assert abs(discarded.bytes_above(2 * BLOCK) - 10 * min(BLOCK, len(discarded))) <= 10 * BLOCK


def test_cutting_and_writing_again_does_not_inflate_the_count() -> None:
    log = log_of([1] * 10)
    for again in range(2, 300):
        log.truncate(Index(6))
        log.append([entry(again, 10, at) for at in range(5)])
    assert abs(log.bytes - real_bytes(log, 10)) <= 10 * BLOCK


def test_entries_that_were_not_read_are_taken_to_be_like_those_that_were() -> None:
    assert log_of([1] * 100, tail=10).bytes == 1000
    assert log_of([1] * 100, tail=0).bytes == 0


# -- bounds ---------------------------------------------------------------------------------------------------


def test_the_cache_is_trimmed_to_its_bound_but_keeps_what_is_needed() -> None:
    log = log_of([1] * 50)
    log.trim_cache(Index(40))
    assert log.slice(40, 51, 1 << 62) is not None
    assert log.slice(1, 51, 1 << 62) is None
    log.trim_cache(Index(51))
    kept = log.slice(log._cache_first, 51, 1 << 62)
    assert kept is not None
    assert sum(len(one.payload) for one in kept) <= CACHE_BYTES_MAX


def test_a_cache_below_its_bound_is_left_alone() -> None:
    log = log_of([1] * 6)
    log.trim_cache(Index(7))
    assert log.slice(1, 7, 1 << 62) is not None


def test_impossible_demands_are_refused_by_name() -> None:
    log = log_of([1, 1, 3], base=4, base_term=1)
    with pytest.raises(InvariantViolated, match="terms never decrease"):
        log.append([entry(2, 3, 0)])
    with pytest.raises(InvariantViolated, match="base is never cut"):
        log_of([1], base=4, base_term=1).truncate(Index(4))
    with pytest.raises(InvariantViolated, match="can be discarded"):
        log_of([1], base=4, base_term=1).discard(Index(9))
    with pytest.raises(InvariantViolated, match="ends at last_index"):
        RaftLog(
            RecoveredLog(last_index=Index(3), tail=(entry(1, 3, 0),), term_runs=((Index(1), Term(1)),)), 10
        )
    with pytest.raises(InvariantViolated, match="terms cover"):
        RaftLog(RecoveredLog(last_index=Index(3)), 10)
