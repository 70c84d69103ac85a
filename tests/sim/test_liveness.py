"""Liveness with numbers: leaders stay, learners catch up, snapshots arrive, and the checks for it can fail."""

from dataclasses import replace
from functools import partial

import pytest

from ferrite.core import AddLearner, ChangeVoters, NodeId, ReplicaConfig
from ferrite.core.kv import Put
from ferrite.sim import ClientOptions, Cluster, DiskOptions, NetworkOptions, Violation
from ferrite.sim.answers import Replied
from ferrite.sim.checks.core import can_work, choose_core, usable_nodes
from ferrite.sim.checks.liveness import ELECTION_TIMEOUTS_MAX, stable_leader
from ferrite.sim.network import links_between
from tests.sim.helpers import QUIET, SECOND_US, ask, finish, leader_of, others, put, quiet_cluster, step_until

QUICK = ReplicaConfig(
    heartbeat_interval_us=20_000, election_timeout_min_us=200_000, election_timeout_max_us=400_000
)
HUNDRED_TIMEOUTS_US = 100 * QUICK.election_timeout_max_us


def changed(cluster: Cluster, change: AddLearner | ChangeVoters) -> None:
    """Ask until it is carried out: a learner may have to catch up first."""
    for _ in range(20):
        answer = ask(cluster, partial(leader_of(cluster).change_membership, change, 5 * SECOND_US))
        if isinstance(answer, Replied):
            return
        cluster.run_for(SECOND_US)
    raise AssertionError(f"{change} was never carried out")


def test_a_leader_stays_for_a_hundred_election_timeouts_of_quiet() -> None:
    cluster = quiet_cluster(nodes=5, replica=QUICK)
    before = stable_leader(cluster)
    assert before is not None
    cluster.run_for(HUNDRED_TIMEOUTS_US)
    assert stable_leader(cluster) == before


@pytest.mark.parametrize("how", ["isolated and back", "deaf", "mute", "removed"])
def test_a_broken_node_takes_the_leadership_from_nobody(how: str) -> None:
    cluster = quiet_cluster(nodes=3, replica=QUICK)
    leader = leader_of(cluster)
    victim = others(cluster, leader)[0]
    if how == "removed":
        changed(
            cluster,
            ChangeVoters(voters=tuple(sorted(node for node in cluster.nodes if node != victim.node_id))),
        )
    rest = sorted(node for node in cluster.nodes if node != victim.node_id)
    before = stable_leader(cluster, rest)
    assert before is not None
    links = links_between([victim.node_id], rest, both_ways=False)
    back = [(b, a) for a, b in links]
    cut = {"deaf": back, "mute": links, "removed": []}.get(how, links + back)
    cluster.world.network.block(cut)
    cluster.run_for(HUNDRED_TIMEOUTS_US // 2)
    assert stable_leader(cluster, rest) == before
    cluster.world.network.unblock(cut)
    cluster.run_for(HUNDRED_TIMEOUTS_US // 2)
    assert stable_leader(cluster, rest) == before
    finish(cluster)


def test_a_learner_catches_up_over_a_lossy_network_and_becomes_a_voter() -> None:
    cluster = quiet_cluster(nodes=3, spares=1, replica=QUICK, network=NetworkOptions(loss_ppm=100_000))
    for number in range(30):
        put(cluster, leader_of(cluster), b"k%d" % number, b"v")
    changed(cluster, AddLearner(member=cluster.member(NodeId(4))))
    changed(cluster, ChangeVoters(voters=tuple(sorted(cluster.nodes))))
    status = leader_of(cluster).status()
    assert status is not None
    assert status.membership.voters == (1, 2, 3, 4)
    finish(cluster)


def test_a_snapshot_arrives_though_a_tenth_of_all_frames_is_lost() -> None:
    small = replace(
        QUICK,
        flush_entries=5,
        log_entries_max=10,
        log_retention_entries=0,
        cache_bytes_max=0,
        snapshot_chunk_bytes=512,
    )
    cluster = quiet_cluster(nodes=3, replica=small, network=NetworkOptions(loss_ppm=100_000))
    victim = others(cluster, leader_of(cluster))[0]
    victim.held_down = True
    victim.crash(power_loss=True)
    for number in range(60):
        put(cluster, leader_of(cluster), b"k%d" % number, b"v" * 100)
    cluster.run_for(2 * SECOND_US)
    victim.held_down = False
    victim.start()
    leader = leader_of(cluster)

    def caught_up() -> bool:
        mine, its = victim.status(), leader.status()
        return mine is not None and its is not None and mine.applied_index == its.commit_index

    assert cluster.run_until(caught_up, 20 * SECOND_US)
    assert cluster.world.counters["snapshots_installed"] == 1
    finish(cluster)


def test_a_core_is_a_quorum_of_every_membership_that_may_come_into_force() -> None:
    for seed in range(20):
        cluster = Cluster(seed, replace(QUIET, nodes=5, core_only=True))
        cluster.start()
        cluster.run_for(5 * SECOND_US)
        core = choose_core(cluster)
        assert len(core) == 3
        assert can_work(cluster, core)
        assert not can_work(cluster, core[1:])
        assert usable_nodes(cluster) == sorted(cluster.nodes)


def test_a_cluster_that_cannot_elect_is_told_from_a_healthy_one() -> None:
    """The check can fail: a link that nobody heals keeps the candidates apart."""
    cluster = quiet_cluster(nodes=3, replica=QUICK)
    network = cluster.world.network
    every = [(a, b) for a in cluster.nodes for b in cluster.nodes if a != b]
    heal = network.heal

    def heal_badly() -> None:
        heal()
        network.block(every)

    network.block(every)
    cluster.run_for(3 * QUICK.election_timeout_max_us)
    network.heal = heal_badly  # type: ignore[method-assign]  # the fault: a repair that breaks everything
    with pytest.raises(Violation, match=r"^L1: "):
        cluster.converge()


def test_messages_that_multiply_without_end_are_noticed() -> None:
    options = replace(QUIET, events_max=500)
    result = Cluster(1, options).run()
    assert result.violation is not None
    assert (result.violation.name, result.violation.kind) == ("L9", "liveness")


def test_a_change_of_members_may_wait_behind_a_backlog_of_writes() -> None:
    """Found by seed 12010: there was a leader all the time, and the bound for one had passed."""
    one_by_one = replace(QUICK, append_entries_max=1, inflight_messages_max=1)
    cluster = quiet_cluster(spares=1, replica=one_by_one, disk=DiskOptions(sync_mean_us=40_000))
    leader = leader_of(cluster)
    for number in range(240):
        leader.propose(Put(key=b"k", value=b"%d" % number), None, 60 * SECOND_US, lambda _: None)
    change = AddLearner(member=cluster.member(NodeId(4)))
    leader.change_membership(change, 60 * SECOND_US, lambda _: None)
    step_until(
        cluster, lambda: leader.replica is not None and leader.replica.glance().membership.learners != ()
    )
    bound_us = ELECTION_TIMEOUTS_MAX * QUICK.election_timeout_max_us
    assert not cluster.run_until(lambda: stable_leader(cluster) is not None, bound_us)
    finish(cluster)


def test_fresh_writes_wait_behind_a_backlog_of_those_given_up() -> None:
    """Found by seed 2408: one entry at a time over a slow disk, and clients whose patience the backlog outlasted."""
    one_by_one = replace(QUICK, append_entries_max=1, inflight_messages_max=1)
    disk = DiskOptions(sync_mean_us=500_000)
    clients = ClientOptions(clients=2, think_mean_us=3600 * SECOND_US)
    cluster = quiet_cluster(nodes=2, replica=one_by_one, disk=disk, clients=clients)
    cluster.start_clients()
    leader = leader_of(cluster)
    for number in range(180):
        leader.propose(Put(key=b"k", value=b"%d" % number), None, SECOND_US // 10, lambda _: None)
    finish(cluster)


def test_an_order_to_campaign_that_was_slow_before_the_healing_is_no_unrest() -> None:
    """Found by seed 1617: a TimeoutNow of half a second ago came while the network was thought to be quiet."""
    for late_us in (0, SECOND_US // 2):
        cluster = quiet_cluster(nodes=3, replica=QUICK)
        leader = leader_of(cluster)
        target = others(cluster, leader)[0].node_id
        order = partial(leader.transfer, target, 5 * SECOND_US, lambda _: None)
        cluster.world.timeline.after(SECOND_US // 3, order)
        cluster.world.network.late_until_us = cluster.world.timeline.now_us + late_us
        if late_us:
            finish(cluster)
        else:
            with pytest.raises(Violation) as caught:
                cluster.converge()
            assert caught.value.name == "L8"
