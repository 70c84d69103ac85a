"""The log as the core sees it: index and term of every entry, and the payloads of the recent ones.

Positions, on one axis:  0 <= base_index < first_index = base_index + 1 <= ... <= last_index
Entries up to `base_index` are covered by the state (or never existed); `base_term` is the term at `base_index`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from ferrite.core.recovered import RecoveredLog
from ferrite.core.values import Entry, Index, Term, must

_BLOCK: Final = 16
"""Entries per counter of bytes: the size of the log is known to about this many entries."""


class RaftLog:
    """Run-length terms of all entries, a cache of payloads at the end, and one loaded stretch for slow peers."""

    def __init__(self, recovered: RecoveredLog, cache_bytes_max: int) -> None:
        """Start from what was found on disk."""
        self.base_index: Index = recovered.base_index
        self.base_term: Term = recovered.base_term
        self.last_index: Index = recovered.last_index
        self.bytes = 0
        self._run_starts: list[Index] = [first for first, _ in recovered.term_runs]
        self._run_terms: list[Term] = [term for _, term in recovered.term_runs]
        self._cache: list[Entry] = list(recovered.tail)
        self._cache_first: Index = (
            recovered.tail_first_index if recovered.tail else Index(self.last_index + 1)
        )
        self.cache_bytes = sum(len(entry.payload) for entry in recovered.tail)
        self.cache_bytes_max = cache_bytes_max
        self._loaded_first: Index = Index(0)
        self._loaded: tuple[Entry, ...] = ()
        self._block_bytes: dict[int, int] = {}
        self._count_recovered_bytes()
        must(
            self._cache_first + len(self._cache) == self.last_index + 1,
            "the recovered tail ends at last_index",
        )
        must(
            len(self) == 0 or (self._run_starts and self._run_starts[0] == self.first_index),
            "terms cover the log",
        )

    def __len__(self) -> int:
        """Return how many entries are above the base."""
        return self.last_index - self.base_index

    @property
    def first_index(self) -> Index:
        """The first entry that is still in the log (or would be)."""
        return Index(self.base_index + 1)

    @property
    def last_term(self) -> Term:
        """The term of the last entry, or of the base when the log is empty."""
        return self._run_terms[-1] if self._run_terms else self.base_term

    def term_at(self, index: int) -> Term | None:
        """Return the term of the entry at `index`, `base_term` at the base, None outside."""
        if index == self.base_index:
            return self.base_term
        if index < self.base_index or index > self.last_index:
            return None
        return self._run_terms[bisect_right(self._run_starts, index) - 1]

    def first_index_of_term_at(self, index: int) -> Index:
        """Return where the run of equal terms that holds `index` begins; `index` is in the log."""
        return self._run_starts[bisect_right(self._run_starts, index) - 1]

    def last_index_of_term(self, term: int) -> Index:
        """Return the last entry of this term, 0 when there is none above the base (the base counts)."""
        place = bisect_right(self._run_terms, term) - 1
        if place < 0 or self._run_terms[place] != term:
            return self.base_index if self.base_term == term else Index(0)
        end = self._run_starts[place + 1] if place + 1 < len(self._run_starts) else self.last_index + 1
        return Index(end - 1)

    @property
    def cached_from(self) -> Index:
        """Entries from here on are in memory; those below are on disk and must be loaded."""
        return self._cache_first

    def is_up_to_date(self, last_log_index: int, last_log_term: int) -> bool:
        """Is a log that ends so at least as up-to-date as ours? Raft 5.4.1: the later term wins, then the longer log."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries after the last one. Terms never decrease."""
        for entry in entries:
            self.last_index = Index(self.last_index + 1)
            if not self._run_terms or self._run_terms[-1] != entry.term:
                must(entry.term >= self.last_term, "terms never decrease along the log")
                self._run_starts.append(self.last_index)
                self._run_terms.append(entry.term)
            self._count(self.last_index, len(entry.payload))
            self.cache_bytes += len(entry.payload)
        self._cache.extend(entries)

    def truncate(self, first_index: Index) -> None:
        """Drop everything from `first_index` on."""
        must(first_index > self.base_index, "the base is never cut away")
        while self._run_starts and self._run_starts[-1] >= first_index:
            self._run_starts.pop()
            self._run_terms.pop()
        while self._cache and self._cache_first + len(self._cache) > first_index:
            block, size = (self._cache_first + len(self._cache) - 1) // _BLOCK, len(self._cache.pop().payload)
            self.cache_bytes -= size
            self._block_bytes[block] -= size
            self.bytes -= size
        if not self._cache:
            self._cache_first = first_index
        self._loaded = ()
        self.last_index = Index(first_index - 1)
        self._forget_blocks(lambda block: block > self.last_index // _BLOCK)

    def reset(self, base_index: Index, base_term: Term) -> None:
        """Begin anew after an installed snapshot."""
        self.base_index, self.base_term, self.last_index = base_index, base_term, base_index
        self._run_starts, self._run_terms = [], []
        self._cache.clear()
        self._cache_first, self.cache_bytes = Index(base_index + 1), 0
        self._loaded = ()
        self._block_bytes, self.bytes = {}, 0

    def discard(self, first_index: Index) -> None:
        """Let go of everything below `first_index`, which the flushed state covers."""
        term = self.term_at(first_index - 1)
        must(term is not None and first_index <= self.last_index + 1, "only what is there can be discarded")
        self.base_index, self.base_term = Index(first_index - 1), term or Term(0)
        while len(self._run_starts) > 1 and self._run_starts[1] <= first_index:
            del self._run_starts[0], self._run_terms[0]
        if self._run_starts and self.last_index < first_index:
            self._run_starts, self._run_terms = [], []
        elif self._run_starts:
            self._run_starts[0] = max(self._run_starts[0], first_index)
        self._shrink_cache(first_index)
        self._forget_blocks(lambda block: block < first_index // _BLOCK)

    def tail(self, first: int) -> tuple[Entry, ...] | None:
        """Return everything from `first` on; None when it must be loaded."""
        return tuple(self._cache[first - self._cache_first :]) if first >= self._cache_first else None

    def slice(self, first: int, end: int, bytes_max: int) -> tuple[Entry, ...] | None:
        """Return `[first, end)`, cut to about `bytes_max` but one entry at least; None when it must be loaded."""
        if first >= self._cache_first:
            return _bounded(self._cache[first - self._cache_first : end - self._cache_first], bytes_max)
        if self._loaded and self._loaded_first <= first < self._loaded_first + len(self._loaded):
            start = first - self._loaded_first
            return _bounded(self._loaded[start : start + end - first], bytes_max)
        return None

    def keep_loaded(self, first_index: Index, entries: tuple[Entry, ...]) -> bool:
        """Remember a loaded stretch for `slice`; False when it is no longer what the log holds."""
        if any(self.term_at(first_index + at) != entry.term for at, entry in enumerate(entries)):
            return False
        self._loaded_first, self._loaded = first_index, entries
        return True

    def trim_cache(self, needed_first: Index, bytes_max: int | None = None) -> None:
        """Drop old payloads while the cache is above its bound (or this one), but none from `needed_first` on."""
        bytes_max = self.cache_bytes_max if bytes_max is None else bytes_max
        if self.cache_bytes <= bytes_max:
            return
        # By a quarter at a time: dropping from the front of a list costs the whole list.
        goal, size, dropped = bytes_max * 3 // 4, self.cache_bytes, 0
        while size > goal and dropped < len(self._cache) and self._cache_first + dropped < needed_first:
            size -= len(self._cache[dropped].payload)
            dropped += 1
        self._drop_cached(dropped)

    def bytes_above(self, index: int) -> int:
        """Return about how many bytes of payload lie above `index`: its share of the entries."""
        return self.bytes * (self.last_index - index) // max(len(self), 1)

    def _shrink_cache(self, first_index: Index) -> None:
        self._drop_cached(min(max(first_index - self._cache_first, 0), len(self._cache)))
        self._cache_first = max(self._cache_first, first_index)
        if self._loaded_first < first_index:
            self._loaded = ()

    def _drop_cached(self, count: int) -> None:
        self.cache_bytes -= sum(len(entry.payload) for entry in self._cache[:count])
        del self._cache[:count]
        self._cache_first = Index(self._cache_first + count)

    def _count(self, index: int, size: int) -> None:
        block = index // _BLOCK
        self._block_bytes[block] = self._block_bytes.get(block, 0) + size
        self.bytes += size

    def _forget_blocks(self, gone: Callable[[int], bool]) -> None:
        for block in [block for block in self._block_bytes if gone(block)]:
            self.bytes -= self._block_bytes.pop(block)

    def _count_recovered_bytes(self) -> None:
        # Only the tail's sizes are known: the older entries are taken to be like it.
        average = self.cache_bytes // len(self._cache) if self._cache else 0
        for index in range(self.first_index, self._cache_first):
            self._count(index, average)
        for at, entry in enumerate(self._cache):
            self._count(self._cache_first + at, len(entry.payload))


def _bounded(entries: Sequence[Entry], bytes_max: int) -> tuple[Entry, ...]:
    size = 0
    for at, entry in enumerate(entries):
        size += len(entry.payload)
        if at and size > bytes_max:
            return tuple(entries[:at])
    return tuple(entries)
