"""Making deliveries: matching and building is done once for all watches of the same spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ferrite.core.kv.operations import FROM_KEY
from ferrite.core.kv.records import Change
from ferrite.core.kv.results import KeyValue
from ferrite.core.kv.revisions import RevisionChanges
from ferrite.core.kv.watch_values import EVENT_BYTES, Delivery, WatchEvent, WatchSpec

Previous = Callable[[Change], KeyValue | None]
"""Finds the version that a change took the place of; None when it is compacted. Asked only when there was one."""


class Interest(NamedTuple):
    """What watches of one group have in common."""

    key: bytes
    range_end: bytes
    prev_kv: bool
    no_puts: bool
    no_deletes: bool

    @classmethod
    def of(cls, spec: WatchSpec) -> Interest:
        """Return the part of a spec that decides what is delivered."""
        return cls(spec.key, spec.range_end, spec.prev_kv, spec.no_puts, spec.no_deletes)

    def wants(self, change: Change) -> bool:
        """Decide by the kind of the change alone."""
        return not (self.no_deletes if change.deleted else self.no_puts)

    def covers(self, key: bytes) -> bool:
        """Decide by the key alone."""
        if not self.range_end:
            return key == self.key
        return self.key <= key and (self.range_end == FROM_KEY or key < self.range_end)


class EventMaker:
    """Makes the events of one revision, each at most once with and once without what was there before."""

    __slots__ = ("_plain", "_previous", "_whole")

    def __init__(self, previous: Previous) -> None:
        self._previous = previous
        self._plain: dict[int, WatchEvent] = {}
        self._whole: dict[int, WatchEvent] = {}

    def event(self, position: int, change: Change, *, prev_kv: bool) -> WatchEvent:
        """Return the event of the change at this position of the revision."""
        made = self._whole if prev_kv else self._plain
        event = made.get(position)
        if event is None:
            prev = self._previous(change) if prev_kv and change.prev_revision else None
            event = made[position] = WatchEvent(deleted=change.deleted, entry=key_value(change), prev=prev)
        return event


def key_value(change: Change) -> KeyValue:
    """Return the version of a key that a change made; of a deletion the key and the revision."""
    return KeyValue(
        key=change.key,
        value=change.value,
        create_revision=change.create_revision,
        mod_revision=change.mod_revision,
        version=change.version,
        lease=change.lease,
    )


def delivery(revision: int, events: list[WatchEvent]) -> Delivery:
    """Return what goes to every watch of a group."""
    size_bytes = EVENT_BYTES + sum([event.size_bytes for event in events])
    return Delivery(revision=revision, events=tuple(events), size_bytes=size_bytes)


def progress(revision: int) -> Delivery:
    """Return the notification that everything up to a revision was delivered."""
    return Delivery(revision=revision, size_bytes=EVENT_BYTES)


class HistoryDeliveries:
    """The deliveries that a piece of history makes, for each interest once."""

    __slots__ = ("_changes", "_made")

    def __init__(self, changes: list[RevisionChanges], previous: dict[tuple[int, int], KeyValue]) -> None:
        def look_up(change: Change) -> KeyValue | None:
            return previous.get((change.prev_revision, change.prev_sub))

        self._changes = [(group, EventMaker(look_up)) for group in changes]
        self._made: dict[Interest, list[Delivery]] = {}

    def of(self, interest: Interest) -> list[Delivery]:
        """Return them in order of revisions."""
        made = self._made.get(interest)
        if made is None:
            made = self._made[interest] = self._make(interest)
        return made

    def _make(self, interest: Interest) -> list[Delivery]:
        made = []
        for group, maker in self._changes:
            events = [
                maker.event(position, change, prev_kv=interest.prev_kv)
                for position, change in enumerate(group.changes)
                if interest.covers(change.key) and interest.wants(change)
            ]
            if events:
                made.append(delivery(group.revision, events))
        return made
