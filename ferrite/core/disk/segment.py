"""The first sector of a segment: whose it is, and everything that was true when it began. Byte table in `docs/disk.md`."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

from ferrite.core.disk.errors import LogCorrupt, NewerFormat, WrongIdentity
from ferrite.core.disk.sectors import SECTOR_BYTES, SECTOR_CONTENT_BYTES, TAG, ZERO_SECTOR
from ferrite.core.values import NO_CLUSTER, Identity, NodeId

FORMAT_VERSION: Final = 1
SEGMENT_MAGIC: Final = b"FERRLOG\n"
_FRONT: Final = struct.Struct("<8sHH")
_OWNER: Final = struct.Struct("<16s16sQI")
_FIELDS: Final = struct.Struct("<QQQIIQQQQQ")
_CRC: Final = struct.Struct("<I")
_CRC_AT: Final = SECTOR_CONTENT_BYTES - _CRC.size


class Owner(NamedTuple):
    """Whose log this is. Part of every CRC, so that nothing of another log is ever valid here."""

    cluster_id: bytes
    instance: bytes
    node_id: NodeId
    group_id: int

    def crc(self) -> int:
        """Return the seed of every CRC in this log."""
        return crc32(_OWNER.pack(*self))

    def must_be(self, identity: Identity, group_id: int, where: str) -> None:
        """Raise `WrongIdentity` unless the log belongs to this node, directory and group."""
        if self.node_id != identity.node_id:
            raise WrongIdentity(
                f"{where} belongs to node {self.node_id}, this is node {identity.node_id}: correct the node id in the "
                f"configuration, or give this node its own data directory"
            )
        if self.instance != identity.instance:
            raise WrongIdentity(
                f"{where} belongs to data directory {self.instance.hex()}, this is {identity.instance.hex()}: a log must not be "
                f"moved between data directories; add this node to the cluster under a new id instead"
            )
        if self.group_id != group_id:
            raise WrongIdentity(f"{where} belongs to Raft group {self.group_id}, expected group {group_id}")


class SegmentHead(NamedTuple):
    """What a segment says of itself, and of the log before it, so that older segments can be removed.

    `prev_end` and `prev_crc` are where the segment before ended (0 for the first); `write_seq`, `term`,
    `voted_for`, `last_index`, `last_term` are the log's when this segment began; `open_seq` is the write that was begun before it
    and goes on in it, 0 as a rule. Entries at or below `last_index` stand in older segments.
    """

    owner: Owner
    number: int
    size_bytes: int
    prev_end: int
    prev_crc: int
    write_seq: int
    term: int
    voted_for: int
    last_index: int
    last_term: int
    open_seq: int
    crc: int = 0


def sealed_sector(content: bytes) -> tuple[bytes, int]:
    """Return one sector whose every bit is covered by the CRC at its end, and that CRC."""
    padded = content + bytes(_CRC_AT - len(content))
    crc = crc32(padded)
    return padded + _CRC.pack(crc) + TAG, crc


def sector_is_sealed(raw: bytes) -> bool:
    """Is every bit of this sector as `sealed_sector` made it?"""
    if len(raw) != SECTOR_BYTES or raw[-1:] != TAG:
        return False
    (crc,) = _CRC.unpack_from(raw, _CRC_AT)
    return int(crc) == crc32(raw[:_CRC_AT])


def encode_segment_head(head: SegmentHead) -> tuple[bytes, int]:
    """Return the sector, and its CRC: the first record's `prev_crc`."""
    fields = _FIELDS.pack(
        head.number, head.size_bytes, head.write_seq, head.prev_end, head.prev_crc,
        head.term, head.voted_for, head.last_index, head.last_term, head.open_seq,
    )  # fmt: skip
    return sealed_sector(_FRONT.pack(SEGMENT_MAGIC, FORMAT_VERSION, 0) + _OWNER.pack(*head.owner) + fields)


def decode_segment_head(raw: bytes, name: str) -> SegmentHead:
    """Return the head of the segment file `name`. Raises `LogCorrupt` or `NewerFormat`."""
    must_be_readable(raw, name, SEGMENT_MAGIC)
    cluster_id, instance, node_id, group_id = _OWNER.unpack_from(raw, _FRONT.size)
    number, size_bytes, write_seq, prev_end, prev_crc, term, voted_for, last_index, last_term, open_seq = (
        _FIELDS.unpack_from(raw, _FRONT.size + _OWNER.size)
    )
    (crc,) = _CRC.unpack_from(raw, _CRC_AT)
    if cluster_id == NO_CLUSTER:
        raise LogCorrupt(f"log file {name} names no cluster; it was not written by Ferrite")
    return SegmentHead(
        Owner(cluster_id, instance, NodeId(node_id), group_id),
        number, size_bytes, prev_end, prev_crc, write_seq, term, voted_for, last_index, last_term, open_seq, crc,
    )  # fmt: skip


def must_be_readable(raw: bytes, name: str, magic: bytes) -> None:
    """Raise unless this is a whole sealed sector with this magic and our format version."""
    if len(raw) < SECTOR_BYTES:
        raise LogCorrupt(
            f"log file {name} is shorter than its first sector ({len(raw)} of {SECTOR_BYTES} bytes)"
        )
    found, version, _ = _FRONT.unpack_from(raw)
    if raw == ZERO_SECTOR:
        raise LogCorrupt(
            f"log file {name} begins with zeros; its first sector was durable before the file got its name"
        )
    if found == magic and version > FORMAT_VERSION:
        raise NewerFormat(
            f"log file {name} has format {version}, this version of Ferrite reads format {FORMAT_VERSION}: "
            f"start the version that wrote it (when none ever did, the sector is damaged)"
        )
    if found != magic or version != FORMAT_VERSION or not sector_is_sealed(raw):
        raise LogCorrupt(
            f"log file {name}: the first sector is damaged (magic {found!r}, format {version}, or its CRC)"
        )
