"""Reading a log from disk and judging it. Nothing is written here; `LogStore.open` does what this found necessary."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from ferrite.core.disk.entry_index import EntryIndex
from ferrite.core.disk.errors import LogCorrupt, WrongIdentity
from ferrite.core.disk.files import INSTANCE, MARK, SPARE, Files, is_torn_copy, segment_name, segment_number
from ferrite.core.disk.mark import Mark, read_mark
from ferrite.core.disk.record import decode_body, decode_header, place_crc
from ferrite.core.disk.replay import Replay
from ferrite.core.disk.sectors import SECTOR_BYTES
from ferrite.core.disk.segment import Owner, SegmentHead, decode_segment_head
from ferrite.core.disk.torn import Cut, find_cut
from ferrite.core.recovered import LostTail, RecoveredLog
from ferrite.core.values import HardState, Identity, Index, Term, value

SEGMENT_BYTES_MAX: Final = 1 << 30
"""A segment is read whole when the log is opened, and offsets in it have 32 bits."""
TAIL_BYTES_MAX: Final = 32 << 20
"""Recent entries handed to the replica at the start: as much as it keeps in memory (`cache_bytes_max`)."""


@value
class OpenReport:
    """What opening a log found and did, for the operator's log and for metrics."""

    segment_count: int = 0
    record_count: int = 0
    cut: Cut | None = None
    torn_copy: str = ""
    """File in the log directory that holds the bytes that were cut."""
    foreign_files: tuple[str, ...] = ()
    """Names that are not ours; left alone."""
    lost_tail: LostTail | None = None


@value
class Found:
    """A log as it was read. `segments` are `(number, size_bytes)`, ascending; `end` is where the last one's records end."""

    names: tuple[str, ...] = ()
    owner: Owner | None = None
    mark: Mark = field(default_factory=Mark)
    segments: tuple[tuple[int, int], ...] = ()
    end: int = 0
    crc: int = 0
    hard_state: HardState = field(default_factory=HardState)
    """As it stands on disk; `log.hard_state` may be ahead after a lost tail."""
    open_seq: int = 0
    complete_seq: int = 0
    complete_crc: int = 0
    index: EntryIndex = field(default_factory=EntryIndex)
    log: RecoveredLog = field(default_factory=RecoveredLog)
    report: OpenReport = field(default_factory=OpenReport)


def check_log(
    files: Files, identity: Identity | None = None, *, group_id: int = 0, tail_bytes_max: int = TAIL_BYTES_MAX
) -> tuple[RecoveredLog, OpenReport]:
    """Read and judge the log of a node that does not run, changing nothing. Without `identity`, whoever owns it.

    Raises `DiskError`, `LogCorrupt`, `WrongIdentity`, `NewerFormat` as `LogStore.open` does. A torn tail is in the report.
    """
    found = read_log(files, identity, group_id, tail_bytes_max)
    return found.log, found.report


def read_log(files: Files, identity: Identity | None, group_id: int, tail_bytes_max: int) -> Found:
    """Read every byte of the log and check all that can be checked."""
    names = tuple(sorted(files.list()))
    numbers = [number for name in names if (number := segment_number(name)) is not None]
    foreign = tuple(
        name
        for name in names
        if name not in (INSTANCE, MARK, SPARE) and not is_torn_copy(name) and segment_number(name) is None
    )
    marked = read_mark(files) if MARK in names else None
    if marked is not None and identity is not None:
        marked[0].must_be(identity, group_id, "the log's durable mark")
    if not numbers:
        if marked is not None and marked[1].write_seq:
            raise LogCorrupt(
                f"every segment of the log is missing, the durable mark says write {marked[1].write_seq} was reached"
            )
        return Found(names=names, report=OpenReport(foreign_files=foreign))
    if marked is None:
        raise LogCorrupt(
            f"the durable mark (file {MARK}) is missing or was never written, and there are segments "
            "(put it back, if it was moved away by hand)"
        )
    owner, mark = marked
    newest = max(numbers[-1], mark.number)
    for number, expected in zip([*numbers, newest + 1], range(numbers[0], newest + 2), strict=False):
        if number != expected:
            raise LogCorrupt(
                f"segment file {segment_name(expected)} is missing; the log reaches to {segment_name(newest)}"
            )
    found = _read_segments(files, names, numbers, owner, mark, foreign, tail_bytes_max)
    if found.log.last_write_seq == 0:
        # The crash came within the first write of all: the cluster it named was never adopted.
        return Found(names=names, report=OpenReport(foreign_files=foreign))
    return found


def _read_segments(
    files: Files,
    names: tuple[str, ...],
    numbers: list[int],
    owner: Owner,
    mark: Mark,
    foreign: tuple[str, ...],
    tail_bytes_max: int,
) -> Found:
    heads = [_read_head(files, number, owner) for number in numbers]
    replay = Replay(heads[0], mark, tail_bytes_max)
    end, cut = 0, None
    for head in heads:
        if head is not heads[0]:
            replay.enter_segment(head, end)
        raw = files.read(segment_name(head.number), 0, head.size_bytes)
        if len(raw) != head.size_bytes:
            raise LogCorrupt(
                f"log file {segment_name(head.number)} could be read to byte {len(raw)} of {head.size_bytes} only"
            )
        end = _replay_segment(replay, raw, head)
        cut = find_cut(raw, head.number, end, owner)
        if cut is not None and head is not heads[-1]:
            raise LogCorrupt(
                f"segment {head.number} is damaged at byte {end}; it was complete before the next one began"
            )
    lost_tail = _judge_by_mark(replay, mark)
    report = OpenReport(
        segment_count=len(heads),
        record_count=replay.record_count,
        cut=cut,
        foreign_files=foreign,
        lost_tail=lost_tail,
    )
    return Found(
        names=names, owner=owner, mark=mark, segments=tuple((head.number, head.size_bytes) for head in heads), end=end,
        crc=replay.crc, hard_state=replay.hard_state, open_seq=replay.open_seq, complete_seq=replay.complete_seq,
        complete_crc=replay.complete_crc,
        index=replay.index, log=_recovered(replay, mark, lost_tail), report=report,
    )  # fmt: skip


def _read_head(files: Files, number: int, owner: Owner) -> SegmentHead:
    name = segment_name(number)
    size_bytes = files.size(name)
    head = decode_segment_head(files.read(name, 0, SECTOR_BYTES), name)
    if head.owner != owner:
        raise WrongIdentity(
            f"log file {name} belongs to cluster {head.owner.cluster_id.hex()}, node {head.owner.node_id}, data directory "
            f"{head.owner.instance.hex()}, group {head.owner.group_id}; the log's durable mark to cluster "
            f"{owner.cluster_id.hex()}, node {owner.node_id}, {owner.instance.hex()}, "
            f"group {owner.group_id}: remove what is not ours"
        )
    if head.number != number:
        raise LogCorrupt(f"log file {name} holds segment {head.number}: files were copied or renamed")
    if size_bytes != head.size_bytes or size_bytes > SEGMENT_BYTES_MAX or size_bytes % SECTOR_BYTES:
        raise LogCorrupt(f"log file {name} has {size_bytes} bytes, it was made with {head.size_bytes}")
    return head


def _replay_segment(replay: Replay, raw: bytes, head: SegmentHead) -> int:
    """Take records until the first place that holds no good one; return that place."""
    owner_crc, number, offset = head.owner.crc(), head.number, SECTOR_BYTES
    while offset < len(raw):
        place = place_crc(owner_crc, number, offset)
        header = decode_header(raw, offset, place)
        if header is None or offset + header.raw_bytes > len(raw):
            break
        body = decode_body(raw, offset, place, header)
        if body is None:
            break
        replay.add(header, body, number, offset)
        offset += header.raw_bytes
    return offset


def _judge_by_mark(replay: Replay, mark: Mark) -> LostTail | None:
    index = replay.index
    if replay.complete_seq < mark.write_seq:
        return LostTail(
            last_index=Index(max(mark.last_index, mark.lost_index)), term=Term(max(mark.term, mark.lost_term))
        )
    if mark.lost and not (index.last_index >= mark.lost_index and index.last_term > mark.lost_term):
        return LostTail(last_index=Index(mark.lost_index), term=Term(mark.lost_term))
    if not mark.lost and not replay.mark_found:
        raise LogCorrupt(
            f"the log goes on past write {mark.write_seq} of its durable mark but does not contain it"
        )
    if not mark.lost and index.last_index < mark.commit_index:
        raise LogCorrupt(
            f"the log ends at {index.last_index}, entry {mark.commit_index} was committed and durable"
        )
    return None


def _recovered(replay: Replay, mark: Mark, lost_tail: LostTail | None) -> RecoveredLog:
    index, hard_state, tail = replay.index, replay.hard_state, replay.tail()
    if lost_tail is not None and lost_tail.term > hard_state.term:
        # What the node promised in the terms it lost is unknown, so it must not be in them again as if it had promised nothing.
        hard_state = HardState(cluster_id=hard_state.cluster_id, term=lost_tail.term)
    return RecoveredLog(
        hard_state=hard_state, base_index=index.base_index, base_term=index.base_term, last_index=index.last_index,
        term_runs=index.term_runs(), tail_first_index=Index(index.last_index + 1 - len(tail)), tail=tail,
        memberships=tuple(replay.memberships), last_write_seq=max(replay.write_seq, mark.write_seq), lost_tail=lost_tail,
    )  # fmt: skip
