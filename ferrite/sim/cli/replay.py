"""`ferrite-sim replay`: a run from its tape, which holds every decision, so that it survives code that draws in another order."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferrite.sim.cli.commit import code_commit
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP
from ferrite.sim.cli.reports import leave_report, refuse_report
from ferrite.sim.cli.run import show_last_steps
from ferrite.sim.cli.verdict import show_origin, show_verdict
from ferrite.sim.cli.views import Views, show_views, view_options
from ferrite.sim.recording import Recording
from ferrite.sim.report.folder import Origin, describe, report_tape, verdict_of
from ferrite.sim.search.judge import play_to_end
from ferrite.sim.search.tapes import play
from ferrite.sim.tape import BYTES_MAX, Tape, TapeInvalid, from_json

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result

_HELP = f"""Run what a tape says: its options, its faults, its draws, for as long as the tape says.

On the same code it is the same run, with the same digest. On other code it is a similar one: a seed would be another run there.
The line `reproduced` says whether it breaks what the tape says it breaks.

\b
  ferrite-sim replay ferrite-sim-seed-42/tape.json
  ferrite-sim replay run.tape --explain --html run.html

{EXIT_CODES_HELP}
"""


@click.command(help=_HELP, short_help="A run from its tape, which survives changes of the code.")
@click.argument("tape", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help="Leave the report in this folder."
)
@view_options
def replay(*, tape: Path, report: Path | None, **views: Any) -> int:
    """Read, run, print, judge."""
    played, wanted = read_tape(tape), Views(**views)
    refuse_report(report, no_report=False)
    recording = Recording() if wanted.any() else None
    cluster = play(played, recording=recording)
    origin = tape_origin(tape)
    if recording is not None:
        describe(recording, origin)
    result = play_to_end(played, cluster)
    origin = replace(origin, digest=result.digest)
    left = leave_report(
        lambda folder: report_tape(folder, played, origin), report, "", failed=False, no_report=False
    )
    verdict = verdict_of(cluster, result, origin) if left is None else left.verdict
    show_verdict(verdict)
    show_reproduced(played, result)
    show_last_steps(cluster, result)
    if recording is not None:
        show_views(recording.rows, wanted, failed=result.violation is not None)
    return show_origin(verdict, result, None if left is None else left.folder)


def tape_origin(tape: Path) -> Origin:
    """What a report of a tape says about where it comes from."""
    return Origin(commit=code_commit(), replay=f"ferrite-sim replay {shlex.quote(str(tape))}")


def show_reproduced(tape: Tape, result: Result) -> None:
    """Does it break what it says it breaks?"""
    broken = "" if result.violation is None else result.violation.name
    if tape.violation and broken == tape.violation:
        click.echo(f"reproduced: {broken}, as the tape says")
    elif tape.violation or broken:
        click.echo(
            f"not reproduced: the tape says {tape.violation or 'clean'}, this run is {broken or 'clean'}"
        )


def read_tape(path: Path) -> Tape:
    """The tape in a file; one line says what is wrong with it."""
    try:
        if not path.is_file():
            raise click.UsageError(
                f"{path} is no regular file; expected the file `tape.json` that a run left"
            )
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise click.UsageError(f"{path} has more than {BYTES_MAX} bytes; no tape is that long")
        return from_json(content.decode("utf-8"))
    except TapeInvalid as error:
        raise click.UsageError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: byte {error.start} is no UTF-8; a tape is text") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error
