"""How a run is told: the verdict first, then what it was and how to have it again."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ferrite.sim.cli.commit import code_commit
from ferrite.sim.search.settings import options_hash

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result
    from ferrite.sim.options import Options


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


def show_facts(result: Result, options: Options, replay: str) -> None:
    """What the run was, and the command to have it again."""
    click.echo(f"seed: {result.seed}")
    click.echo(f"commit: {code_commit()}")
    click.echo(f"options: {options_hash(replace(options, trace_lines=0))}")
    click.echo(f"replay: {replay}")
    click.echo(
        f"simulated: {result.simulated_us // 1_000_000} s, {result.events} events, {result.steps} steps"
    )
    click.echo(f"operations: {result.operations_ok} acknowledged of {result.operations}")
    click.echo("counters: " + ", ".join(f"{name} {count}" for name, count in result.counters.items()))
