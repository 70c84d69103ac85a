"""The durable mark: how far the log certainly reached, in a second file (rule DR5 of `docs/disk.md`).

Two slots, written in turn and each synced before the other is touched, so that one of them is always whole.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ferrite.core.disk.errors import LogCorrupt
from ferrite.core.disk.files import MARK, Files
from ferrite.core.disk.sectors import SECTOR_BYTES
from ferrite.core.disk.segment import FORMAT_VERSION, Owner, must_be_readable, sealed_sector, sector_is_sealed
from ferrite.core.values import NodeId

MARK_MAGIC: Final = b"FERRMRK\n"
SLOT_OFFSETS: Final = (0, 4096)
"""Far enough apart that no disk writes both as one block."""
MARK_BYTES: Final = 8192
_FRONT: Final = struct.Struct("<8sHH")
_OWNER: Final = struct.Struct("<16s16sQI")
_FIELDS: Final = struct.Struct("<QQQIIQQQQQQ")


class Mark(NamedTuple):
    """What was durable when the mark was written: every write up to `write_seq`, which ended at `end` of segment `number`.

    `term` is the hard state's. `commit_index` never passes `last_index`. While `lost` is 1, the log once ended below its mark,
    which had reached `lost_index` in `lost_term`, and no leader of a later term has made it good.
    """

    sequence: int = 0
    write_seq: int = 0
    number: int = 0
    end: int = 0
    crc: int = 0
    last_index: int = 0
    term: int = 0
    commit_index: int = 0
    lost: int = 0
    lost_index: int = 0
    lost_term: int = 0


def create_mark(files: Files, owner: Owner) -> Mark:
    """Make the file with a first slot that promises nothing, durably. Returns that slot."""
    files.create(MARK, MARK_BYTES)
    mark = Mark(sequence=1)
    write_mark(files, owner, mark)
    return mark


def write_mark(files: Files, owner: Owner, mark: Mark) -> None:
    """Write the slot whose turn it is and sync it."""
    content = _FRONT.pack(MARK_MAGIC, FORMAT_VERSION, 0) + _OWNER.pack(*owner) + _FIELDS.pack(*mark)
    sector, _ = sealed_sector(content)
    files.write(MARK, SLOT_OFFSETS[mark.sequence % 2], sector)
    files.sync(MARK)


def read_mark(files: Files) -> tuple[Owner, Mark] | None:
    """Return the newest whole slot; None when no slot was ever written.

    Raises `LogCorrupt` when no slot is whole though one was written, `NewerFormat` for a later version's.
    """
    size = files.size(MARK)
    raws = [
        files.read(MARK, offset, SECTOR_BYTES) for offset in SLOT_OFFSETS if offset + SECTOR_BYTES <= size
    ]
    whole = [raw for raw in raws if sector_is_sealed(raw)]
    if not whole:
        if size <= MARK_BYTES and not any(files.read(MARK, 0, size)):
            return None  # Nothing but zeros, perhaps too few: power was lost while the file was made.
        for raw in raws:
            must_be_readable(raw, MARK, MARK_MAGIC)
        raise LogCorrupt(
            f"the durable mark (file {MARK}) has {size} bytes and no whole slot; expected {MARK_BYTES} bytes"
        )
    for raw in whole:
        must_be_readable(raw, MARK, MARK_MAGIC)
    return max((_decode(raw) for raw in whole), key=lambda found: found[1].sequence)


def _decode(raw: bytes) -> tuple[Owner, Mark]:
    cluster_id, instance, node_id, group_id = _OWNER.unpack_from(raw, _FRONT.size)
    mark = Mark._make(_FIELDS.unpack_from(raw, _FRONT.size + _OWNER.size))
    return Owner(cluster_id, instance, NodeId(node_id), group_id), mark
