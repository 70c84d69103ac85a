"""Independent pieces of work over many workers: each result comes back once, and none is lost when a worker dies.

Results come in the order of finishing, which differs from time to time; each result depends on its own piece only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from ferrite.sim.search.settings import SettingInvalid
from ferrite.sim.search.workers import Workers, WorkersFailed

IN_FLIGHT_PER_WORKER: Final = 2
"""Chunks sent ahead per worker: one runs, one waits, so that no worker idles and the end comes soon after Ctrl-C."""
CHUNK_CPU_US: Final = 1_000_000
"""Chunks grow until they take about this long: sending a chunk costs a millisecond, and waiting for one must not hurt."""
CHUNK_PIECES_MAX: Final = 64

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(slots=True, kw_only=True)
class ChunkDone(Generic[_R]):
    """What comes back from a worker."""

    results: list[_R]
    cpu_us: int


def run_chunk(run: Callable[[_T], _R], pieces: Sequence[_T]) -> ChunkDone[_R]:
    """What a worker does."""
    began_ns = time.thread_time_ns()
    results = [run(piece) for piece in pieces]
    return ChunkDone(results=results, cpu_us=(time.thread_time_ns() - began_ns) // 1000)


@dataclass(slots=True, kw_only=True)
class _Spread(Generic[_T, _R]):
    pieces: Sequence[_T]
    run: Callable[[_T], _R]
    workers: Workers
    in_flight: dict[Future[ChunkDone[_R]], Sequence[_T]] = field(default_factory=dict)
    suspects: list[_T] = field(default_factory=list)
    """Pieces that were in flight when a worker died."""
    started: int = 0
    done: int = 0
    cpu_us: int = 0

    def fill(self) -> None:
        """Send as many chunks ahead as are wanted."""
        while (
            self.started < len(self.pieces)
            and len(self.in_flight) < self.workers.count * IN_FLIGHT_PER_WORKER
        ):
            chunk = self.pieces[self.started : self.started + self.next_chunk_pieces()]
            self.started += len(chunk)
            try:
                self.in_flight[self.workers.submit(run_chunk, self.run, chunk)] = chunk
            except self.workers.lost:  # a pool that broke since the last look takes nothing more
                self.suspects += chunk
                return

    def next_chunk_pieces(self) -> int:
        """About CHUNK_CPU_US of work, and never so many that other workers run dry at the end."""
        if not self.done:
            return 1
        by_cost = CHUNK_CPU_US // max(1, self.cpu_us // self.done)
        left = len(self.pieces) - self.started
        return max(1, min(by_cost, CHUNK_PIECES_MAX, left // (self.workers.count * IN_FLIGHT_PER_WORKER)))

    def finished(self) -> Iterator[_R]:
        """Wait for a chunk and yield what came of it. When a worker died, wait for all: the executor is made anew."""
        if not self.suspects:
            wait(self.in_flight, return_when=FIRST_COMPLETED)
        yield from self._take([future for future in self.in_flight if future.done()])
        if self.suspects:
            wait(self.in_flight)
            yield from self._take(list(self.in_flight))
            self.workers.renew()

    def _take(self, futures: Sequence[Future[ChunkDone[_R]]]) -> Iterator[_R]:
        for future in futures:
            chunk = self.in_flight.pop(future)
            if _lost(future, self.workers):
                self.suspects += chunk
                continue
            done = future.result()
            self.done += len(done.results)
            self.cpu_us += done.cpu_us
            yield from done.results

    def alone(self, died: Callable[[_T], _R]) -> Iterator[_R]:
        """Run each suspect while nothing else runs: if its worker dies again, it was this piece."""
        suspects, self.suspects = self.suspects, []
        for piece in suspects:
            future = self.workers.submit(run_chunk, self.run, [piece])
            wait([future])
            if _lost(future, self.workers):
                self.workers.renew()
                yield died(piece)
            else:
                yield from future.result().results


def spread(
    pieces: Sequence[_T], run: Callable[[_T], _R], workers: Workers, *, died: Callable[[_T], _R]
) -> Generator[_R]:
    """Run every piece and yield each result as it comes. Close the generator to end early.

    When a worker dies, the pieces that were in flight run again one at a time; the result of one that takes its worker along
    again is `died(piece)`. Raises WorkersFailed for an error that `run` raised: it is not expected to.
    """
    work = _Spread(pieces=pieces, run=run, workers=workers)
    try:
        while work.started < len(pieces) or work.in_flight:
            work.fill()
            yield from work.finished()
            yield from work.alone(died)
    finally:
        for future in work.in_flight:
            future.cancel()


def _lost(future: Future[ChunkDone[_R]], workers: Workers) -> bool:
    """Whether the worker died over it. Raises WorkersFailed when the work could not be done there."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        raise WorkersFailed("the workers are gone: the scheduler dropped what was in flight") from cancelled
    if error is None or isinstance(error, workers.lost):
        return error is not None
    if isinstance(error, SettingInvalid):
        raise error
    raise WorkersFailed(
        f"a worker cannot do the work ({type(error).__name__}: {error}); expected the same version of ferrite on every worker"
    ) from error
