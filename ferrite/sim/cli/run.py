"""`ferrite-sim run`: one seed, from boot to verdict."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from ferrite.sim.cli.choices import Number, choice_of, choice_options, seed_option
from ferrite.sim.cli.commit import code_commit
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, ExitCode, exit_code
from ferrite.sim.cli.until import TimeReached, show_nodes, stop_at
from ferrite.sim.search.settings import RunChoice, options_hash

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result
    from ferrite.sim.options import Options

TRACE_LINES: Final = 40
UNTIL_MAX_US: Final = 10**11
"""A day: no run lasts that long."""

_HELP = f"""Run one seed: boot, faults and clients, healing, convergence, final checks.

\b
  ferrite-sim run --seed 42                                  the last line is the digest of all that happened
  ferrite-sim run --seed 42 --nodes 5 --seconds 60           five voters, a longer time with faults
  ferrite-sim run --seed 42 --set faults.crash_every_us=0    the same run without crashes
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
    "--until",
    "until_us",
    type=Number(0, UNTIL_MAX_US),
    metavar="US",
    help="Stop at this simulated time, in microseconds, and show every node.",
)
def run(
    *,
    seed: int,
    nodes: int,
    seconds: int,
    settings: tuple[tuple[str, str], ...],
    trace: bool,
    twice: bool,
    until_us: int | None,
) -> int:
    """Run, print, judge."""
    from ferrite.sim.cluster import Cluster

    if twice and until_us is not None:
        raise click.UsageError("choose one of --twice and --until")
    choice = choice_of(nodes, seconds, settings, seed=seed)
    options = replace(choice.options(seed), trace_lines=TRACE_LINES if trace else 0)
    cluster = Cluster(seed, options)
    if until_us is not None:
        stop_at(cluster, until_us)
    try:
        result = cluster.run()
    except TimeReached:
        show_nodes(cluster)
        click.echo(f"digest: {cluster.result(None).digest}")
        return ExitCode.CLEAN
    again = Cluster(seed, options).run() if twice else result
    show_verdict(result)
    for line in cluster.trace_lines() if result.violation is not None else ():
        click.echo(f"  {line}")
    show_facts(result, options, choice)
    if again.digest != result.digest:
        click.echo(f"nondeterminism: the second run of seed {seed} has the digest {again.digest}")
    click.echo(f"digest: {result.digest}")
    if again.digest != result.digest:
        return ExitCode.NONDETERMINISM
    return exit_code("clean" if result.violation is None else result.violation.kind)


def show_verdict(result: Result) -> None:
    """The verdict; for a failure which invariant and the facts that contradict."""
    found = result.violation
    if found is None:
        click.echo("verdict: clean")
        return
    click.echo(f"verdict: {found.kind}")
    click.echo(f"invariant: {found.name}: {found.sentence}")
    click.echo(textwrap.fill(f"facts: {found.facts}", width=160, subsequent_indent="  "))
    click.echo(f"at: {found.time_us} us, event {found.event_number}")


def show_facts(result: Result, options: Options, choice: RunChoice) -> None:
    """What the run was, and how to have it again."""
    click.echo(f"seed: {result.seed}")
    click.echo(f"commit: {code_commit()}")
    click.echo(f"options: {options_hash(replace(options, trace_lines=0))}")
    click.echo(f"replay: {choice.replay_command(result.seed)}")
    click.echo(
        f"simulated: {result.simulated_us // 1_000_000} s, {result.events} events, {result.steps} steps"
    )
    click.echo(f"operations: {result.operations_ok} acknowledged of {result.operations}")
    click.echo("counters: " + ", ".join(f"{name} {count}" for name, count in result.counters.items()))
