"""Stories of disks that fail, lose and lag."""

from __future__ import annotations

from dataclasses import replace

from ferrite.core import ReplicaConfig, StopCode
from ferrite.core.kv import Put
from ferrite.sim import Cluster, DiskOptions
from tests.sim.helpers import QUIET, finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    bring_up,
    cut,
    isolate,
    leader_of,
    next_leader,
    others,
    propose,
    put,
    slow_disks,
    take_down,
)
from tests.sim.test_stories import lose_last_half


def a_node_alone_writes() -> None:
    cluster = quiet_cluster(nodes=1)
    put(cluster, leader_of(cluster), b"k", b"v")
    finish(cluster)


def a_follower_cannot_sync() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    follower = others(cluster, leader)[0]
    follower.disk.syncs_fail = True
    put(cluster, leader, b"k", b"v")
    cluster.run_for(100_000)
    assert follower.stop_code is StopCode.DISK_ERROR
    follower.disk.syncs_fail = False
    finish(cluster)


def the_middle_of_a_log_is_damaged() -> None:
    """The node must not start: what stands behind the damage was durable, and acknowledged."""
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    for number in range(20):
        put(cluster, leader, b"k", b"%d" % number)
    cluster.run_for(SECOND_US)
    victim = others(cluster, leader)[0]
    take_down(victim)
    victim.may_refuse = True
    newest = max(name for name in victim.disk.list() if name.endswith(".seg"))
    image = victim.disk._files[newest]
    used_sectors = -(-len(bytes(image.durable).rstrip(b"\0")) // 512)
    place = used_sectors // 2 * 512 + 40
    image.durable[place] ^= 0x10
    image.volatile = bytearray(image.durable)
    victim.start()
    cluster.run_for(SECOND_US)
    assert victim.stop_code is StopCode.CORRUPTION
    put(cluster, leader, b"k", b"after")


def a_voter_lost_the_tail_that_made_a_majority() -> None:
    """The only other node that has the writes is down: nobody may be elected before it is back."""
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    victim, other = others(cluster, leader)
    take_down(other)
    for number in range(22):
        put(cluster, leader, b"k", b"%d" % number)
    cluster.run_for(SECOND_US)
    take_down(victim)
    lose_last_half(cluster, victim)
    take_down(leader)
    bring_up(victim)
    bring_up(other)
    cluster.run_for(15 * SECOND_US)
    bring_up(leader)
    finish(cluster)


def entries_are_loaded_while_more_are_appended() -> None:
    cluster = quiet_cluster(replica=ReplicaConfig(cache_bytes_max=0, append_bytes_max=400))
    leader = leader_of(cluster)
    behind = others(cluster, leader)[0]
    isolate(cluster, behind)
    for number in range(30):
        put(cluster, leader, b"k", b"%d" % number)
    cluster.world.network.heal()
    for _ in range(60):
        leader.pause()  # so that what arrives meanwhile is handled in one step
        propose(leader, 2)
        cluster.run_for(3_000)
        leader.resume()
        cluster.run_for(1_000)
    cluster.run_for(SECOND_US)
    finish(cluster)


def power_is_lost_within_the_first_write() -> None:
    for seed in range(1, 7):
        cluster = Cluster(seed, replace(QUIET))
        cluster.nodes[max(cluster.nodes)].disk.lose_power_after(0)
        cluster.start()
        assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US)  # noqa: B023 - asked at once
        cluster.run_for(5 * SECOND_US)
        finish(cluster)


def a_flush_takes_long() -> None:
    quick_to_cut = ReplicaConfig(
        flush_entries=5, flush_interval_us=SECOND_US, log_entries_max=5, log_retention_entries=0
    )
    disk = DiskOptions(flush_mean_us=50_000, apply_mean_us=50)
    cluster = quiet_cluster(replica=quick_to_cut, disk=disk)
    for number in range(60):
        put(cluster, leader_of(cluster), b"k", b"%d" % number)
    finish(cluster)


def entries_are_overwritten_on_their_way_to_a_slow_disk() -> None:
    cluster = quiet_cluster()
    old = leader_of(cluster)
    put(cluster, old, b"k", b"agreed")
    cluster.run_for(SECOND_US)
    cut(cluster, [old], others(cluster, old))
    with slow_disks(cluster, 8 * SECOND_US):
        for number in range(5):
            old.propose(Put(key=b"k", value=b"tail%d" % number), None, 30 * SECOND_US, lambda _: None)
        cluster.run_for(10_000)
    second = next_leader(cluster, old)
    propose(second, 5)
    cluster.run_for(SECOND_US)
    cluster.world.network.heal()
    cluster.run_for(SECOND_US)
    with slow_disks(cluster, 8 * SECOND_US):
        cluster.run_for(7 * SECOND_US)  # the first write ends, the one that overwrites it is still on its way
    # The worst case: its state is flushed, and nothing of the write under way survives.
    old.store.flush()
    for file in old.disk._files.values():
        file.pending.clear()
    take_down(old)
    bring_up(old)
    finish(cluster)
