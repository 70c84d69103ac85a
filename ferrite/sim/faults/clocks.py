"""Faults of clocks: rates that differ and change, a clock that stands still and then leaps, a processor that is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.sim.dice import PPM, Stream
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

RATE_EVERY_US: Final = 1_500_000
"""How often one of the clocks takes another rate."""


def _draw_rate(cluster: Cluster, dice: Stream) -> Drawn:
    most = cluster.world.options.faults.drift_ppm
    node = dice.pick(sorted(cluster.nodes))
    right_ppm = cluster.world.options.clock_rate_ppm
    return {"nodes": (node,), "data": {"rate_ppm": right_ppm * (PPM + dice.between(-most, most)) // PPM}}


def _rate(cluster: Cluster, fault: Fault) -> None:
    node = cluster.nodes[NodeId(fault.nodes[0])]
    node.clock.set_rate(cluster.now_us, fault.data["rate_ppm"])
    node.clock_changed()


def _draw_jump(cluster: Cluster, dice: Stream) -> Drawn:
    by_us = 1 + dice.exponential(cluster.world.options.faults.clock_jump_mean_us)
    return {"nodes": (dice.pick(sorted(cluster.nodes)),), "data": {"by_us": by_us}}


def _jump(cluster: Cluster, fault: Fault) -> None:
    node = cluster.nodes[NodeId(fault.nodes[0])]
    node.clock.jump(cluster.now_us, fault.data["by_us"])
    node.clock_changed()


def _draw_slow_cpu(cluster: Cluster, dice: Stream) -> Drawn:
    cost_us = 1 + dice.exponential(cluster.world.options.faults.slow_cpu_us)
    return {
        "nodes": (dice.pick(sorted(cluster.nodes)),),
        "data": {"cost_us": cost_us},
        "lasts_us": 2 * RATE_EVERY_US,
    }


def _slow_cpu(cluster: Cluster, fault: Fault) -> None:
    node = cluster.nodes[NodeId(fault.nodes[0])]
    node.event_cost_us = fault.data["cost_us"]
    cluster.lasts_until(fault.until_us, setattr, node, "event_cost_us", 0)


KINDS: Final = (
    Kind(
        name="drift",
        every_us=lambda faults: RATE_EVERY_US if faults.drift_ppm else 0,
        draw=_draw_rate,
        strike=_rate,
    ),
    Kind(
        name="clock_jump", every_us=lambda faults: faults.clock_jump_every_us, draw=_draw_jump, strike=_jump
    ),
    Kind(
        name="slow_cpu",
        every_us=lambda faults: 2 * RATE_EVERY_US if faults.slow_cpu_us else 0,
        draw=_draw_slow_cpu,
        strike=_slow_cpu,
    ),
)
