"""Stories of snapshots."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ferrite.sim import NetworkOptions
from ferrite.sim.cluster import Cluster
from ferrite.sim.node import Node
from tests.sim.helpers import finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    SHORT_LOG,
    bring_up,
    isolated_leader_with_tail,
    leader_of,
    next_leader,
    others,
    put,
    status_of,
    step_until,
    take_down,
)
from tests.sim.test_stories import test_a_follower_behind_the_log_gets_a_snapshot_with_sessions

a_follower_gets_sessions_by_snapshot = test_a_follower_behind_the_log_gets_a_snapshot_with_sessions

FRAMES_MAX = 1_500
"""Some seventy chunks, each sent and answered twice, and heartbeats: far above what honest nodes send in the story."""


def a_long_tail_meets_a_snapshot_that_ends_within_it() -> None:
    cluster = quiet_cluster(replica=SHORT_LOG)
    old, agreed = isolated_leader_with_tail(cluster, 90)
    second = next_leader(cluster, old)
    for number in range(45):
        put(cluster, second, b"k%d" % number, b"v")
    cluster.run_for(3 * SECOND_US)
    assert agreed < status_of(second).first_log_index - 1
    assert status_of(second).last_log_index < status_of(old).last_log_index
    cluster.world.network.heal()
    assert cluster.run_until(lambda: cluster.world.counters["snapshots_installed"] > 0, 20 * SECOND_US)
    cluster.run_for(SECOND_US)
    finish(cluster)


def _behind(cluster: Cluster) -> Node:
    leader = leader_of(cluster)
    behind = others(cluster, leader)[0]
    take_down(behind)
    for number in range(120):
        put(cluster, leader, b"k%d" % number, b"v" * 250)
    return behind


def every_chunk_and_every_answer_comes_twice() -> None:
    network_options = NetworkOptions(duplicate_ppm=1_000_000, delay_mean_us=5_000)
    cluster = quiet_cluster(replica=SHORT_LOG, network=network_options)
    behind = _behind(cluster)
    bring_up(behind)
    network, before = cluster.world.network, cluster.world.network.counters["sent"]
    for _ in range(800):
        cluster.run_for(5_000)
        assert network.counters["sent"] < before + FRAMES_MAX, "frames beget frames"
        if cluster.world.counters["snapshots_installed"]:
            break
    finish(cluster)


def two_snapshots_follow_each_other() -> None:
    cluster = quiet_cluster(replica=SHORT_LOG)
    counters = cluster.world.counters
    for _ in range(2):
        before = counters["snapshots_installed"]
        bring_up(_behind(cluster))
        assert cluster.run_until(
            partial(lambda known: counters["snapshots_installed"] > known, before), 20 * SECOND_US
        )
    finish(cluster)


def a_snapshot_arrives_damaged() -> None:
    """The receiver refuses it, and gets it again from its beginning."""
    cluster = quiet_cluster(replica=replace(SHORT_LOG, snapshot_chunk_bytes=2048), settle_seconds=10)
    behind = _behind(cluster)
    bring_up(behind)
    state = behind.state
    assert state is not None, "it was brought up"
    step_until(cluster, lambda: any(len(part) > 2048 for part in state._partial.values()))
    for part in state._partial.values():
        part[1000] ^= 1
    assert cluster.run_until(lambda: cluster.world.counters["snapshots_refused"] > 0, 20 * SECOND_US)
    finish(cluster)
