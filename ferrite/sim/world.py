"""What the parts of a run share: time, dice, faults, network, checks, counters, recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ferrite.core import InvariantViolated, NodeId, Replica
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.dice import PPM, Dice
from ferrite.sim.faults.plan import Fault, FaultPlan
from ferrite.sim.network import Network
from ferrite.sim.options import Options
from ferrite.sim.recording import Recording
from ferrite.sim.timeline import Timeline
from ferrite.sim.trace import Trace
from ferrite.sim.violation import Violation


@dataclass(slots=True, kw_only=True)
class World:
    """One run's surroundings. `replica_class` is what nodes make their replica with: a test may plant a bug there."""

    options: Options
    timeline: Timeline
    dice: Dice
    plan: FaultPlan
    trace: Trace
    network: Network
    invariants: Invariants
    node_down: Callable[[NodeId], None]
    replica_class: type[Replica] = Replica
    recording: Recording | None = None
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def clock_us(self) -> int:
        """A right clock, such as clients have; those of nodes begin anywhere."""
        return self.timeline.now_us * self.options.clock_rate_ppm // PPM

    def note(self, node: NodeId, *what: object) -> None:
        """Add a note to the trace."""
        self.trace.note(self.timeline.now_us, node, *what)

    def row(self, row: str, **fields: Any) -> int:
        """Add a row to the recording and return its id; 0 when nothing is recorded."""
        return 0 if self.recording is None else self.recording.add(row, self.timeline.now_us, **fields)

    def struck(self, fault: Fault) -> None:
        """A fault strikes: the trace, the counters and the recording learn of it."""
        self.counters[f"fault_{fault.kind}"] += 1
        self.note(NodeId(fault.nodes[0] if fault.nodes else 0), "fault", fault.id)
        if self.recording is not None:
            now_us = self.timeline.now_us
            text = " ".join(f"{name} {what}" for name, what in fault.data.items())
            self.recording.add(
                "fault",
                now_us,
                fault=fault.id,
                kind=fault.kind,
                until=max(now_us, fault.until_us),
                nodes=list(fault.nodes),
                links=[list(link) for link in fault.links],
                text=text,
            )

    def violation(self, name: str, sentence: str, facts: str, *, kind: str = "safety") -> Violation:
        """Return a violation of this moment, to be raised."""
        return Violation(
            name,
            sentence,
            facts,
            time_us=self.timeline.now_us,
            event_number=self.timeline.events_done,
            kind=kind,
        )


def finding(world: World, node: NodeId, error: Exception, who: str = "A replica") -> Violation:
    """Whatever a replica, or another part of a node, raises is a finding."""
    if isinstance(error, InvariantViolated):
        return world.violation(
            "CORE", f"{who} is never in an impossible state.", f"node {node}: {error}", kind="crash"
        )
    return world.violation("CRASH", f"{who} never raises.", f"node {node}: {error!r}", kind="crash")
