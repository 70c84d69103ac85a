"""The log's content, record by record, as recovery reads it: what a record may follow, and what it does."""

from __future__ import annotations

from typing import Final

from ferrite.core.disk.entry_index import EntryIndex
from ferrite.core.disk.errors import LogCorrupt
from ferrite.core.disk.mark import Mark
from ferrite.core.disk.record import Body, Flags, RecordHeader
from ferrite.core.disk.segment import SegmentHead
from ferrite.core.disk.tail import Tail
from ferrite.core.values import Entry, EntryKind, HardState, Index, NodeId, Term, payload_kind

_MEMBERSHIP: Final = int(EntryKind.MEMBERSHIP)


class Replay:
    """The log so far. Each method checks first and raises `LogCorrupt` without having changed anything."""

    def __init__(self, first: SegmentHead, mark: Mark, tail_bytes_max: int) -> None:
        self.index = EntryIndex(first.last_index, first.last_term)
        self.hard_state = HardState(
            cluster_id=first.owner.cluster_id, term=Term(first.term), voted_for=NodeId(first.voted_for)
        )
        self.complete_seq = first.write_seq
        """The last write of which every record was read."""
        self.complete_crc = first.prev_crc
        self.open_seq = first.open_seq
        """The write of which the last record read was not the last; 0 as a rule."""
        self.crc = first.crc
        self.record_count = 0
        self.memberships: list[tuple[Index, bytes]] = []
        self.mark_found = mark.write_seq <= first.write_seq
        self._mark = mark
        self._tail = Tail(tail_bytes_max)

    def tail(self) -> tuple[Entry, ...]:
        """Return the last entries, bounded by bytes."""
        return self._tail.entries()

    @property
    def write_seq(self) -> int:
        """The last write of which a record was read."""
        return max(self.open_seq, self.complete_seq)

    def enter_segment(self, head: SegmentHead, prev_end: int) -> None:
        """Begin the segment after one that ended at `prev_end`."""
        index, hard_state = self.index, self.hard_state
        found = (
            head.prev_end, head.prev_crc, head.write_seq, head.open_seq,
            head.term, head.voted_for, head.last_index, head.last_term,
        )  # fmt: skip
        expected = (
            prev_end, self.crc, self.complete_seq, self.open_seq,
            hard_state.term, hard_state.voted_for, index.last_index, index.last_term,
        )  # fmt: skip
        if found != expected:
            raise LogCorrupt(
                f"segment {head.number} does not continue segment {head.number - 1} (end, CRC, write, open write, term, "
                f"vote, index, its term: it says "
                f"{found}, read was {expected}): one of them is damaged or from another time"
            )
        self.crc = head.crc

    def add(self, header: RecordHeader, body: Body, number: int, offset: int) -> None:
        """Take one record that stands at `offset` of segment `number`."""
        where = f"segment {number}: the record at byte {offset}"
        self._check_order(header, where)
        self._check_content(header, body, where)
        if header.flags & Flags.HARD_STATE:
            self._set_hard_state(header.term, header.voted_for)
        if header.flags & Flags.BASE:
            self._rebase(header.base_index, header.base_term)
        if header.flags & Flags.TRUNCATE:
            self._truncate(header.first_index, header.prev_term)
        if body.payloads:
            self.index.append(header.first_index, body.runs, (number, offset, header.raw_bytes))
            self._tail.append(header.first_index, header.length, body)
            self._find_memberships(header.first_index, body.payloads)
        self.crc = header.crc
        self.record_count += 1
        self.open_seq = header.write_seq if header.flags & Flags.CONTINUED else 0
        if not self.open_seq:
            self.complete_seq, self.complete_crc = header.write_seq, header.crc
            self._compare_with_mark(where)

    def _check_order(self, header: RecordHeader, where: str) -> None:
        if header.prev_crc != self.crc:
            raise LogCorrupt(
                f"{where} does not follow the record before it: one of them is from another time"
            )
        if header.flags & Flags.CONTINUES:
            if header.write_seq != self.open_seq:
                raise LogCorrupt(f"{where} continues write {header.write_seq}, which did not begin before it")
        elif header.write_seq <= self.write_seq:
            raise LogCorrupt(
                f"{where} is write {header.write_seq} after write {self.write_seq}; they must grow"
            )

    def _check_content(self, header: RecordHeader, body: Body, where: str) -> None:
        term = self.hard_state.term
        if header.flags & Flags.HARD_STATE:
            if header.term < term:
                raise LogCorrupt(f"{where} takes the term back from {term} to {header.term}")
            term = Term(header.term)
        last_index, last_term = int(self.index.last_index), int(self.index.last_term)
        if header.flags & Flags.BASE:
            last_index, last_term = header.base_index, header.base_term
        if header.flags & Flags.TRUNCATE:
            if not 0 < header.first_index <= last_index + 1:
                raise LogCorrupt(f"{where} truncates from {header.first_index}, the log ends at {last_index}")
            last_index, last_term = header.first_index - 1, header.prev_term
        terms = [run_term for run_term, _ in body.runs]
        if header.entry_count and header.first_index != last_index + 1:
            raise LogCorrupt(f"{where} has entries from {header.first_index}, the log ends at {last_index}")
        if any(later < earlier for earlier, later in zip([last_term, *terms], terms, strict=False)):
            raise LogCorrupt(
                f"{where} has entries of terms {terms} after term {last_term}; they must not fall"
            )
        if terms and terms[-1] > term:
            raise LogCorrupt(f"{where} has entries of term {terms[-1]}, the node was only in term {term}")

    def _set_hard_state(self, term: int, voted_for: int) -> None:
        self.hard_state = HardState(
            cluster_id=self.hard_state.cluster_id, term=Term(term), voted_for=NodeId(voted_for)
        )

    def _rebase(self, base_index: int, base_term: int) -> None:
        self.index.reset(base_index, base_term)
        self.memberships.clear()
        self._tail.clear()

    def _truncate(self, first_index: int, prev_term: int) -> None:
        self._tail.truncate(first_index)
        while self.memberships and self.memberships[-1][0] >= first_index:
            self.memberships.pop()
        self.index.truncate(first_index, prev_term)

    def _find_memberships(self, first_index: int, payloads: list[bytes]) -> None:
        for index, payload in enumerate(payloads, first_index):
            if payload_kind(payload) == _MEMBERSHIP:
                self.memberships.append((Index(index), payload))

    def _compare_with_mark(self, where: str) -> None:
        if self.complete_seq == self._mark.write_seq:
            if self.crc != self._mark.crc:
                raise LogCorrupt(f"{where} is not what the durable mark says of write {self.complete_seq}")
            self.mark_found = True
