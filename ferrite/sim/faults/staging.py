"""What stories have in common: whom they begin with, and what is done to nodes and clients in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ferrite.core import NO_NODE, NodeId
from ferrite.sim.checks.ghost import is_quorum
from ferrite.sim.dice import Stream
from ferrite.sim.node import Node

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

NODES_MIN: Final = 3
"""With fewer there is no majority without the leader."""
LOOKS: Final = 20
"""How often in a minimum election timeout a story looks whether it may go on."""


def look_again_us(cluster: Cluster) -> int:
    """Return how long a story waits before it looks again."""
    return 1 + cluster.world.options.replica.election_timeout_min_us // LOOKS


def election_us(cluster: Cluster) -> int:
    """The longest time after which a follower campaigns."""
    return cluster.world.options.replica.election_timeout_max_us


def reigning(cluster: Cluster) -> Node | None:
    """A leader that is awake and hears a quorum of running nodes: else a story would begin in the middle of another."""
    leader = cluster.leader()
    status = leader.status() if leader else None
    if leader is None or status is None or leader.paused or len(cluster.nodes) < NODES_MIN:
        return None
    blocked = cluster.world.network.is_blocked
    near = [
        node.node_id
        for node in cluster.nodes.values()
        if node.running
        and not node.paused
        and not blocked(node.node_id, leader.node_id)
        and not blocked(leader.node_id, node.node_id)
    ]
    return leader if is_quorum(status.membership, [n for n in near if n != leader.node_id]) else None


def draw_captives(cluster: Cluster, dice: Stream) -> list[int]:
    """Clients that ask one node only for a while: mostly all but one or two, who see what the others cannot."""
    count = len(cluster.clients)
    free = dice.pick((0, 1, 1, 2, count // 2))
    return dice.subset(range(count), max(0, count - free))


def capture(cluster: Cluster, captives: Sequence[int], node: NodeId, until_us: int) -> None:
    """Bind these clients to a node until then."""
    for number in captives:
        if number < len(cluster.clients):
            cluster.clients[number].ask_only(node)
            cluster.lasts_until(until_us, cluster.clients[number].ask_only, NO_NODE)


def take_down(cluster: Cluster, node: Node, until_us: int) -> None:
    """A crash, and no start before that time."""
    node.crash(power_loss=True)
    node.held_down = True
    cluster.lasts_until(until_us, bring_up, node)


def bring_up(node: Node) -> None:
    """Let it run again, and start it if it does not."""
    node.held_down = False
    if not node.running and not node.refused:
        node.start()
