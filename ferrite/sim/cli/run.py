"""`ferrite-sim run`: one seed, from boot to verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import click

from ferrite.sim.cli.choices import Number, OutputFile, choice_of, choice_options, seed_option
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, ExitCode, exit_code
from ferrite.sim.cli.output import write_text
from ferrite.sim.cli.recorded import recorded_run
from ferrite.sim.cli.replay import tape_of
from ferrite.sim.cli.until import run_until
from ferrite.sim.cli.verdict import show_facts, show_verdict
from ferrite.sim.cli.views import Views, show_views, view_options
from ferrite.sim.recording import Recording
from ferrite.sim.tape import to_json

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

{EXIT_CODES_HELP}
"""


@click.command(help=_HELP, short_help="One seed, from boot to verdict.")
@seed_option
@choice_options
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
    *,
    seed: int,
    nodes: int,
    seconds: int,
    settings: tuple[tuple[str, str], ...],
    trace: bool,
    twice: bool,
    until_us: int | None,
    tape_file: str | None,
    **views: Any,
) -> int:
    """Run, print, judge."""
    wanted = Views(**views)
    if until_us is not None and (twice or tape_file is not None or wanted.any()):
        raise click.UsageError("--until stops in the middle: no views, no --tape and no --twice go with it")
    choice = choice_of(nodes, seconds, settings, seed=seed)
    options = replace(choice.options(seed), trace_lines=TRACE_LINES if trace else 0)
    if until_us is not None:
        return run_until(seed, options, until_us)
    recording = Recording() if wanted.any() else None
    cluster, result = recorded_run(seed, options, recording, keep_draws=tape_file is not None)
    again = recorded_run(seed, options, None)[1] if twice else result
    show_verdict(result)
    for line in cluster.trace_lines() if result.violation is not None else ():
        click.echo(f"  {line}")
    if tape_file is not None:
        write_text(tape_file, to_json(tape_of(cluster, result)))
    if recording is not None:
        show_views(recording.rows, wanted, failed=result.violation is not None)
    show_facts(result, options, choice.replay_command(seed))
    if again.digest != result.digest:
        click.echo(f"nondeterminism: the second run of seed {seed} has the digest {again.digest}")
    click.echo(f"digest: {result.digest}")
    if again.digest != result.digest:
        return ExitCode.NONDETERMINISM
    return exit_code("clean" if result.violation is None else result.violation.kind)
