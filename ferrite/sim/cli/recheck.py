"""`ferrite-sim recheck`: the checkers alone, on the folder that a failure left. Checkers have bugs, too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from ferrite.core.disk import DiskError, LogCorrupt, NewerFormat, WrongIdentity, check_log
from ferrite.sim.bounds import NODES_MAX
from ferrite.sim.cli.exit_codes import ExitCode
from ferrite.sim.cycles.check import Verdict as CycleVerdict
from ferrite.sim.cycles.check import check_transactions
from ferrite.sim.dice import Stream
from ferrite.sim.disk import SimDisk
from ferrite.sim.linearizability.check import CheckerName, Verdict, check_file
from ferrite.sim.linearizability.history import HistoryInvalid
from ferrite.sim.report.folder import VERDICT

CHECKERS: Final[tuple[CheckerName, ...]] = ("auto", "search")
"""The best one for this history, and the one that knows nothing of revisions. Transactions have a checker of their own."""
FILE_BYTES_MAX: Final = 64 << 20
"""No simulated node has a file that large."""

_HELP = """Run the checkers again on a report folder: the clients' history, and the log of each node as the run left it.

The cluster is not run again: a checker that was corrected judges an old failure anew.

\b
  ferrite-sim recheck ferrite-sim-seed-42

\b
Exit codes: 0 history and logs are fine, 1 they are not, 2 the folder cannot be read, 3 undecided.
"""


@click.command(help=_HELP, short_help="The checkers alone, on a report folder.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path))
def recheck(*, folder: Path) -> int:
    """Read and judge both."""
    said = _said(folder)
    verdicts = _histories(folder / "history.jsonl")
    cycles = _transactions(folder / "transactions.jsonl")
    logs = list(_logs(folder / "disks", _node_names(folder), said["damaged_disks"]))
    click.echo(
        f"the run's own verdict: {said['kind']}" + (f", {said['invariant']}" if said["invariant"] else "")
    )
    for checker, verdict in zip(CHECKERS, verdicts, strict=True):
        click.echo(f"history, checker {checker}: {verdict.text()}")
    click.echo(f"transactions, checker cycles: {cycles.text()}")
    for _, text in logs:
        click.echo(text)
    statuses = {cycles.status, *(verdict.status for verdict in verdicts)}
    broken = ["linearizability"] * ("violation" in statuses) + ["safety"] * (
        not all(good for good, _ in logs)
    )
    undecided = "undecided" in statuses and not broken
    click.echo(f"verdict: {', '.join(broken) or ('undecided' if undecided else 'clean')}")
    if broken:
        return ExitCode.VIOLATION
    return ExitCode.LIVENESS if undecided else ExitCode.CLEAN


def _said(folder: Path) -> dict[str, Any]:
    path = folder / VERDICT
    said = _json_in(path)
    texts = ("kind", "invariant")
    if (
        not isinstance(said, dict)
        or not all(isinstance(said.get(name), str) for name in texts)
        or not isinstance(said.get("damaged_disks"), list)
    ):
        raise click.UsageError(
            f"{path} has no texts kind and invariant and no list damaged_disks; expected a verdict"
        )
    return said


def _json_in(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(
            f"{path} cannot be read: {error.strerror}; expected a folder that a failure left"
        ) from error
    except ValueError as error:
        raise click.UsageError(
            f"{path} is not JSON ({error}); expected the file that a failure left"
        ) from error


def _node_names(folder: Path) -> list[str]:
    """The nodes that the run had: each has a folder."""
    path = folder / "options.json"
    options = _json_in(path)
    counts: list[Any] = [
        options.get(name) if isinstance(options, dict) else None for name in ("nodes", "spares")
    ]
    if not all(isinstance(count, int) and 0 <= count <= NODES_MAX for count in counts):
        raise click.UsageError(f"{path} has no numbers nodes and spares; expected the options of a run")
    return [f"node{number}" for number in range(1, sum(counts) + 1)]


def _histories(path: Path) -> list[Verdict]:
    try:
        return [check_file(str(path), model="ferrite", checker=checker) for checker in CHECKERS]
    except (HistoryInvalid, ValueError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _transactions(path: Path) -> CycleVerdict:
    try:
        with path.open("rb") as lines:
            return check_transactions(lines)
    except HistoryInvalid as error:
        raise click.UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _logs(disks: Path, names: list[str], damaged: list[Any]) -> Iterator[tuple[bool, str]]:
    """(is it fine, a line about it) for each node."""
    missing = [name for name in names if not (disks / name).is_dir()]
    if missing:
        raise click.UsageError(f"{disks / missing[0]} is missing: the run had the nodes {', '.join(names)}")
    try:
        loaded = [(name, _loaded(disks / name)) for name in names]
    except OSError as error:
        raise click.UsageError(f"{disks} cannot be read: {error.strerror or error}") from error
    for name, disk in loaded:
        problem, text = _judged(disk)
        excused = name.removeprefix("node") in map(str, damaged)
        yield not problem or excused, f"{name}: {text}" + ("; a fault damaged this disk" if excused else "")


def _loaded(folder: Path) -> SimDisk:
    """The files of a folder on a disk without faults."""
    disk = SimDisk(Stream(random.Random(0).getrandbits))
    for path in sorted(folder.iterdir()):
        if path.stat().st_size > FILE_BYTES_MAX:
            raise OSError(f"{path.name} has more than {FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
        disk.create(path.name, len(content))
        disk.write(path.name, 0, content)
    return disk


def _judged(disk: SimDisk) -> tuple[bool, str]:
    """(is it broken, what it is)."""
    try:
        log, report = check_log(disk)
    except (DiskError, LogCorrupt, NewerFormat, WrongIdentity) as error:
        return True, f"{type(error).__name__}: {error}"
    last, first = log.last_index, log.base_index + 1
    entries = f"{f'entries {first}..{last}' if last >= first else 'no entries'}, term {log.hard_state.term}"
    if report.lost_tail is not None:
        return True, f"{entries}; its end is lost: it had been durable up to {report.lost_tail.last_index}"
    return False, entries + ("; torn at the end" if report.cut is not None else "")
