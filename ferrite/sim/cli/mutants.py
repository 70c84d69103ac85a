"""`ferrite-sim mutants`: planted bugs, and how soon the checks find each. They live among the tests and never ship."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.sim.cli.choices import Number, choice_of, choice_options, jobs_option, json_option
from ferrite.sim.cli.console import stdout_console
from ferrite.sim.cli.exit_codes import ExitCode
from ferrite.sim.cli.output import write_json
from ferrite.sim.cli.progress import progress
from ferrite.sim.search.spread import spread
from ferrite.sim.search.workers import WorkersFailed, local_workers

if TYPE_CHECKING:
    from ferrite.sim.search.kills import Hunt, Hunted, Score

REGISTRY: Final = "tests.sim.mutants"
SEEDS_MAX: Final = 2000
"""A bug that survives so many seeds is a hole in the checks."""
CPU_SECONDS_MAX: Final = 60
CPU_SECONDS_LIMIT: Final = 86_400
SEEDS_LIMIT: Final = 1_000_000
STARTS_LIMIT: Final = 100

_HELP = """Plant known bugs, one at a time, and measure how many seeds and how much CPU time the checks need to find each.

\b
  ferrite-sim mutants --list                     what there is; nothing is run
  ferrite-sim mutants --only 7 --only 12         two of them, five starts each
  ferrite-sim mutants -j 2 --starts 3            all

Needs a source checkout: the planted bugs are part of the tests and are not installed.

\b
Exit codes: 0 all were found from every start, 1 one survived its budget, 2 bad input, 130 interrupted.
"""


@click.command(help=_HELP, short_help="How soon the checks find planted bugs.")
@click.option(
    "--only", type=Number(1, 10_000), multiple=True, metavar="NUMBER", help="Only this one; may be repeated."
)
@click.option(
    "--starts",
    type=Number(1, STARTS_LIMIT),
    default=5,
    show_default=True,
    metavar="N",
    help="Searches for each, from different seeds; the median counts.",
)
@click.option(
    "--seeds-max",
    type=Number(1, SEEDS_LIMIT),
    default=SEEDS_MAX,
    show_default=True,
    metavar="N",
    help="Seeds of one search before the bug has survived.",
)
@click.option(
    "--cpu-max",
    type=Number(1, CPU_SECONDS_LIMIT),
    default=CPU_SECONDS_MAX,
    show_default=True,
    metavar="S",
    help="CPU seconds of one search before the bug has survived.",
)
@click.option(
    "--shrink/--no-shrink",
    default=True,
    show_default=True,
    help="Shrink the first kill of each, for its size.",
)
@click.option("--list", "listed", is_flag=True, help="Show what there is, and run nothing.")
@jobs_option
@choice_options
@json_option
def mutants(
    *, only: tuple[int, ...], starts: int, seeds_max: int, cpu_max: int, shrink: bool, listed: bool, jobs: int, nodes: int,
    seconds: int, settings: tuple[tuple[str, str], ...], json_file: str | None,
) -> int:  # fmt: skip
    """Plant, hunt, count."""
    from ferrite.sim.search.kills import Hunt

    chosen = _chosen(only)
    if listed:
        _list(chosen)
        if not only:
            _show_gaps({mutant.number for mutant in chosen})
        return ExitCode.CLEAN
    choice = choice_of(nodes, seconds, settings, seed=0)
    hunts = [
        Hunt(
            mutant=mutant,
            start=start,
            seeds_max=seeds_max,
            cpu_us_max=cpu_max * 1_000_000,
            choice=choice,
            shrinks=shrink and start == 0,
        )
        for mutant in chosen
        if not mutant.impossible and not mutant.harmless
        for start in range(starts)
    ]
    hunted, interrupted = _hunt_all(hunts, jobs)
    return _report(chosen, hunted, json_file, interrupted=interrupted)


def _registry() -> dict[int, Any]:
    """The planted bugs by number, from the checkout that this file lies in."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "tests" / "sim" / "mutants").is_dir():
        raise click.UsageError(
            f"there are no planted bugs beside {root / 'ferrite'}: they are part of the tests; run this in a source checkout"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        registry: dict[int, Any] = importlib.import_module(REGISTRY).BY_NUMBER
    except ImportError as error:
        raise click.UsageError(f"the planted bugs need the packages of the tests: {error}") from error
    return registry


def _chosen(only: tuple[int, ...]) -> list[Any]:
    registry = _registry()
    unknown = [number for number in only if number not in registry]
    if unknown:
        raise click.UsageError(f"there is no mutant {unknown[0]}; expected one of --list")
    return [registry[number] for number in sorted(only or registry)]


def _list(chosen: Sequence[Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("number", justify="right")
    for name in ("name", "what it does", "needs"):
        table.add_column(name)
    for mutant in chosen:
        set_aside = mutant.impossible or mutant.harmless
        table.add_row(
            str(mutant.number),
            mutant.name,
            mutant.sentence,
            f"not hunted: {set_aside}" if set_aside else mutant.needs,
        )
    stdout_console().print(table)


def _show_gaps(numbers: set[int]) -> None:
    """Numbers stay with their bugs: one that was given up leaves a gap."""
    gaps = [str(number) for number in range(1, max(numbers)) if number not in numbers]
    if gaps:
        click.echo(f"numbers not in use: {', '.join(gaps)}")


def _hunt_all(hunts: Sequence[Hunt], jobs: int) -> tuple[list[Hunted], bool]:
    """All outcomes, and whether Ctrl-C ended it early."""
    from ferrite.sim.search.kills import died, hunt

    hunted: list[Hunted] = []
    try:
        with (
            local_workers(jobs) as workers,
            progress("searches", len(hunts)) as report,
            contextlib.closing(spread(hunts, hunt, workers, died=died)) as outcomes,
        ):
            for one in outcomes:
                hunted.append(one)
                report(done=len(hunted), failures=sum(not other.killed for other in hunted))
    except WorkersFailed as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; this is the sum so far", err=True)
        return hunted, True
    return hunted, False


def _report(
    chosen: Sequence[Any], hunted: Sequence[Hunted], json_file: str | None, *, interrupted: bool
) -> int:
    from ferrite.sim.search.kills import score

    scores = {
        mutant.number: score(mutant.number, [one for one in hunted if one.number == mutant.number])
        for mutant in chosen
        if any(one.number == mutant.number for one in hunted)
    }
    if json_file is not None:
        searches = sorted(hunted, key=lambda one: (one.number, one.start))
        write_json(
            json_file,
            {
                "mutants": [
                    {"name": mutant.name, **asdict(scores[mutant.number])}
                    for mutant in chosen
                    if mutant.number in scores
                ],
                "searches": [asdict(one) for one in searches],
                "interrupted": interrupted,
            },
        )
    if json_file != "-":
        _show(chosen, scores)
        _show_kills(hunted)
    if interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.VIOLATION if any(one.survived for one in scores.values()) else ExitCode.CLEAN


def _show(chosen: Sequence[Any], scores: dict[int, Score]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("number", "killed", "seeds", "CPU s", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("check", "name"):
        table.add_column(name)
    for mutant in chosen:
        one = scores.get(mutant.number)
        if one is not None:
            cpu = f"{one.cpu_us_median // 1_000_000}.{one.cpu_us_median // 10_000 % 100:02}"
            killed = f"{one.kills}/{one.starts}"
            table.add_row(
                str(one.number),
                killed,
                str(one.seeds_median),
                cpu,
                one.shrunk.size() if one.shrunk else "",
                ", ".join(one.checks) or "none",
                mutant.name,
            )
    stdout_console().print(table)
    click.echo(
        "seeds, CPU s: medians over the starts; size: faults/operations/nodes after shrinking the first kill"
    )
    survivors = [one.number for one in scores.values() if one.survived]
    click.echo(f"mutants: {len(scores)} hunted, {len(scores) - len(survivors)} killed from every start")
    if survivors:
        click.echo("survived: " + ", ".join(str(number) for number in survivors))
    for mutant in chosen:
        if mutant.impossible or mutant.harmless:
            click.echo(f"not hunted: {mutant.number} {mutant.name}: {mutant.impossible or mutant.harmless}")


def _show_kills(hunted: Sequence[Hunted]) -> None:
    """Of each bug the kill from the lowest start: its seed, the check, what it saw."""
    first: dict[int, Hunted] = {}
    for one in sorted(hunted, key=lambda one: (one.number, one.start)):
        if one.killed:
            first.setdefault(one.number, one)
    for number, one in first.items():
        click.echo(f"killed: {number} by seed {one.seed}: {one.check}: {' '.join(one.facts.split())}")
