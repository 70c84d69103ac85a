"""Many seeds over many workers: each is run, its outcome comes back as a small value, nothing is lost on the way.

Outcomes come in the order of finishing, which differs from sweep to sweep; each outcome depends on its seed only.
"""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ferrite.sim.search.settings import RunChoice, SettingInvalid
from ferrite.sim.search.workers import Workers, WorkersFailed

CLEAN: Final = "clean"
IN_FLIGHT_PER_WORKER: Final = 2
"""Chunks sent ahead per worker: one runs, one waits, so that no worker idles and the end comes soon after Ctrl-C."""
CHUNK_CPU_US: Final = 1_000_000
"""Chunks grow until they take about this long: sending a chunk costs a millisecond, and waiting for one must not hurt."""
CHUNK_SEEDS_MAX: Final = 64


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
    """How often the run came by each coverage mark."""


Runner = Callable[[int], SeedOutcome]
"""Runs one seed. Importable where the workers are; raises nothing for what is the seed's fault."""


def seed_runner(choice: RunChoice) -> Runner:
    """The ordinary runner: a whole cluster with the options of the seed."""
    return functools.partial(run_seed, choice)


def run_seed(choice: RunChoice, seed: int) -> SeedOutcome:
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
        result = Cluster(seed, options).run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this seed and must be reported
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
    )


def crashed(seed: int, error: Exception, *, cpu_us: int) -> SeedOutcome:
    """The outcome of a run that ended by an exception."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return SeedOutcome(
        seed=seed,
        verdict="crash",
        invariant=type(error).__name__,
        sentence="A run ends by a verdict, never by an exception.",
        facts=f"{error} (in {last.name}, {Path(last.filename).name} line {last.lineno})",
        cpu_us=cpu_us,
    )


def run_chunk(run: Runner, seeds: Sequence[int]) -> list[SeedOutcome]:
    """What a worker does."""
    return [run(seed) for seed in seeds]


def sweep(seeds: Sequence[int], run: Runner, workers: Workers) -> Generator[SeedOutcome]:
    """Run all seeds and yield each outcome as it comes. Close the iterator to end early. Raises WorkersFailed.

    When a worker dies, the seeds that were in flight run again one at a time: the one that takes its worker along again is
    reported as a crash, the others as what they are.
    """
    in_flight: dict[Future[list[SeedOutcome]], Sequence[int]] = {}
    started = done = cpu_us = 0
    try:
        while started < len(seeds) or in_flight:
            suspects: list[int] = []
            while started < len(seeds) and len(in_flight) < workers.count * IN_FLIGHT_PER_WORKER:
                chunk = seeds[started : started + _chunk_seeds(done, cpu_us, len(seeds) - started, workers)]
                started += len(chunk)
                future = _submitted(workers, run, chunk)
                if future is None:
                    suspects += chunk
                    break
                in_flight[future] = chunk
            for outcome in _finished(in_flight, workers, suspects):
                done, cpu_us = done + 1, cpu_us + outcome.cpu_us
                yield outcome
            for seed in suspects:
                done += 1
                yield _alone(seed, run, workers)
    finally:
        for future in in_flight:
            future.cancel()


def _chunk_seeds(done: int, cpu_us: int, left: int, workers: Workers) -> int:
    """How many seeds the next chunk has: about CHUNK_CPU_US of work, and never so many that others run dry."""
    if not done:
        return 1
    by_cost = CHUNK_CPU_US // max(1, cpu_us // done)
    return max(1, min(by_cost, CHUNK_SEEDS_MAX, left // (workers.count * IN_FLIGHT_PER_WORKER)))


def _submitted(workers: Workers, run: Runner, chunk: Sequence[int]) -> Future[list[SeedOutcome]] | None:
    try:
        return workers.submit(run_chunk, run, chunk)
    except workers.lost:  # a pool that broke since the last look takes nothing more
        return None


def _finished(
    in_flight: dict[Future[list[SeedOutcome]], Sequence[int]], workers: Workers, suspects: list[int]
) -> Iterator[SeedOutcome]:
    """Wait for a chunk, yield what came of it; the seeds of a dead worker go to `suspects`."""
    if in_flight and not suspects:
        wait(in_flight, return_when=FIRST_COMPLETED)
    broken = bool(suspects)
    for future in [future for future in in_flight if future.done()]:
        chunk = in_flight.pop(future)
        if _lost(future, workers):
            suspects += chunk
            broken = True
        else:
            yield from future.result()
    if broken:
        wait(in_flight)
        for future, chunk in in_flight.items():
            if _lost(future, workers):
                suspects += chunk
            else:
                yield from future.result()
        in_flight.clear()
        workers.renew()


def _lost(future: Future[list[SeedOutcome]], workers: Workers) -> bool:
    """Whether the worker died over it. Raises WorkersFailed when the work could not even begin there."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        raise WorkersFailed("the workers are gone: the scheduler dropped what was in flight") from cancelled
    if error is None:
        return False
    if isinstance(error, workers.lost):
        return True
    if isinstance(error, SettingInvalid):
        raise error
    raise WorkersFailed(
        f"a worker cannot run seeds ({type(error).__name__}: {error}); expected the same version of ferrite on every worker"
    ) from error


def _alone(seed: int, run: Runner, workers: Workers) -> SeedOutcome:
    """Run one seed while nothing else runs: if its worker dies now, it was this seed."""
    future = workers.submit(run_chunk, run, [seed])
    wait([future])
    if not _lost(future, workers):
        return future.result()[0]
    workers.renew()
    return SeedOutcome(
        seed=seed,
        verdict="crash",
        invariant="WORKER",
        sentence="A run leaves its process alive.",
        facts=f"the worker process died while it ran seed {seed} alone (killed, out of memory, or a fault in native code)",
    )
