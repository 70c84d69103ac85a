"""A whole cluster in one process: real replicas, the real log format, the real KV machine, on simulated time, network and
disks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ferrite.core import NO_CLUSTER, Member, Membership, NodeId, Replica, Role
from ferrite.sim.answers import Answer
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.checks.witness import check_history
from ferrite.sim.clients import Client
from ferrite.sim.dice import Dice
from ferrite.sim.faults.nemesis import Nemesis
from ferrite.sim.history import History
from ferrite.sim.network import Network
from ferrite.sim.node import Node
from ferrite.sim.options import Options
from ferrite.sim.timeline import Timeline
from ferrite.sim.trace import Trace
from ferrite.sim.violation import Violation
from ferrite.sim.world import World

POLL_US = 10_000
"""How often a waiting helper looks, in simulated time."""
BOOTSTRAP_AGAIN_US = 500_000


@dataclass(slots=True, kw_only=True)
class Result:
    """What a run was. `violation` is None when every check held."""

    seed: int
    digest: str
    violation: Violation | None
    simulated_us: int
    events: int
    steps: int
    counters: dict[str, int] = field(default_factory=dict)
    operations_ok: int = 0
    operations: int = 0


class Cluster:
    """One run. Use `run` for everything, or the single helpers for a story of your own."""

    def __init__(
        self, seed: int, options: Options | None = None, *, replica_class: type[Replica] = Replica
    ) -> None:
        """Make the nodes; nothing runs yet. Nodes 1 to `nodes` become voters, those after them are spares."""
        options = options or Options()
        timeline, dice = Timeline(), Dice(seed)
        self.seed = seed
        self.history = History()
        self.nodes: dict[NodeId, Node] = {}
        self.clients: list[Client] = []
        self.cluster_id = dice.stream("cluster").bits(128).to_bytes(16, "big")
        self.world = World(
            options=options,
            timeline=timeline,
            dice=dice,
            trace=Trace(options.trace_lines),
            network=Network(timeline, dice, options.network, self._deliver),
            invariants=Invariants(options.replica, lambda: (timeline.now_us, timeline.events_done)),
            node_down=self._node_down,
            replica_class=replica_class,
        )
        for number in range(1, options.nodes + options.spares + 1):
            node_id = NodeId(number)
            instance = dice.stream("instance", number).bits(128).to_bytes(16, "big")
            self.nodes[node_id] = Node(node_id, instance, self.world)
        self.nemesis = Nemesis(self)

    # ------------------------------------------------------------------------------------------------ building

    @property
    def now_us(self) -> int:
        """Simulated time."""
        return self.world.timeline.now_us

    def member(self, node_id: NodeId, *, moved: bool = False) -> Member:
        """Return the member entry of a node."""
        where = f"node{node_id}.sim:{7000 + moved}"
        return Member(node_id=node_id, instance=self.nodes[node_id].instance, peer_addr=where)

    def start(self) -> None:
        """Start every process, and initialize the cluster at node 1."""
        for node in self.nodes.values():
            node.start()
        self._bootstrap()

    def _bootstrap(self) -> None:
        voters = tuple(sorted(self.nodes))[: self.world.options.nodes]
        membership = Membership(voters=voters, members={node: self.member(node) for node in voters})

        def answered(answer: Answer) -> None:
            self.world.counters[f"bootstrap_{type(answer).__name__.lower()}"] += 1

        # An operator asks again until the node belongs to the cluster: a crash may come before that is durable.
        first = self.nodes[NodeId(1)]
        status = first.status()
        if status is None or status.cluster_id == NO_CLUSTER:
            first.bootstrap(self.cluster_id, membership, answered)
            self.world.timeline.after(BOOTSTRAP_AGAIN_US, self._bootstrap)

    def start_clients(self) -> None:
        """Let the clients loose."""
        options = self.world.options.clients
        for number in range(options.clients):
            client = Client(
                f"client{number}",
                options,
                self.nodes,
                self.world.timeline,
                self.history,
                self.world.dice.stream("client", number),
            )
            self.clients.append(client)
            client.start()

    def _deliver(self, source: NodeId, target: NodeId, frame: bytes) -> None:
        node = self.nodes.get(target)
        if node is not None:
            node.frame_arrived(frame)

    def _node_down(self, node_id: NodeId) -> None:
        dice = self.world.dice.stream("unreachable", node_id)
        for other in self.nodes.values():
            if other.node_id != node_id and dice.chance(self.world.options.network.unreachable_ppm):
                other.peer_unreachable(
                    node_id, 1 + dice.exponential(self.world.options.network.delay_mean_us)
                )
        self.nemesis.node_down(self.nodes[node_id])

    # ------------------------------------------------------------------------------------------------ looking

    def leaders(self) -> list[Node]:
        """Running nodes that believe to lead, the highest term first."""
        found = []
        for node in self.nodes.values():
            status = node.status()
            if status is not None and status.role is Role.LEADER:
                found.append((status.term, node))
        return [node for _, node in sorted(found, key=lambda item: -item[0])]

    def leader(self) -> Node | None:
        """The leader of the highest term, if any node believes to lead."""
        leaders = self.leaders()
        return leaders[0] if leaders else None

    # ------------------------------------------------------------------------------------------------ running

    def run_for(self, duration_us: int) -> None:
        """Let simulated time pass."""
        self.world.timeline.run_until(self.now_us + duration_us)

    def run_until(self, condition: Callable[[], bool], within_us: int, *, poll_us: int = POLL_US) -> bool:
        """Let time pass until the condition holds; False when it did not within the bound.

        A state that lasts for less than `poll_us` may be missed.
        """
        end_us = self.now_us + within_us
        while not condition():
            if self.now_us >= end_us:
                return False
            self.run_for(poll_us)
        return True

    def heal(self) -> None:
        """End every fault: links, disks, pauses; start what is down."""
        self.nemesis.stop()
        self.world.healed = True
        network = self.world.network
        network.heal()
        network.options = self.world.options.network.healed()
        for node in self.nodes.values():
            node.disk.lose_power_after(None)
            node.crash_after_actions = None
            node.disk.sync_error_ppm = node.disk.full_ppm = 0
            if node.paused:
                node.resume()
            if not node.running and not node.held_down:
                node.start()

    def run(self) -> Result:
        """Boot, safety phase with all faults, heal, liveness phase, final checks. A failed check is in the result."""
        options = self.world.options
        violation: Violation | None = None
        try:
            for node in self.nodes.values():
                node.disk.sync_error_ppm = options.disk.sync_error_ppm
                node.disk.full_ppm = options.disk.full_ppm
            self.start()
            self.start_clients()
            self.nemesis.start()
            self.run_for(options.seconds * 1_000_000)
            self.converge()
            check_history(self.history, self.world.invariants.ghost)
        except Violation as found:
            violation = found
        return self.result(violation)

    def converge(self) -> None:
        """Heal, then insist on progress and on equal states. Raises Violation (L1, L2, L3, F3)."""
        from ferrite.sim.checks.liveness import converge  # noqa: PLC0415 - liveness drives a cluster; importing it above would be a circle

        converge(self)

    def result(self, violation: Violation | None) -> Result:
        """Sum the run up."""
        world = self.world
        counters = dict(sorted((world.counters + world.network.counters).items()))
        return Result(
            seed=self.seed,
            digest=world.trace.digest(),
            violation=violation,
            simulated_us=self.now_us,
            events=world.timeline.events_done,
            steps=world.invariants.steps,
            counters=counters,
            operations_ok=self.history.count("ok"),
            operations=len(self.history.operations),
        )

    def trace_lines(self) -> Sequence[str]:
        """The last lines of the trace, when the options keep some."""
        return self.world.trace.last_lines()
