"""The watches of one node: every change of a range from a revision on; in order, each once, all of one revision together.

The hub is fed with what was applied, and orders reads of history for watches that begin in the past. A watch is *live* when
it has everything up to the hub's revision, else *behind*. There is never a gap: what is fed to a live watch follows what it has,
and one behind joins the live ones only when a piece of history ends at the hub's revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ferrite.core.kv.meta import EMPTY_REVISION
from ferrite.core.kv.revisions import RevisionChanges
from ferrite.core.kv.watch_groups import (
    EventMaker,
    HistoryDeliveries,
    Interest,
    Previous,
    delivery,
    progress,
)
from ferrite.core.kv.watch_index import RangeIndex
from ferrite.core.kv.watch_values import (
    Delivery,
    HistoryPiece,
    HistoryRead,
    WatchEnd,
    WatchEnded,
    WatchEvent,
    WatchRefused,
    WatchSpec,
)
from ferrite.core.values import must, value

WATCHES_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 4 << 20
WATCHES_BYTES_MAX: Final = 256 << 20
PLACE_BYTES: Final = 16
"""What one delivery costs in one queue beside itself: a reference, in a list that has room to grow."""


@value
class WatchLimits:
    """Of one node. Whatever it is, one revision is delivered whole: a queue that was empty takes it."""

    watches_max: int = WATCHES_MAX
    queue_bytes_max: int = QUEUE_BYTES_MAX
    """Of one watch, what its client did not take yet."""
    watches_bytes_max: int = WATCHES_BYTES_MAX
    """Of all watches together, each delivery once: memory is the node's. Those with the most are ended, and can be resumed."""


class _Watcher:
    """One watch. `next_revision` is the first one that it wants and was not given; of a live one only while that is to come.

    `group` is its group while it is live. `quiet`: nothing was given since the last round of progress notifications.
    """

    __slots__ = (
        "ended",
        "group",
        "interest",
        "next_revision",
        "number",
        "progress_wanted",
        "queue",
        "queued_bytes",
        "quiet",
    )

    def __init__(self, number: int, interest: Interest, next_revision: int) -> None:
        self.number = number
        self.interest = interest
        self.next_revision = next_revision
        self.group: _Group | None = None
        self.queue: list[Delivery | WatchEnded] = []
        self.queued_bytes = 0
        self.progress_wanted = False
        self.quiet = False
        self.ended = False


class _Group:
    """The live watches of one interest, by number."""

    __slots__ = ("interest", "watchers")

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.watchers: dict[int, _Watcher] = {}


class WatchHub:
    """The watches of one node, by numbers that are never used again.

    The host calls `take_ready` and `next_read` after everything else that it called.
    """

    __slots__ = (
        "_behind",
        "_compacted_revision",
        "_cursor",
        "_groups",
        "_held_bytes",
        "_holders",
        "_index",
        "_last_number",
        "_limits",
        "_progress",
        "_reading",
        "_ready",
        "_revision",
        "_watchers",
    )

    def __init__(
        self, *, revision: int, compacted_revision: int = 0, limits: WatchLimits | None = None
    ) -> None:
        """Begin at the state's revisions."""
        self._revision = revision
        self._compacted_revision = compacted_revision
        self._limits = limits or WatchLimits()
        self._watchers: dict[int, _Watcher] = {}
        self._behind: dict[int, _Watcher] = {}
        self._progress: dict[int, _Watcher] = {}
        self._groups: dict[Interest, _Group] = {}
        self._index: RangeIndex[_Group] = RangeIndex()
        self._ready: dict[int, None] = {}
        self._holders: dict[Delivery, int] = {}
        """How many queues have each delivery that is in one."""
        self._held_bytes = 0
        self._reading: HistoryRead | None = None
        self._cursor = 0
        """Where the last piece of history ended: the next one is for a watch further on, so that none starves."""
        self._last_number = 0

    @property
    def revision(self) -> int:
        """Everything up to it was fed."""
        return self._revision

    @property
    def has_live(self) -> bool:
        """Is there anybody who wants the changes of the next apply? Without, they need not be decoded."""
        return bool(self._groups)

    @property
    def count(self) -> int:
        """Watches, those included whose end was not taken yet."""
        return len(self._watchers)

    # ------------------------------------------------------------------------------------------------ clients

    def add(self, spec: WatchSpec) -> tuple[int, int]:
        """Begin a watch; return its number, and the revision up to which it counts as delivered. Raises WatchRefused."""
        if len(self._watchers) >= self._limits.watches_max:
            raise WatchRefused(f"this node has {len(self._watchers)} watches, as many as it may have")
        self._last_number += 1
        start = max(spec.start_revision, EMPTY_REVISION + 1) if spec.start_revision else self._revision + 1
        watcher = _Watcher(self._last_number, Interest.of(spec), start)
        self._watchers[watcher.number] = watcher
        if spec.progress:
            self._progress[watcher.number] = watcher
        if start > self._revision:
            self._join(watcher)
        else:
            self._behind[watcher.number] = watcher
            self._end_when_compacted(watcher)
        return watcher.number, start - 1

    def remove(self, number: int) -> None:
        """Forget a watch, if it is still there."""
        watcher = self._watchers.pop(number, None)
        if watcher is not None:
            self._detach(watcher)
            self._empty(watcher)
            self._ready.pop(number, None)

    def take(self, number: int) -> list[Delivery | WatchEnded]:
        """Take what is there for this watch. After a WatchEnded it is gone."""
        watcher = self._watchers.get(number)
        if watcher is None:
            return []
        self._ready.pop(number, None)
        taken = self._empty(watcher)
        if watcher.ended:
            self.remove(number)
        return taken

    def request_progress(self, number: int) -> None:
        """Give this watch a notification as soon as it has everything up to the present."""
        watcher = self._watchers.get(number)
        if watcher is not None and not watcher.ended:
            watcher.progress_wanted = True
            if watcher.group is not None:
                self._give_progress(watcher)
                self._end_largest()

    def notify_progress(self) -> None:
        """Give a notification to the live watches that want them and had nothing since the last call."""
        for watcher in list(self._progress.values()):
            if watcher.quiet and watcher.group is not None and not watcher.queue:
                self._give_progress(watcher)
            watcher.quiet = True
        self._end_largest()

    def end_all(self, reason: WatchEnd, detail: str) -> None:
        """End every watch, after what it has been given."""
        for watcher in list(self._watchers.values()):
            if not watcher.ended:
                self._end(watcher, reason, detail, self._given(watcher))

    @property
    def ready_count(self) -> int:
        """How many `take_ready` would return."""
        return len(self._ready)

    def take_ready(self) -> list[int]:
        """Return the watches that got something since the last call, in the order in which they got it."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    # ------------------------------------------------------------------------------------------------ the state

    def on_applied(
        self, batch: Sequence[RevisionChanges], *, revision: int, compacted_revision: int, previous: Previous
    ) -> None:
        """Take the changes of an apply (they may be left out unless `has_live`), and the revisions of the state after it."""
        if self._groups:
            for group in batch:
                must(group.revision == self._revision + 1, "revisions are applied in order and without gaps")
                self._revision = group.revision
                self._feed(group, previous)
            must(self._revision == revision, "the changes of an apply end at its revision")
        must(self._revision <= revision, "revisions never decrease")
        self._revision = revision
        self._note_compaction(compacted_revision)
        self._end_largest()

    def on_installed(self, *, revision: int, compacted_revision: int) -> None:
        """A snapshot took the place of the state: what lies between is history now."""
        must(revision >= self._revision, "a snapshot never takes the state back")
        for group in list(self._groups.values()):
            for watcher in list(group.watchers.values()):
                start = max(watcher.next_revision, self._revision + 1)
                if start <= revision:
                    self._leave(watcher)
                    watcher.next_revision = start
                    self._behind[watcher.number] = watcher
        self._revision = revision
        self._note_compaction(compacted_revision)

    def next_read(self) -> HistoryRead | None:
        """Return the next order; None when there is none, or one is under way. Its answer goes to `on_history`."""
        if self._reading is not None or not self._behind:
            return None
        waiting = [watcher for watcher in self._behind.values() if self._has_room(watcher)]
        if not waiting:
            return None
        revisions = [watcher.next_revision for watcher in waiting]
        from_revision = min((number for number in revisions if number > self._cursor), default=min(revisions))
        with_previous = any(watcher.interest.prev_kv for watcher in waiting)
        self._reading = HistoryRead(from_revision=from_revision, with_previous=with_previous)
        return self._reading

    def on_history(self, piece: HistoryPiece | None) -> None:
        """Take the answer to the last `next_read`; None: there is none, and what is still wanted is ordered again."""
        read, self._reading = self._reading, None
        must(read is not None, "history comes when it was asked for")
        if piece is None or read is None:
            return
        # The state may be read when it is ahead of what the hub was told; the rest comes by on_applied.
        through = min(piece.through_revision, self._revision)
        made = HistoryDeliveries(
            [group for group in piece.changes if read.from_revision <= group.revision <= through],
            piece.previous,
        )
        self._cursor = through + 1
        for watcher in list(self._behind.values()):
            known = read.with_previous or not watcher.interest.prev_kv
            if known and read.from_revision <= watcher.next_revision <= through and self._has_room(watcher):
                self._give_history(watcher, made.of(watcher.interest), through)
        self._end_largest()

    # ------------------------------------------------------------------------------------------------ inside

    def _feed(self, group: RevisionChanges, previous: Previous) -> None:
        maker = EventMaker(previous)
        found: dict[Interest, tuple[_Group, list[WatchEvent]]] = {}
        for position, change in enumerate(group.changes):
            for watching in self._index.holding(change.key):
                interest = watching.interest
                if interest.wants(change):
                    event = maker.event(position, change, prev_kv=interest.prev_kv)
                    found.setdefault(interest, (watching, []))[1].append(event)
        for watching, events in found.values():
            item = delivery(group.revision, events)
            for watcher in list(watching.watchers.values()):
                if watcher.next_revision <= group.revision:
                    self._give(watcher, item)

    def _give(self, watcher: _Watcher, item: Delivery) -> None:
        """Queue it, or end the watch: a client that does not take what is there must not fill the memory."""
        if watcher.queue and watcher.queued_bytes + item.size_bytes > self._limits.queue_bytes_max:
            self._end_slow(watcher, f"at most {self._limits.queue_bytes_max} are kept for it")
            return
        holders = self._holders.get(item, 0)
        self._holders[item] = holders + 1
        self._held_bytes += PLACE_BYTES if holders else PLACE_BYTES + item.size_bytes
        watcher.queue.append(item)
        watcher.queued_bytes += item.size_bytes
        watcher.quiet = False
        self._ready[watcher.number] = None

    def _give_history(self, watcher: _Watcher, deliveries: list[Delivery], through: int) -> None:
        """Give as much as it has room for. History waits where it is: nobody is ended for not taking it."""
        for item in deliveries:
            if item.revision < watcher.next_revision:
                continue
            full = watcher.queued_bytes + item.size_bytes > self._limits.queue_bytes_max
            if watcher.queue and (full or self._crowded):
                watcher.next_revision = item.revision
                return
            self._give(watcher, item)
        watcher.next_revision = through + 1
        if through == self._revision:
            del self._behind[watcher.number]
            self._join(watcher)

    def _give_progress(self, watcher: _Watcher) -> None:
        watcher.progress_wanted = False
        revision = self._given(watcher)
        last = watcher.queue[-1] if watcher.queue else None
        if not (isinstance(last, Delivery) and not last.events and last.revision == revision):
            self._give(watcher, progress(revision))

    def _given(self, watcher: _Watcher) -> int:
        """Return the revision up to which the watch was given everything that it wants."""
        live = watcher.group is not None
        return max(self._revision, watcher.next_revision - 1) if live else watcher.next_revision - 1

    @property
    def _crowded(self) -> bool:
        """Have all queues together so much that history waits? An empty one still gets some: its client may be quick."""
        return self._held_bytes * 2 > self._limits.watches_bytes_max

    def _has_room(self, watcher: _Watcher) -> bool:
        return not watcher.queue or (
            watcher.queued_bytes * 2 <= self._limits.queue_bytes_max and not self._crowded
        )

    def _empty(self, watcher: _Watcher) -> list[Delivery | WatchEnded]:
        """Return what is in its queue, which is empty then."""
        taken, watcher.queue, watcher.queued_bytes = watcher.queue, [], 0
        for item in taken:
            if isinstance(item, Delivery):
                holders = self._holders.pop(item) - 1
                if holders:
                    self._holders[item] = holders
                self._held_bytes -= PLACE_BYTES if holders else PLACE_BYTES + item.size_bytes
        return taken

    def _end_largest(self) -> None:
        """When all queues together have too much, end the watches with the most, until an eighth is free: not one at every apply.

        A delivery that is the only one stays, however large it is, else nobody would ever get it.
        """
        bytes_max = self._limits.watches_bytes_max
        if self._held_bytes <= bytes_max:
            return
        why = f"all watches of this node have {self._held_bytes} bytes of at most {bytes_max}, and this one has the most"
        largest_first = sorted(self._watchers.values(), key=lambda watcher: -watcher.queued_bytes)
        for watcher in largest_first:
            if self._held_bytes * 8 <= bytes_max * 7 or len(self._holders) <= 1:
                return
            if watcher.queued_bytes:
                self._end_slow(watcher, why)

    def _end_slow(self, watcher: _Watcher, why: str) -> None:
        """End a watch for what its client did not take. It goes on there."""
        first = watcher.queue[0]
        missing = isinstance(first, Delivery) and first.events
        detail = f"the client did not take {watcher.queued_bytes} bytes, and {why}"
        self._empty(watcher)
        self._end(watcher, WatchEnd.SLOW, detail, first.revision - 1 if missing else first.revision)

    def _note_compaction(self, compacted_revision: int) -> None:
        if compacted_revision > self._compacted_revision:
            self._compacted_revision = compacted_revision
            for watcher in list(self._behind.values()):
                self._end_when_compacted(watcher)

    def _end_when_compacted(self, watcher: _Watcher) -> None:
        oldest = self._compacted_revision
        if watcher.next_revision < oldest:
            detail = (
                f"revision {watcher.next_revision} is compacted; the oldest that can be watched is {oldest}"
            )
            self._end(watcher, WatchEnd.COMPACTED, detail, oldest - 1)

    def _end(self, watcher: _Watcher, reason: WatchEnd, detail: str, revision: int) -> None:
        self._detach(watcher)
        watcher.ended = True
        watcher.queue.append(WatchEnded(reason=reason, detail=detail, revision=revision))
        self._ready[watcher.number] = None

    def _detach(self, watcher: _Watcher) -> None:
        if watcher.group is not None:
            self._leave(watcher)
        self._behind.pop(watcher.number, None)
        self._progress.pop(watcher.number, None)

    def _join(self, watcher: _Watcher) -> None:
        group = self._groups.get(watcher.interest)
        if group is None:
            group = self._groups[watcher.interest] = _Group(watcher.interest)
            self._index.add(watcher.interest.key, watcher.interest.range_end, group)
        group.watchers[watcher.number] = watcher
        watcher.group = group
        if watcher.progress_wanted:
            self._give_progress(watcher)

    def _leave(self, watcher: _Watcher) -> None:
        group, watcher.group = watcher.group, None
        if group is None:
            return
        del group.watchers[watcher.number]
        if not group.watchers:
            del self._groups[group.interest]
            self._index.discard(group.interest.key, group.interest.range_end, group)
