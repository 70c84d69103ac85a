"""Progress bars: on standard error, and only when that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bytes_progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Bytes so far and their speed; a bar when the total is known beforehand."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TransferSpeedColumn,
    )

    first = SpinnerColumn() if total is None else BarColumn()
    columns = (first, TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def seconds_progress(what: str, total_s: float) -> Iterator[Callable[[float], None]]:
    """A bar that is told how many seconds are over."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True
    ) as progress:
        task = progress.add_task(what, total=total_s)
        yield lambda done_s: progress.update(task, completed=done_s)
