"""`ferrite-sim check`: is a history linearizable, or strictly serializable? Works on anybody's."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final, cast

import click

from ferrite.sim.cli.choices import Number
from ferrite.sim.cli.console import stderr_console
from ferrite.sim.cli.exit_codes import ExitCode
from ferrite.sim.cycles.check import MODEL as LIST_APPEND
from ferrite.sim.cycles.check import Verdict as CycleVerdict
from ferrite.sim.cycles.check import check_transactions
from ferrite.sim.linearizability.check import (
    CHECKERS,
    STEPS_MAX,
    CheckerName,
    Verdict,
    check_file,
    check_history,
)
from ferrite.sim.linearizability.history import HistoryInvalid
from ferrite.sim.linearizability.models import MODELS, ModelName

if TYPE_CHECKING:
    from ferrite.sim.linearizability.check import Progress

STEPS_LIMIT: Final = 10**12
"""More configurations than any memory holds: a slip of the finger."""
SHOW_AFTER_SECONDS: Final = 2
EXIT_CODES: Final = {
    "linearizable": ExitCode.CLEAN,
    "strictly serializable": ExitCode.CLEAN,
    "violation": ExitCode.VIOLATION,
    "undecided": ExitCode.LIVENESS,
}

_HELP = """Check a history of operations on any store: JSON lines, one object per invocation and one per return.

\b
  {"process": 0, "type": "invoke", "f": "write", "key": "x", "value": 3}
  {"process": 0, "type": "ok",     "f": "write", "key": "x", "value": 3}
`type` is invoke, ok, fail (certainly not done) or info (unknown). docs/histories.md describes the models and their operations.

\b
  ferrite-sim check history.jsonl
  ferrite-sim check --model kv-append history.jsonl
  ferrite-sim check --model list-append transactions.jsonl
  zcat history.jsonl.gz | ferrite-sim check --json -

\b
Exit codes: 0 linearizable (list-append: strictly serializable), 1 not, 2 cannot be read,
3 undecided: the budget of --steps ended first.
"""


@click.command(help=_HELP, short_help="Is a history linearizable? Works on anybody's.")
@click.argument("history", type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True))
@click.option(
    "--model",
    type=click.Choice((*MODELS, LIST_APPEND)),
    default="cas-register",
    show_default=True,
    help="What the store is.",
)
@click.option(
    "--checker",
    type=click.Choice(CHECKERS),
    default="auto",
    show_default=True,
    help="Which algorithm; auto takes the fastest that decides.",
)
@click.option(
    "--steps",
    type=Number(1, STEPS_LIMIT),
    default=STEPS_MAX,
    show_default=True,
    metavar="N",
    help="Configurations looked at before it is given up as undecided.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as one JSON object.")
def check(*, history: str, model: str, checker: CheckerName, steps: int, as_json: bool) -> int:
    """Read, check, explain."""
    try:
        verdict: Verdict | CycleVerdict
        if model == LIST_APPEND:
            verdict = checked_by_cycles(history, searches=checker != "auto" or steps != STEPS_MAX)
        else:
            verdict = checked(history, model=cast("ModelName", model), checker=checker, steps=steps)
    except (HistoryInvalid, ValueError) as error:
        raise click.UsageError(f"{history}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{history} cannot be read: {error.strerror}") from error
    if not verdict.operations:
        raise click.UsageError(f"{history}: there is no operation in it, nothing to check")
    click.echo(json.dumps(verdict.as_json()) if as_json else verdict.text())
    return EXIT_CODES[verdict.status]


def checked_by_cycles(history: str, *, searches: bool) -> CycleVerdict:
    """The verdict on transactions. `searches`: options for searches were given."""
    if searches:
        raise ValueError(
            f"--checker and --steps are for searches; model {LIST_APPEND} is decided by cycles, without a budget"
        )
    if history == "-":
        return check_transactions(sys.stdin.buffer)
    with open(history, "rb") as lines:
        return check_transactions(lines)


def checked(history: str, *, model: ModelName, checker: CheckerName, steps: int) -> Verdict:
    """The verdict on a file, or on standard input for `-`; progress on a terminal."""
    with stderr_console().status("reading") as status:
        began = time.monotonic()

        def progress(decided: int, keys: int, configurations: int) -> None:
            if time.monotonic() - began > SHOW_AFTER_SECONDS:
                status.update(f"{decided} of {keys} keys decided, {configurations:,} configurations")

        told: Progress = progress
        if history == "-":
            return check_history(sys.stdin.buffer, model=model, checker=checker, steps=steps, progress=told)
        return check_file(history, model=model, checker=checker, steps=steps, progress=told)
