"""Where the runs of a search are done: processes of this machine, or a Dask cluster. Both are a `concurrent.futures.Executor`:
what uses them cannot tell which.

Work is sent by pickling a function's name, so it must be importable where it runs. Local processes are started fresh ("spawn"):
a fork of a process with threads (a progress bar has one) may hang, and every worker having its own PYTHONHASHSEED makes each
sweep a test of determinism by the way.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from typing import Any, ParamSpec, TypeVar

WORKERS_MAX = 256
"""More processes than any one machine has cores for: a slip of the finger."""
CONNECT_SECONDS = 10
"""How long a Dask scheduler may take to answer. It is a service that runs already."""
FIRST_WORKER_SECONDS = 60
"""How long its first worker may take to come up, where all are started together."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class WorkersFailed(Exception):
    """No work can be done there: says why and what to do. Never the fault of one seed."""


class Workers:
    """An executor that is replaced when it breaks."""

    def __init__(
        self,
        make: Callable[[], Executor],
        *,
        count: int,
        lost: tuple[type[BaseException], ...],
        starting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """`count` tasks run at once; `lost` are the errors by which the executor says that a worker died; `starting` is around
        all that may start one.
        """
        self._make = make
        self._starting = starting
        self._executor = make()
        self.count = count
        self.lost = lost

    def submit(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a task. Raises one of `lost` when the executor is broken."""
        with self._starting():
            return self._executor.submit(function, *args, **kwargs)

    def renew(self) -> None:
        """Go on after the executor broke. What was in flight is lost."""
        self.close()
        self._executor = self._make()

    def close(self) -> None:
        """Wait for what runs, and end the workers. Futures that have not begun must be cancelled before."""
        self._executor.shutdown(wait=True)


@contextlib.contextmanager
def local_workers(count: int) -> Iterator[Workers]:
    """So many processes of this machine."""
    context = multiprocessing.get_context("spawn")
    workers = Workers(
        lambda: ProcessPoolExecutor(count, mp_context=context),
        count=count,
        lost=(BrokenExecutor,),
        starting=_interrupts_later,
    )
    try:
        yield workers
    finally:
        try:
            workers.close()
        except KeyboardInterrupt:  # a second Ctrl-C: whoever presses it will not wait for what still runs
            for process in multiprocessing.active_children():
                process.kill()
            raise


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C goes to every process of a terminal; only the parent decides what it means. A process that is started in here never
    hears of it, from its first instruction on; the parent hears of it afterwards.
    """
    resource_tracker.ensure_running()  # Else it is started with the first worker, and lets interrupts through behind it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Inside: an interrupt that waits already is raised by this very call, after it has blocked all that follow.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """All threads of a Dask cluster that runs already; `address` is its scheduler's. Raises WorkersFailed."""
    try:
        from distributed import Client, KilledWorker  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise WorkersFailed(
            f"--dask needs the package `distributed` ({error}): pip install 'ferrite[dask]', here and on every worker"
        ) from error
    connect: Any = Client  # distributed has types for a part of itself only
    try:
        client = connect(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise WorkersFailed(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); expected one such as tcp://127.0.0.1:8786,"
            " started by `dask scheduler`"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
        except TimeoutError as error:
            raise WorkersFailed(
                f"the scheduler at {address} has no workers; start some: dask worker {address} --nthreads 1"
            ) from error
        threads = sum(client.nthreads().values())
        workers = Workers(lambda: client.get_executor(pure=False), count=threads, lost=(KilledWorker,))
        try:
            yield workers
        finally:
            workers.close()
    finally:
        client.close()
