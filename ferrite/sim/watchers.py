"""Simulated watchers: each watches a range at one node at a time, takes slowly, and goes on at another node where it was.

Everything that one was told is kept, and compared with the replay of the committed log at the end (`checks/watches.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ferrite.core import NodeId
from ferrite.core.client import WatchCursor, prefix_end
from ferrite.core.kv import Delivery, WatchEnd, WatchEnded, WatchEvent, WatchHub, WatchSpec
from ferrite.sim.node import Node
from ferrite.sim.violation import Violation
from ferrite.sim.world import World, finding

TAKE_MEAN_US: Final = 20_000
TAKE_MIN_US: Final = 200
"""A watcher asks no more often."""
HEALED_TAKE_MEAN_US: Final = 2_000
"""When the faults are over nobody is slow any more: all shall catch up."""
STAYS_PPM: Final = 930_000
"""The share of rounds after which a watcher stays at its node."""
ANEW_PPM: Final = 300_000
"""The share of those that leave which begin a watch of their own, instead of going on where they were."""
PROGRESS_EVERY: Final = 8
"""Rounds between two questions of how far the watch is."""
BACK_REVISIONS: Final = 40
"""How far back, or ahead, of what it saw a watcher begins anew."""
FIRST_CHANGE: Final = 2
"""The first revision that changes anything."""
RANGES: Final = (
    (b"\x00", b"\x00"),
    (b"key", prefix_end(b"key")),
    (b"txn/", prefix_end(b"txn/")),
    (b"key0", b""),
)


@dataclass(slots=True, kw_only=True, frozen=True)
class Began:
    """A watch began at a node, which had applied so much: asked for from a revision on (0: from now on), and what was answered.

    `resumed`: it goes on where the last one ended.
    """

    asked: int
    revision: int
    applied_index: int
    resumed: bool


@dataclass(slots=True, kw_only=True, frozen=True)
class Got:
    """One delivery, or without events a progress notification, and how much the node had applied when it was taken."""

    revision: int
    events: tuple[WatchEvent, ...]
    applied_index: int


@dataclass(slots=True, kw_only=True, frozen=True)
class Ended:
    """The server ended a watch whose next revision was to be this."""

    reason: WatchEnd
    revision: int
    next_revision: int
    applied_index: int


def _mod_revision(event: object) -> int:
    assert isinstance(event, WatchEvent), "a cursor of a watch is given its events"
    return event.entry.mod_revision


class Watcher:
    """One of them. `told` is everything it was told, over all its watches."""

    def __init__(self, number: int, nodes: Mapping[NodeId, Node], world: World) -> None:
        self._nodes = nodes
        self._world = world
        self._dice = world.dice.stream("watcher", number)
        self.key, self.range_end = self._dice.pick(RANGES)
        self.prev_kv = self._dice.chance(500_000)
        without = self._dice.pick(("", "", "", "puts", "deletes"))
        self.no_puts, self.no_deletes = without == "puts", without == "deletes"
        self.cursor = WatchCursor(0 if self._dice.chance(500_000) else FIRST_CHANGE, _mod_revision)
        self.told: list[Began | Got | Ended] = []
        self._resumes = False
        self._hub: WatchHub | None = None
        self._node: Node | None = None
        self._number = 0
        self._rounds = 0
        self._began_behind = 0
        """The hub's revision when a watch began in the past that did not catch up yet; else 0."""
        self._take_mean_us = TAKE_MEAN_US
        self._last_node: Node | None = None

    def start(self) -> None:
        """Begin after a first pause."""
        self._again()

    def use(self, nodes: Mapping[NodeId, Node]) -> None:
        """Faults are over: watch at one of these, quickly, and leave it no more."""
        self._nodes = nodes
        self._take_mean_us = HEALED_TAKE_MEAN_US
        if self._node is not None and self._node.node_id not in nodes:
            self._leave(self._node)

    def has(self, revision: int) -> bool:
        """Was it told all up to this revision?"""
        return self.cursor.next_revision > revision

    def _again(self) -> None:
        # A tape whose draws have ended gives zeros: without a least pause a watcher would then do nothing else.
        pause_us = max(TAKE_MIN_US, self._dice.exponential(self._take_mean_us))
        self._world.timeline.after(pause_us, self._round)

    def _round(self) -> None:
        self._again()
        node = self._node
        try:
            if node is None or node.state is None or node.state.watches.hub is not self._hub:
                self._watch()  # It has none, or the process that it was at has ended.
            elif not node.paused:
                self._take(node)
        except Violation:
            raise
        except Exception as error:
            asked = self._node or node
            assert asked is not None, "only a node's hub raises"
            raise finding(self._world, asked.node_id, error, who="A node's watches") from error

    def _watch(self) -> None:
        node = self._nodes[self._dice.pick(sorted(self._nodes))]
        self._node = self._hub = None
        if node.state is None or node.paused:
            return
        hub, asked = node.state.watches.hub, self.cursor.next_revision
        self._node, self._hub = node, hub
        spec = WatchSpec(
            key=self.key,
            range_end=self.range_end,
            start_revision=asked,
            prev_kv=self.prev_kv,
            no_puts=self.no_puts,
            no_deletes=self.no_deletes,
            progress=True,
        )
        self._number, revision = hub.add(spec)
        self.cursor.created(revision)
        began = Began(
            asked=asked,
            revision=revision,
            applied_index=node.state.machine.applied_index,
            resumed=self._resumes,
        )
        self.told.append(began)
        self._count_beginning(node, hub, began)
        self._resumes = True
        node.state.watches.settle()

    def _count_beginning(self, node: Node, hub: WatchHub, began: Began) -> None:
        counters = self._world.counters
        counters["watches"] += 1
        counters["watches_resumed"] += began.resumed and node is not self._last_node
        counters["watches_future"] += began.revision > hub.revision
        behind = began.revision < hub.revision
        counters["watches_past"] += behind
        self._began_behind = hub.revision if behind else 0
        self._last_node = node

    def _take(self, node: Node) -> None:
        assert self._hub is not None and node.state is not None, "it watches there"
        self._rounds += 1
        if self._rounds % PROGRESS_EVERY == 0:
            self._hub.request_progress(self._number)
        items = self._hub.take(self._number)
        self._check_memory(items)
        applied_index = node.state.machine.applied_index
        for item in items:
            if isinstance(item, WatchEnded):
                self._ended(item, applied_index)
                return
            self._given(item, applied_index)
        if self._take_mean_us == TAKE_MEAN_US and not self._dice.chance(STAYS_PPM):
            self._leave(node)
        else:
            node.state.watches.settle()

    def _leave(self, node: Node) -> None:
        """Give the watch up; the next one goes on, or is another one."""
        if self._hub is not None and node.state is not None and node.state.watches.hub is self._hub:
            self._hub.remove(self._number)
            node.state.watches.settle()
        self._node = self._hub = None
        if self._take_mean_us == TAKE_MEAN_US and self._dice.chance(ANEW_PPM):
            near = self.cursor.next_revision + self._dice.between(-BACK_REVISIONS, BACK_REVISIONS)
            start = self._dice.pick((0, FIRST_CHANGE, max(FIRST_CHANGE, near)))
            self.cursor = WatchCursor(start, _mod_revision)
            self._resumes = False

    def _check_memory(self, items: list[Delivery | WatchEnded]) -> None:
        """W7: a node keeps no more for a watch than it may; but one revision is always taken whole."""
        sizes = [
            sum(event.size_bytes for event in item.events)
            for item in items
            if isinstance(item, Delivery) and item.events
        ]
        kept, limit = sum(sizes), self._world.options.kv.watch_queue_bytes
        if len(sizes) > 1 and kept > limit:
            raise self._world.violation(
                "W7",
                "What a node keeps for a watch is bounded.",
                f"{kept} bytes in {len(sizes)} revisions; at most {limit}",
            )

    def _ended(self, end: WatchEnded, applied_index: int) -> None:
        self._node = self._hub = None
        self._world.counters[f"watch_{end.reason.value}"] += 1
        self.told.append(
            Ended(
                reason=end.reason,
                revision=end.revision,
                next_revision=self.cursor.next_revision,
                applied_index=applied_index,
            )
        )
        # What it is told to resume from, it resumes from.
        self.cursor.next_revision = max(self.cursor.next_revision, end.revision + 1)

    def _given(self, item: Delivery, applied_index: int) -> None:
        revisions = {event.entry.mod_revision for event in item.events}
        if revisions - {item.revision} or (revisions and item.revision < self.cursor.next_revision):
            raise self._world.violation(
                "W1",
                "A watch gives the events of one revision at a time, and never a revision again.",
                f"revision {item.revision} with events of {sorted(revisions)}; the next was to be {self.cursor.next_revision}",
            )
        events = self.cursor.take(item.revision, item.events)
        if events is None:
            return
        self.told.append(Got(revision=item.revision, events=events, applied_index=applied_index))
        counters = self._world.counters
        counters["watch_deliveries" if events else "watch_progress"] += 1
        if 0 < self._began_behind < item.revision:
            counters["watches_joined"] += bool(events)
            self._began_behind = 0
