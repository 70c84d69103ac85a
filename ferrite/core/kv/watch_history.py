"""Reading what a hub ordered, on a machine whose store does not change meanwhile."""

from __future__ import annotations

from ferrite.core.kv.machine import StateMachine
from ferrite.core.kv.watch_values import HistoryPiece, HistoryRead


def read_history(machine: StateMachine, read: HistoryRead, *, bytes_max: int) -> HistoryPiece | None:
    """Return whole revisions of about so many bytes; None when the first one is compacted meanwhile. Raises StateCorrupt."""
    if read.from_revision < machine.compacted_revision:
        return None
    changes = machine.changes_from(read.from_revision, bytes_max=bytes_max)
    previous = {}
    if read.with_previous:
        for group in changes:
            for change in group.changes:
                before = machine.previous(change) if change.prev_revision else None
                if before is not None:
                    previous[change.prev_revision, change.prev_sub] = before
    return HistoryPiece(
        changes=changes,
        through_revision=changes[-1].revision if changes else machine.revision,
        previous=previous,
    )
