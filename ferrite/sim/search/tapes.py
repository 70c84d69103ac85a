"""From a run to its tape, and from a tape to its run."""

from __future__ import annotations

from typing import Any, Final

from ferrite.sim.cluster import Cluster, Result
from ferrite.sim.tape import Tape
from ferrite.sim.violation import Violation

SLACK_US: Final = 300_000
"""A run that plays a tape goes on for so long after the tape's violation: a smaller story may take a little longer to fail."""


def record(cluster: Cluster) -> tuple[Tape, Result]:
    """Run a cluster that keeps its draws, and return its tape."""
    result = cluster.run()
    return tape_of(cluster, result.violation), result


def tape_of(cluster: Cluster, found: Violation | None) -> Tape:
    """Return the decisions of a run that has ended, also by an exception, with the violation that it ended by."""
    world = cluster.world
    return Tape(
        seed=cluster.seed,
        options=world.options,
        faults=list(world.plan.struck),
        draws={name: drawn for name, drawn in sorted(world.dice.drawn.items()) if any(drawn)},
        without=sorted(world.plan.without),
        violation=found.name if found else "",
        until_us=found.time_us if found else 0,
    )


def play(tape: Tape, **kept: Any) -> Cluster:
    """Return the cluster that a tape describes, ready to run. `kept` goes to `Cluster`: a recording, a replica class."""
    return Cluster(tape.seed, tape.options, tape=tape, without=tape.without, **kept)


def end_us(tape: Tape) -> int | None:
    """When playing the tape may stop: soon after a violation of the safety phase, else when the run ends."""
    in_safety_phase = 0 < tape.until_us < tape.options.seconds * 1_000_000
    return tape.until_us + SLACK_US if in_safety_phase else None
