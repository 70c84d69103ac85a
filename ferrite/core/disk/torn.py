"""The end of the last segment: nothing, a write that the power cut interrupted, or damage (rule DR4 of `docs/disk.md`)."""

from __future__ import annotations

from ferrite.core.disk.errors import LogCorrupt
from ferrite.core.disk.record import MAGIC, decode_header, place_crc
from ferrite.core.disk.sectors import SECTOR_BYTES, ZERO_SECTOR, has_zero_sector, written_end
from ferrite.core.disk.segment import Owner
from ferrite.core.values import value


@value
class Cut:
    """What an interrupted write left: the bytes `[offset, end)` of segment `number`. Never acknowledged, or a mark says so."""

    number: int
    offset: int
    end: int


def find_cut(raw: bytes, number: int, offset: int, owner: Owner) -> Cut | None:
    """Judge what stands behind the last good record, which ended at `offset`. None: nothing at all, as it should be.

    Raises `LogCorrupt` when it cannot have come from an interrupted write.
    """
    end = written_end(raw[offset:]) + offset
    if end == offset:
        return None
    owner_crc = owner.crc()
    first = raw[offset : offset + SECTOR_BYTES]
    if first != ZERO_SECTOR:
        _must_be_torn(raw, number, offset, owner_crc)
    later = _written_once_durable(raw, number, offset, end, owner_crc)
    if later is not None:
        raise LogCorrupt(
            f"segment {number}: the record at byte {offset} is damaged, and the one at byte {later} was written when it was "
            f"durable already: acknowledged entries are lost"
        )
    return Cut(number=number, offset=offset, end=end)


def _must_be_torn(raw: bytes, number: int, offset: int, owner_crc: int) -> None:
    header = decode_header(raw, offset, place_crc(owner_crc, number, offset))
    if header is None:
        raise LogCorrupt(f"segment {number}: what was written at byte {offset} is no record of this log")
    if offset + header.raw_bytes > len(raw):
        raise LogCorrupt(f"segment {number}: the record at byte {offset} is longer than the segment")
    if not has_zero_sector(raw, offset, offset + header.raw_bytes):
        raise LogCorrupt(
            f"segment {number}: the record at byte {offset} is complete but not what was written"
        )


def _written_once_durable(raw: bytes, number: int, offset: int, end: int, owner_crc: int) -> int | None:
    """Return where a later record stands that was written after everything up to beyond `offset` had been synced."""
    at = offset
    while (at := raw.find(MAGIC, at + 1, end)) != -1:
        if at % SECTOR_BYTES:
            continue
        header = decode_header(raw, at, place_crc(owner_crc, number, at))
        if header is not None and header.durable_end > offset:
            return at
    return None
