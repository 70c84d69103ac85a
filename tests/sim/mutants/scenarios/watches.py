"""Stories of watches: what they are told is compared with the committed log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ferrite.core.client import WatchCursor
from ferrite.core.kv import Compact, Delete, Put, Tick
from ferrite.sim import DiskOptions
from ferrite.sim.checks.watches import check_watchers
from ferrite.sim.checks.witness import check_history
from ferrite.sim.cluster import Cluster
from ferrite.sim.node import Node
from ferrite.sim.options import KvOptions
from ferrite.sim.watchers import PROGRESS_EVERY, Began, Ended, Got, Watcher
from tests.sim.helpers import quiet_cluster
from tests.sim.mutants.scenarios.store import do
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    SHORT_LOG,
    bring_up,
    isolate,
    leader_of,
    others,
    put,
    take_down,
)

SMALL_PIECES = KvOptions(history_bytes=1)


def watching(
    cluster: Cluster,
    node: Node,
    start: int,
    *,
    prev_kv: bool = False,
    change: Callable[[Watcher], object] = id,
) -> Watcher:
    """A quick watcher of all keys, at this node until it is moved. `change` may alter it before it begins."""
    watcher = Watcher(len(cluster.watchers), {node.node_id: node}, cluster.world)
    watcher.key = watcher.range_end = b"\x00"
    watcher.prev_kv, watcher.no_puts, watcher.no_deletes = prev_kv, False, False
    watcher.cursor = WatchCursor(start, watcher.cursor._mod_revision)
    watcher.use({node.node_id: node})
    change(watcher)
    cluster.watchers.append(watcher)
    watcher.start()
    return watcher


def finish_watched(cluster: Cluster) -> None:
    """Heal, converge (L11 with it), and compare with the committed log."""
    cluster.converge()
    model = check_history(cluster.history, cluster.world.invariants.ghost)
    check_watchers(cluster.watchers, model)


def given(watcher: Watcher) -> list[int]:
    """The revisions whose events it got."""
    return [each.revision for each in watcher.told if isinstance(each, Got) and each.events]


def write(cluster: Cluster, node: Node, values: Sequence[int]) -> int:
    last = 0
    for number in values:
        last = put(cluster, node, b"k%d" % (number % 5), b"%d" % number)
    return last


def a_watch_begins_in_the_past_while_its_range_is_written() -> None:
    cluster = quiet_cluster(kv=SMALL_PIECES)
    leader = leader_of(cluster)
    write(cluster, leader, range(20))
    for start in (2, 5, 9):
        watching(cluster, leader, start, prev_kv=start == 5)
    write(cluster, leader, range(20))
    finish_watched(cluster)


def a_watch_asks_for_its_progress_before_it_has_caught_up() -> None:
    cluster = quiet_cluster(kv=SMALL_PIECES, disk=DiskOptions(load_mean_us=100_000))
    leader = leader_of(cluster)
    write(cluster, leader, range(10))

    def asks_soon(watcher: Watcher) -> None:
        watcher._rounds = PROGRESS_EVERY - 2

    watching(cluster, leader, 2, change=asks_soon)
    cluster.run_for(2 * SECOND_US)
    finish_watched(cluster)


def a_watch_goes_on_at_a_node_that_lags_behind() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    behind = others(cluster, leader)[0]
    watcher = watching(cluster, leader, 2)
    isolate(cluster, behind)
    last = write(cluster, leader, range(8))
    cluster.run_for(SECOND_US)
    assert watcher.has(last)
    watcher.use({behind.node_id: behind})
    cluster.run_for(SECOND_US)
    began = [each for each in watcher.told if isinstance(each, Began)][-1]
    assert began.resumed and began.asked == last + 1
    assert behind.state is not None and behind.state.machine.revision < last, "it is a watch of the future"
    cluster.world.network.heal()
    finish_watched(cluster)


def a_snapshot_is_installed_under_a_watch() -> None:
    cluster = quiet_cluster(replica=SHORT_LOG)
    leader = leader_of(cluster)
    behind = others(cluster, leader)[0]
    watcher = watching(cluster, behind, 2)
    write(cluster, leader, range(3))
    cluster.run_for(SECOND_US)
    isolate(cluster, behind)
    last = write(cluster, leader, range(60))
    cluster.run_for(3 * SECOND_US)
    cluster.world.network.heal()
    assert cluster.run_until(lambda: cluster.world.counters["watches_installed"] > 0, 20 * SECOND_US)
    assert cluster.run_until(lambda: watcher.has(last), SECOND_US), (
        "a watch is told of what the snapshot brought"
    )
    write(cluster, leader, range(3))
    finish_watched(cluster)


def a_deletion_at_the_mark_is_watched() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    write(cluster, leader, [0, 0, 0])
    do(cluster, leader, Delete(key=b"k0"))
    mark = write(cluster, leader, [1]) - 1
    do(cluster, leader, Compact(revision=mark))
    do(cluster, leader, Tick())
    watcher = watching(cluster, leader, mark)
    cluster.run_for(SECOND_US)
    assert given(watcher) == [mark, mark + 1]
    finish_watched(cluster)


def the_mark_reaches_a_deletion_under_a_watch() -> None:
    """The watch is behind, and what it wants next is just the deletion that the store is compacted to."""
    cluster = quiet_cluster(kv=SMALL_PIECES, disk=DiskOptions(load_mean_us=300_000))
    leader = leader_of(cluster)
    mark = write(cluster, leader, [0, 1, 2]) + 1
    do(cluster, leader, Delete(key=b"k1"))
    write(cluster, leader, [3])
    watching(cluster, leader, mark)
    cluster.run_for(20_000)
    do(cluster, leader, Compact(revision=mark))
    do(cluster, leader, Tick())
    cluster.run_for(3 * SECOND_US)
    finish_watched(cluster)


def a_watch_of_what_is_compacted_is_ended() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    mark = write(cluster, leader, range(10))
    do(cluster, leader, Compact(revision=mark))
    watcher = watching(cluster, leader, 3)
    cluster.run_for(SECOND_US)
    assert isinstance(watcher.told[1], Ended) and given(watcher) == [mark]
    finish_watched(cluster)


def a_client_does_not_take() -> None:
    """It is cut, resumes from what it is told, and nobody else waits for it."""
    cluster = quiet_cluster(kv=KvOptions(watch_queue_bytes=300))
    leader = leader_of(cluster)

    def is_slow(watcher: Watcher) -> None:
        watcher._take_mean_us = 2 * SECOND_US

    slow = watching(cluster, leader, 2, change=is_slow)
    cluster.run_for(6 * SECOND_US)
    quick = watching(cluster, leader, 2)
    write(cluster, leader, range(3))
    for number in range(40):
        leader.propose(Put(key=b"k", value=b"%d" % number), None, SECOND_US, lambda _: None)
    cluster.run_for(10 * SECOND_US)
    assert any(isinstance(each, Ended) for each in slow.told), "the slow one was cut"
    assert leader.state is not None and quick.has(leader.state.machine.revision)
    slow.use({leader.node_id: leader})
    finish_watched(cluster)


def many_watches_have_a_long_way_to_go() -> None:
    """And one of them is asked for no more while its client does not take: all others catch up."""
    cluster = quiet_cluster(kv=KvOptions(history_bytes=1, watch_queue_bytes=100))
    leader = leader_of(cluster)
    last = write(cluster, leader, range(40))

    def never_takes(watcher: Watcher) -> None:
        watcher._take_mean_us = 600 * SECOND_US

    stuck = watching(cluster, leader, 2)
    never_takes(stuck)
    quick = [watching(cluster, leader, start) for start in (2, 10, 20, 30)]
    assert cluster.run_until(lambda: all(each.has(last) for each in quick), 5 * SECOND_US), "some starve"
    cluster.watchers.remove(stuck)
    finish_watched(cluster)


def a_watched_node_restarts_again_and_again() -> None:
    """What a watch was told before it is never told again."""
    cluster = quiet_cluster(kv=SMALL_PIECES)
    leader = leader_of(cluster)
    node = others(cluster, leader)[0]
    write(cluster, leader, range(5))
    watcher = watching(cluster, node, 2)
    for turn in range(4):
        write(cluster, leader, range(5))
        cluster.run_for(turn * 20_000)
        take_down(node)
        bring_up(node)
        cluster.run_for(SECOND_US)
    assert given(watcher) == sorted(set(given(watcher)))
    finish_watched(cluster)
