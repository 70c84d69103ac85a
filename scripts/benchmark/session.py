"""A session: every store in turn, every cell of it, as many runs as asked for; whatever happens, what was measured is kept."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, TaskID

from scripts.benchmark.cells import Cell, Door, Figures, Measured, NotASuccess, Operation
from scripts.benchmark.measure import Bench, LeaderChanged
from scripts.benchmark.profiler import Profiler
from scripts.benchmark.pysyncobj_store import PySyncObjStore
from scripts.benchmark.stores import FerriteStore, Networked

AnyStore = Networked | PySyncObjStore
FAILURES: Final = (NotASuccess, LeaderChanged, AssertionError, OSError, ValueError)
"""What makes a cell fail: wrong answers, no answers, processes that ended. The next cell may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A store that can be started in a directory of its own, any number of times."""

    name: str
    doors: frozenset[Door]
    operations: frozenset[Operation]
    make: Callable[[Path], AnyStore]

    def cells(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return those that it has a door for."""
        return [cell for cell in cells if cell.door in self.doors and cell.operation in self.operations]


class Told:
    """Progress on stderr: a bar on a terminal, a line a cell anywhere."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._total, self._done = total, 0
        self._bar: tuple[Progress, TaskID] | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar meanwhile."""
        if not sys.stderr.isatty():
            yield
            return
        with Progress(console=self._console) as progress:
            self._bar = (progress, progress.add_task("cells", total=self._total))
            yield

    def say(self, text: str) -> None:
        """Say what is going on."""
        self._console.print(text)

    def cell(self, store: str, cell: Cell, measured: Measured | None) -> None:
        """Say what a cell gave; None: it failed."""
        self._done += 1
        if self._bar is not None:
            self._bar[0].advance(self._bar[1])
        found = (
            "failed"
            if measured is None
            else f"{measured.per_s:,.0f}/s, p50 {measured.p50_us / 1000:.2f} ms, p99 {measured.p99_us / 1000:.2f} ms"
        )
        self.say(f"[{self._done}/{self._total}] {store}: {cell.name} {found}")


@dataclass(slots=True, kw_only=True)
class Session:
    """What is measured, and the figures so far.

    `together`: all stores run at once, and each row is measured at one after the other, within seconds: the others cost a few
    percent of a core, and what neighbours of this machine do meets all alike. Otherwise each store runs alone.
    """

    contenders: Sequence[Contender]
    cells: Sequence[Cell]
    runs: int
    bench: Bench
    place: Path
    together: bool = False
    profiler: Profiler | None = None
    figures: Figures = field(default_factory=Figures)

    def run(self) -> None:
        """Measure everything. Runs alternate in their order, so that a drift of the machine is nobody's advantage."""
        taking_part = [one for one in self.contenders if one.cells(self.cells)]
        told = Told(self.runs * sum(len(one.cells(self.cells)) for one in taking_part))
        with told.shown():
            for number in range(self.runs):
                order = taking_part if number % 2 == 0 else taking_part[::-1]
                groups = [order] if self.together else [[one] for one in order]
                for group in groups:
                    names = ", ".join(one.name for one in group)
                    told.say(f"run {number + 1} of {self.runs}: starting {names}")
                    with ExitStack() as stack:
                        self._measure(group, stack, told)

    def _measure(self, group: Sequence[Contender], stack: ExitStack, told: Told) -> None:
        """Start the stores and go through the rows. A store that does not start, or has no leader any more, is left out."""
        running: list[tuple[Contender, AnyStore]] = []
        for contender in group:
            try:
                running.append((contender, self._start(contender, stack)))
            except FAILURES as error:
                self._give_up(contender, self.cells, error, told)
        for place, cell in enumerate(self.cells):
            for contender, store in list(running):
                if cell not in contender.cells([cell]):
                    continue
                try:
                    self._cell(contender.name, store, cell, told)
                except FAILURES as error:
                    running.remove((contender, store))
                    self._give_up(contender, self.cells[place + 1 :], error, told)

    def _start(self, contender: Contender, stack: ExitStack) -> AnyStore:
        directory = tempfile.TemporaryDirectory(dir=self.place, ignore_cleanup_errors=True)
        store = contender.make(Path(stack.enter_context(directory)))
        stack.enter_context(store)
        if not isinstance(store, PySyncObjStore):
            self.bench.fill(store)
        return store

    def _give_up(self, contender: Contender, left: Sequence[Cell], error: Exception, told: Told) -> None:
        self.figures.failures.append(f"{contender.name}: {error}")
        for cell in contender.cells(left):
            told.cell(contender.name, cell, None)

    def _cell(self, name: str, store: AnyStore, cell: Cell, told: Told) -> None:
        try:
            measured = self.bench.measure(store, cell)
        except FAILURES as error:
            self.figures.failures.append(f"{name}: {cell.name}: {error}")
            told.cell(name, cell, None)
            store.leader()  # Raises when there is none any more.
            return
        self.figures.add(name, cell, measured)
        told.cell(name, cell, measured)
        if self.profiler is not None and isinstance(store, FerriteStore):
            self.profiler.record(self.bench, store, cell)
