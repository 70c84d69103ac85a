"""How far a long search is: a bar on a terminal, now and then a plain line elsewhere. On standard error: results stay clean."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import click

from ferrite.sim.cli.console import stderr_console

PLAIN_EVERY_SECONDS: Final = 10
"""Between two plain lines: a CI log of an hour has 360."""


class Report(Protocol):
    """Told after each unit of work."""

    def __call__(self, *, done: int, failures: int) -> None: ...


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Report]:
    """Show how many of `total` are done, the rate, the time left and the failures so far."""
    console = stderr_console()
    if not console.is_terminal:
        yield PlainProgress(what, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failures]}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total, rate="", failures="")
        began = time.monotonic()

        def report(*, done: int, failures: int) -> None:
            style = "[red]" if failures else "[green]"
            bar.update(
                task,
                completed=done,
                rate=f"{done / max(time.monotonic() - began, 1e-9):.1f}/s",
                failures=f"{style}{failures} failed",
            )

        yield report


class PlainProgress:
    """One line every PLAIN_EVERY_SECONDS, for logs."""

    def __init__(self, what: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._began = self._last = clock()

    def __call__(self, *, done: int, failures: int) -> None:
        """Print when it is time."""
        now = self._clock()
        if now - self._last < PLAIN_EVERY_SECONDS:
            return
        self._last = now
        rate = done / (now - self._began)
        left = (self._total - done) / rate if rate else 0
        click.echo(
            f"{self._what}: {done} of {self._total}, {rate:.1f}/s, {left:.0f} s left, {failures} failed",
            err=True,
        )
