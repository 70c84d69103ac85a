"""`ferrite-sim shrink`: the smallest story that fails in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from ferrite.sim.cli.choices import SEED_MAX, Number, OutputFile, choice_of, choice_options
from ferrite.sim.cli.commit import code_commit
from ferrite.sim.cli.console import stderr_console
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, exit_code
from ferrite.sim.cli.output import write_text
from ferrite.sim.cli.replay import read_tape, show_reproduced
from ferrite.sim.cli.reports import black_box_option, leave_report, refuse_report, report_options
from ferrite.sim.cli.verdict import show_origin, show_verdict
from ferrite.sim.cluster import Cluster
from ferrite.sim.recording import Recording
from ferrite.sim.report.folder import Origin, describe, report_tape, verdict_of
from ferrite.sim.report.story import story_text
from ferrite.sim.search.judge import BlackBox, judge_with_tape, play_to_end, wants_black_box
from ferrite.sim.search.shrink import TRIALS_MAX, NotReproduced, shrink
from ferrite.sim.search.tapes import play
from ferrite.sim.tape import to_json

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result
    from ferrite.sim.search.shrink import Shrunk
    from ferrite.sim.tape import Tape

TRIALS_LIMIT: Final = 100_000

_HELP = f"""Make a failure as small as it gets: without the faults, operations, nodes and delays that it does not need.

The same invariant must break. Prints what is left, its story and why it fails; leaves the small tape and its report.

\b
  ferrite-sim shrink --seed 42 --nodes 5                     a seed, with the options of `run`
  ferrite-sim shrink ferrite-sim-seed-42/tape.json           a tape
  ferrite-sim shrink tape.json -o small.json --no-report

{EXIT_CODES_HELP}
"""


@click.command("shrink", help=_HELP, short_help="From a failure to the smallest story that fails alike.")
@click.argument(
    "tape", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path), required=False
)
@click.option("--seed", type=Number(0, SEED_MAX), metavar="N", help="Shrink this seed instead of a tape.")
@choice_options
@black_box_option
@click.option(
    "--trials",
    type=Number(1, TRIALS_LIMIT),
    default=TRIALS_MAX,
    show_default=True,
    metavar="N",
    help="Runs that it may cost.",
)
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", help="Write the small tape there, too.")
@report_options
def shrink_command(
    *, tape: Path | None, seed: int | None, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...],
    blackbox: BlackBox, trials: int, output: str | None, report: Path | None, no_report: bool,
) -> int:  # fmt: skip
    """Find the failure, shrink it, tell it."""
    if (tape is None) == (seed is None):
        raise click.UsageError("name one of a tape and --seed")
    if tape is not None:
        _refuse_choice()
    refuse_report(report, no_report=no_report)
    if tape is not None:
        long = read_tape(tape)
        result = play_to_end(long, play(long))
    else:
        assert seed is not None, "one of the two is given"
        options = choice_of(nodes, seconds, settings, seed=seed).options(seed)
        cluster = Cluster(seed, options, keep_draws=True)
        long, result = judge_with_tape(cluster, black_box=wants_black_box(blackbox, seed))
    if result.violation is None or long.violation != result.violation.name:
        return _nothing_to_shrink(long, result)
    shrunk = _shrunk(long, trials)
    if output is not None:
        write_text(output, to_json(shrunk.tape))
    return _tell(shrunk, report, no_report=no_report)


def _refuse_choice() -> None:
    """A tape has its options: what would change them is refused."""
    context = click.get_current_context()
    for name, option in (
        ("nodes", "--nodes"), ("seconds", "--seconds"), ("settings", "--set"), ("blackbox", "--blackbox")
    ):  # fmt: skip
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option} goes with --seed only: a tape has its options")


def _nothing_to_shrink(tape: Tape, result: Result) -> int:
    found = result.violation
    click.echo(f"verdict: {'clean' if found is None else found.kind}")
    if tape.violation:
        show_reproduced(tape, result)
    else:
        click.echo("not shrunk: the run is clean")
    click.echo(f"digest: {result.digest}")
    return exit_code("clean" if found is None else found.kind)


def _shrunk(tape: Tape, trials: int) -> Shrunk:
    """Shrink with progress on a terminal."""
    with stderr_console().status("shrinking") as status:

        def progress(what: str, made: int) -> None:
            status.update(f"shrinking: {what}, run {made} of at most {trials}")

        try:
            return shrink(tape, trials_max=trials, progress=progress)
        except NotReproduced as error:  # it was, a moment ago
            raise click.ClickException(str(error)) from error


def _tell(shrunk: Shrunk, report: Path | None, *, no_report: bool) -> int:
    """Play the small tape with a recording, print its story, leave the report."""
    tape = shrunk.tape
    default = f"ferrite-sim-seed-{tape.seed}-small"
    folder = report or Path(default)
    origin = Origin(
        commit=code_commit(), replay=f"ferrite-sim replay {folder / 'tape.json'}", digest=shrunk.result.digest
    )
    left = leave_report(
        lambda place: report_tape(place, tape, origin), report, default, failed=True, no_report=no_report
    )
    if left is not None:
        verdict, recording, result = left.verdict, left.recording, left.result
    else:
        recording = Recording()
        cluster = play(tape, recording=recording)
        describe(recording, origin)
        result = play_to_end(tape, cluster)
        verdict = verdict_of(cluster, result, origin)
    show_verdict(verdict)
    click.echo(f"shrunk: {shrunk.sentence()}\n")
    click.echo(story_text(recording.rows))
    return show_origin(verdict, result, None if left is None else left.folder)
