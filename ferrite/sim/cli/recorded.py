"""A run with a recording, for the timeline, the terminal view, ShiViz and the explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferrite.sim.cli.commit import code_commit
from ferrite.sim.recording import VERSION, Recording
from ferrite.sim.search.settings import flatten

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster, Result
    from ferrite.sim.options import Options
    from ferrite.sim.tape import Tape


def recorded_run(
    seed: int,
    options: Options,
    recording: Recording | None,
    *,
    tape: Tape | None = None,
    keep_draws: bool = False,
) -> tuple[Cluster, Result]:
    """Run the seed, or the tape; with a recording, fill it from the first row (`run`) to the last (`end`)."""
    from ferrite.sim.cluster import Cluster

    if recording is not None:
        _open(recording, seed, options)
    without = tape.without if tape is not None else ()
    cluster = Cluster(seed, options, tape=tape, without=without, recording=recording, keep_draws=keep_draws)
    result = cluster.run()
    if recording is not None:
        _close(recording, result)
    return cluster, result


def _open(recording: Recording, seed: int, options: Options) -> None:
    nodes = range(1, options.nodes + options.spares + 1)
    recording.add(
        "run",
        0,
        version=VERSION,
        seed=seed,
        nodes=list(nodes),
        voters=list(nodes[: options.nodes]),
        commit=code_commit(),
        options={key: _plain(value) for key, value in flatten(options)},
    )


def _close(recording: Recording, result: Result) -> None:
    """The verdict. What broke an invariant is what happened last, but for liveness: there it is what did not happen."""
    found = result.violation
    verdict = "clean" if found is None else found.kind
    if found is not None:
        last = recording.rows[-1]["id"] if found.kind != "liveness" else 0
        recording.add(
            "violation",
            result.simulated_us,
            name=found.name,
            kind=found.kind,
            sentence=found.sentence,
            facts=found.facts,
            node=0,
            cause=last,
        )
    recording.add(
        "end",
        result.simulated_us,
        verdict=verdict,
        digest=result.digest,
        events=result.events,
        steps=result.steps,
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | str) else repr(value)
