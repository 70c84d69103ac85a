"""Backups: a snapshot file with a note in front, and what becomes of its pairs in a new cluster.

The note lies among the node's own records (table 00), so it is the first pair, and `install_batches` refuses it: no node takes
a backup for a snapshot of its group, and nobody takes such a snapshot for a backup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import msgpack

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.machine import local_key, replicated_pairs
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.records import StateCorrupt, decode_meta, encode_meta
from ferrite.core.kv.sessions import TOMBSTONE_RECORD
from ferrite.core.kv.store import Pair, ReadableStore
from ferrite.core.membership import Membership, encode_membership
from ferrite.core.snapshot_file import SnapshotContents, SnapshotHeader, SnapshotInvalid
from ferrite.core.values import must, value

BACKUP_NOTE_FORMAT: Final = 1
REVISION_BUMP_MAX: Final = 1 << 60
"""Leaves room for as many revisions after it as any cluster will make."""
_NOTE: Final = b"backup"


@value
class BackupNote:
    """What the one who saved a backup says of it. `saved_unix_ms` is that node's wall clock, for people only."""

    saved_unix_ms: int
    version: str
    cluster_name: str


@value
class BackupContents:
    """A backup being read. As with a snapshot: nothing is good for use before `pairs` has ended without an exception."""

    header: SnapshotHeader
    note: BackupNote
    pairs: Iterator[Pair]


@value
class BackupSummary:
    """What a whole, verified backup holds. `compacted_revision` is the oldest revision in it; 0: nothing was compacted."""

    revision: int
    compacted_revision: int
    key_count: int
    lease_count: int
    session_count: int
    pair_count: int


@value
class RestorePlan:
    """What is different in the new cluster. `mark_compacted`: no revision before the bumped one can be read or watched."""

    cluster_id: bytes
    membership: Membership
    revision_bump: int
    mark_compacted: bool


def backup_pairs(store: ReadableStore, group_id: int, note: BackupNote) -> Iterator[Pair]:
    """Yield what a backup holds, in key order: the note, then everything replicated."""
    packed: bytes = msgpack.packb([BACKUP_NOTE_FORMAT, note.saved_unix_ms, note.version, note.cluster_name])
    yield local_key(group_id, _NOTE), packed
    yield from replicated_pairs(store, group_id)


def open_backup(contents: SnapshotContents) -> BackupContents:
    """Take the note off the beginning. Raises SnapshotInvalid."""
    first = next(contents.pairs, None)
    if first is None or first[0] != local_key(contents.header.group_id, _NOTE):
        raise SnapshotInvalid("it is a snapshot of a node, not a backup")
    return BackupContents(header=contents.header, note=_decode_note(first[1]), pairs=contents.pairs)


def _decode_note(data: bytes) -> BackupNote:
    try:
        note_format, saved_unix_ms, version, cluster_name = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise SnapshotInvalid(f"the backup's note cannot be read: {error}") from error
    if note_format != BACKUP_NOTE_FORMAT:
        raise SnapshotInvalid(
            f"backup format {note_format!r}; this version of Ferrite reads format {BACKUP_NOTE_FORMAT}"
        )
    if type(saved_unix_ms) is not int or type(version) is not str or type(cluster_name) is not str:
        raise SnapshotInvalid("the backup's note has fields of wrong types")
    return BackupNote(saved_unix_ms=saved_unix_ms, version=version, cluster_name=cluster_name)


def summarize(backup: BackupContents) -> BackupSummary:
    """Read a backup to its end, which verifies all of it. Raises SnapshotInvalid."""
    layout = Layout(backup.header.group_id)
    keys_start, keys_end = layout.keys_between(b"", None)
    meta: Meta | None = None
    keys = pairs = 0
    for key, data in backup.pairs:
        pairs += 1
        if keys_start <= key < keys_end:
            keys += 1
        elif key == layout.applied:
            meta = _decode_applied(data, backup.header)
    found = _must_have(meta)
    return BackupSummary(
        revision=found.revision,
        compacted_revision=found.compacted_revision,
        key_count=keys,
        lease_count=found.lease_count,
        session_count=found.session_count,
        pair_count=pairs,
    )


def _decode_applied(data: bytes, header: SnapshotHeader) -> Meta:
    try:
        meta = decode_meta(data)
    except StateCorrupt as error:
        raise SnapshotInvalid(str(error)) from error
    if (meta.applied_index, meta.applied_term) != (header.last_index, header.last_term):
        raise SnapshotInvalid(
            f"the header names index {header.last_index} of term {header.last_term}, the state inside "
            f"index {meta.applied_index} of term {meta.applied_term}"
        )
    return meta


def _must_have(meta: Meta | None) -> Meta:
    if meta is None:
        raise SnapshotInvalid("the backup does not say which index it was applied to")
    return meta


def restored(backup: BackupContents, plan: RestorePlan) -> SnapshotContents:
    """Return the snapshot from which every member of the new cluster starts: the same on all of them, byte for byte.

    Keys, history and leases stay as they are, and so does the cluster time, so that a lease has the time that it had left. The
    log's position stays too. Sessions end: a retry of a command of the old cluster is refused, and never runs a second time.
    """
    must(0 <= plan.revision_bump <= REVISION_BUMP_MAX, "a bump leaves room for revisions after it")
    header = replace(backup.header, cluster_id=plan.cluster_id, membership=encode_membership(plan.membership))
    return SnapshotContents(header=header, pairs=_restored_pairs(backup, plan, header.membership))


def _restored_pairs(backup: BackupContents, plan: RestorePlan, membership: bytes) -> Iterator[Pair]:
    """Yield the pairs; those that are known only at the end come last, out of order."""
    layout = Layout(backup.header.group_id)
    sessions_start, (activity_start, activity_end) = layout.session(b""), layout.activity_range
    meta: Meta | None = None
    ended: list[bytes] = []
    for key, data in backup.pairs:
        if key == layout.applied:
            meta = _decode_applied(data, backup.header)
        elif key == layout.membership or activity_start <= key < activity_end:
            continue
        elif sessions_start <= key < activity_start and data != TOMBSTONE_RECORD:
            ended.append(layout.split_session(key))
            yield key, TOMBSTONE_RECORD
        else:
            yield key, data
    found = _must_have(meta)
    for number, client_id in enumerate(ended, found.buried_next):
        yield layout.buried(number), client_id
    yield layout.membership, membership
    yield layout.applied, encode_meta(_restored_meta(found, plan, len(ended)))


def _restored_meta(found: Meta, plan: RestorePlan, ended_count: int) -> Meta:
    meta = found.copy()
    meta.revision += plan.revision_bump
    if plan.mark_compacted:
        meta.compacted_revision = meta.revision
    meta.membership_index = meta.applied_index
    meta.session_count = meta.session_deadline_us = 0
    meta.buried_next += ended_count
    return meta
