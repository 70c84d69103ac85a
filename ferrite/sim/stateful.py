"""Cluster properties of your own: the simulated cluster as a rule-based state machine of Hypothesis.

`ClusterMachine` lets clients and faults loose in whatever order Hypothesis tries, with all checks of the simulator after every
step. Subclass it, add rules and invariants, and a property that does not hold comes back as the shortest story that breaks it.
docs/properties.md has examples. Hypothesis is an extra: `pip install 'ferrite[sim]'`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar

from ferrite.core import AddLearner, Change, ChangeVoters, Membership, NodeId, RemoveLearner, ReplicaConfig
from ferrite.core.kv import Delete, Put
from ferrite.sim.answers import Answer
from ferrite.sim.checks.core import can_work, usable_nodes
from ferrite.sim.checks.liveness import FRESH_TIMEOUT_US, stable_leader
from ferrite.sim.checks.witness import check_history
from ferrite.sim.cluster import Cluster
from ferrite.sim.faults.processes import FAILPOINTS
from ferrite.sim.history import PENDING, Operation
from ferrite.sim.network import Ends, links_between
from ferrite.sim.node import Node
from ferrite.sim.options import ClientOptions, NetworkOptions, Options
from ferrite.sim.orders import Doom
from ferrite.sim.requests import REQUEST_TIMEOUT_US, Outcome, Requests, outcome_of
from ferrite.sim.violation import Violation

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
except ModuleNotFoundError as error:
    raise ImportError(
        f"ferrite.sim.stateful needs Hypothesis ({error}); install it with: pip install 'ferrite[sim]'"
    ) from error

SEED_MAX: Final = 999
"""Enough choices of delays and timeouts, beside all the others; larger numbers take long to shrink."""
ANSWER_WITHIN_MS: Final = 2_000
"""How long a client waits for an answer unless told otherwise, in simulated time: as long as its request lives."""
FIRST_LEADER_US: Final = 60_000_000
"""A new cluster on the worst of the networks has a leader far sooner."""
DURATIONS_MS: Final = (1, 10, 100, 500, 2_000)
"""From less than a message takes to more than two elections."""
SETTLE_MS: Final = 2_000
"""Longer than an election, and than most frames are late."""
STEPS_MAX: Final = 20
KEYS: Final = (b"x", b"y")
"""What the built-in clients write to. Few, so that they get into each other's way. Your own rules take other keys."""
CLIENTS: Final = ("ann", "bob")
PATIENCE: Final = st.sampled_from((ANSWER_WITHIN_MS, 0, 5))
"""A client waits for its answer, or does not, or for about as long as a healthy cluster takes."""
OPTIONS: Final = Options(
    spares=1,
    clients=ClientOptions(clients=0),
    state_hash_every=1,
    deep_check_every=50,
    replica=ReplicaConfig(
        # Short elections make short examples.
        election_timeout_min_us=400_000,
        election_timeout_max_us=800_000,
        # Flushes and snapshots happen within the few writes of one example.
        flush_entries=5,
        flush_interval_us=500_000,
        log_entries_max=10,
        log_retention_entries=2,
    ),
)
NETWORKS: Final = {
    "calm": NetworkOptions(),
    "lossy": NetworkOptions(loss_ppm=200_000),
    "doubling": NetworkOptions(duplicate_ppm=200_000, replay_ppm=50_000),
    "disorderly": NetworkOptions(slow_ppm=50_000, slow_mean_us=300_000),
}

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


Look = Callable[["ClusterMachine"], list[_T]]


def one_of(look: Look[_T]) -> st.SearchStrategy[_T]:
    """A strategy: one of what `look(machine)` finds when the rule is drawn. Needs `some(look)` where that may be nothing."""
    return st.runner().flatmap(lambda machine: st.sampled_from(look(machine)))


def some(look: Look[Any]) -> Callable[[_F], _F]:
    """A precondition: the rule is drawn only while `look(machine)` finds something."""
    return precondition(lambda machine: bool(look(machine)))


def _nodes_that(are: Callable[[Node], bool]) -> Look[int]:
    return lambda machine: [int(node.node_id) for node in machine.cluster.nodes.values() if are(node)]


any_node: Final = one_of(lambda machine: [int(node) for node in machine.cluster.nodes])
"""A strategy: the id of a node, up or down, spares included."""

_running: Final = _nodes_that(lambda node: node.running)
_down: Final = _nodes_that(lambda node: node.held_down)
_awake: Final = _nodes_that(lambda node: node.running and not node.paused)
_paused: Final = _nodes_that(lambda node: node.paused)


def _links(machine: ClusterMachine) -> list[Ends]:
    return links_between(list(machine.cluster.nodes), list(machine.cluster.nodes), both_ways=False)


def _retryable(machine: ClusterMachine) -> list[str]:
    return machine.requests.retryable()


def _voters(machine: ClusterMachine) -> list[int]:
    return sorted(machine.membership.voters)


def _candidates(machine: ClusterMachine) -> list[int]:
    return sorted((*machine.membership.voters, *machine.membership.learners))


def _learners(machine: ClusterMachine) -> list[int]:
    return sorted(machine.membership.learners)


def _fresh(machine: ClusterMachine) -> list[int]:
    known = machine.membership
    return [
        int(node) for node in machine.cluster.nodes if node not in known.members and node not in known.retired
    ]


class ClusterMachine(RuleBasedStateMachine):
    """A cluster, its clients and its faults, as rules.

    Every check of the simulator runs in every step and raises Violation. At the end of each example all faults are healed, the
    cluster must come to rest and answer (liveness), and what clients saw is compared with the committed log.

    In a subclass: `options` and `networks` say what the cluster is made of; `founded` and `at_rest` are there to be overridden;
    `put`, `get`, `delete` and `pass_ms` are for your rules; `cluster` is everything else. Set a rule to None to leave it out.
    An `@initialize` of your own may run before there is a cluster: use `founded`.
    """

    options: ClassVar[Options] = OPTIONS
    """Three voters, a spare node, no clients but those of the rules. Only the network is replaced, by one of `networks`."""
    networks: ClassVar[Mapping[str, NetworkOptions]] = NETWORKS
    """What the network may be like during an example, the simplest first."""
    cluster: Cluster
    requests: Requests

    def __init__(self) -> None:
        super().__init__()
        self._outer_error = sys.exc_info()[1]
        self._values = 0

    # ------------------------------------------------------------------------------------------------ for your rules

    def founded(self) -> None:
        """All members follow the first leader; nothing has happened to it yet. Does nothing unless overridden."""

    def at_rest(self) -> None:
        """All faults are healed, and all members agree: the place for a last check. Does nothing unless overridden."""

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        node: int = 0,
        client: str = "own",
        within_ms: int = ANSWER_WITHIN_MS,
    ) -> Outcome:
        """Write, through this node, or the first one that runs. Waits in simulated time for the answer, at most `within_ms`.

        Each `client` is a session with one write at a time: when it writes again, a write without an answer is given up, and
        has no effect once the later one has had its own.
        """
        return self._write(client, Put(key=key, value=value), node, within_ms)

    def delete(
        self, key: bytes, *, node: int = 0, client: str = "own", within_ms: int = ANSWER_WITHIN_MS
    ) -> Outcome:
        """Delete, in the same way as `put`."""
        return self._write(client, Delete(key=key), node, within_ms)

    def get(
        self, key: bytes, *, node: int = 0, stale: bool = False, within_ms: int = ANSWER_WITHIN_MS
    ) -> Outcome:
        """Read, through this node, or the first one that runs: linearizable, or what the node has when it may be `stale`."""
        return self._answer(self.requests.read(key, self._node(node), stale=stale), within_ms)

    def pass_ms(self, duration_ms: int) -> None:
        """Let simulated time pass."""
        self.cluster.run_for(duration_ms * 1_000)

    def _node(self, node: int) -> Node:
        running = (other for other in self.cluster.nodes.values() if other.running)
        return self.cluster.nodes[NodeId(node)] if node else next(running, self.cluster.nodes[NodeId(1)])

    def _write(self, client: str, command: Put | Delete, node: int, within_ms: int) -> Outcome:
        return self._answer(self.requests.write(client, command, self._node(node)), within_ms)

    def _answer(self, operation: Operation, within_ms: int) -> Outcome:
        self.cluster.run_until(lambda: operation.outcome != PENDING, within_ms * 1_000)
        return outcome_of(operation)

    # ------------------------------------------------------------------------------------------------ begin and end

    @initialize(network=one_of(lambda machine: list(machine.networks)), seed=st.integers(0, SEED_MAX))
    def found(self, network: str, seed: int) -> None:
        """Make the cluster; `seed` draws its delays and timeouts."""
        self.cluster = Cluster(seed, replace(self.options, network=self.networks[network]))
        self.requests = Requests(self.cluster)
        self.cluster.start()
        self.cluster.start_clients()
        assert self.cluster.run_until(lambda: stable_leader(self.cluster) is not None, FIRST_LEADER_US), (
            "no first leader"
        )
        self.founded()

    def teardown(self) -> None:
        """Heal, come to rest, answer, and judge the history; nothing of it when the example has failed already."""
        if sys.exc_info()[1] is not self._outer_error:
            return
        cluster = self.cluster
        for node in cluster.nodes.values():
            node.held_down = False
        cluster.heal()
        # What operators asked for may still move the leadership: it comes to its end before the cluster is asked to be calm.
        self._all_is_answered()
        self.pass_ms(SETTLE_MS)
        cluster.converge()
        if can_work(cluster, usable_nodes(cluster)):
            self._new_writes_succeed()
        self.at_rest()
        check_history(cluster.history, cluster.world.invariants.ghost)

    def _all_is_answered(self) -> None:
        nodes = self.cluster.nodes.values()
        if not self.cluster.run_until(
            lambda: not any(node.waiting_count for node in nodes), FRESH_TIMEOUT_US
        ):
            waiting = {int(node.node_id): node.waiting_count for node in nodes}
            raise self._lifeless("After healing every request is answered.", f"still waiting: {waiting}")

    def _new_writes_succeed(self) -> None:
        cluster = self.cluster
        for node in usable_nodes(cluster):
            if node in self.membership.members:
                done = self.put(b"last", b"", node=node, client="last")
                if not done.ok:
                    raise self._lifeless(
                        "A healthy cluster carries out new requests.", f"node {node}: {done}"
                    )

    def _lifeless(self, sentence: str, facts: str) -> Violation:
        return self.cluster.world.violation("L2", sentence, facts, kind="liveness")

    # ------------------------------------------------------------------------------------------------ clients and time

    @rule(key=st.sampled_from(KEYS), node=any_node, client=st.sampled_from(CLIENTS), within_ms=PATIENCE)
    def client_puts(self, key: bytes, node: int, client: str, within_ms: int) -> None:
        """Write a new value. A client without patience goes on before the answer comes."""
        self._values += 1
        self.put(key, b"%d" % self._values, node=node, client=client, within_ms=within_ms)

    @rule(key=st.sampled_from(KEYS), node=any_node, client=st.sampled_from(CLIENTS), within_ms=PATIENCE)
    def client_deletes(self, key: bytes, node: int, client: str, within_ms: int) -> None:
        self.delete(key, node=node, client=client, within_ms=within_ms)

    @rule(key=st.sampled_from(KEYS), node=any_node, within_ms=PATIENCE)
    def client_gets(self, key: bytes, node: int, within_ms: int) -> None:
        self.get(key, node=node, within_ms=within_ms)

    @some(_retryable)
    @rule(client=one_of(_retryable), node=any_node, within_ms=PATIENCE)
    def client_retries(self, client: str, node: int, within_ms: int) -> None:
        """Send a write of unknown outcome again, as the same request of the session."""
        self._answer(self.requests.try_again(client, self._node(node)), within_ms)

    @rule(duration_ms=st.sampled_from(DURATIONS_MS))
    def time_passes(self, duration_ms: int) -> None:
        self.pass_ms(duration_ms)

    @rule(count=st.integers(1, STEPS_MAX))
    def steps_happen(self, count: int) -> None:
        """So many arrivals, timers and ends of disk operations: what comes next finds the cluster in between."""
        for _ in range(count):
            self.cluster.world.timeline.step()

    # ------------------------------------------------------------------------------------------------ processes and disks

    @some(_running)
    @rule(node=one_of(_running), when=st.sampled_from(("now", *FAILPOINTS)), power_loss=st.booleans())
    def node_crashes(self, node: int, when: str, power_loss: bool) -> None:  # noqa: FBT001 - Hypothesis passes arguments by name
        """End a process now, or when it comes to such an action; it stays down. Without power un-synced writes may be lost."""
        struck = self.cluster.nodes[NodeId(node)]
        struck.held_down = True
        if when == "now":
            struck.crash(power_loss=power_loss)
        else:
            struck.doom = Doom(before=when, power_loss=power_loss)

    @some(_down)
    @rule(node=one_of(_down))
    def node_starts(self, node: int) -> None:
        """Start what is down; what was doomed to crash and has not will be started again when it does."""
        struck = self.cluster.nodes[NodeId(node)]
        struck.held_down = False
        if not struck.running:
            struck.start()

    @some(_awake)
    @rule(node=one_of(_awake))
    def node_pauses(self, node: int) -> None:
        self.cluster.nodes[NodeId(node)].pause()

    @some(_paused)
    @rule(node=one_of(_paused))
    def node_resumes(self, node: int) -> None:
        self.cluster.nodes[NodeId(node)].resume()

    @rule(node=any_node, duration_ms=st.sampled_from(DURATIONS_MS))
    def disk_stalls(self, node: int, duration_ms: int) -> None:
        """No sync of this node ends before the time is over."""
        disk = self.cluster.nodes[NodeId(node)].disk
        disk.stall()
        self.cluster.lasts_until(self.cluster.now_us + duration_ms * 1_000, disk.release)

    # ------------------------------------------------------------------------------------------------ links

    @rule(node=any_node, both_ways=st.booleans())
    def node_is_cut_off(self, node: int, both_ways: bool) -> None:  # noqa: FBT001 - Hypothesis passes arguments by name
        """Cut all links from a node, and to it."""
        self.cluster.world.network.block(
            links_between([NodeId(node)], list(self.cluster.nodes), both_ways=both_ways)
        )

    @rule(link=one_of(_links))
    def link_is_cut(self, link: Ends) -> None:
        """Cut a link in one direction."""
        self.cluster.world.network.block([link])

    @rule(link=one_of(_links))
    def link_freezes(self, link: Ends) -> None:
        """Nothing arrives over a link until the links heal; then everything does."""
        self.cluster.world.network.hold(link)

    @rule()
    def links_heal(self) -> None:
        self.cluster.world.network.heal()

    # ------------------------------------------------------------------------------------------------ operators

    @property
    def membership(self) -> Membership:
        """What the leader says, or else the node that has applied most; without members when no node runs."""
        asked = self.cluster.leaders() or list(self.cluster.nodes.values())
        known = [status for status in (node.status() for node in asked) if status is not None]
        return (
            max(known, key=lambda status: (status.term, status.applied_index)).membership
            if known
            else Membership()
        )

    @some(_voters)
    @rule(successor=one_of(_voters))
    def leadership_is_transferred(self, successor: int) -> None:
        self._leader_or_any().transfer(NodeId(successor), REQUEST_TIMEOUT_US, self._operator_hears)

    @some(_candidates)
    @rule(
        voters=st.runner().flatmap(
            lambda machine: st.lists(st.sampled_from(_candidates(machine)), min_size=1, unique=True)
        )
    )
    def voters_change(self, voters: list[int]) -> None:
        """Take these voters; who was one and is not named leaves."""
        self._change(ChangeVoters(voters=tuple(NodeId(node) for node in sorted(voters))))

    @some(_fresh)
    @rule(node=one_of(_fresh))
    def learner_is_added(self, node: int) -> None:
        self._change(AddLearner(member=self.cluster.member(NodeId(node))))

    @some(_learners)
    @rule(node=one_of(_learners))
    def learner_is_removed(self, node: int) -> None:
        self._change(RemoveLearner(node_id=NodeId(node)))

    def _leader_or_any(self) -> Node:
        return self.cluster.leader() or self._node(0)

    def _change(self, change: Change) -> None:
        self._leader_or_any().change_membership(change, REQUEST_TIMEOUT_US, self._operator_hears)

    def _operator_hears(self, answer: Answer) -> None:
        self.cluster.world.counters[f"operator_{type(answer).__name__.lower()}"] += 1
