"""How far a watch is: what to deliver, and where to resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

_Event = TypeVar("_Event")


class WatchCursor:
    """Deliveries of any number of streams, one after the other, become one: in order, each change once.

    `next_revision` is the first one not delivered yet; 0: "from now on", until the server said what now is.
    """

    __slots__ = ("_mod_revision", "next_revision")

    def __init__(self, start_revision: int, mod_revision: Callable[[object], int]) -> None:
        """`mod_revision` reads an event's revision."""
        self.next_revision = start_revision
        self._mod_revision = mod_revision

    def created(self, revision: int) -> None:
        """The server has the watch; `revision` is its present one. What was "from now on" is now from the next one on."""
        if not self.next_revision:
            self.next_revision = revision + 1

    def take(self, revision: int, events: Sequence[_Event]) -> tuple[_Event, ...] | None:
        """What is new of a delivery up to `revision`; None when nothing is, not even the revision."""
        fresh = tuple(event for event in events if self._mod_revision(event) >= self.next_revision)
        if revision < self.next_revision:
            return None
        self.next_revision = revision + 1
        return fresh
