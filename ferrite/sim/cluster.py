"""A whole cluster in one process: real replicas, the real log format, the real KV machine, on simulated time, network and
disks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ferrite.core import NO_CLUSTER, Member, Membership, NodeId, Replica, Role
from ferrite.sim.answers import Answer
from ferrite.sim.checks.coverage import collect_marks
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.checks.leases import check_lease_ends
from ferrite.sim.checks.watches import check_watchers
from ferrite.sim.checks.witness import check_history
from ferrite.sim.clients import Client
from ferrite.sim.dice import Dice
from ferrite.sim.ending import finish_recording, first_row
from ferrite.sim.faults.nemesis import Nemesis
from ferrite.sim.faults.plan import FaultPlan
from ferrite.sim.history import History
from ferrite.sim.network import Frame, Network
from ferrite.sim.node import Node
from ferrite.sim.options import Options
from ferrite.sim.recording import Recording
from ferrite.sim.session_limits import session_limits
from ferrite.sim.shipped import Library
from ferrite.sim.tape import Tape
from ferrite.sim.timeline import EndlessRun, Timeline
from ferrite.sim.trace import Trace
from ferrite.sim.violation import Violation
from ferrite.sim.watchers import Watcher
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
    """Of the timeline: arrivals, timers, ends of disk operations."""
    steps: int
    """Calls of `Replica.step`."""
    core_events: int
    """Facts that replicas were told."""
    counters: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    """Coverage: how often each mark was reached, zeros included, and each kind of fault struck."""
    faults: int = 0
    operations_ok: int = 0
    operations: int = 0
    checkpoints: list[str] = field(default_factory=list)
    """The digest after each chunk of the trace: where two runs part."""


class Cluster:
    """One run. Use `run` for everything, or the single helpers for a story of your own."""

    def __init__(
        self,
        seed: int,
        options: Options | None = None,
        *,
        replica_class: type[Replica] = Replica,
        tape: Tape | None = None,
        without: Collection[str] = (),
        recording: Recording | None = None,
        keep_draws: bool = False,
    ) -> None:
        """Make the nodes; nothing runs yet. Nodes 1 to `nodes` become voters, those after them are spares.

        `tape` is played instead of drawing; `without` are ids of faults and operations to leave out.
        """
        options = options or Options()
        timeline = Timeline(options.events_max)
        dice = Dice(seed, tape=tape.draws if tape else None, record=keep_draws)
        plan = FaultPlan(seed, lambda: timeline.now_us, taped=tape.faults if tape else None, without=without)
        invariants = Invariants(options.replica, lambda: (timeline.now_us, timeline.events_done))
        self.seed = seed
        self.history = History()
        self.nodes: dict[NodeId, Node] = {}
        self.clients: list[Client] = []
        self.watchers: list[Watcher] = []
        self.cluster_id = dice.stream("cluster").bits(128).to_bytes(16, "big")
        self.world = World(
            options=options,
            timeline=timeline,
            dice=dice,
            plan=plan,
            trace=Trace(options.trace_lines, chunk=options.trace_chunk),
            network=Network(timeline, dice, plan, options.network, self._deliver, recording),
            invariants=invariants,
            node_down=self._node_down,
            replica_class=replica_class,
            recording=recording,
        )
        plan.on_strike = self.world.struck
        for number in range(1, options.nodes + options.spares + 1):
            node_id = NodeId(number)
            instance = dice.stream("instance", number).bits(128).to_bytes(16, "big")
            self.nodes[node_id] = Node(node_id, instance, self.world)
        self._instances = {node.node_id: node.instance for node in self.nodes.values()}
        self.nemesis = Nemesis(self)
        self.committed_us: dict[int, int] = {}
        """Index -> when its entry was first seen to be committed."""
        invariants.checks.committed = self._committed
        if recording is not None:
            first_row(self, recording)
        self._endings: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}
        self._endings_made = 0

    # ------------------------------------------------------------------------------------------------ building

    @property
    def now_us(self) -> int:
        """Simulated time."""
        return self.world.timeline.now_us

    def member(self, node_id: NodeId, *, moved: bool = False) -> Member:
        """Return the member entry of a node, with the data directory that it began with."""
        where = f"node{node_id}.sim:{7000 + moved}"
        return Member(node_id=node_id, instance=self._instances[node_id], peer_addr=where)

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
        if (status is None or status.cluster_id == NO_CLUSTER) and not first.may_refuse:
            first.bootstrap(self.cluster_id, membership, answered)
            self.world.timeline.after(BOOTSTRAP_AGAIN_US, self._bootstrap)

    def start_clients(self) -> None:
        """Let the clients loose."""
        options, dice = self.world.options.clients, self.world.dice.stream("libraries")
        library, places = None, 0
        for number in range(options.clients):
            shipped = dice.chance(options.shipped_ppm)
            if shipped and places == 0:
                library, places = Library(number, self.nodes, self.world), options.shipped_tasks
                library.start()
            places -= shipped
            client = Client(number, self.nodes, self.world, self.history, library if shipped else None)
            self.clients.append(client)
            client.start()
        for number in range(self.world.options.kv.watchers):
            watcher = Watcher(number, self.nodes, self.world)
            self.watchers.append(watcher)
            watcher.start()

    def _deliver(self, source: NodeId, target: NodeId, frame: Frame, send_row: int) -> None:
        node = self.nodes.get(target)
        if node is not None:
            node.frame_arrived(frame, send_row)

    def _committed(self, node: NodeId, first: int, last: int, term: int) -> None:
        self.committed_us.update(dict.fromkeys(range(first, last + 1), self.now_us))
        self.world.row("commit", node=node, first=first, last=last, term=term)

    def _node_down(self, node_id: NodeId) -> None:
        network = self.world.options.network
        dice = self.world.dice.stream("unreachable", node_id)
        for other in self.nodes.values():
            if other.node_id != node_id and dice.chance(network.unreachable_ppm):
                other.peer_unreachable(node_id, 1 + dice.exponential(network.delay_mean_us))
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

    def lasts_until(self, until_us: int, end: Callable[..., None], *given: Any) -> None:
        """A fault goes on until then: `end(*given)` is called at that time, or when everything is healed before."""
        number = self._endings_made = self._endings_made + 1
        self._endings[number] = (end, given)
        self.world.timeline.at(until_us, self._end, number)

    def _end(self, number: int) -> None:
        ending = self._endings.pop(number, None)
        if ending is not None:
            end, given = ending
            end(*given)

    def end_faults(self) -> None:
        """No new faults, and those that last end now."""
        self.world.plan.over = True
        for number in list(self._endings):
            self._end(number)

    def heal(self, nodes: Collection[NodeId] | None = None) -> None:
        """End every fault: links, disks, clocks, pauses; start what is down, of these nodes only when given."""
        self.end_faults()
        self.world.network.heal()
        for node in self.nodes.values():
            if nodes is not None and node.node_id not in nodes:
                continue
            node.recover_from_faults()

    def run(self, *, until_us: int | None = None) -> Result:
        """Boot, safety phase with all faults, heal, liveness phase, final checks. A failed check is in the result.

        With `until_us` the run ends at that simulated time of the safety phase, without healing; histories are checked all
        the same.
        """
        violation: Violation | None = None
        try:
            self.start()
            self.start_clients()
            self.nemesis.start()
            self.run_for(self.world.options.seconds * 1_000_000 if until_us is None else until_us)
            if until_us is None:
                self.converge()
            self.check_history()
        except Violation as found:
            violation = found
        except EndlessRun:
            violation = self._endless()
        if self.world.recording is not None:
            finish_recording(self, violation)
        return self.result(violation)

    def check_history(self) -> None:
        """Compare what clients saw with the replay of the committed log. Raises Violation."""
        model = check_history(
            self.history, self.world.invariants.ghost, session_limits(self.world.options.kv)
        )
        check_watchers(self.watchers, model)
        check_lease_ends(self.history, model, self.committed_us, self.world.options)

    def _endless(self) -> Violation:
        # L9: events per run are bounded.
        return self.world.violation(
            "L9",
            "Messages and timers do not multiply without end.",
            f"{self.world.timeline.events_done} events; {dict(self.world.network.counters)}",
            kind="liveness",
        )

    def converge(self) -> None:
        """Heal, then insist on progress and on equal states. Raises Violation (L1 to L3, L5, L8, L10, L11, F3, F4)."""
        from ferrite.sim.checks.liveness import converge  # noqa: PLC0415 - liveness drives a cluster; importing it above would be a circle

        converge(self)

    def result(self, violation: Violation | None) -> Result:
        """Sum the run up."""
        world = self.world
        return Result(
            seed=self.seed,
            digest=world.trace.digest(),
            violation=violation,
            simulated_us=self.now_us,
            events=world.timeline.events_done,
            steps=world.invariants.steps,
            core_events=sum(node.events_told for node in self.nodes.values()),
            counters=dict(sorted((world.counters + world.network.counters).items())),
            marks=collect_marks(world, self.nodes.values(), self.history),
            faults=len(world.plan.struck),
            operations_ok=self.history.count("ok"),
            operations=len(self.history.operations),
            checkpoints=world.trace.checkpoints,
        )

    def trace_lines(self) -> Sequence[str]:
        """The last lines of the trace, when the options keep some."""
        return self.world.trace.last_lines()
