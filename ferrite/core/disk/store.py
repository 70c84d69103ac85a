"""The Raft log on disk: appends, syncs, loads and discards over `Files`. Formats and reasons: `docs/disk.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ferrite.core.actions import Persist
from ferrite.core.disk.drafts import drafts_of
from ferrite.core.disk.entry_index import Block
from ferrite.core.disk.errors import LogCorrupt
from ferrite.core.disk.files import MARK, SPARE, Files, segment_name
from ferrite.core.disk.mark import Mark, create_mark, write_mark
from ferrite.core.disk.record import Flags, RecordDraft, decode_body, decode_header, encode_record, place_crc
from ferrite.core.disk.recovery import SEGMENT_BYTES_MAX, TAIL_BYTES_MAX, Found, read_log
from ferrite.core.disk.repair import keep_and_clear, rewrite
from ferrite.core.disk.sectors import SECTOR_BYTES, sectors_for
from ferrite.core.disk.segment import Owner, SegmentHead, encode_segment_head
from ferrite.core.disk.spare import Spare
from ferrite.core.recovered import RecoveredLog
from ferrite.core.values import NO_CLUSTER, Entry, HardState, Identity, Index, NodeId, Term, must, value

SEGMENT_BYTES_MIN: Final = 8 * SECTOR_BYTES
"""Room for a head and a few records."""


@value
class LogOptions:
    """Sizes of the log's files. All have reasons, none needs tuning."""

    segment_bytes: int = 8 << 20
    """Measured: rolling costs about four syncs, and zeroing 8 MiB takes some 20 ms, spread over the second half of a segment."""
    record_bytes_max: int = 256 << 10
    """Payload above which a write becomes several records: what has to be read to load one entry."""
    spare_slice_bytes: int = 256 << 10
    """Zeros written at once for the next segment: about a millisecond, so that no write waits long for it."""
    tail_bytes_max: int = TAIL_BYTES_MAX


class _Durable(NamedTuple):
    """Up to where everything is durable; what the mark may say."""

    write_seq: int = 0
    number: int = 0
    end: int = 0
    crc: int = 0
    last_index: int = 0
    term: int = 0


class LogStore:
    """One Raft group's log. One owner, one thread. After any `DiskError` or `LogCorrupt` it must be thrown away.

    Always: what `sync` covered is found again by `open`, in order and unchanged, or `open` raises or reports a lost tail.
    """

    def __init__(
        self, files: Files, identity: Identity, group_id: int, options: LogOptions, found: Found
    ) -> None:
        """Only `open` calls this."""
        self._files = files
        self._identity = identity
        self._group_id = group_id
        self._options = options
        self._owner = found.owner
        self._owner_crc = found.owner.crc() if found.owner else 0
        self._hard_state = found.hard_state
        self._index = found.index
        self._segments = list(found.segments)
        self._number, self._size = found.segments[-1] if found.segments else (0, 0)
        self._end = found.end
        self._crc = found.crc
        self._complete_seq = found.complete_seq
        self._complete_crc = found.complete_crc
        self._open_seq = found.open_seq
        self._write_seq = found.log.last_write_seq
        self._durable_end = SECTOR_BYTES
        self._durable = _Durable()
        self._mark = found.mark
        self._lost = found.log.lost_tail
        self._spare = Spare(files, options.segment_bytes, options.spare_slice_bytes)
        self._broken = ""
        self.report = found.report

    @classmethod
    def open(
        cls, files: Files, identity: Identity, *, group_id: int = 0, options: LogOptions | None = None
    ) -> tuple[LogStore, RecoveredLog]:
        """Read, judge and mend the log; return it ready for the next write, everything in it durable.

        Raises `DiskError`, `LogCorrupt`, `WrongIdentity`, `NewerFormat`. What was found and done is in `report`.
        """
        options = options or LogOptions()
        must(
            SEGMENT_BYTES_MIN <= options.segment_bytes <= SEGMENT_BYTES_MAX,
            "segment_bytes is within its bounds",
        )
        must(options.segment_bytes % SECTOR_BYTES == 0, "segment_bytes is whole sectors")
        found = read_log(files, identity, group_id, options.tail_bytes_max)
        store = cls(files, identity, group_id, options, found)
        store._mend(found)
        return store, replace(found.log, last_write_seq=store._write_seq)

    def _mend(self, found: Found) -> None:
        if SPARE in found.names:
            self._files.remove(SPARE)
        if not found.segments:
            for name in (segment_name(1), MARK):
                if name in found.names:
                    self._files.remove(name)
            return
        if found.report.cut is not None:
            copy = keep_and_clear(self._files, found.report.cut, found.log.last_write_seq, found.names)
            self.report = replace(found.report, torn_copy=copy)
        # Written before a kill, read from the page cache: durable only once synced. Written again first, because after a failed
        # sync the kernel believes pages to be clean that never reached the disk.
        rewrite(
            self._files, self._number, found.mark.end if found.mark.number == self._number else 0, found.end
        )
        if self._lost is not None:
            self._remember_loss(found)
        self._took_sync()
        self.update_mark(found.mark.commit_index)

    def _remember_loss(self, found: Found) -> None:
        must(self._lost is not None and self._owner is not None, "a loss belongs to a log")
        assert self._lost is not None and self._owner is not None
        self._mark = found.mark._replace(
            sequence=found.mark.sequence + 1,
            lost=1,
            lost_index=self._lost.last_index,
            lost_term=self._lost.term,
        )
        write_mark(self._files, self._owner, self._mark)
        # The term that may have been lost becomes a record, so that what follows is judged by it.
        entries_end = Index(self._index.last_index + 1)
        self.append(
            [Persist(write_seq=self._write_seq + 1, first_index=entries_end, hard_state=found.log.hard_state)]
        )
        self._files.sync(segment_name(self._number))

    @property
    def base_index(self) -> Index:
        """Index before the first entry kept."""
        return self._index.base_index

    @property
    def first_index(self) -> Index:
        """Index of the first entry kept, or of the next one when there is none."""
        return Index(self._index.base_index + 1)

    @property
    def last_index(self) -> Index:
        """Index of the last entry, durable or not."""
        return self._index.last_index

    @property
    def last_write_seq(self) -> int:
        """The last write appended, durable or not."""
        return self._write_seq

    @property
    def size_bytes(self) -> int:
        """Bytes of the segment files, unused room included."""
        return sum(size for _, size in self._segments)

    def append(self, persists: Sequence[Persist]) -> None:
        """Write these, in order: one write call for each segment they fall into. Durable only after `sync`.

        Filling a segment syncs it, since no segment may begin before the one before it is durable.
        Raises `DiskError`; `InvariantViolated` for a `Persist` that the contract does not allow.
        """
        self._must_be_sound()
        pending: list[bytes] = []
        start = self._end
        try:
            for persist in persists:
                first_index, prev_term = self._check(persist)
                if not self._segments:
                    self._begin_log(persist)
                    start = self._end
                for draft in drafts_of(persist, first_index, prev_term, self._options.record_bytes_max):
                    raw_bytes = sectors_for(draft.length) * SECTOR_BYTES
                    if self._end + raw_bytes > self._size:
                        self._write(start, pending)
                        self._roll(raw_bytes)
                        pending, start = [], self._end
                    pending.append(self._take(draft))
                self._write_seq = self._complete_seq = persist.write_seq
                self._complete_crc = self._crc
            self._write(start, pending)
        except BaseException as error:
            self._broken = f"{type(error).__name__}: {error}"
            raise

    def sync(self) -> None:
        """Make every append so far durable. Raises `DiskError`; what was appended since the sync before is in doubt then."""
        self._must_be_sound()
        if not self._segments:
            return
        try:
            self._files.sync(segment_name(self._number))
        except BaseException as error:
            self._broken = f"{type(error).__name__}: {error}"
            raise
        self._took_sync()

    def load(self, first_index: int, end_index: int, bytes_max: int) -> tuple[Entry, ...]:
        """Return entries from `first_index` on, at least one, until `end_index` or about `bytes_max` of payload.

        They are what was written, by CRC, or this raises `LogCorrupt`; `DiskError` when they cannot be read.
        """
        must(
            self.base_index < first_index < end_index <= self.last_index + 1,
            f"[{first_index}, {end_index}) is in the log",
        )
        loaded: list[Entry] = []
        size = 0
        while first_index < end_index and (not loaded or size < bytes_max):
            block = self._index.block_at(first_index)
            for entry in self._read_block(block)[
                first_index - block.first_index : end_index - block.first_index
            ]:
                size += len(entry.payload)
                if loaded and size > bytes_max:
                    return tuple(loaded)
                loaded.append(entry)
            first_index = block.end_index
        return tuple(loaded)

    def discard(self, first_index: int) -> int:
        """Remove the oldest segments as long as they hold no entry at or above `first_index`. Returns how many."""
        self._must_be_sound()
        if not self._segments:
            return 0
        keep = self._index.first_number_for(first_index) or self._number
        removed = 0
        while self._segments[0][0] < keep:
            number, _ = self._segments[0]
            self._files.remove(segment_name(number))
            del self._segments[0]
            self._index.drop_below(number + 1)
            removed += 1
        return removed

    def update_mark(self, commit_index: int) -> bool:
        """Write the durable mark when there is something new to say; False when there is not.

        It speaks of what was synced, so it may be written at any later time. `commit_index` must not count entries of a `Persist`
        that was not appended yet; while something appended is not synced, the mark keeps the commit index it had, because a
        truncation may be among it and be lost or kept without what followed.
        """
        self._must_be_sound()
        if self._complete_seq != self._durable.write_seq or self._open_seq:
            commit_index = self._mark.commit_index
        if self._owner is None or self._durable.number == 0:
            return False
        durable, lost = self._durable, self._lost
        mark = Mark(
            self._mark.sequence, durable.write_seq, durable.number, durable.end, durable.crc, durable.last_index, durable.term,
            min(commit_index, durable.last_index), *((1, lost.last_index, lost.term) if lost is not None else (0, 0, 0)),
        )  # fmt: skip
        if mark == self._mark:
            return False
        self._mark = mark._replace(sequence=mark.sequence + 1)
        write_mark(self._files, self._owner, self._mark)
        return True

    def prepare_spare(self) -> bool:
        """Write one slice of the next segment when the current one is over half full; True when more is left to do."""
        self._must_be_sound()
        if self._end * 2 <= self._size:
            return False
        return self._spare.grow(self._end)

    def _must_be_sound(self) -> None:
        if self._broken:
            must(False, f"a log that failed is not used again ({self._broken})")

    def _check(self, persist: Persist) -> tuple[int, int]:
        """Return where the entries begin and, for a truncation, the term before. Raises `InvariantViolated`."""
        index, hard_state = self._index, persist.hard_state
        # A text with numbers in it is made when it is needed: this runs for every write.
        if persist.write_seq != self._write_seq + 1:
            must(False, f"write {persist.write_seq} follows write {self._write_seq}")
        if hard_state is not None:
            must(hard_state.cluster_id != NO_CLUSTER, "a hard state that is persisted names its cluster")
            must(
                self._owner is None or hard_state.cluster_id == self._owner.cluster_id,
                "a log belongs to one cluster for ever",
            )
            must(hard_state.term >= self._hard_state.term, "terms never fall")
        must(self._segments or hard_state is not None, "the first write names the cluster in its hard state")
        first_index, last_index, last_term = persist.first_index, int(index.last_index), int(index.last_term)
        if persist.base is not None:
            last_index, last_term = persist.base
            must(last_index >= index.base_index, "the base never goes back")
        if persist.truncate:
            must(first_index <= last_index + 1, "a truncation begins within the log")
            must(
                first_index > (index.base_index if persist.base is None else last_index),
                "nothing at or below the base is truncated",
            )
            last_term = index.term_at(first_index - 1) if persist.base is None else last_term
        elif persist.entries:
            if first_index != last_index + 1:
                must(False, f"entries from {first_index} follow the last one, {last_index}")
        else:
            first_index = Index(last_index + 1)
        if persist.entries:
            term = hard_state.term if hard_state is not None else self._hard_state.term
            must(
                last_term <= persist.entries[0].term <= persist.entries[-1].term <= term,
                "terms do not fall, nor pass the node's",
            )
        return first_index, last_term if persist.truncate else 0

    def _begin_log(self, persist: Persist) -> None:
        assert persist.hard_state is not None
        self._owner = Owner(
            persist.hard_state.cluster_id, self._identity.instance, self._identity.node_id, self._group_id
        )
        self._owner_crc = self._owner.crc()
        self._hard_state = HardState(cluster_id=persist.hard_state.cluster_id)
        self._mark = create_mark(self._files, self._owner)
        self._begin_segment(0)

    def _roll(self, raw_bytes: int) -> None:
        """Close the current segment and begin the next one, with room for at least `raw_bytes`."""
        self._files.sync(segment_name(self._number))
        self._begin_segment(raw_bytes)
        # A mark right away: a newest segment that goes missing is noticed.
        self._took_sync()
        self.update_mark(self._mark.commit_index)

    def _begin_segment(self, raw_bytes: int) -> None:
        assert self._owner is not None
        head = SegmentHead(
            self._owner, self._number + 1, self._options.segment_bytes, self._end, self._crc, self._complete_seq,
            self._hard_state.term, self._hard_state.voted_for, self._index.last_index, self._index.last_term,
            self._open_seq,
        )  # fmt: skip
        if SECTOR_BYTES + raw_bytes > head.size_bytes:
            head = head._replace(size_bytes=SECTOR_BYTES + raw_bytes)
            must(head.size_bytes <= SEGMENT_BYTES_MAX, "a record fits into the largest segment")
        sector, crc = encode_segment_head(head)
        self._spare.become(segment_name(head.number), sector, head.size_bytes)
        self._number, self._size, self._end, self._crc = head.number, head.size_bytes, SECTOR_BYTES, crc
        self._durable_end = SECTOR_BYTES
        self._segments.append((head.number, head.size_bytes))

    def _take(self, draft: RecordDraft) -> bytes:
        """Give a record the next place, and make the index say so."""
        place = place_crc(self._owner_crc, self._number, self._end)
        raw, self._crc = encode_record(draft, place, self._crc, self._durable_end)
        if draft.flags & Flags.HARD_STATE:
            self._hard_state = replace(
                self._hard_state, term=Term(draft.term), voted_for=NodeId(draft.voted_for)
            )
        if draft.flags & Flags.BASE:
            self._index.reset(draft.base_index, draft.base_term)
        if draft.flags & Flags.TRUNCATE:
            self._index.truncate(draft.first_index, draft.prev_term)
        if draft.payloads:
            self._index.append(draft.first_index, draft.runs, (self._number, self._end, len(raw)))
        self._end += len(raw)
        self._open_seq = draft.write_seq if draft.flags & Flags.CONTINUED else 0
        return raw

    def _write(self, start: int, pending: list[bytes]) -> None:
        if pending:
            self._files.write(segment_name(self._number), start, b"".join(pending))

    def _took_sync(self) -> None:
        self._durable_end = self._end
        self._durable = _Durable(
            self._complete_seq,
            self._number,
            self._end,
            self._complete_crc,
            self._index.last_index,
            self._hard_state.term,
        )
        lost = self._lost
        if (
            lost is not None
            and self._index.last_index >= lost.last_index
            and self._index.last_term > lost.term
        ):
            self._lost = None  # a leader of a later term has brought the log past what was lost

    def _read_block(self, block: Block) -> list[Entry]:
        """Return the block's live entries, verified."""
        name = segment_name(block.number)
        raw = self._files.read(name, block.offset, block.raw_bytes)
        place = place_crc(self._owner_crc, block.number, block.offset)
        header = decode_header(raw, 0, place)
        sound = (
            header is not None
            and header.raw_bytes == block.raw_bytes == len(raw)
            and header.first_index == block.first_index
        )
        body = decode_body(raw, 0, place, header) if header is not None and sound else None
        if body is None:
            raise LogCorrupt(
                f"log file {name}: the record at byte {block.offset} (entries from {block.first_index}) is not what was written"
            )
        return list(body.entries())[: block.end_index - block.first_index]
