"""What a watch asks for and what it gets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from ferrite.core.kv.results import KeyValue
from ferrite.core.kv.revisions import RevisionChanges
from ferrite.core.values import value

EVENT_BYTES: Final = 64
"""What an event counts beside its keys and values: the numbers, and the objects around them."""


@value
class WatchSpec:
    """The changes of a range (as in `Range`) from `start_revision` on; 0: what happens from now on.

    `progress` asks for a notification now and then while nothing happens. Changes of the kinds left out by `no_puts` and
    `no_deletes` are as if they had not happened.
    """

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0
    prev_kv: bool = False
    no_puts: bool = False
    no_deletes: bool = False
    progress: bool = False


@value
class WatchEvent:
    """One change. Of a deletion `entry` has the key and, as `mod_revision`, the deletion's revision.

    `prev` is the key as it was before: None when it was not there, was not asked for, or is compacted.
    """

    deleted: bool
    entry: KeyValue
    prev: KeyValue | None = None

    @property
    def size_bytes(self) -> int:
        """Count keys and values, and something for the rest."""
        size = EVENT_BYTES + len(self.entry.key) + len(self.entry.value)
        return size if self.prev is None else size + EVENT_BYTES + len(self.prev.key) + len(self.prev.value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """All that a watch sees of one revision, or without events: everything up to `revision` was delivered.

    One object goes to all watches of one spec: doors keep what they made of it in `encoded`, each under its own name.
    """

    revision: int
    events: tuple[WatchEvent, ...] = ()
    size_bytes: int = 0
    encoded: dict[str, bytes] = field(default_factory=dict)


class WatchEnd(enum.StrEnum):
    """Why the server ended a watch; the values are those of the wire."""

    COMPACTED = "compacted"
    SLOW = "slow"
    SHUTTING_DOWN = "shutting_down"


@value
class WatchEnded:
    """The last thing that a watch gets. It can be resumed at `revision + 1`, on any node.

    Everything up to `revision` was delivered; of COMPACTED it is the oldest revision that can be watched, less one.
    """

    reason: WatchEnd
    detail: str
    revision: int


@value
class HistoryRead:
    """An order of the hub: read changes from this revision on, a bounded piece. `with_previous`: and the versions before them."""

    from_revision: int
    with_previous: bool


@value
class HistoryPiece:
    """Whole revisions, ascending: everything from the one asked for up to `through_revision`, which is at least one revision.

    `previous`: the versions that changes name by `(prev_revision, prev_sub)`, as far as they were asked for and still exist.
    """

    changes: tuple[RevisionChanges, ...]
    through_revision: int
    previous: dict[tuple[int, int], KeyValue]


class WatchRefused(Exception):
    """There are as many watches as there may be."""
