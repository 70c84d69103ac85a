"""Faults of links: partitions of many shapes, clogs, slow links."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.dice import Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.network import Ends, Link, links_between, links_but

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

SHAPES: Final = ("split", "split", "single", "leader", "one-way", "ring", "star", "chain", "poor", "graph")
JAM_PPM: Final = 100_000
"""The share of clogs that end with the safety phase only."""


def draw_shape(nodes: Sequence[NodeId], leader: NodeId, dice: Stream) -> tuple[str, list[Ends]]:
    """Return the name of a partition's shape and the directed links that it cuts."""
    shape = dice.pick(SHAPES)
    order = dice.shuffled(nodes)
    pairs = list(pairwise(order))
    match shape:
        case "leader" if leader in nodes:
            return shape, links_between([leader], nodes, both_ways=dice.chance(700_000))
        case "single" | "leader":
            return "single", links_between([order[0]], nodes)
        case "ring":
            # Every node sees its neighbours only: everybody sees a majority of five, no two the same.
            return shape, links_but(nodes, [*pairs, (order[-1], order[0])])
        case "star":
            return shape, links_but(nodes, [(order[0], other) for other in order[1:]])
        case "chain":
            return shape, links_but(nodes, pairs)
        case "poor":
            # Cloudflare's outage of 2020: two nodes reach one peer each, the others reach each other.
            rich = order[2:] or order
            kept = [(a, b) for a in rich for b in rich] + [(poor, dice.pick(rich)) for poor in order[:2]]
            return shape, links_but(nodes, kept)
        case "graph":
            return shape, [
                link for link in links_between(nodes, nodes, both_ways=False) if dice.chance(400_000)
            ]
        case _:
            left = dice.subset(nodes, dice.between(1, max(1, len(nodes) - 1)))
            right = [node for node in nodes if node not in left]
            return shape, links_between(left, right, both_ways=shape != "one-way")


def _draw_partition(cluster: Cluster, dice: Stream) -> Drawn | None:
    leader = cluster.leader()
    shape, links = draw_shape(sorted(cluster.nodes), leader.node_id if leader else NodeId(0), dice)
    lasts_us = dice.exponential(cluster.world.options.faults.partition_mean_us)
    return {"links": tuple(links), "lasts_us": lasts_us, "data": {"shape": shape}} if links else None


def _ends(fault: Fault) -> list[Ends]:
    return [(NodeId(source), NodeId(target)) for source, target in fault.links]


def _partition(cluster: Cluster, fault: Fault) -> None:
    network, links = cluster.world.network, _ends(fault)
    network.block(links)
    cluster.lasts_until(fault.until_us, network.unblock, links)


def _draw_clog(cluster: Cluster, dice: Stream) -> Drawn | None:
    nodes = sorted(cluster.nodes)
    every = [(a, b) for a in nodes for b in nodes if a != b]
    if not every:
        return None
    links = dice.shuffled(dice.subset(every, dice.between(1, max(1, len(every) // 2))))
    faults = cluster.world.options.faults
    jam = dice.chance(JAM_PPM)
    lasts_us = faults.clog_mean_us * 100 if jam else dice.exponential(faults.clog_mean_us)
    return {
        "links": tuple(links),
        "lasts_us": lasts_us,
        "data": {"swizzle_us": 0 if jam else dice.pick((0, lasts_us // 2))},
    }


def _clog(cluster: Cluster, fault: Fault) -> None:
    """Links freeze one after the other, and thaw in another order."""
    links = _ends(fault)
    spread_us = fault.data["swizzle_us"] // len(links)
    thaws_us = {
        ends: fault.until_us + place * spread_us for place, ends in enumerate(fault.stream().shuffled(links))
    }
    for place, ends in enumerate(links):
        cluster.world.timeline.after(place * spread_us, _freeze, cluster, ends, thaws_us[ends])


def _freeze(cluster: Cluster, ends: Ends, until_us: int) -> None:
    if not cluster.world.plan.over:
        cluster.world.network.hold(ends)
        cluster.lasts_until(until_us, cluster.world.network.release, ends)


def _draw_slow_link(cluster: Cluster, dice: Stream) -> Drawn | None:
    nodes = sorted(cluster.nodes)
    if len(nodes) < 2:
        return None
    victim = dice.pick(nodes)
    links = links_between([victim], nodes)
    chosen = links if dice.chance(500_000) else dice.subset(links, 1)
    faults = cluster.world.options.faults
    extra_us = 1 + dice.exponential(faults.slow_link_mean_us)
    return {"links": tuple(chosen), "lasts_us": faults.slow_link_every_us, "data": {"extra_us": extra_us}}


def _slow_link(cluster: Cluster, fault: Fault) -> None:
    for ends in _ends(fault):
        link = cluster.world.network.link(*ends)
        link.extra_us += fault.data["extra_us"]
        cluster.lasts_until(fault.until_us, _quicken, link, fault.data["extra_us"])


def _quicken(link: Link, extra_us: int) -> None:
    link.extra_us = max(0, link.extra_us - extra_us)


KINDS: Final = (
    Kind(
        name="partition",
        every_us=lambda faults: faults.partition_every_us,
        draw=_draw_partition,
        strike=_partition,
    ),
    Kind(name="clog", every_us=lambda faults: faults.clog_every_us, draw=_draw_clog, strike=_clog),
    Kind(
        name="slow_link",
        every_us=lambda faults: faults.slow_link_every_us,
        draw=_draw_slow_link,
        strike=_slow_link,
    ),
)
