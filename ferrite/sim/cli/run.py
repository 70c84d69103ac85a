"""`ferrite-sim run`: one seed, from boot to verdict."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.sim.cli.choices import Number, OutputFile, choice_of, choice_options, seed_option
from ferrite.sim.cli.commit import code_commit
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP
from ferrite.sim.cli.output import write_text
from ferrite.sim.cli.reports import black_box_option, leave_report, refuse_report, report_options
from ferrite.sim.cli.until import run_until
from ferrite.sim.cli.verdict import show_origin, show_verdict
from ferrite.sim.cli.views import Views, show_views, view_options
from ferrite.sim.cluster import Cluster
from ferrite.sim.recording import Recording
from ferrite.sim.report.folder import Origin, describe, report_seed, verdict_of
from ferrite.sim.search.judge import BlackBox, judge, judge_with_tape, wants_black_box
from ferrite.sim.tape import to_json

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result
    from ferrite.sim.search.settings import RunChoice

TRACE_LINES: Final = 40
UNTIL_MAX_US: Final = 10**11
"""A day: no run lasts that long."""

_HELP = f"""Run one seed: boot, faults and clients, healing, convergence, final checks.

\b
  ferrite-sim run --seed 42                                  the last line is the digest of all that happened
  ferrite-sim run --seed 42 --nodes 5 --seconds 60           five voters, a longer time with faults
  ferrite-sim run --seed 42 --set faults.crash_every_us=0    the same run without crashes
  ferrite-sim run --seed 42 --html run.html --explain        the timeline; what led to the failure
  ferrite-sim run --seed 42 --until 4817350                  stops there and shows every node
  ferrite-sim run --seed 42 --twice                          proves that it is the same run

A failure leaves a folder with everything that is known of it, ferrite-sim-seed-42 in the current directory.

{EXIT_CODES_HELP}
"""


@click.command(help=_HELP, short_help="One seed, from boot to verdict.")
@seed_option
@choice_options
@black_box_option
@report_options
@click.option("--trace", is_flag=True, help=f"Print the last {TRACE_LINES} steps of a failure.")
@click.option("--twice", is_flag=True, help="Run it twice; exit code 5 when the digests differ.")
@click.option(
    "--tape",
    "tape_file",
    type=OutputFile(),
    metavar="FILE",
    help="Write all decisions of the run, for `replay`.",
)
@click.option(
    "--until",
    "until_us",
    type=Number(0, UNTIL_MAX_US),
    metavar="US",
    help="Stop at this simulated time, in microseconds, and show every node.",
)
@view_options
def run(
    *, seed: int, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...], blackbox: BlackBox,
    report: Path | None, no_report: bool, trace: bool, twice: bool, until_us: int | None, tape_file: str | None,
    **views: Any,
) -> int:  # fmt: skip
    """Run, print, judge."""
    wanted = Views(**views)
    if until_us is not None and (twice or report or tape_file is not None or wanted.any()):
        raise click.UsageError(
            "--until stops in the middle: no views, no --tape, no --report and no --twice go with it"
        )
    refuse_report(report, no_report=no_report)
    choice = choice_of(nodes, seconds, settings, seed=seed)
    options = replace(choice.options(seed), trace_lines=TRACE_LINES if trace else 0)
    if until_us is not None:
        return run_until(seed, options, until_us)
    recording = Recording() if wanted.any() else None
    cluster = Cluster(seed, options, recording=recording, keep_draws=tape_file is not None)
    origin = origin_of(choice, seed, blackbox)
    if recording is not None:
        describe(recording, origin)
    tape, result = judge_with_tape(cluster, black_box=origin.black_box)
    origin = replace(origin, digest=result.digest)
    verdict = verdict_of(cluster, result, origin)
    left = leave_report(
        lambda folder: report_seed(folder, seed, options, origin),
        report,
        f"ferrite-sim-seed-{seed}",
        failed=result.violation is not None,
        no_report=no_report,
    )
    if left is not None:
        verdict = left.verdict
    elif twice:
        second = Cluster(seed, options)
        verdict = verdict_of(second, judge(second, black_box=origin.black_box), origin)
    show_verdict(verdict)
    show_last_steps(cluster, result)
    if tape_file is not None:
        write_text(tape_file, to_json(tape))
    if recording is not None:
        show_views(recording.rows, wanted, failed=result.violation is not None)
    return show_origin(verdict, result, None if left is None else left.folder)


def origin_of(choice: RunChoice, seed: int, black_box: BlackBox) -> Origin:
    """What a report says about where it comes from, without the digest."""
    replay = choice.replay_command(seed) + (" --blackbox always" if black_box == "always" else "")
    return Origin(commit=code_commit(), replay=replay, black_box=wants_black_box(black_box, seed))


def show_last_steps(cluster: Cluster, result: Result) -> None:
    """Of a failure: the steps that the options keep, and where an exception came from."""
    found = result.violation
    if found is None:
        return
    for line in cluster.trace_lines():
        click.echo(f"  {line}")
    if found.__cause__ is not None:
        click.echo("".join(traceback.format_exception(found.__cause__)), err=True, nl=False)
