"""Consoles: tables on standard output, progress on standard error; colours and bars on a terminal only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_NOT_A_TERMINAL_COLUMNS: Final = 10_000
"""In a file or a pipe a row is one line, however long: what wraps cannot be searched."""


def stdout_console() -> Console:
    """Where results go."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _NOT_A_TERMINAL_COLUMNS
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def stderr_console() -> Console:
    """Where progress goes."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
