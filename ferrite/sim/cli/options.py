"""`ferrite-sim options`: what a seed chose, and what each option means."""

from __future__ import annotations

import json
from typing import Any

import click

from ferrite.sim.cli.choices import choice_of, choice_options, seed_option
from ferrite.sim.cli.console import stdout_console
from ferrite.sim.search.settings import flatten, options_hash

_HELP = """Print every option of a seed with its value and its meaning.

\b
Half of the fault types are off in each seed (swarm testing). --set changes any option by its key:
  ferrite-sim options --seed 42
  ferrite-sim options --seed 42 --set network.loss_ppm=300000
  ferrite-sim options --seed 42 --json | jq '.options["network.loss_ppm"]'

\b
The end of a name is its unit:
  _ppm    parts per million: 250000 is every fourth time; 0 switches a fault off
  _us     microseconds of simulated time; an interval (_every_us) of 0 switches a fault off
"""


@click.command(help=_HELP, short_help="Every option of a seed, with its meaning.")
@seed_option
@choice_options
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object: seed, options (key to value), options_hash."
)
def options(
    seed: int, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...], *, as_json: bool
) -> None:
    """Make the options of the seed and show them."""
    from ferrite.sim.cli.meanings import meanings

    made = choice_of(nodes, seconds, settings, seed=seed).options(seed)
    values = dict(flatten(made))
    if as_json:
        report: dict[str, Any] = {"seed": seed, "options": values, "options_hash": options_hash(made)}
        click.echo(json.dumps(report, indent=2, default=str))
        return
    table_of(values, meanings(type(made)))
    click.echo(f"options: {options_hash(made)} (a hash over all of them)")


def table_of(values: dict[str, Any], meaning: dict[str, str]) -> None:
    """One row for each option."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("option", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    for key, value in values.items():
        table.add_row(key, str(value), meaning[key])
    stdout_console().print(table)
