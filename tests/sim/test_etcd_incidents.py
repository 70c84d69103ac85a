"""The stories of etcd's own incidents, by their numbers there: honest code passes each, and with the incident's bug it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from ferrite.core import Index
from ferrite.core.kv import WatchHub
from ferrite.core.kv.compaction import _remove
from ferrite.core.kv.layout import Layout
from ferrite.core.kv.machine import load_meta
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.records import Change
from ferrite.core.kv.watch_values import HistoryRead
from ferrite.core.kv.workspace import Workspace
from ferrite.sim.checks.model import FIRST_REVISION
from ferrite.sim.store import SimStore
from tests.sim.mutants import BY_NUMBER
from tests.sim.mutants.planting import Plant, replaced, together
from tests.sim.mutants.scenarios import disks, requests, snapshots, store, watches

STORY = "story"
"""Where the story says itself what went wrong."""


class Incident(NamedTuple):
    """Its story, its bug, and what may see it first."""

    story: Callable[[], None]
    bug: Plant
    caught_by: str


def _index_without_data(honest: Callable[..., Any]) -> Callable[..., Any]:
    def fall_back(simulated: SimStore, batches_kept: int = 0) -> None:
        written = simulated._unflushed[batches_kept : batches_kept + 1]
        honest(simulated, batches_kept)
        meta = Layout(0).applied
        simulated.write([(key, value) for batch in written for key, value in batch if key == meta])

    return fall_back


def _revisions_of_what_is_left(_honest: Callable[..., Any]) -> Callable[..., Any]:
    def load(simulated: SimStore, group_id: int) -> Meta:
        meta, layout = load_meta(simulated, group_id), Layout(group_id)
        newest = next(simulated.scan(layout.revision(0, 0), layout.revision(1 << 60, 0), reverse=True), None)
        if newest is not None:
            meta.revision = layout.split_revision(newest[0])[0]
        return meta

    return load


def _index_behind_the_data(honest: Callable[..., Any]) -> Callable[..., Any]:
    def load(simulated: SimStore, group_id: int) -> Meta:
        meta: Meta = honest(simulated, group_id)
        if meta.revision > FIRST_REVISION:
            meta.applied_index = Index(meta.applied_index - 1)
        return meta

    return load


def _reads_check_nothing(_honest: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _meta, _path: None


def _tells_again(honest: Callable[..., Any]) -> Callable[..., Any]:
    def give_history(hub: WatchHub, watcher: Any, deliveries: Any, through: int) -> None:
        honest(hub, watcher, deliveries, through)
        if deliveries and watcher.queue:
            hub._give(watcher, deliveries[-1])

    return give_history


def _all_wait_for_the_slowest(honest: Callable[..., Any]) -> Callable[..., Any]:
    def next_read(hub: WatchHub) -> HistoryRead | None:
        slow = any(not hub._has_room(watcher) for watcher in hub._watchers.values())
        return None if slow else honest(hub)

    return next_read


def _refuses_a_second_snapshot(honest: Callable[..., Any]) -> Callable[..., Any]:
    def install(state: Any, snapshot: Any) -> None:
        assert not hasattr(state._node, "installed_before"), "a snapshot was installed before"
        state._node.installed_before = True
        honest(state, snapshot)

    return install


def _takes_the_deletion_along(honest: Callable[..., Any]) -> Callable[..., Any]:
    def clear(work: Workspace, change: Change, sub: int, size_bytes: int) -> None:
        honest(work, change, sub, size_bytes)
        if change.mod_revision == work.meta.sweep_to_revision and change.deleted:
            _remove(work, change.key, change.mod_revision, sub, size_bytes)

    return clear


def _of_mutant(number: int) -> Plant:
    plant = BY_NUMBER[number].plant
    assert plant is not None, "a bug that can be planted"
    return plant


TAKES_THE_DELETION_ALONG = replaced(_takes_the_deletion_along, "ferrite.core.kv.compaction:_clear")
"""Compaction removes the deletion at the revision that it compacts to."""

INCIDENTS: dict[int, Incident] = {
    13766: Incident(
        store.a_node_is_killed_between_applying_and_flushing,
        replaced(_index_without_data, "ferrite.sim.store:SimStore.fall_back"),
        "S14 S16",
    ),
    14370: Incident(disks.a_node_alone_writes, _of_mutant(17), "S10"),
    14685: Incident(
        store.a_node_is_killed_between_applying_and_flushing,
        replaced(_index_behind_the_data, "ferrite.core.kv.machine:load_meta"),
        "S16",
    ),
    15220: Incident(watches.a_watch_asks_for_its_progress_before_it_has_caught_up, _of_mutant(66), "W1 W5"),
    15271: Incident(watches.a_snapshot_is_installed_under_a_watch, _of_mutant(68), "W2 W5"),
    17247: Incident(
        watches.a_watched_node_restarts_again_and_again,
        replaced(_tells_again, "ferrite.core.kv.watch:WatchHub._give_history"),
        "W1",
    ),
    17529: Incident(
        watches.many_watches_have_a_long_way_to_go,
        replaced(_all_wait_for_the_slowest, "ferrite.core.kv.watch:WatchHub.next_read"),
        STORY,
    ),
    17780: Incident(
        store.all_nodes_restart_after_a_sweep_of_deletions,
        together(
            TAKES_THE_DELETION_ALONG,
            replaced(_revisions_of_what_is_left, "ferrite.core.kv.machine:load_meta"),
        ),
        "S16 S20",
    ),
    18055: Incident(
        snapshots.two_snapshots_follow_each_other,
        replaced(_refuses_a_second_snapshot, "ferrite.sim.state_thread:StateThread._install"),
        "CRASH",
    ),
    18089: Incident(watches.a_deletion_at_the_mark_is_watched, TAKES_THE_DELETION_ALONG, STORY),
    18667: Incident(
        store.a_transaction_reads_what_is_compacted,
        replaced(_reads_check_nothing, "ferrite.core.kv.txn:_check_reads"),
        "S26 CRASH",
    ),
    19179: Incident(watches.the_mark_reaches_a_deletion_under_a_watch, TAKES_THE_DELETION_ALONG, "W2 W5"),
    20221: Incident(watches.a_watch_goes_on_at_a_node_that_lags_behind, _of_mutant(67), "W1"),
    20418: Incident(requests.a_sleeper_hears_late_answers_to_its_heartbeats, _of_mutant(29), "S18"),
}


@pytest.mark.parametrize("number", sorted(INCIDENTS))
def test_honest_code_passes_the_story_of_an_incident(number: int) -> None:
    INCIDENTS[number].story()


@pytest.mark.parametrize("number", sorted(INCIDENTS))
def test_the_bug_of_an_incident_fails_its_story(number: int) -> None:
    incident = INCIDENTS[number]
    with incident.bug(), pytest.raises(AssertionError) as caught:
        incident.story()
    assert getattr(caught.value, "name", STORY) in incident.caught_by.split(), caught.value
