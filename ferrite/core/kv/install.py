"""From a verified snapshot to a store: what both hosts write into an empty store, and what must hold of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.machine import installed_record
from ferrite.core.kv.records import StateCorrupt, decode_meta
from ferrite.core.kv.store import Write
from ferrite.core.snapshot_file import SnapshotContents, SnapshotHeader, SnapshotInvalid

INSTALL_BATCH_BYTES: Final = 1 << 20
"""One write of an install: small against the write buffer, large against the cost of a call."""


def install_batches(
    contents: SnapshotContents, *, batch_bytes: int = INSTALL_BATCH_BYTES
) -> Iterator[list[Write]]:
    """Yield what to write into an *empty* store, the node's record of the installed snapshot last.

    Raises SnapshotInvalid: the store is good for use only when the iterator has ended without it.
    """
    header = contents.header
    layout = Layout(header.group_id)
    start, end = layout.replicated_range
    applied: bytes | None = None
    membership = b""
    batch: list[Write] = []
    size = 0
    for key, data in contents.pairs:
        if not start <= key < end:
            raise SnapshotInvalid(
                f"key {key!r} does not belong to the replicated state of group {header.group_id}"
            )
        if key == layout.applied:
            applied = data
        elif key == layout.membership:
            membership = data
        batch.append((key, data))
        size += len(key) + len(data)
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    _check_position(header, applied, membership)
    batch.append(installed_record(header.group_id, header.last_index))
    yield batch


def _check_position(header: SnapshotHeader, applied: bytes | None, membership: bytes) -> None:
    if applied is None:
        raise SnapshotInvalid("the snapshot does not say which index it was applied to")
    try:
        meta = decode_meta(applied)
    except StateCorrupt as error:
        raise SnapshotInvalid(str(error)) from error
    if (meta.applied_index, meta.applied_term) != (header.last_index, header.last_term):
        raise SnapshotInvalid(
            f"the header names index {header.last_index} of term {header.last_term}, the state inside "
            f"index {meta.applied_index} of term {meta.applied_term}"
        )
    if membership != header.membership:
        raise SnapshotInvalid("the membership in the header is not the one inside")
