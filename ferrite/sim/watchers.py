"""Simulated watchers: each watches a range at one node at a time, takes slowly, and goes on at another node where it was.

What one was given is kept and compared with the replay of the committed log at the end (W1 to W6): in order, each change once,
none left out, all of a revision together, with the version before it where that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ferrite.core import NodeId
from ferrite.core.client import WatchCursor, prefix_end
from ferrite.core.kv import Delivery, WatchEnd, WatchEnded, WatchEvent, WatchHub, WatchSpec
from ferrite.sim.checks.model import within
from ferrite.sim.checks.replay import Model
from ferrite.sim.node import Node
from ferrite.sim.violation import Violation
from ferrite.sim.world import World

TAKE_MEAN_US: Final = 20_000
STAYS_PPM: Final = 930_000
"""The share of rounds after which a watcher stays at its node."""
RANGES: Final = (
    (b"\x00", b"\x00"),
    (b"key", prefix_end(b"key")),
    (b"txn/", prefix_end(b"txn/")),
    (b"key0", b""),
)


@dataclass(slots=True, kw_only=True, frozen=True)
class Got:
    """One delivery as the watcher's user sees it. `skipped`: what lies between is compacted, as the server said."""

    revision: int
    events: tuple[WatchEvent, ...]
    skipped: bool = False


def _mod_revision(event: object) -> int:
    assert isinstance(event, WatchEvent), "a cursor of a watch is given its events"
    return event.entry.mod_revision


class Watcher:
    """One of them. `got` is everything it was given, over all its watches."""

    def __init__(self, number: int, nodes: Mapping[NodeId, Node], world: World) -> None:
        self._nodes = nodes
        self._world = world
        self._dice = world.dice.stream("watcher", number)
        self.key, self.range_end = self._dice.pick(RANGES)
        self.prev_kv = self._dice.chance(500_000)
        self.start_revision = 0
        """The first revision that it wants, known when its first watch began."""
        self.cursor = WatchCursor(0 if self._dice.chance(500_000) else 2, _mod_revision)
        self.got: list[Got] = []
        self._hub: WatchHub | None = None
        self._node: Node | None = None
        self._number = 0
        self._rounds = 0

    def start(self) -> None:
        """Begin after a first pause."""
        self._world.timeline.after(1 + self._dice.exponential(TAKE_MEAN_US), self._round)

    def _round(self) -> None:
        self._world.timeline.after(1 + self._dice.exponential(TAKE_MEAN_US), self._round)
        node = self._node
        if node is None or node.state is None or node.state.watches.hub is not self._hub:
            self._watch()  # It has none, or the process that it was at has ended.
        elif not node.paused:
            self._take(node)

    def _watch(self) -> None:
        node = self._nodes[self._dice.pick(sorted(self._nodes))]
        self._node = self._hub = None
        if node.state is None or node.paused:
            return
        self._node, self._hub = node, node.state.watches.hub
        spec = WatchSpec(
            key=self.key,
            range_end=self.range_end,
            start_revision=self.cursor.next_revision,
            prev_kv=self.prev_kv,
            progress=True,
        )
        self._number, revision = self._hub.add(spec)
        self.cursor.created(revision)
        self.start_revision = self.start_revision or self.cursor.next_revision
        self._world.counters["watches"] += 1
        node.state.watches.settle()

    def _take(self, node: Node) -> None:
        assert self._hub is not None and node.state is not None, "it watches there"
        self._rounds += 1
        if self._rounds % 8 == 0:
            self._hub.request_progress(self._number)
        for item in self._hub.take(self._number):
            if isinstance(item, WatchEnded):
                self._ended(item)
                return
            self._given(item)
        if not self._dice.chance(STAYS_PPM):
            self._hub.remove(self._number)
            self._node = self._hub = None
        node.state.watches.settle()

    def _ended(self, end: WatchEnded) -> None:
        self._node = self._hub = None
        self._world.counters[f"watch_{end.reason.value}"] += 1
        if end.reason is WatchEnd.COMPACTED:
            self.got.append(Got(revision=end.revision, events=(), skipped=True))
            self.cursor.next_revision = max(self.cursor.next_revision, end.revision + 1)

    def _given(self, item: Delivery) -> None:
        last = self.got[-1].revision if self.got else 0
        events = self.cursor.take(item.revision, item.events)
        if events is not None:
            self.got.append(Got(revision=item.revision, events=events))
            self._world.counters["watch_deliveries"] += 1
        elif item.events:
            raise self._world.violation(
                "W1",
                "A watch never gives a revision again.",
                f"revision {item.revision} after {last}",
            )


def check_watchers(watchers: list[Watcher], model: Model) -> None:
    """Compare all that was given with the committed log. Raises Violation W2."""
    for watcher in watchers:
        after = watcher.start_revision - 1
        for got in watcher.got:
            if not got.skipped:
                expected = _expected(watcher, model, after, got.revision)
                found = [
                    (each.entry.mod_revision, each.entry.key, None if each.deleted else each.entry)
                    for each in got.events
                ]
                if got.revision > model.revision or [each[:3] for each in expected] != found:
                    raise Violation(
                        "W2",
                        "A watch gives every change of its range, each once and in order, a revision at a time.",
                        f"after {after} up to {got.revision}: {found}; the log has {expected}",
                    )
                _check_previous(watcher, got, [each[3] for each in expected], model)
            after = max(after, got.revision)


def _expected(
    watcher: Watcher, model: Model, after: int, through: int
) -> list[tuple[int, bytes, object, object]]:
    return [
        (revision, change.key, change.now, change.before)
        for revision in range(after + 1, through + 1)
        for change in model.kv.changes.get(revision, ())
        if within(change.key, watcher.key, watcher.range_end)
    ]


def _check_previous(watcher: Watcher, got: Got, before: list[object], model: Model) -> None:
    for event, truth in zip(got.events, before, strict=True):
        # What is compacted need not be known any more.
        compacted = event.entry.mod_revision <= model.kv.compacted
        expected = truth if watcher.prev_kv else None
        if event.prev != expected and not (event.prev is None and compacted):
            raise Violation(
                "W6",
                "With prev_kv an event says what the key was before.",
                f"{event}; before it: {truth}",
            )
