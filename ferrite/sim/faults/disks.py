"""Faults of disks that are not drawn at each operation: stalls of the device, and damage.

Damage goes beyond what a crash can do, so it befalls one node a run at most, and that node must refuse to go on or lose
nothing: a run with a node that stays down is still a run in which a quorum may work. A disk that lies about syncs, or an old
image put back under a node, cannot be noticed by any node alone when what is missing lies above the durable mark: that is
outside of what Raft can stand, and not simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferrite.core import NodeId
from ferrite.core.disk import LogCorrupt, check_log
from ferrite.sim.dice import Stream
from ferrite.sim.disk import SECTOR_BYTES, SimDisk
from ferrite.sim.faults.kinds import Drawn, Kind
from ferrite.sim.faults.plan import Fault
from ferrite.sim.node import Node
from ferrite.sim.store import SimStore

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

DAMAGES: Final = ("rot", "misdirect", "wipe", "swap", "lost tail", "state")
SWAPPED_US: Final = 2_000_000
"""How long two disks stay mixed up."""
WIPED: Final = 100
"""Added to the id under which the checks know a node that lost its data directory."""
VOTERS_MIN: Final = 3
"""With fewer nodes one that refuses takes the cluster down, which says nothing."""


def _draw_stall(cluster: Cluster, dice: Stream) -> Drawn:
    lasts_us = dice.exponential(cluster.world.options.faults.disk_stall_mean_us)
    return {"nodes": (dice.pick(sorted(cluster.nodes)),), "lasts_us": lasts_us}


def _stall(cluster: Cluster, fault: Fault) -> None:
    disk = cluster.nodes[NodeId(fault.nodes[0])].disk
    disk.stall()
    cluster.lasts_until(fault.until_us, disk.release)


def _draw_damage(cluster: Cluster, dice: Stream) -> Drawn | None:
    if len(cluster.nodes) < VOTERS_MIN or any(node.may_refuse for node in cluster.nodes.values()):
        return None
    what = dice.pick(DAMAGES)
    # An empty disk belongs to nobody yet: hosts tell one from a log that was emptied, logs cannot.
    struck = dice.shuffled([node.node_id for node in cluster.nodes.values() if node.disk.list()])
    count = 2 if what == "swap" else 1
    return {"nodes": tuple(struck[:count]), "data": {"what": what}} if len(struck) >= count else None


def _damage(cluster: Cluster, fault: Fault) -> None:
    nodes = [cluster.nodes[NodeId(number)] for number in fault.nodes]
    what = fault.data["what"]
    if what == "state":
        nodes[0].may_refuse = True
        nodes[0].lose_state()
        return
    for node in nodes:
        node.may_refuse = node.held_down = True
        if node.running:
            node.crash(power_loss=True)
    match what:
        case "rot":
            fault.data["where"] = nodes[0].disk.rot(fault.stream())
        case "misdirect":
            fault.data["where"] = nodes[0].disk.misdirect(fault.stream())
        case "wipe":
            _wipe(nodes[0], fault.stream())
        case "swap":
            _swap(nodes)
            cluster.lasts_until(cluster.now_us + SWAPPED_US, _swap_back, cluster, nodes)
        case _:
            lose_tail(cluster, nodes[0], fault.stream())
    for node in nodes:
        node.held_down = False
        node.start()


def _wipe(node: Node, dice: Stream) -> None:
    """A new data directory under the old id: the cluster must not take it for the member that it was."""
    node.disk.wipe()
    node.store = SimStore()
    node.instance = dice.bits(128).to_bytes(16, "big")
    node.seen_as = NodeId(node.node_id + WIPED)


def _swap(nodes: list[Node]) -> None:
    one, other = nodes
    one.disk.swap(other.disk)
    one.store, other.store = other.store, one.store


def _swap_back(cluster: Cluster, nodes: list[Node]) -> None:
    for node in nodes:
        if node.running:
            raise cluster.world.violation(
                "D16", "A node does not run on another node's disk.", f"node {node.node_id} started"
            )
    _swap(nodes)
    for node in nodes:
        node.may_refuse = False
        if not node.held_down:
            node.start()


def lose_tail(cluster: Cluster, node: Node, dice: Stream) -> None:
    """Take the end of the log away, as far as the durable mark can tell that it is missing."""
    segments = sorted(name for name in node.disk.list() if name.endswith(".seg"))
    if not segments:
        return
    newest = segments[-1]
    raw = node.disk.image(dice).read(newest, 0, node.disk.size(newest))
    used = -(-len(raw.rstrip(b"\0")) // SECTOR_BYTES)
    lose_behind(cluster, node, dice, newest, dice.between(1, max(1, used - 1)) * SECTOR_BYTES)


def lose_behind(cluster: Cluster, node: Node, dice: Stream, segment: str, keep_bytes: int) -> bool:
    """Take away what this segment has behind that size, if the durable mark tells that it is missing; say whether it was."""
    if not tail_is_missed(node, dice, segment, keep_bytes):
        return False
    node.disk.take_tail({segment: keep_bytes})
    node.store.fall_back()  # A state ahead of its log would be corruption.
    disk = cluster.world.invariants.ghost.disk(node.seen_as)
    disk.tail_taken, disk.promised_index = True, max(disk.promised_index, disk.durable.last_index)
    return True


def tail_is_missed(node: Node, dice: Stream, segment: str, keep_bytes: int) -> bool:
    """Would the durable mark tell that what this segment has behind that size is missing?"""
    if segment not in node.disk.list():
        return False
    whole, trial = node.disk.image(dice), node.disk.image(dice)
    trial.take_tail({segment: keep_bytes})
    return _is_noticed(whole, trial)


def _is_noticed(whole: SimDisk, trial: SimDisk) -> bool:
    """Would the node say that it lost its tail? Without a base record it would have its old beginning back: not simulated."""
    try:
        before, after = check_log(whole)[0], check_log(trial)[0]
    except LogCorrupt:
        return False
    return after.lost_tail is not None and after.base_index == before.base_index


KINDS: Final = (
    Kind(
        name="disk_stall", every_us=lambda faults: faults.disk_stall_every_us, draw=_draw_stall, strike=_stall
    ),
    Kind(
        name="disk_damage",
        every_us=lambda faults: faults.disk_damage_every_us,
        draw=_draw_damage,
        strike=_damage,
    ),
)
