"""The changes as a watch delivers them: revision by revision, each with what it superseded."""

from __future__ import annotations

from ferrite.core.kv.ranges import View
from ferrite.core.kv.records import Change, StateCorrupt, decode_change
from ferrite.core.kv.results import KeyValue
from ferrite.core.values import value


@value
class RevisionChanges:
    """All changes of one revision, in the order in which they were made."""

    revision: int
    changes: tuple[Change, ...]


def changes_from(view: View, first_revision: int, bytes_max: int) -> tuple[RevisionChanges, ...]:
    """Return whole revisions, ascending, until their records exceed `bytes_max`; the one that does is the last."""
    layout = view.layout
    found: list[RevisionChanges] = []
    group: list[Change] = []
    bytes_left = bytes_max
    scan = view.store.scan(layout.revision(first_revision, 0), layout.revision(view.revision + 1, 0))
    for place, data in scan:
        revision, _ = layout.split_revision(place)
        if group and revision != group[0].mod_revision:
            found.append(RevisionChanges(revision=group[0].mod_revision, changes=tuple(group)))
            group = []
            if bytes_left <= 0:
                return tuple(found)
        group.append(decode_change(data, revision))
        bytes_left -= len(data)
    if group:
        found.append(RevisionChanges(revision=group[0].mod_revision, changes=tuple(group)))
    return tuple(found)


def previous(view: View, change: Change) -> KeyValue | None:
    """Return what the key was before a change that supersedes nothing compacted. Raises StateCorrupt."""
    if not change.prev_revision:
        return None
    data = view.store.get(view.layout.revision(change.prev_revision, change.prev_sub))
    if data is None:
        raise StateCorrupt(
            f"the change of key {change.key!r} at revision {change.mod_revision} follows "
            f"{change.prev_revision}/{change.prev_sub}, which is not there"
        )
    before = decode_change(data, change.prev_revision)
    return KeyValue(
        key=before.key,
        value=before.value,
        create_revision=before.create_revision,
        mod_revision=before.mod_revision,
        version=before.version,
        lease=before.lease,
    )
