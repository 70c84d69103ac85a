"""Sectors: the unit in which a disk writes or does not write.

Everything in the log begins at a multiple of 512 bytes, and the last byte of every sector is a tag that is not zero. So a sector
that was written is never all zero, whatever a client stored, and one that is all zero was never written (`docs/disk.md`).
The idea is the fix-up of NTFS records; here the tag is inserted, not exchanged.
"""

from __future__ import annotations

from typing import Final

SECTOR_BYTES: Final = 512
SECTOR_CONTENT_BYTES: Final = SECTOR_BYTES - 1
TAG: Final = b"\x01"
ZERO_SECTOR: Final = bytes(SECTOR_BYTES)


def sectors_for(content_bytes: int) -> int:
    """Return how many sectors hold this much content."""
    return -(-content_bytes // SECTOR_CONTENT_BYTES)


def to_sectors(content: bytes) -> bytes:
    """Return the content in whole tagged sectors, the rest of the last one zero."""
    step = SECTOR_CONTENT_BYTES
    if len(content) <= step:
        return content + bytes(step - len(content)) + TAG
    padded = content + bytes(-len(content) % step)
    return TAG.join([padded[start : start + step] for start in range(0, len(padded), step)]) + TAG


def from_sectors(raw: bytes) -> bytes | None:
    """Return the content of whole sectors, padding included; None when a tag is not what was written."""
    count = len(raw) // SECTOR_BYTES
    if raw[SECTOR_CONTENT_BYTES::SECTOR_BYTES] != TAG * count:
        return None
    if count == 1:
        return raw[:SECTOR_CONTENT_BYTES]
    content = bytearray(raw)
    del content[SECTOR_CONTENT_BYTES::SECTOR_BYTES]
    return bytes(content)


def has_zero_sector(raw: bytes, start: int, end: int) -> bool:
    """Was some sector of `[start, end)` never written?"""
    step = SECTOR_BYTES
    return any(raw[at : at + step] == ZERO_SECTOR for at in range(start, end, step))


def written_end(raw: bytes) -> int:
    """Return the end of the last sector that was written; 0 when none was."""
    return -(-len(raw.rstrip(b"\0")) // SECTOR_BYTES) * SECTOR_BYTES
