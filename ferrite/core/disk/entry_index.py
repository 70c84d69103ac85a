"""Where the entries of the log are and which terms they have, in a few machine words a record, none an entry."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from ferrite.core.values import Index, Term, must


class Block(NamedTuple):
    """The live entries `[first_index, end_index)` of one record, `raw_bytes` long at `offset` of segment `number`."""

    first_index: int
    end_index: int
    number: int
    offset: int
    raw_bytes: int


class EntryIndex:
    """The live log: entries `base_index + 1` to `last_index`, without a gap, terms never falling.

    Blocks ascend by index and by place alike: a truncation drops blocks from the end before others are added.
    """

    __slots__ = (
        "_ends",
        "_firsts",
        "_numbers",
        "_offsets",
        "_run_firsts",
        "_run_terms",
        "_sizes",
        "base_index",
        "base_term",
    )

    def __init__(self, base_index: int = 0, base_term: int = 0) -> None:
        self.reset(base_index, base_term)

    def reset(self, base_index: int, base_term: int) -> None:
        """Empty the log; it begins after `base_index`."""
        self.base_index = Index(base_index)
        self.base_term = Term(base_term)
        self._firsts, self._ends, self._numbers = array("Q"), array("Q"), array("Q")
        self._offsets, self._sizes = array("I"), array("I")
        self._run_firsts, self._run_terms = array("Q"), array("Q")

    @property
    def last_index(self) -> Index:
        """Index of the last entry; `base_index` when there is none."""
        return Index(self._ends[-1] - 1) if self._ends else self.base_index

    @property
    def last_term(self) -> Term:
        """Term of the last entry, or of the base."""
        return Term(self._run_terms[-1]) if self._run_terms else self.base_term

    def term_runs(self) -> tuple[tuple[Index, Term], ...]:
        """Return `(first_index, term)`, ascending."""
        return tuple(
            (Index(first), Term(term)) for first, term in zip(self._run_firsts, self._run_terms, strict=True)
        )

    def term_at(self, index: int) -> Term:
        """Return the term of an entry of the log, or of its base."""
        must(self.base_index <= index <= self.last_index, f"index {index} is in the log or its base")
        run = bisect_right(self._run_firsts, index) - 1
        return Term(self._run_terms[run]) if run >= 0 else self.base_term

    def block_at(self, index: int) -> Block:
        """Return the block that holds the entry."""
        must(self.base_index < index <= self.last_index, f"entry {index} is in the log")
        at = bisect_right(self._firsts, index) - 1
        return Block(self._firsts[at], self._ends[at], self._numbers[at], self._offsets[at], self._sizes[at])

    def append(self, first_index: int, runs: Iterable[tuple[int, int]], place: tuple[int, int, int]) -> None:
        """Add the entries of one record; `runs` are `(term, count)`, `place` is `(number, offset, raw_bytes)`."""
        must(first_index == self.last_index + 1, "entries follow the last one")
        index = first_index
        for term, count in runs:
            if not self._run_terms or self._run_terms[-1] != term:
                must(term >= self.last_term, "terms never fall along the log")
                self._run_firsts.append(index)
                self._run_terms.append(term)
            index += count
        if index == first_index:
            return
        number, offset, raw_bytes = place
        self._firsts.append(first_index)
        self._ends.append(index)
        self._numbers.append(number)
        self._offsets.append(offset)
        self._sizes.append(raw_bytes)

    def truncate(self, first_index: int, prev_term: int) -> None:
        """Drop every entry from `first_index` on; `prev_term` is the term of the entry before.

        Below the base (older segments are gone already) the log becomes empty and begins at `first_index`.
        """
        if first_index <= self.base_index:
            self.reset(first_index - 1, prev_term)
            return
        while self._firsts and self._firsts[-1] >= first_index:
            for column in (self._firsts, self._ends, self._numbers, self._offsets, self._sizes):
                column.pop()
        if self._ends and self._ends[-1] > first_index:
            self._ends[-1] = first_index
        while self._run_firsts and self._run_firsts[-1] >= first_index:
            self._run_firsts.pop()
            self._run_terms.pop()

    def first_number_for(self, index: int) -> int | None:
        """Return the segment of the first live entry at or above `index`; None when there is none."""
        at = bisect_right(self._ends, index)
        return self._numbers[at] if at < len(self._numbers) else None

    def drop_below(self, number: int) -> None:
        """Forget the entries in segments below `number`; the base moves up to the last of them."""
        count = bisect_right(self._numbers, number - 1)
        if not count:
            return
        base_index = self._ends[count - 1] - 1
        base_term = self.term_at(base_index)
        for column in (self._firsts, self._ends, self._numbers, self._offsets, self._sizes):
            del column[:count]
        run = bisect_right(self._run_firsts, base_index + 1)
        if run and base_index + 1 <= self.last_index:
            del self._run_firsts[: run - 1], self._run_terms[: run - 1]
            self._run_firsts[0] = base_index + 1
        elif not self._ends:
            del self._run_firsts[:], self._run_terms[:]
        self.base_index, self.base_term = Index(base_index), Term(base_term)
