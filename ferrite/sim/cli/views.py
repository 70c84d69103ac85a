"""`ferrite-sim run --view, --explain, --html, --shiviz`: what a recorded run looks like."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import click

from ferrite.sim.cli.choices import OutputFile
from ferrite.sim.cli.output import write_text
from ferrite.sim.recording import Row

WIDTH_IN_FILES: Final = 200
"""Columns of the terminal view where there is no terminal."""

_F = TypeVar("_F", bound=Callable[..., object])


@dataclass(slots=True, kw_only=True, frozen=True)
class Views:
    """Which views are wanted."""

    view: bool = False
    explain: bool = False
    html_file: str | None = None
    shiviz_file: str | None = None

    def any(self) -> bool:
        """Is a recording needed?"""
        return self.view or self.explain or self.html_file is not None or self.shiviz_file is not None


def view_options(command: _F) -> _F:
    """The options whose values make a `Views`."""
    for option in (
        click.option(
            "--shiviz", "shiviz_file", type=OutputFile(), metavar="FILE", help="Write a ShiViz log."
        ),
        click.option(
            "--html",
            "html_file",
            type=OutputFile(),
            metavar="FILE",
            help="Write the timeline: one HTML file that needs no network.",
        ),
        click.option(
            "--explain", is_flag=True, help="Print the causes that led to the failure, oldest first."
        ),
        click.option("--view", is_flag=True, help="Print what happened, a column per node."),
    ):
        command = option(command)
    return command


def show_views(rows: list[Row], wanted: Views, *, failed: bool) -> None:
    """Print and write them."""
    from ferrite.sim.report import explain, explanation_text, shiviz, terminal_view, timeline_html

    if wanted.view:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else WIDTH_IN_FILES
        for line in terminal_view(rows, colour=terminal, width=width):
            click.echo(line)
    if wanted.explain and failed:
        click.echo(explanation_text(explain(rows)))
    elif wanted.explain:
        click.echo("explanation: none; the run is clean")
    if wanted.html_file is not None:
        write_text(wanted.html_file, timeline_html(rows))
    if wanted.shiviz_file is not None:
        write_text(wanted.shiviz_file, shiviz(rows))
