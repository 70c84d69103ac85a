"""How the logs stand before the cut, brought about by cuts and writes of the ordinary kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from itertools import permutations
from typing import Final

from ferrite.core import NodeId, ReplicaStatus
from ferrite.core.kv import Put
from ferrite.sim.answers import Answer
from ferrite.sim.cluster import Cluster
from ferrite.sim.dice import Stream
from ferrite.sim.link_graphs.graphs import Link
from ferrite.sim.node import Node

ENTRIES_MAX: Final = 3
"""Written at once where logs are to differ."""
WRITE_US: Final = 50_000
"""The deadline of such a write: so near that nobody proposes it again after the cut."""
DRAWN_ROUNDS: Final = 4
PREPARE_US: Final = 20_000_000
"""A boot, an election or a commit while links work takes far less."""


class Logs(Enum):
    """How the logs stand at the cut. `leader` is the node that led before."""

    EQUAL = "equal"
    ONE_LACKS = "one lacks committed entries"
    TWO_LACK = "two lack committed entries"
    LEADER_AHEAD = "the leader alone holds uncommitted entries"
    PAIR_AHEAD = "the leader and one more hold uncommitted entries"
    TERMS_DIFFER = "an old leader's long tail, a later term on three, one lacks both"
    DRAWN = "written between drawn partitions"


def _equal(cluster: Cluster, dice: Stream) -> None:
    """As the boot left them."""


def _behind(count: int, cluster: Cluster, dice: Stream) -> None:
    """Commit without the last followers."""
    leader, followers = _led(cluster)
    _split(cluster, *([follower] for follower in followers[-count:]))
    before = leader.status()
    _write(leader, dice)

    def committed() -> bool:
        after = leader.status()
        longer = before is not None and after is not None and after.last_log_index > before.last_log_index
        return longer and all_committed(after)

    wait(cluster, committed, "a majority commits")


def _ahead(count: int, cluster: Cluster, dice: Stream) -> None:
    """Write at the leader, cut off with fewer than a quorum; it still leads when this ends."""
    leader, followers = _led(cluster)
    _split(cluster, [leader.node_id, *followers[: count - 1]])
    _write(leader, dice)
    cluster.run_for(cluster.world.options.replica.heartbeat_interval_us)


def _terms_differ(cluster: Cluster, dice: Stream) -> None:
    """An old leader keeps a long tail of its term, three elect and commit, the last one sees nothing of all that."""
    leader, followers = _led(cluster)
    before = leader.status()
    _split(cluster, [leader.node_id], followers[-1:])
    _write(leader, dice)

    def elected() -> bool:
        now = cluster.leader()
        after = now.status() if now else None
        return before is not None and after is not None and after.term > before.term and all_committed(after)

    wait(cluster, elected, "three of five elect and commit")


def _drawn(cluster: Cluster, dice: Stream) -> None:
    """Partition after partition, each with writes at whoever leads, for up to two election timeouts."""
    for _ in range(DRAWN_ROUNDS):
        _split(cluster, dice.subset(sorted(cluster.nodes), dice.between(1, 2)))
        for leader in cluster.leaders():
            _write(leader, dice)
        cluster.run_for(dice.between(0, 2 * cluster.world.options.replica.election_timeout_max_us))


PREPARE: Final[dict[Logs, Callable[[Cluster, Stream], None]]] = {
    Logs.EQUAL: _equal,
    Logs.ONE_LACKS: partial(_behind, 1),
    Logs.TWO_LACK: partial(_behind, 2),
    Logs.LEADER_AHEAD: partial(_ahead, 1),
    Logs.PAIR_AHEAD: partial(_ahead, 2),
    Logs.TERMS_DIFFER: _terms_differ,
    Logs.DRAWN: _drawn,
}


def _led(cluster: Cluster) -> tuple[Node, list[NodeId]]:
    """Return the leader, and everybody else in order: over all graphs each role stands at each place."""
    leader = cluster.leader()
    assert leader is not None, "a booted cluster has a leader"
    return leader, [node for node in sorted(cluster.nodes) if node != leader.node_id]


def _split(cluster: Cluster, *groups: Sequence[NodeId]) -> None:
    """Part these groups from each other and from the rest."""
    home = {node: place for place, group in enumerate(groups) for node in group}
    together = permutations(cluster.nodes, 2)
    leave_only(cluster, frozenset((a, b) for a, b in together if home.get(a) == home.get(b)))


def _write(leader: Node, dice: Stream) -> None:
    for number in range(dice.between(1, ENTRIES_MAX)):
        operation = Put(key=b"k", value=b"%d %d" % (leader.node_id, number))
        leader.propose(operation, None, WRITE_US, _heedless)


def _heedless(answer: Answer) -> None:
    """What became of a write is seen in the logs."""


def all_committed(status: ReplicaStatus | None) -> bool:
    """Is the whole log committed, to an entry of the node's own term?"""
    return (
        status is not None
        and status.commit_index == status.last_log_index
        and status.last_log_term == status.term
    )


def wait(cluster: Cluster, condition: Callable[[], bool], sentence: str) -> None:
    """Let time pass until the condition holds. Raises Violation when what always happens does not."""
    if not cluster.run_until(condition, PREPARE_US):
        states = [_state(status) for status in statuses_of(cluster)]
        raise cluster.world.violation("L1", f"While links work, {sentence}.", f"{states}", kind="liveness")


def statuses_of(cluster: Cluster) -> list[ReplicaStatus]:
    """No process ends in these runs but to be restarted at once."""
    found = [node.status() for node in cluster.nodes.values()]
    return [status for status in found if status is not None]


def _state(status: ReplicaStatus) -> str:
    log = f"log {status.last_log_term}/{status.last_log_index} commit {status.commit_index}"
    return f"{status.node_id} {status.role.value} term {status.term} leader {status.leader} {log}"


def leave_only(cluster: Cluster, arrows: frozenset[Link]) -> None:
    """Cut every other arrow, at once."""
    network = cluster.world.network
    network.heal()
    network.block((NodeId(a), NodeId(b)) for a, b in permutations(cluster.nodes, 2) if (a, b) not in arrows)
