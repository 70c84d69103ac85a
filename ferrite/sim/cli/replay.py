"""`ferrite-sim replay`: a run from its tape, which holds every decision, so that it survives code that draws in another order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, exit_code
from ferrite.sim.cli.recorded import recorded_run
from ferrite.sim.cli.verdict import show_facts, show_verdict
from ferrite.sim.cli.views import Views, show_views, view_options
from ferrite.sim.recording import Recording
from ferrite.sim.tape import BYTES_MAX, Tape, TapeInvalid, from_json

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster, Result

_HELP = f"""Run what a tape says: its options, its faults, its draws.

On the same code it is the same run, with the same digest. On other code it is a similar one: a seed would be another run there.

\b
  ferrite-sim run --seed 42 --tape run.tape
  ferrite-sim replay run.tape --explain --html run.html

{EXIT_CODES_HELP}
"""


@click.command(help=_HELP, short_help="A run from its tape, which survives changes of the code.")
@click.argument("tape", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@view_options
def replay(*, tape: Path, **views: Any) -> int:
    """Read, run, print, judge."""
    played, wanted = read_tape(tape), Views(**views)
    recording = Recording() if wanted.any() else None
    _, result = recorded_run(played.seed, played.options, recording, tape=played)
    show_verdict(result)
    if recording is not None:
        show_views(recording.rows, wanted, failed=result.violation is not None)
    show_facts(result, played.options, f"ferrite-sim replay {tape}")
    click.echo(f"digest: {result.digest}")
    return exit_code("clean" if result.violation is None else result.violation.kind)


def read_tape(path: Path) -> Tape:
    """The tape in a file; one line says what is wrong with it."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise click.UsageError(f"{path} has more than {BYTES_MAX} bytes; no tape is that long")
        return from_json(path.read_text(encoding="utf-8"))
    except (TapeInvalid, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def tape_of(cluster: Cluster, result: Result) -> Tape:
    """The tape of a run that kept its draws."""
    world, found = cluster.world, result.violation
    return Tape(
        seed=result.seed,
        options=world.options,
        faults=world.plan.struck,
        draws=world.dice.drawn,
        without=sorted(world.plan.without),
        violation="" if found is None else found.name,
        until_us=0 if found is None else found.time_us,
    )
