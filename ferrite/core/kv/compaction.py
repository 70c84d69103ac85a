"""Compaction: the mark moves at once, the records go later, a piece with each Tick.

A sweep to revision R looks at the changes from the revision of the sweep before to R, in order. What a change superseded goes; so
does a deletion itself, but for those at R, so that a watch from R is complete. Each key's version at R is superseded by nothing
up to R, so it stays. Nothing that can be read is touched: how far a sweep has come never shows.
"""

from __future__ import annotations

from typing import Final

from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Compact
from ferrite.core.kv.records import Change, change_size_bytes, decode_change
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import CommandErrorCode, CompactResult
from ferrite.core.kv.workspace import Workspace

SWEEP_CHANGES_MAX: Final = 1_000
SWEEP_BYTES_MAX: Final = 4 << 20
"""What one Tick looks at: some tens of milliseconds of apply."""


def compact(meta: Meta, operation: Compact) -> CompactResult:
    """Move the mark. Raises Refused."""
    revision = operation.revision
    if revision <= meta.compacted_revision:
        raise Refused(
            CommandErrorCode.COMPACTED,
            f"revision {revision} was compacted; the store is compacted to {meta.compacted_revision}",
            meta.compacted_revision,
        )
    if revision > meta.revision:
        raise Refused(
            CommandErrorCode.FUTURE_REVISION,
            f"revision {revision} is not there yet; the store is at {meta.revision}",
        )
    meta.compacted_revision = revision
    return CompactResult(revision=meta.revision, compacted=revision)


def sweep(work: Workspace) -> None:
    """Remove the next piece of what compaction left over."""
    meta, layout = work.meta, work.layout
    if meta.swept_revision == meta.compacted_revision:
        return
    if meta.sweep_to_revision == meta.swept_revision:
        # From the end of the sweep before: the deletions that it kept there go now.
        meta.sweep_to_revision = meta.compacted_revision
        meta.sweep_revision, meta.sweep_sub = meta.swept_revision, 0
    start = layout.revision(meta.sweep_revision, meta.sweep_sub)
    changes_left, bytes_left = SWEEP_CHANGES_MAX, SWEEP_BYTES_MAX
    # The scan does not see what is removed meanwhile; a change is never superseded by an earlier one, so it need not.
    for place, data in work.overlay.scan(start, layout.revision(meta.sweep_to_revision + 1, 0)):
        revision, sub = layout.split_revision(place)
        if not changes_left or bytes_left < 0:
            meta.sweep_revision, meta.sweep_sub = revision, sub
            return
        changes_left -= 1
        bytes_left -= len(data)
        _clear(work, decode_change(data, revision), sub, change_size_bytes(data))
    meta.swept_revision = meta.sweep_to_revision
    meta.sweep_revision = meta.sweep_sub = 0


def _clear(work: Workspace, change: Change, sub: int, size_bytes: int) -> None:
    """Remove what this change made unreadable."""
    meta = work.meta
    if change.prev_revision and change.mod_revision > meta.swept_revision:
        _remove(work, change.key, change.prev_revision, change.prev_sub, change.prev_size_bytes)
    if change.deleted and change.mod_revision < meta.sweep_to_revision:
        _remove(work, change.key, change.mod_revision, sub, size_bytes)


def _remove(work: Workspace, key: bytes, revision: int, sub: int, size_bytes: int) -> None:
    work.overlay.delete(work.layout.history(key, revision))
    work.overlay.delete(work.layout.revision(revision, sub))
    work.meta.size_bytes -= size_bytes
