"""The options by which a command leaves a report folder, and how that is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ferrite.sim.search.judge import BLACK_BOX, EVERY_SEEDS

if TYPE_CHECKING:
    from ferrite.sim.report.folder import Report

_F = TypeVar("_F", bound=Callable[..., object])


def report_options(command: _F) -> _F:
    """`--report DIR`, `--no-report`: what `wanted_folder` takes."""
    for option in (
        click.option("--no-report", is_flag=True, help="Leave no folder when the run fails."),
        click.option(
            "--report",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Leave the report in this folder, of a clean run too.  [default: a failure leaves ferrite-sim-seed-N]",
        ),
    ):
        command = option(command)
    return command


def black_box_option(command: _F) -> _F:
    """`--blackbox MODE`."""
    return click.option(
        "--blackbox",
        type=click.Choice(BLACK_BOX),
        default="sometimes",
        show_default=True,
        help=f"Check the history of a clean run once more, knowing nothing of revisions; sometimes: every {EVERY_SEEDS}th seed.",
    )(command)


def refuse_report(report: Path | None, *, no_report: bool) -> None:
    """Refuse at the door what cannot be done after the work."""
    from ferrite.sim.report.folder import FolderRefused, refuse_folder

    if report is None:
        return
    if no_report:
        raise click.UsageError("choose one of --report and --no-report")
    try:
        refuse_folder(report)
    except FolderRefused as error:
        raise click.UsageError(f"--report {error}") from error


def leave_report(
    make: Callable[[Path], Report], report: Path | None, default: str, *, failed: bool, no_report: bool
) -> Report | None:
    """Write the report when it is wanted. A default folder that cannot be written is told of, and nothing more."""
    from ferrite.sim.report.folder import FolderRefused

    if report is None and (no_report or not failed):
        return None
    folder = report or Path(default)
    try:
        return make(folder)
    except FolderRefused as error:
        reason = str(error)
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror}"
    if report is not None:
        raise click.UsageError(f"--report {reason}")
    click.echo(f"no report: {reason}; --report DIR names another folder", err=True)
    return None


def named(verdict: dict[str, Any]) -> str:
    """`S9: sentence`."""
    return f"{verdict['invariant']}: {verdict['sentence']}"
