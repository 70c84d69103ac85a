"""What is ordered to the disk and what is durable: the bookkeeping behind `Persist` and every promise."""

from __future__ import annotations

from collections import deque

from ferrite.core.actions import Persist
from ferrite.core.raft_log import RaftLog
from ferrite.core.values import HardState, Index, Term, must


class DiskState:
    """Always: `persisted_index <= unwritten_first - 1 <= log.last_index`, and `durable_seq <= write_seq`.

    Completions are matched by write number, not by index: an entry that was cut away and written again at the same
    index (even in the same term, etcd's ABA) is durable only with its own write.
    """

    def __init__(self, last_index: Index, last_write_seq: int) -> None:
        """Begin with everything recovered being durable."""
        self.write_seq = self.durable_seq = last_write_seq
        self.persisted_index = last_index
        self._unwritten_first = Index(last_index + 1)
        self._truncate = False
        self._base: tuple[Index, Term] | None = None
        self._hard_state_dirty = False
        self.hard_state_seq = last_write_seq
        """The write that makes the present term and vote durable (after `stage`)."""
        self._pending: deque[tuple[int, Index]] = deque()

    @property
    def hard_state_durable(self) -> bool:
        """Are the present term and vote on disk?"""
        return not self._hard_state_dirty and self.hard_state_seq <= self.durable_seq

    def hard_state_changed(self) -> None:
        """Term, vote or cluster id changed."""
        self._hard_state_dirty = True

    def truncated(self, first_index: Index) -> None:
        """The log was cut: what was durable from here on no longer counts, nor do writes on their way."""
        self.persisted_index = Index(min(self.persisted_index, first_index - 1))
        self._cap_pending(first_index)
        if first_index < self._unwritten_first:
            self._truncate = True
            self._unwritten_first = first_index

    def reset(self, base_index: Index, base_term: Term) -> None:
        """The log begins anew behind an installed snapshot, which is durable by itself."""
        self._cap_pending(Index(0))
        self._base, self._truncate = (base_index, base_term), False
        self.persisted_index = Index(0)
        self._unwritten_first = Index(base_index + 1)

    def stage(self, log: RaftLog, hard_state: HardState) -> Persist | None:
        """Return the one write for everything that changed since the last one, or None."""
        new_entries = self._unwritten_first <= log.last_index
        if not (new_entries or self._truncate or self._base or self._hard_state_dirty):
            return None
        entries = log.tail(self._unwritten_first) or ()
        must(self._unwritten_first + len(entries) == log.last_index + 1, "unwritten entries are in the cache")
        self.write_seq += 1
        persist = Persist(
            write_seq=self.write_seq,
            hard_state=hard_state if self._hard_state_dirty else None,
            base=self._base,
            first_index=self._unwritten_first,
            truncate=self._truncate,
            entries=entries,
        )
        if self._hard_state_dirty:
            self.hard_state_seq = self.write_seq
        self._hard_state_dirty, self._truncate, self._base = False, False, None
        self._unwritten_first = Index(log.last_index + 1)
        self._pending.append((self.write_seq, log.last_index))
        return persist

    def completed(self, write_seq: int) -> None:
        """Take a `Persisted`."""
        if not self.durable_seq <= write_seq <= self.write_seq:
            must(False, f"Persisted({write_seq}) is one of ours, in order")
        self.durable_seq = write_seq
        while self._pending and self._pending[0][0] <= write_seq:
            self.persisted_index = self._pending.popleft()[1]

    def _cap_pending(self, first_index: Index) -> None:
        self._pending = deque((seq, Index(min(last, max(first_index - 1, 0)))) for seq, last in self._pending)
