"""What the parts of a run share: time, dice, network, checks, counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ferrite.core import NodeId, Replica
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.dice import Dice
from ferrite.sim.network import Network
from ferrite.sim.options import Options
from ferrite.sim.timeline import Timeline
from ferrite.sim.trace import Trace
from ferrite.sim.violation import Violation


@dataclass(slots=True, kw_only=True)
class World:
    """One run's surroundings. `replica_class` is what nodes make their replica with: a test may plant a bug there."""

    options: Options
    timeline: Timeline
    dice: Dice
    trace: Trace
    network: Network
    invariants: Invariants
    node_down: Callable[[NodeId], None]
    replica_class: type[Replica] = Replica
    healed: bool = False
    """The safety phase is over: stores and snapshot files fail no more."""
    counters: Counter[str] = field(default_factory=Counter)

    def note(self, node: NodeId, *what: object) -> None:
        """Add a line to the trace."""
        self.trace.note(self.timeline.now_us, node, *what)

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
