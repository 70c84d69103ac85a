"""One record: what a `Persist` (or a piece of a very large one) is on disk. Byte table in `docs/disk.md`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from zlib import crc32

from ferrite.core.disk.sectors import (
    SECTOR_BYTES,
    SECTOR_CONTENT_BYTES,
    from_sectors,
    sectors_for,
    to_sectors,
)
from ferrite.core.values import Entry, Term

MAGIC: Final = b"FREC"
_HEAD: Final = struct.Struct("<IIIQQIHBBQQQQQ")
"""From `prev_crc` on: what the record's CRC covers of the header."""
_FRONT: Final = struct.Struct("<4sII")
HEADER_BYTES: Final = _FRONT.size + _HEAD.size
_RUN: Final = struct.Struct("<QI")
_PLACE: Final = struct.Struct("<QI")
_LENGTH_BYTES: Final = 4

ENTRY_BYTES_MAX: Final = 256 << 20
"""One payload. The door refuses far smaller ones; this keeps every length in 32 bits and a segment in memory."""
RECORD_ENTRIES_MAX: Final = 16_384
"""Entries of one record: the number of runs of terms must fit into 16 bits."""


class Flags:
    """What a record holds besides entries, and how it belongs to its `Persist`. Plain integers: an `IntFlag` is slow."""

    HARD_STATE: Final = 1
    BASE: Final = 2
    TRUNCATE: Final = 4
    CONTINUED: Final = 8  # the same write goes on in the next record
    CONTINUES: Final = 16  # the same write began in the record before
    ALL: Final = 31


class RecordHeader(NamedTuple):
    """The fixed front of a record. `length` counts the content (header included) before it is cut into sectors."""

    crc: int
    prev_crc: int
    length: int
    durable_end: int
    write_seq: int
    first_index: int
    entry_count: int
    run_count: int
    flags: int
    reserved: int
    term: int
    voted_for: int
    base_index: int
    base_term: int
    prev_term: int

    @property
    def raw_bytes(self) -> int:
        """Bytes on disk."""
        return sectors_for(self.length) * SECTOR_BYTES


class RecordDraft(NamedTuple):
    """A record before it has a place. `runs` are `(term, count)`, ascending; `payloads` are opaque."""

    write_seq: int
    flags: int
    first_index: int
    runs: tuple[tuple[int, int], ...]
    payloads: Sequence[bytes]
    term: int = 0
    voted_for: int = 0
    base_index: int = 0
    base_term: int = 0
    prev_term: int = 0

    @property
    def length(self) -> int:
        """Bytes of content."""
        tables = _RUN.size * len(self.runs) + _LENGTH_BYTES * len(self.payloads)
        return HEADER_BYTES + tables + sum(map(len, self.payloads))


def place_crc(identity_crc: int, number: int, offset: int) -> int:
    """Return the seed of a record's CRCs: a record read at another place, or of another owner, is never valid."""
    return crc32(_PLACE.pack(number, offset), identity_crc)


def encode_record(draft: RecordDraft, place: int, prev_crc: int, durable_end: int) -> tuple[bytes, int]:
    """Return the sectors of a record, and its CRC, which is the next one's `prev_crc`."""
    count = len(draft.payloads)
    body = b"".join(
        [
            *(_RUN.pack(*run) for run in draft.runs),
            struct.pack(f"<{count}I", *map(len, draft.payloads)),
            *draft.payloads,
        ]
    )
    head = _HEAD.pack(
        prev_crc, HEADER_BYTES + len(body), durable_end, draft.write_seq, draft.first_index, count, len(draft.runs),
        draft.flags, 0, draft.term, draft.voted_for, draft.base_index, draft.base_term, draft.prev_term,
    )  # fmt: skip
    crc = crc32(body, crc32(head, place))
    header_crc = crc32(head, crc32(crc.to_bytes(4, "little"), place))
    return to_sectors(_FRONT.pack(MAGIC, header_crc, crc) + head + body), crc


def decode_header(raw: bytes, offset: int, place: int) -> RecordHeader | None:
    """Return the header that stands in the sector at `offset`; None when there is no valid one.

    A valid one has sound flags and a length that can hold what it claims; whether it fits into the file is the caller's to ask.
    """
    if raw[offset : offset + 4] != MAGIC or len(raw) - offset < SECTOR_BYTES:
        return None
    _, header_crc, crc = _FRONT.unpack_from(raw, offset)
    at = offset + _FRONT.size
    if header_crc != crc32(raw[at : at + _HEAD.size], crc32(raw[at - 4 : at], place)):
        return None
    header = RecordHeader(crc, *_HEAD.unpack_from(raw, at))
    tables = _RUN.size * header.run_count + _LENGTH_BYTES * header.entry_count
    sound = header.length >= HEADER_BYTES + tables and header.flags <= Flags.ALL and header.reserved == 0
    return header if sound else None


class Body(NamedTuple):
    """The variable part of a record."""

    runs: tuple[tuple[int, int], ...]
    payloads: list[bytes]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in the order of their indexes."""
        at = 0
        for term, count in self.runs:
            for payload in self.payloads[at : at + count]:
                yield Entry(Term(term), payload)
            at += count


def decode_body(raw: bytes, offset: int, place: int, header: RecordHeader) -> Body | None:
    """Return what the record at `offset` holds; None when a single bit of it is not what was written."""
    if header.length <= SECTOR_CONTENT_BYTES:
        content: bytes | None = raw[offset : offset + SECTOR_CONTENT_BYTES]
        if raw[offset + SECTOR_CONTENT_BYTES] != 1:
            return None
    else:
        content = from_sectors(raw[offset : offset + header.raw_bytes])
    if content is None or len(content) < header.length:
        return None
    if crc32(content[_FRONT.size : header.length], place) != header.crc:
        return None
    if content.count(0, header.length) != len(content) - header.length:
        return None  # the padding is not covered by the CRC
    return _tables(content, header)


def _tables(content: bytes, header: RecordHeader) -> Body | None:
    at = HEADER_BYTES + _RUN.size * header.run_count
    runs = tuple(_RUN.iter_unpack(content[HEADER_BYTES:at]))
    lengths = struct.unpack_from(f"<{header.entry_count}I", content, at)
    at += _LENGTH_BYTES * header.entry_count
    if at + sum(lengths) != header.length or sum(count for _, count in runs) != header.entry_count:
        return None
    payloads = []
    for length in lengths:
        payloads.append(content[at : at + length])
        at += length
    return Body(runs, payloads)
