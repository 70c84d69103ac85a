"""The last rows of a recording: the violation, the moments at which operations took effect, the verdict."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from ferrite.sim.checks.replay import Model, replay
from ferrite.sim.history import OK, READS, Operation
from ferrite.sim.recording import VERSION, Recording, Row
from ferrite.sim.session_limits import session_limits
from ferrite.sim.violation import Violation

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster

NOBODY: Final = 0


def first_row(cluster: Cluster, recording: Recording) -> None:
    """What the run is."""
    options = cluster.world.options
    recording.add(
        "run",
        0,
        version=VERSION,
        seed=cluster.seed,
        nodes=sorted(cluster.nodes),
        voters=sorted(cluster.nodes)[: options.nodes],
        commit="",
        options=dataclasses.asdict(options),
    )


def finish_recording(cluster: Cluster, violation: Violation | None) -> None:
    """Add the rows that only the end knows."""
    recording = cluster.world.recording
    assert recording is not None, "asked for with a recording only"
    now_us = cluster.now_us
    if violation is not None:
        step = next((row for row in reversed(recording.rows) if row["row"] == "step"), None)
        recording.add(
            "violation",
            now_us,
            name=violation.name,
            kind=violation.kind,
            sentence=violation.sentence,
            facts=violation.facts,
            node=step["node"] if step else NOBODY,
            cause=[step["id"]] if step else [],
        )
    for operation, at_us in _points(cluster, recording.rows):
        recording.add("point", at_us, operation=operation.number)
    world = cluster.world
    recording.add(
        "end",
        now_us,
        verdict=violation.kind if violation else "clean",
        digest=world.trace.digest(),
        events=world.timeline.events_done,
        steps=world.invariants.steps,
    )


def _points(cluster: Cluster, rows: list[Row]) -> list[tuple[Operation, int]]:
    """(operation, when it took effect): a write when its entry was committed, a read when what it saw was, and it had begun."""
    try:
        model = replay(cluster.world.invariants.ghost, session_limits(cluster.world.options.kv))
    except Violation:
        return []  # The committed log itself is the violation.
    committed_us = _commit_times(rows)
    found = []
    for operation in cluster.history.operations:
        index = _index_of(model, operation)
        if index in committed_us:
            found.append((operation, max(operation.invoke_us, committed_us[index])))
        elif operation.outcome == OK and operation.kind in READS:
            found.append((operation, operation.invoke_us))
    return found


def _index_of(model: Model, operation: Operation) -> int:
    """The entry that an operation wrote, or whose state it saw; 0 for none."""
    if operation.kind in READS:
        return model.index_of.get(operation.revision, 0) if operation.outcome == OK else 0
    executed = next((model.executed[each] for each in operation.requests if each in model.executed), None)
    return executed.index if executed else 0


def _commit_times(rows: list[Row]) -> dict[int, int]:
    times: dict[int, Any] = {}
    for row in rows:
        if row["row"] == "commit":
            times.update(dict.fromkeys(range(row["first"], row["last"] + 1), row["t"]))
    return times
