"""Stories of replication."""

from __future__ import annotations

from ferrite.core import Index, ReplicaConfig, messages
from ferrite.sim import DiskOptions, NetworkOptions
from tests.sim.helpers import finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    bring_up,
    deliver,
    isolated_leader_with_tail,
    leader_of,
    next_leader,
    others,
    propose,
    put,
    status_of,
    take_down,
)
from tests.sim.test_stories import test_figure_8_an_entry_of_an_earlier_term_on_a_majority_is_not_committed

figure_8 = test_figure_8_an_entry_of_an_earlier_term_on_a_majority_is_not_committed


def a_follower_catches_up_entry_by_entry() -> None:
    cluster = quiet_cluster(replica=ReplicaConfig(append_entries_max=1))
    leader = leader_of(cluster)
    behind = others(cluster, leader)[0]
    take_down(behind)
    for number in range(10):
        put(cluster, leader, b"k", b"%d" % number)
    bring_up(behind)
    cluster.run_for(SECOND_US)
    finish(cluster)


def many_writes_on_slow_disks() -> None:
    disk = DiskOptions(sync_min_us=1_000, sync_mean_us=40_000)
    cluster = quiet_cluster(disk=disk, replica=ReplicaConfig(append_entries_max=1))
    for _ in range(40):
        propose(leader_of(cluster), 1)
        cluster.run_for(3_000)
    cluster.run_for(SECOND_US)
    finish(cluster)


def everything_arrives_twice_and_in_any_order() -> None:
    network = NetworkOptions(duplicate_ppm=1_000_000, delay_mean_us=8_000)
    cluster = quiet_cluster(network=network, replica=ReplicaConfig(append_entries_max=1))
    for _ in range(30):
        propose(leader_of(cluster), 1)
        cluster.run_for(2_000)
    cluster.run_for(SECOND_US)
    finish(cluster)


def an_append_ends_below_a_conflict() -> None:
    """A leader may begin as low as it likes; what it says is committed goes beyond what this append proves."""
    cluster = quiet_cluster()
    old, agreed = isolated_leader_with_tail(cluster, 10)
    second = next_leader(cluster, old)
    propose(second, 5)
    cluster.run_for(SECOND_US)
    leading = status_of(second)
    assert leading.commit_index > agreed + 5
    replica = second.replica
    assert replica is not None, "it leads"
    probe = messages.AppendEntries(
        term=leading.term,
        prev_log_index=agreed,
        prev_log_term=replica._raft.log.term_at(agreed) or leading.term,
        entries=(),
        leader_commit=Index(agreed + 5),
    )
    deliver(cluster, second, old, probe)
    cluster.run_for(20_000)
    assert status_of(old).commit_index == agreed
    finish(cluster)


def a_truncation_is_lost_with_the_tail_of_the_log() -> None:
    """What it had overwritten is back, and the leader still counts what was acknowledged."""
    cluster = quiet_cluster()
    old, agreed = isolated_leader_with_tail(cluster, 6)
    second = next_leader(cluster, old)
    segment = max(name for name in old.disk.list() if name.endswith(".seg"))
    raw = old.disk.read(segment, 0, old.disk.size(segment))
    keep_bytes = -(-len(raw.rstrip(b"\0")) // 512) * 512
    ghost = cluster.world.invariants.ghost.disk(old.node_id)
    image = ghost.durable.copy()
    for number in range(8):
        put(cluster, second, b"k", b"new%d" % number)
    cluster.world.network.heal()
    assert cluster.run_until(lambda: status_of(old).applied_index > agreed + 8, 20 * SECOND_US)
    assert status_of(second).role.value == "leader"
    # A mark that speaks of what is lost, as the log thread writes one now and then.
    assert old._log is not None, "it runs"
    old._log._log.update_mark(status_of(old).commit_index)
    take_down(old)
    old.disk.take_tail({segment: keep_bytes})
    old.store.fall_back()
    ghost.durable, ghost.tail_taken = image, True
    bring_up(old)
    assert status_of(old).lost_tail
    cluster.run_for(SECOND_US)
    finish(cluster)


def a_restarted_follower_only_tells_its_term() -> None:
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    put(cluster, leader, b"k", b"v")
    cluster.run_for(SECOND_US)
    follower = others(cluster, leader)[0]
    take_down(follower, power_loss=False)
    bring_up(follower)
    told = messages.AppendEntriesResponse(term=status_of(leader).term, success=False)
    deliver(cluster, follower, leader, told)
    cluster.run_for(SECOND_US)
    finish(cluster)
