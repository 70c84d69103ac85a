"""`ferrite-sim explore`: every order of events within limits, shortest first."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

import click

from ferrite.sim.cli.choices import Number
from ferrite.sim.cli.console import stderr_console
from ferrite.sim.cli.exit_codes import ExitCode, exit_code
from ferrite.sim.cli.meanings import field_docstrings, in_words
from ferrite.sim.exhaustive.limits import COUNT_MAX, NODES_MAX, Limits

if TYPE_CHECKING:
    from ferrite.sim.exhaustive import Outcome, Progress

STATES_LIMIT: Final = 1_000_000_000
"""More states than any memory holds: a slip of the finger."""

_HELP = """Explore every path of a small cluster within limits: deliveries, losses, timeouts, crashes, proposals, breadth first.

The first violation met is at the end of a shortest path, which is printed. Each limit is what one path may spend.

\b
  ferrite-sim explore                                             three nodes, 2 timeouts, 1 proposal
  ferrite-sim explore --nodes 2 --timeouts 3 --crashes 1
  ferrite-sim explore --timeouts 3 --states-max 2000000

\b
Exit codes: 0 all of it is fine, 1 a violation, 2 bad input, 3 undecided: --states-max or --depth-max ended it first,
4 a replica broke an assertion of its own.
"""


def _highest(name: str) -> int:
    return {"nodes": NODES_MAX, "states_max": STATES_LIMIT}.get(name, COUNT_MAX)


def _limit_options(command: click.Command) -> click.Command:
    """One option for each limit; its help is what stands at the field."""
    sentences, defaults = field_docstrings(Limits), Limits()
    for field in fields(Limits):
        command.params.append(
            click.Option(
                [f"--{field.name.replace('_', '-')}"],
                type=Number(1 if field.name in ("nodes", "states_max") else 0, _highest(field.name)),
                default=getattr(defaults, field.name),
                show_default=True,
                metavar="N",
                help=sentences.get(field.name, f"{in_words(field.name).capitalize()}."),
            )
        )
    return command


@_limit_options
@click.command(help=_HELP, short_help="Every order of events within limits; the shortest counterexample.")
def explore(**limits: int) -> int:
    """Search and show."""
    from ferrite.sim.exhaustive import search

    with stderr_console().status("exploring") as status:

        def progress(now: Progress) -> None:
            status.update(f"depth {now.depth}, {now.states:,} states explored, {now.waiting:,} waiting")

        outcome = search(Limits(**limits), progress=progress)
    show(outcome)
    if outcome.violation is not None:
        return exit_code(outcome.violation.kind)
    return ExitCode.CLEAN if outcome.exhausted else ExitCode.LIVENESS


def show(outcome: Outcome) -> None:
    """Verdict, path, figures."""
    found = outcome.violation
    if found is not None:
        click.echo(f"verdict: {found.kind}\ninvariant: {found.name}: {found.sentence}\nfacts: {found.facts}")
        click.echo("path:")
        for number, step in enumerate(outcome.path, start=1):
            click.echo(f"  {number:3}. {step}")
    elif outcome.exhausted:
        click.echo("verdict: clean; every state within the limits was explored")
    else:
        option = outcome.cut_by.replace("_", "-")
        click.echo(f"verdict: undecided; clean up to depth {outcome.depth}, then --{option} ended the search")
    click.echo(
        f"states: {outcome.states:,}; transitions: {outcome.transitions:,}; turns of replicas: {outcome.turns:,}; "
        f"depth: {outcome.depth}"
    )
