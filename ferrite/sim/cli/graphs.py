"""`ferrite-sim graphs`: every way in which five nodes may be linked, and whether a leader comes up where one can."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.sim.cli.choices import Number, SeedRange, jobs_option, json_option
from ferrite.sim.cli.exit_codes import ExitCode
from ferrite.sim.cli.output import write_json
from ferrite.sim.cli.progress import progress
from ferrite.sim.search.spread import spread
from ferrite.sim.search.workers import local_workers

if TYPE_CHECKING:
    from ferrite.sim.link_graphs import GraphOutcome, Summary

GRAPHS: Final = 1024
LOGS: Final = ("equal", "one-lacks", "two-lack", "leader-ahead", "pair-ahead", "terms-differ", "drawn")
STARTS: Final = ("led", "restarted")

_HELP = """Run all 1,024 link graphs of five nodes: each of the ten links works both ways, or not at all, for ever.

Whenever a node is able to lead (it reaches a quorum that would vote for it) a leader must be stable within five maximum
election timeouts, and terms must stop growing.

\b
  ferrite-sim graphs -j 2                            equal logs
  ferrite-sim graphs --logs all --start all -j 2     also from unequal logs, and after a restart of all nodes
  ferrite-sim graphs --graph 597 --list              one of them, with what became of it

\b
Exit codes: 0 clean, 1 an invariant is broken, 2 bad input, 3 no stable leader or growing terms, 130 interrupted.
"""


@dataclass(slots=True, kw_only=True, frozen=True)
class GraphRun:
    """One run: the graph's number, and the names of how it began."""

    graph: int
    seed: int
    logs: str
    start: str

    def __str__(self) -> str:
        return f"graph {self.graph}, logs {self.logs}, start {self.start}, seed {self.seed}"

    def command(self) -> str:
        """What does it again."""
        return f"ferrite-sim graphs --graph {self.graph} --logs {self.logs} --start {self.start} --seeds {self.seed} --list"


@dataclass(slots=True, kw_only=True, frozen=True)
class GraphDone:
    """What came of a run: an outcome, or what broke on the way."""

    run: GraphRun
    outcome: GraphOutcome | None = None
    broken: str = ""


def run_graph(run: GraphRun) -> GraphDone:
    """What a worker does."""
    from ferrite.sim.link_graphs import Logs, Start, check_graph, graph
    from ferrite.sim.violation import Violation

    logs, start = Logs[_enum_name(run.logs)], Start[_enum_name(run.start)]
    try:
        return GraphDone(run=run, outcome=check_graph(graph(run.graph), run.seed, logs, start))
    except Violation as violation:
        return GraphDone(run=run, broken=str(violation))


def _enum_name(name: str) -> str:
    return name.upper().replace("-", "_")


@click.command(help=_HELP, short_help="All link graphs of five nodes: does a leader come up where one can?")
@click.option(
    "--graph",
    type=Number(0, GRAPHS - 1),
    metavar="N",
    help="Only this one; bit k of N is the k-th link of 12 13 14 15 23 24 25 34 35 45.",
)
@click.option(
    "--logs",
    type=click.Choice((*LOGS, "all")),
    default="equal",
    show_default=True,
    help="How the logs stand when links are cut.",
)
@click.option(
    "--start",
    type=click.Choice((*STARTS, "all")),
    default="led",
    show_default=True,
    help="With the leader of before, or all nodes restarted.",
)
@click.option(
    "--seeds",
    type=SeedRange(),
    default="0",
    show_default=True,
    metavar="A..B",
    help="Run each graph with these seeds.",
)
@jobs_option
@click.option("--list", "listed", is_flag=True, help="List every run with its outcome and reason.")
@json_option
def graphs(
    *, graph: int | None, logs: str, start: str, seeds: range, jobs: int, listed: bool, json_file: str | None
) -> int:
    """Run, sum up, judge."""
    runs = [
        GraphRun(graph=number, seed=seed, logs=how, start=where)
        for number in (range(GRAPHS) if graph is None else [graph])
        for seed in seeds
        for how in (LOGS if logs == "all" else [logs])
        for where in (STARTS if start == "all" else [start])
    ]
    done, interrupted = _run_all(runs, jobs)
    if json_file is not None:
        write_json(json_file, {"runs": [_as_json(one) for one in done], "interrupted": interrupted})
    if json_file != "-":
        _show(done, listed=listed)
    return ExitCode.INTERRUPTED if interrupted else _judge(done)


def _run_all(runs: Sequence[GraphRun], jobs: int) -> tuple[list[GraphDone], bool]:
    """The outcomes in the order of the runs, and whether Ctrl-C ended it early."""
    done: dict[GraphRun, GraphDone] = {}
    died = functools.partial(GraphDone, broken="the worker process died over it")
    interrupted = False
    try:
        with local_workers(jobs) as workers, progress("graphs", len(runs)) as report:
            outcomes = spread(runs, run_graph, workers, died=lambda run: died(run=run))
            with contextlib.closing(outcomes):
                for one in outcomes:
                    done[one.run] = one
                    report(done=len(done), failures=sum(not ok(other) for other in done.values()))
    except KeyboardInterrupt:
        interrupted = True
        click.echo("interrupted; this is the sum so far", err=True)
    return [done[run] for run in runs if run in done], interrupted


def ok(done: GraphDone) -> bool:
    """Does the run show what is demanded?"""
    return done.outcome is not None and done.outcome.ok


def _judge(done: Sequence[GraphDone]) -> ExitCode:
    if any(one.outcome is None for one in done):
        return ExitCode.VIOLATION
    return ExitCode.CLEAN if all(ok(one) for one in done) else ExitCode.LIVENESS


def _show(done: Sequence[GraphDone], *, listed: bool) -> None:
    from ferrite.sim.link_graphs import STABLE_WITHIN, Summary, Verdict

    summary = Summary()
    for one in done:
        if one.outcome is not None:
            summary.add(one.outcome)
        if listed or not ok(one):
            click.echo(_line(one))
            if not ok(one):
                click.echo(f"  replay: {one.run.command()}")
    click.echo(f"runs: {len(done)}")
    for verdict in Verdict:
        if summary.verdicts[verdict]:
            click.echo(f"  {summary.verdicts[verdict]:6} {verdict.value}")
    broken = sum(one.outcome is None for one in done)
    if broken:
        click.echo(f"  {broken:6} broke an invariant")
    _show_figures(summary, STABLE_WITHIN)


def _show_figures(summary: Summary, bound: int) -> None:
    if summary.worst is not None:
        timeout_us = summary.worst.scenario.timing.election_timeout_max_us
        late = summary.worst.stable_us * 100 // timeout_us
        click.echo(
            f"latest stable leader: after {late // 100}.{late % 100:02} maximum election timeouts (bound {bound})"
        )
    click.echo(
        f"leader of before stayed: {summary.leader_kept}; most terms after a cut: {summary.most_terms}"
    )


def _line(done: GraphDone) -> str:
    outcome = done.outcome
    if outcome is None:
        return f"{done.run}: {done.broken}"
    terms = "" if outcome.terms_rest else "; terms keep growing"
    if outcome.stable_us < 0:
        return f"{done.run}: {outcome.verdict.value}{terms}"
    return f"{done.run}: node {outcome.leader} leads from {outcome.stable_us // 1000} ms on{terms}"


def _as_json(done: GraphDone) -> dict[str, Any]:
    run, outcome = done.run, done.outcome
    known: dict[str, Any] = {"graph": run.graph, "seed": run.seed, "logs": run.logs, "start": run.start}
    if outcome is None:
        return {**known, "ok": False, "broken": done.broken}
    return {
        **known,
        "ok": outcome.ok,
        "verdict": outcome.verdict.name.lower(),
        "leader": outcome.leader,
        "stable_us": outcome.stable_us,
        "terms_grown": outcome.terms_grown,
        "terms_rest": outcome.terms_rest,
        "quorum_connected": list(outcome.quorum_connected),
        "able": list(outcome.able_at_end),
    }
