"""A quiet cluster to tell stories with: requests that wait for their answer, links cut by hand."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ferrite.core import Consistency, NodeId, ReplicaConfig
from ferrite.core.kv import Delete, Get, GetResult, Put, PutResult, Session
from ferrite.sim import ClientOptions, Cluster, Options
from ferrite.sim.answers import Answer, Refused, Replied
from ferrite.sim.checks.witness import check_history
from ferrite.sim.node import Node

SECOND_US = 1_000_000
QUIET = Options(clients=ClientOptions(clients=0), state_hash_every=1)


def quiet_cluster(seed: int = 1, **changes: object) -> Cluster:
    """Started, initialized, with a leader and no clients."""
    cluster = Cluster(seed, replace(QUIET, **changes))  # type: ignore[arg-type]  # field names are the options'
    cluster.start()
    assert cluster.run_until(lambda: cluster.leader() is not None, 20 * SECOND_US), (
        "no leader in a quiet cluster"
    )
    cluster.run_for(SECOND_US)
    return cluster


def leader_of(cluster: Cluster) -> Node:
    leader = cluster.leader()
    assert leader is not None, "there is a leader"
    return leader


def others(cluster: Cluster, node: Node) -> list[Node]:
    return [other for other in cluster.nodes.values() if other is not node]


def ask(
    cluster: Cluster, call: Callable[[Callable[[Answer], None]], None], within_us: int = 20 * SECOND_US
) -> Answer:
    """Make a request and let time pass until it is answered."""
    answers: list[Answer] = []
    call(answers.append)
    assert cluster.run_until(lambda: bool(answers), within_us), "no answer"
    return answers[0]


def put(cluster: Cluster, node: Node, key: bytes, value: bytes, session: Session | None = None) -> int:
    """Write, and return the revision."""
    operation = Put(key=key, value=value)
    answer = ask(cluster, lambda callback: node.propose(operation, session, 10 * SECOND_US, callback))
    assert isinstance(answer, Replied), answer
    assert isinstance(answer.result, PutResult), answer
    return answer.result.revision


def get(
    cluster: Cluster, node: Node, key: bytes, consistency: Consistency = Consistency.LINEARIZABLE
) -> bytes | None:
    """Read, and return the value."""
    answer = ask(cluster, lambda callback: node.read(Get(key=key), consistency, 10 * SECOND_US, callback))
    assert isinstance(answer, Replied), answer
    assert isinstance(answer.result, GetResult), answer
    return answer.result.entry.value if answer.result.entry else None


def cut(cluster: Cluster, left: Iterable[Node], right: Iterable[Node]) -> None:
    """Block the links between two groups, both ways."""
    right = list(right)
    pairs = [(a.node_id, b.node_id) for a in left for b in right if a is not b]
    cluster.world.network.block([*pairs, *((b, a) for a, b in pairs)])


def star(cluster: Cluster, centre: NodeId, leaves: Iterable[NodeId]) -> None:
    """Only links between the centre and these leaves work: only the centre can win an election."""
    cluster.world.network.heal()
    kept = set(leaves)
    ids = sorted(cluster.nodes)
    cluster.world.network.block(
        (a, b)
        for a in ids
        for b in ids
        if a != b and not (a == centre and b in kept) and not (b == centre and a in kept)
    )


def step_until(cluster: Cluster, condition: Callable[[], bool]) -> None:
    """Let one thing after the other happen, so that what follows comes right after it."""
    for _ in range(100_000):
        if condition():
            return
        cluster.world.timeline.step()
    raise AssertionError("it never happened")


def finish(cluster: Cluster) -> None:
    """Every story ends well: heal, converge, and compare with the replay of the committed log."""
    cluster.converge()
    check_history(cluster.history, cluster.world.invariants.ghost)


__all__ = [
    "QUIET",
    "SECOND_US",
    "Consistency",
    "Delete",
    "Refused",
    "Replied",
    "ReplicaConfig",
    "ask",
    "cut",
    "finish",
    "get",
    "leader_of",
    "others",
    "put",
    "quiet_cluster",
    "star",
    "step_until",
]
