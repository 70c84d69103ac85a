"""Bugs of watches: events lost, told twice, or promised too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrite.core.kv import WatchHub
from ferrite.core.kv.watch_groups import progress
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import replaced


def _skips_one_when_it_joins(honest: Callable[..., Any]) -> Callable[..., Any]:
    def give_history(hub: WatchHub, watcher: Any, deliveries: Any, through: int) -> None:
        honest(hub, watcher, deliveries, through)
        if watcher.group is not None:
            watcher.next_revision += 1

    return give_history


def _progress_at_once(_honest: Callable[..., Any]) -> Callable[..., Any]:
    def request_progress(hub: WatchHub, number: int) -> None:
        watcher = hub._watchers.get(number)
        if watcher is not None and not watcher.ended:
            hub._give(watcher, progress(hub.revision))

    return request_progress


def _time_travels(_honest: Callable[..., Any]) -> Callable[..., Any]:
    def on_installed(hub: WatchHub, *, revision: int, compacted_revision: int) -> None:
        hub._revision = revision
        hub._note_compaction(compacted_revision)

    return on_installed


def _tells_of_the_past(_honest: Callable[..., Any]) -> Callable[..., Any]:
    def join(hub: WatchHub, watcher: Any) -> None:
        watcher.next_revision = min(watcher.next_revision, hub.revision + 1)
        _honest(hub, watcher)

    return join


WATCHES = (
    Mutant(
        number=65,
        name="watch-skips-one-when-it-joins",
        sentence="A watch that catches up from history misses the first revision that comes live.",
        provenance="etcd #17780's kin: what happens between history and the present is lost",
        needs="a watch that begins in the past, while its range is written",
        plant=replaced(_skips_one_when_it_joins, "ferrite.core.kv.watch:WatchHub._give_history"),
    ),
    Mutant(
        number=66,
        name="progress-before-the-events",
        sentence="A progress notification is given at once, also to a watch that did not catch up.",
        provenance="etcd #15220",
        needs="a watch that begins in the past and asks for its progress",
        plant=replaced(_progress_at_once, "ferrite.core.kv.watch:WatchHub.request_progress"),
    ),
    Mutant(
        number=67,
        name="watch-of-the-future-tells-of-the-past",
        sentence="A watch from a revision that its node does not have yet is given everything from now on.",
        provenance="etcd #20221",
        needs="a watch that goes on at a node that lags behind",
        plant=replaced(_tells_of_the_past, "ferrite.core.kv.watch:WatchHub._join"),
    ),
    Mutant(
        number=68,
        name="install-forgets-the-watches",
        sentence="What a snapshot brings is never told to the watches of the node that installs it.",
        provenance="etcd #15271: watches after a snapshot",
        needs="a watch at a node that gets a snapshot",
        plant=replaced(_time_travels, "ferrite.core.kv.watch:WatchHub.on_installed"),
    ),
)
