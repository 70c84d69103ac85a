"""How a run is told: the verdict first, then what it was and how to have it again, the digest last."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.sim.cli.exit_codes import ExitCode, exit_code
from ferrite.sim.cli.reports import named

if TYPE_CHECKING:
    from ferrite.sim.cluster import Result

WIDTH: Final = 160


def show_verdict(verdict: dict[str, Any]) -> None:
    """What is wrong: which invariant, the facts that contradict, the moment."""
    click.echo(f"verdict: {verdict['kind']}")
    if verdict["kind"] == "clean":
        return
    click.echo(f"invariant: {named(verdict)}")
    click.echo(_filled(f"facts: {verdict['facts']}"))
    click.echo(f"at: {verdict['time_us']} us, event {verdict['event']}")


def show_origin(verdict: dict[str, Any], result: Result, folder: Path | None) -> ExitCode:
    """What the run was and how to have it again; of a clean one also how much happened. Return the exit code."""
    click.echo(f"seed: {verdict['seed']}")
    click.echo(f"commit: {verdict['commit']}")
    click.echo(f"options: {verdict['options_hash']}")
    click.echo(f"replay: {verdict['replay']}")
    if verdict["kind"] == "clean":
        seconds = result.simulated_us // 1_000_000
        click.echo(f"simulated: {seconds} s, {result.events} events, {result.steps} steps")
        click.echo(f"operations: {result.operations_ok} acknowledged of {result.operations}")
        click.echo("counters: " + ", ".join(f"{name} {count}" for name, count in result.counters.items()))
    if folder is not None:
        click.echo(f"folder: {folder}")
    click.echo(f"digest: {verdict['digest']}")
    return exit_code(verdict["kind"])


def _filled(text: str) -> str:
    """Long lines are folded; those that an explanation has already are kept."""
    return "\n".join(
        textwrap.fill(line, width=WIDTH, subsequent_indent="  ", replace_whitespace=False)
        for line in text.splitlines()
    )
