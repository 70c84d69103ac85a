"""`ferrite-sim sweep`: many seeds, their sum, and what to do about each failure."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.sim.cli.choices import SeedRange, choice_of, choice_options, jobs_option, json_option
from ferrite.sim.cli.console import stdout_console
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, ExitCode, worst_exit_code
from ferrite.sim.cli.output import write_json
from ferrite.sim.cli.progress import Report, progress
from ferrite.sim.cli.reports import black_box_option
from ferrite.sim.cli.run import origin_of
from ferrite.sim.search.judge import BLACK_BOX_COUNTERS, BlackBox
from ferrite.sim.search.settings import RunChoice, SettingInvalid
from ferrite.sim.search.workers import Workers, WorkersFailed, dask_workers, local_workers

if TYPE_CHECKING:
    from ferrite.sim.search.sweep import Runner, SeedOutcome
    from ferrite.sim.search.tally import Tally

SHARDS_MAX: Final = 10_000
FAILURES_SHOWN: Final = 50
"""Rows of the table of failures: after so many, what is wrong is known. --json has all."""
FOLDERS_MAX: Final = 20
"""Reports of one sweep: each is some megabytes and costs a run in this process."""

_HELP = f"""Run many seeds and report: verdicts, failures with the command that replays each, coverage, costs.

\b
  ferrite-sim sweep --seeds 1..1000 -j 2                     two processes of this machine
  ferrite-sim sweep --seeds 1..100 --nodes 5 --seconds 5     shorter runs of five nodes
  ferrite-sim sweep --seeds 1..9999 --fail-fast --json s.json
  ferrite-sim sweep --seeds 1..9999 --out failures           a folder for each failure
  ferrite-sim sweep --seeds 1..1000000 --dask tcp://10.0.0.1:8786
  ferrite-sim sweep --seeds 1..1000000 --shard 3/20          the fourth of twenty interleaved parts

The combined digest, the last line, is equal for equal sweeps, however they were spread over workers. Ctrl-C ends with the
summary so far.

{EXIT_CODES_HELP}
The gravest verdict of the sweep decides, in the order safety, nondeterminism, crash, liveness.
"""


class ShardType(click.ParamType[tuple[int, int]]):
    """`K/N` with 0 <= K < N, as Kubernetes counts the Pods of an indexed Job."""

    name = "shard"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Text to (K, N)."""
        if isinstance(value, tuple):
            return value
        part, _, parts = str(value).partition("/")
        try:
            index, count = int(part), int(parts)
        except ValueError:
            index = count = 0
        if not 0 <= index < count <= SHARDS_MAX:
            self.fail(f"{value!r} is no shard; expected K/N with 0 <= K < N <= {SHARDS_MAX}", param, ctx)
        return index, count


@click.command(help=_HELP, short_help="Many seeds: verdicts, failures, coverage, costs.")
@click.option(
    "--seeds", type=SeedRange(), required=True, metavar="A..B", help="All seeds from A to B, both included."
)
@jobs_option
@click.option(
    "--dask", metavar="ADDRESS", help="Run on this Dask scheduler's workers instead (extra `ferrite[dask]`)."
)
@click.option(
    "--shard",
    type=ShardType(),
    metavar="K/N",
    help="Only part K of N, 0 <= K < N: every N-th seed from the K-th.",
)
@click.option("--fail-fast", is_flag=True, help="End at the first failure.")
@json_option
@black_box_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Leave a report of each failure in this folder, of {FOLDERS_MAX} at most.",
)
@choice_options
def sweep(
    *, seeds: range, jobs: int, dask: str | None, shard: tuple[int, int] | None, fail_fast: bool,
    json_file: str | None, blackbox: BlackBox, out: Path | None, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...],
) -> int:  # fmt: skip
    """Spread the seeds, gather the outcomes, print the sum."""
    from ferrite.sim.search.sweep import seed_runner

    if dask and jobs != 1:
        raise click.UsageError("choose one of -j and --dask: a Dask cluster has its own number of workers")
    part = seeds if shard is None else seeds[shard[0] :: shard[1]]
    if not part:
        raise click.UsageError(f"the shard is empty: {len(seeds)} seeds in {shard and shard[1]} parts")
    refuse_out(out)
    choice = choice_of(nodes, seconds, settings, seed=part[0])
    with _refusals():
        tally, interrupted = gather(
            part,
            seed_runner(choice, blackbox),
            dask_workers(dask) if dask else local_workers(jobs),
            fail_fast=fail_fast,
        )
    if json_file is not None:
        write_json(json_file, as_json(tally, part, choice))
    if json_file != "-":
        show(tally, part, choice)
    if interrupted:
        return ExitCode.INTERRUPTED
    kinds = leave_folders(tally.sorted_failures(), choice, blackbox, out) if out is not None else []
    return worst_exit_code([*tally.verdicts, *kinds])


def refuse_out(out: Path | None) -> None:
    """Refuse at the door a folder that cannot be written to."""
    if out is None:
        return
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--out {out} cannot be made: {error.strerror}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise click.UsageError(f"--out {out} is not ours to write in")


def leave_folders(
    failures: Sequence[SeedOutcome], choice: RunChoice, black_box: BlackBox, out: Path
) -> list[str]:
    """Run failed seeds again, here, with everything recorded; return the verdicts of the reports.

    A seed that is another run here than at its worker is nondeterminism. One that killed its worker is not tried.
    """
    from ferrite.sim.report.folder import report_seed
    from ferrite.sim.search.sweep import WORKER_DIED

    wanted = [failure for failure in failures if failure.invariant != WORKER_DIED][:FOLDERS_MAX]
    kinds = []
    with progress("reports", len(wanted)) as report:
        for failure in wanted:
            origin = replace(origin_of(choice, failure.seed, black_box), digest=failure.digest)
            try:
                left = report_seed(
                    out / f"seed-{failure.seed}", failure.seed, choice.options(failure.seed), origin
                )
            except (ValueError, OSError) as error:
                click.echo(f"no report of seed {failure.seed}: {error}", err=True)
                continue
            kinds.append(left.verdict["kind"])
            if left.verdict["kind"] == "nondeterminism":
                click.echo(f"nondeterminism: seed {failure.seed}: {left.verdict['facts']}", err=True)
            report(done=len(kinds), failures=kinds.count("nondeterminism"))
    click.echo(f"folders: {len(kinds)} of {len(failures)} failures in {out}", err=True)
    return kinds


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What only shows at work: an option that some seed's draw makes impossible, workers that cannot work."""
    try:
        yield
    except (SettingInvalid, WorkersFailed) as error:
        raise click.UsageError(str(error)) from error


def gather(
    seeds: Sequence[int],
    runner: Runner,
    place: contextlib.AbstractContextManager[Workers],
    *,
    fail_fast: bool = False,
) -> tuple[Tally, bool]:
    """Run all seeds with progress; return what they add up to, and whether Ctrl-C ended it early."""
    from ferrite.sim.search.sweep import sweep as outcomes_of
    from ferrite.sim.search.tally import Tally

    tally = Tally()
    try:
        with place as workers, progress("seeds", len(seeds)) as report:
            outcomes = outcomes_of(seeds, runner, workers)
            with contextlib.closing(outcomes):
                count(outcomes, tally, report, fail_fast=fail_fast)
    except KeyboardInterrupt:
        click.echo("interrupted; this is the sum so far", err=True)
        return tally, True
    return tally, False


def count(outcomes: Iterable[SeedOutcome], tally: Tally, report: Report, *, fail_fast: bool) -> None:
    """Add each outcome up and tell of it, of a failure at once: a long sweep need not end before somebody looks."""
    from ferrite.sim.search.sweep import CLEAN

    for outcome in outcomes:
        tally.add(outcome)
        report(done=tally.done, failures=len(tally.failures))
        if outcome.verdict != CLEAN and len(tally.failures) <= FAILURES_SHOWN:
            click.echo(f"seed {outcome.seed}: {outcome.verdict} {outcome.invariant}", err=True)
        if fail_fast and tally.failures:
            return


def as_json(tally: Tally, seeds: range, choice: RunChoice) -> dict[str, Any]:
    """The tally with what was asked for."""
    asked = {
        "first_seed": seeds[0],
        "last_seed": seeds[-1],
        "step": seeds.step,
        "arguments": choice.arguments().strip(),
    }
    return {**asked, **tally.to_json()}


def show(tally: Tally, seeds: range, choice: RunChoice) -> None:
    """The summary as text."""
    every = f", every {seeds.step}th" if seeds.step > 1 else ""
    click.echo(f"seeds: {tally.done} of {len(seeds)} ({seeds[0]}..{seeds[-1]}{every})")
    click.echo("verdicts: " + ", ".join(f"{kind} {count}" for kind, count in sorted(tally.verdicts.items())))
    if tally.failures:
        show_failures(tally.sorted_failures(), choice)
    show_coverage(tally)
    checked, undecided = (tally.black_box[name] for name in BLACK_BOX_COUNTERS)
    click.echo(f"black box: {checked} histories checked, {undecided} undecided")
    click.echo(
        f"cpu: {_seconds(sum(tally.cpu_us))} s; each seed mean {_seconds(tally.cpu_us_mean())} s, "
        f"median {_seconds(tally.cpu_us_percentile(50))} s, p99 {_seconds(tally.cpu_us_percentile(99))} s"
    )
    speed = tally.simulated_per_cpu_milli()
    click.echo(f"speed: {speed // 1000}.{speed % 1000:03} simulated seconds per CPU second")
    click.echo(f"combined digest: {tally.combined_digest()}")


def show_failures(failures: Sequence[SeedOutcome], choice: RunChoice) -> None:
    """One row for each failed seed."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("seed", "verdict", "invariant", "at"):
        table.add_column(name, no_wrap=True)
    table.add_column("replay", overflow="fold")
    for failure in failures[:FAILURES_SHOWN]:
        at = f"{_seconds(failure.time_us)} s"
        command = choice.replay_command(failure.seed)
        table.add_row(str(failure.seed), failure.verdict, failure.invariant, at, command)
    stdout_console().print(table)
    if len(failures) > FAILURES_SHOWN:
        click.echo(f"... and {len(failures) - FAILURES_SHOWN} more; --json FILE has all of them")


def show_coverage(tally: Tally) -> None:
    """Which coverage marks no run reached: what the sweep says nothing about."""
    from ferrite.sim.checks.marks import MARKS

    never = tally.never_reached()
    click.echo(f"coverage: {len(tally.marks) - len(never)} of {len(tally.marks)} marks reached")
    for mark in never:
        click.echo(f"  never: {mark}" + (f" ({MARKS[mark]})" if mark in MARKS else ""))


def _seconds(duration_us: int) -> str:
    return f"{duration_us // 1_000_000}.{duration_us // 1000 % 1000:03}"
