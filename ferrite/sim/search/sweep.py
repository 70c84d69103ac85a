"""Many seeds over many workers: each is run, and its outcome comes back as a small value."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ferrite.sim.search.judge import (
    BLACK_BOX_COUNTERS,
    BlackBox,
    crash_of,
    judge,
    wants_black_box,
)
from ferrite.sim.search.settings import RunChoice, SettingInvalid
from ferrite.sim.search.spread import spread
from ferrite.sim.search.workers import Workers

CLEAN: Final = "clean"
WORKER_DIED: Final = "WORKER"
"""In the place of an invariant: whoever runs this seed again may die of it, too."""


@dataclass(slots=True, kw_only=True, frozen=True)
class SeedOutcome:
    """What is left of a run. `verdict` is `clean` or the kind of the violation; the texts are empty when clean."""

    seed: int
    verdict: str
    digest: str = ""
    """Empty when the run ended without one: its worker died."""
    invariant: str = ""
    sentence: str = ""
    facts: str = ""
    time_us: int = 0
    """Simulated time of the violation."""
    event_number: int = 0
    simulated_us: int = 0
    cpu_us: int = 0
    events: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    """How often the run reached each coverage mark, zeros included."""
    black_box: str = ""
    """One of BLACK_BOX_COUNTERS when the history was checked as a black box."""


Runner = Callable[[int], SeedOutcome]
"""Runs one seed. Importable where the workers are; raises nothing for what is the seed's fault."""


def seed_runner(choice: RunChoice, black_box: BlackBox = "sometimes") -> Runner:
    """The ordinary runner: a whole cluster with the options of the seed."""
    return functools.partial(run_seed, choice, black_box=black_box)


def run_seed(choice: RunChoice, seed: int, *, black_box: BlackBox = "sometimes") -> SeedOutcome:
    """Run one seed to its end. An error that no check foresaw is a crash: of the core, or of the simulator itself.

    Raises SettingInvalid when the settings do not fit what this seed draws.
    """
    from ferrite.sim.cluster import Cluster  # noqa: PLC0415 - only workers need a cluster

    began_ns = time.thread_time_ns()
    try:
        options = choice.options(seed)
    except SettingInvalid as error:
        raise SettingInvalid(f"seed {seed}: {error}") from error
    try:
        result = judge(Cluster(seed, options), black_box=wants_black_box(black_box, seed))
    except Exception as error:  # noqa: BLE001 - no cluster could be made, or none judged: that belongs to this seed, too
        return crashed(seed, error, cpu_us=(time.thread_time_ns() - began_ns) // 1000)
    found = result.violation
    return SeedOutcome(
        seed=seed,
        verdict=CLEAN if found is None else found.kind,
        digest=result.digest,
        invariant="" if found is None else found.name,
        sentence="" if found is None else found.sentence,
        facts="" if found is None else found.facts,
        time_us=0 if found is None else found.time_us,
        event_number=0 if found is None else found.event_number,
        simulated_us=result.simulated_us,
        cpu_us=(time.thread_time_ns() - began_ns) // 1000,
        events=result.events,
        marks=result.marks,
        black_box=next((name for name in BLACK_BOX_COUNTERS if result.counters.get(name)), ""),
    )


def crashed(seed: int, error: Exception, *, cpu_us: int) -> SeedOutcome:
    """The outcome of a seed whose cluster could not be made or judged."""
    found = crash_of(error)
    return SeedOutcome(
        seed=seed,
        verdict=found.kind,
        invariant=found.name,
        sentence=found.sentence,
        facts=found.facts,
        cpu_us=cpu_us,
    )


def sweep(seeds: Sequence[int], run: Runner, workers: Workers) -> Generator[SeedOutcome]:
    """Run all seeds and yield each outcome as it comes. Close the generator to end early. Raises WorkersFailed."""
    return spread(seeds, run, workers, died=worker_died)


def worker_died(seed: int) -> SeedOutcome:
    """The outcome of a seed that took its worker along."""
    return SeedOutcome(
        seed=seed,
        verdict="crash",
        invariant=WORKER_DIED,
        sentence="A run leaves its process alive.",
        facts=f"the worker process died while it ran seed {seed} alone (killed, out of memory, or a fault in native code)",
    )
