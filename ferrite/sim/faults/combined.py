"""Faults of several parts that belong together: one alone heals before the other comes, and the states between are never seen.

Where a part strikes whoever leads at that moment, the rule is decided, not the node: so a tape plays the same story also when
other faults were taken out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.dice import Stream
from ferrite.sim.faults.disks import lose_tail
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.faults.staging import (
    NODES_MIN,
    bring_up,
    capture,
    draw_captives,
    election_us,
    look_again_us,
    reigning,
    take_down,
)
from ferrite.sim.network import links_between
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

REPLAYS: Final = 24
"""Old frames that a sleeper gets, spread over its sleep."""
REIGNS_MAX: Final = 12
CUTS: Final = 8
"""Tries to cut a log where its durable mark tells that something is missing."""


# -- a leader that goes on alone, and the next one falls before the network is whole again -----------------------


def _draw_lonely(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = reigning(cluster)
    if leader is None:
        return None
    nodes = sorted(cluster.nodes)
    others = [node for node in nodes if node != leader.node_id]
    near = [leader.node_id, *dice.subset(others, dice.between(0, (len(nodes) - 1) // 2 - 1))]
    far = [node for node in nodes if node not in near]
    lasts_us = election_us(cluster) * dice.between(16, 32) // 10
    fall_us = dice.pick((0, 0, lasts_us // 50, lasts_us // 5))
    return {
        "nodes": tuple(near),
        "links": tuple(links_between(near, far)),
        "lasts_us": lasts_us,
        "data": {"captives": draw_captives(cluster, dice), "fall_us": fall_us},
    }


def _lonely(cluster: Cluster, fault: Fault) -> None:
    links = [(NodeId(source), NodeId(target)) for source, target in fault.links]
    network = cluster.world.network
    network.block(links)
    cluster.lasts_until(fault.until_us, network.unblock, links)
    capture(cluster, fault.data["captives"], NodeId(fault.nodes[0]), fault.until_us)
    if fault.data["fall_us"]:
        cluster.world.timeline.at(fault.until_us - fault.data["fall_us"], _fall, cluster, fault)


def _fall(cluster: Cluster, fault: Fault) -> None:
    """The majority's leader, if it has one, is down until well after the network is whole again."""
    leader = cluster.leader()
    if leader is not None and leader.node_id not in fault.nodes and not cluster.world.plan.over:
        take_down(cluster, leader, fault.until_us + 3 * election_us(cluster))


# -- a leader that sleeps over an election, and wakes to old answers ---------------------------------------------


def _draw_sleeper(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = reigning(cluster)
    if leader is None:
        return None
    return {
        "nodes": (leader.node_id,),
        "links": tuple(links_between([leader.node_id], sorted(cluster.nodes))),
        "lasts_us": election_us(cluster) * dice.between(5, 35) // 10,
        "data": {
            "captives": draw_captives(cluster, dice),
            "cut_off": dice.chance(750_000),
            "replays": dice.pick((0, REPLAYS, REPLAYS)),
        },
    }


def _sleep(cluster: Cluster, fault: Fault) -> None:
    node = cluster.nodes[NodeId(fault.nodes[0])]
    if not node.running or node.paused:
        return
    network = cluster.world.network
    links = [(NodeId(source), NodeId(target)) for source, target in fault.links]
    if fault.data["cut_off"]:
        network.block(links)
        cluster.lasts_until(fault.until_us, network.unblock, links)
    capture(cluster, fault.data["captives"], node.node_id, fault.until_us)
    node.pause()
    _replay(cluster, fault, node)
    cluster.lasts_until(fault.until_us, node.resume)


def _replay(cluster: Cluster, fault: Fault, node: Node) -> None:
    """What was said to the leader before it fell asleep arrives again: the newest at once, the rest while it sleeps."""
    network, dice, count = cluster.world.network, fault.stream(), fault.data["replays"]
    heard = [
        link.old
        for link in (network.link(NodeId(a), NodeId(b)) for a, b in fault.links if b == node.node_id)
        if link.old
    ]
    if not heard or not count:
        return
    for frames in heard:
        node.frame_arrived(*frames[-1])
    every_us = (fault.until_us - cluster.now_us) // (count + 1)
    old = [frame for frames in heard for frame in frames]
    for place in range(1, count + 1):
        cluster.world.timeline.after(place * every_us, node.frame_arrived, *dice.pick(old))


# -- leaders that fall soon after they were elected --------------------------------------------------------------


def _draw_reigns(cluster: Cluster, dice: Stream) -> Drawn | None:
    options = cluster.world.options
    if len(cluster.nodes) < NODES_MIN:
        return None
    step_us = options.network.delay_min_us + options.network.delay_mean_us + options.disk.sync_mean_us
    reigns = [
        {
            "after_us": dice.exponential(step_us * dice.pick((1, 3, 10))),
            "down_us": election_us(cluster) * dice.between(1, 30) // 10,
            "how": dice.pick(("crash", "cut off", "pause")),
        }
        for _ in range(dice.between(2, REIGNS_MAX))
    ]
    return {"lasts_us": 5 * election_us(cluster) * len(reigns), "data": {"reigns": reigns}}


def _reigns(cluster: Cluster, fault: Fault) -> None:
    _watch(cluster, fault, 0, 0)


def _watch(cluster: Cluster, fault: Fault, place: int, fallen_term: int) -> None:
    """Let each leader of a new term fall, one after the other as they were drawn."""
    reigns, world = fault.data["reigns"], cluster.world
    if world.plan.over or cluster.now_us > fault.until_us or place >= len(reigns):
        return
    leader = cluster.leader()
    status = leader.status() if leader else None
    if leader and status and status.term > fallen_term:
        world.timeline.after(reigns[place]["after_us"], _end_reign, cluster, leader, reigns[place])
        place, fallen_term = place + 1, status.term
    world.timeline.after(look_again_us(cluster), _watch, cluster, fault, place, fallen_term)


def _end_reign(cluster: Cluster, node: Node, reign: dict[str, int | str]) -> None:
    until_us = cluster.now_us + int(reign["down_us"])
    if cluster.world.plan.over or not node.running or node.paused:
        return
    match reign["how"]:
        case "crash":
            take_down(cluster, node, until_us)
        case "pause":
            node.pause()
            cluster.lasts_until(until_us, node.resume)
        case _:
            links = links_between([node.node_id], sorted(cluster.nodes))
            cluster.world.network.block(links)
            cluster.lasts_until(until_us, cluster.world.network.unblock, links)


# -- a voter that forgets what only it and a leader that falls have held -----------------------------------------


def _draw_forgetful(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = reigning(cluster)
    # Beyond what a crash can do, as all damage: one node a run at most.
    if leader is None or any(node.may_refuse for node in cluster.nodes.values()):
        return None
    status = leader.status()
    assert status is not None, "it reigns"
    order = dice.shuffled([node for node in status.membership.voters if node != leader.node_id])
    lagging = order[1 : 1 + len(status.membership.voters) // 2]
    if not lagging:
        return None
    return {
        "nodes": (order[0], *lagging),
        "links": tuple(links_between(lagging, sorted(cluster.nodes))),
        "lasts_us": election_us(cluster) * dice.between(5, 30) // 10,
    }


def _forgetful(cluster: Cluster, fault: Fault) -> None:
    """Some voters are cut off; then the one that made the majority loses its tail, and the leader falls."""
    links = [(NodeId(source), NodeId(target)) for source, target in fault.links]
    cluster.world.network.block(links)
    cluster.lasts_until(fault.until_us, cluster.world.network.unblock, links)
    cluster.world.timeline.at(fault.until_us, _forget, cluster, fault)


def _forget(cluster: Cluster, fault: Fault) -> None:
    node, leader = cluster.nodes[NodeId(fault.nodes[0])], cluster.leader()
    if cluster.world.plan.over or not node.running or leader is None or leader is node:
        return
    node.held_down = True
    node.crash(power_loss=True)
    dice, disk = fault.stream(), cluster.world.invariants.ghost.disk(node.seen_as)
    for _ in range(CUTS):
        if not disk.tail_taken:
            lose_tail(cluster, node, dice)
    node.may_refuse = disk.tail_taken
    take_down(cluster, leader, cluster.now_us + 5 * election_us(cluster))
    bring_up(node)


KINDS: Final = (
    Kind(
        name="forgetful_voter",
        every_us=lambda faults: faults.forgetful_voter_every_us,
        draw=_draw_forgetful,
        strike=_forgetful,
    ),
    Kind(
        name="lonely_leader",
        every_us=lambda faults: faults.lonely_leader_every_us,
        draw=_draw_lonely,
        strike=_lonely,
    ),
    Kind(name="sleeper", every_us=lambda faults: faults.sleeper_every_us, draw=_draw_sleeper, strike=_sleep),
    Kind(
        name="short_reigns",
        every_us=lambda faults: faults.short_reigns_every_us,
        draw=_draw_reigns,
        strike=_reigns,
    ),
)
