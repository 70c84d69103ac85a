#!/usr/bin/env python3
"""Ferrite beside etcd: three real nodes of each on this machine, the same load from the same generators, one table.

    .venv/bin/python scripts/bench.py                      # every row, three runs of 8 s: half an hour
    .venv/bin/python scripts/bench.py --quick              # every row once, 3 s each: five minutes
    .venv/bin/python scripts/bench.py --only http-write --only grpc-read-64 --stores ferrite,etcd
    .venv/bin/python scripts/bench.py --quick --against HEAD~1 --only grpc      # this tree beside another revision
    .venv/bin/python scripts/bench.py --list               # the rows

Stores run one after the other, each with three nodes, an empty directory on the same disk, and fsync before every answer.
Load comes from wrk (JSON) and h2load (gRPC), and goes to the leader unless --to says otherwise. A figure counts only when all
answers were successes: the revision must have grown by the number of writes, the answers to reads must be as long as the values.

Needs (Debian): apt-get install etcd-server wrk nghttp2-client. A second etcd, PySyncObj, py-spy and matplotlib are the extra
`bench`: .venv/bin/pip install -e '.[bench]'. A peer that is missing is named and left out.

Ends with 1 when a cell failed, with 2 when something needed is missing or an option is wrong.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console

from scripts.benchmark import generators, machine, plot, profiler, pysyncobj_store, report, revision
from scripts.benchmark.cells import Cell, all_cells
from scripts.benchmark.etcd import EtcdProgram, EtcdStore, find_etcds
from scripts.benchmark.measure import Bench
from scripts.benchmark.pysyncobj_store import PySyncObjStore
from scripts.benchmark.session import Contender, Session
from scripts.benchmark.stores import FerriteStore

CLIENTS = (1, 16, 64, 256)
IN_FLIGHT = (16, 64, 256, 1000)
TOLD_OPTIONS = ("runs", "seconds", "clients", "in_flight", "to", "against", "settings", "only", "together")
STORES = ("ferrite", "etcd", "pysyncobj")
Group = argparse._ArgumentGroup  # noqa: SLF001 - the type has no public name
QUICK = {"runs": 1, "seconds": 3.0}
FULL = {"runs": 3, "seconds": 8.0}


def numbers(text: str) -> tuple[int, ...]:
    """Parse "1,16"."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers from 1, such as 1,16,64")
    return found


def store_names(text: str) -> tuple[str, ...]:
    """Parse "ferrite,etcd"."""
    found = tuple(text.split(","))
    unknown = [name for name in found if name not in STORES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(unknown)}; expected some of {', '.join(STORES)}"
        )
    return found


def setting(text: str) -> tuple[str, str]:
    """Parse "section.key=value"."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected section.key=value")
    return key, value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, with the presets filled in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_what(parser.add_argument_group("what is measured"))
    add_how(parser)
    options = parser.parse_args(arguments)
    preset = QUICK if options.quick else FULL
    options.runs = int(preset["runs"]) if options.runs is None else options.runs
    options.seconds = preset["seconds"] if options.seconds is None else options.seconds
    options.together = options.together or bool(options.against)
    options.stores = options.stores or (("ferrite",) if options.against else STORES)
    if options.runs < 1 or options.seconds < 1:
        parser.error("--runs and --seconds are at least 1")
    return options


def add_what(what: Group) -> None:
    """Add the options that choose what is measured."""
    what.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="rows whose name contains this; * and ? match anything; may be repeated",
    )
    what.add_argument("--list", action="store_true", help="print the names of the rows and end")
    what.add_argument(
        "--stores",
        type=store_names,
        metavar="A,B",
        help=f"of {', '.join(STORES)}; default: all, with --against only ferrite",
    )
    what.add_argument(
        "--clients",
        type=numbers,
        default=CLIENTS,
        metavar="N,N",
        help="connections of the rows http and grpc (1,16,64,256)",
    )
    what.add_argument(
        "--in-flight",
        type=numbers,
        default=IN_FLIGHT,
        metavar="N,N",
        help="operations in flight of the rows client (16,64,256,1000)",
    )
    what.add_argument(
        "--to",
        choices=("leader", "follower", "all"),
        default="leader",
        help="nodes that clients talk to; with all, p50 and p99 are those of the slowest node",
    )
    what.add_argument(
        "--against", metavar="REV", help="measure this revision of the repository, too, in alternation"
    )
    what.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="KEY=VALUE",
        dest="settings",
        help="a configuration key of Ferrite's nodes; may be repeated",
    )
    what.add_argument(
        "--etcd",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="an etcd program, instead of those found; may be repeated",
    )


def add_how(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how, and what comes out."""
    how = parser.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help=f"{QUICK['runs']} run of {QUICK['seconds']:g} s")
    how.add_argument("--runs", type=int, help=f"default {FULL['runs']}")
    how.add_argument("--seconds", type=float, help=f"of each load, default {FULL['seconds']:g}")
    how.add_argument(
        "--together",
        action="store_true",
        help="run all stores at once and measure each row at one after the other: for machines with neighbours; "
        "always with --against",
    )
    how.add_argument(
        "--dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the stores' directories are made: a real disk; default %(default)s",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every run")
    out.add_argument(
        "--plot", type=Path, metavar="DIR", help="write bench.html, and bench.png where matplotlib is"
    )
    out.add_argument(
        "--from",
        type=Path,
        metavar="FILE",
        dest="again",
        help="measure nothing: tell the result of an earlier --json",
    )
    out.add_argument(
        "--profile",
        type=Path,
        metavar="DIR",
        help="write flame graphs of Ferrite's leader, by py-spy in further loads",
    )


def chosen(cells: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """Return the cells whose name matches any of the patterns; all when there are none."""
    return [
        cell
        for cell in cells
        if not patterns or any(fnmatch.fnmatch(cell.name, f"*{pattern}*") for pattern in patterns)
    ]


def ferrite(name: str, tree: Path, settings: Sequence[tuple[str, str]]) -> Contender:
    """Return Ferrite as that tree has it."""
    return Contender(
        name=name, doors=FerriteStore.doors, operations=FerriteStore.operations,
        make=lambda directory: FerriteStore(name, directory, tree, dict(settings)),
    )  # fmt: skip


def etcd(program: EtcdProgram) -> Contender:
    """Return that etcd."""
    return Contender(
        name=program.name, doors=EtcdStore.doors, operations=EtcdStore.operations,
        make=lambda directory: EtcdStore(program, directory),
    )  # fmt: skip


def pysyncobj(*, journal: bool) -> Contender:
    """Return PySyncObj."""
    return Contender(
        name=pysyncobj_store.name_of(journal=journal), doors=PySyncObjStore.doors, operations=PySyncObjStore.operations,
        make=lambda directory: PySyncObjStore(directory, journal=journal),
    )  # fmt: skip


def peers_of(options: argparse.Namespace, say: Callable[[str], None]) -> list[Contender]:
    """Return the peers that are here, and say which are not."""
    peers: list[Contender] = []
    if "etcd" in options.stores:
        programs, told = find_etcds(options.etcd)
        for text in told:
            say(text)
        peers += [etcd(program) for program in programs]
    if "pysyncobj" in options.stores:
        if pysyncobj_store.installed():
            peers += [pysyncobj(journal=True), pysyncobj(journal=False)]
        else:
            say("no PySyncObj (pip install pysyncobj): not compared")
    return peers


def lacking(options: argparse.Namespace) -> str | None:
    """Return what is missing or wrong, before anything is started."""
    programs = generators.missing()
    if programs:
        return f"the load generators are missing: apt-get install {' '.join(programs)}"
    if options.profile and profiler.find() is None:
        return "--profile needs py-spy: .venv/bin/pip install py-spy"
    if not options.dir.is_dir():
        return f"--dir: {options.dir} is no directory"
    kind = machine.file_system(options.dir)
    if kind in {"tmpfs", "ramfs"}:
        return f"{options.dir} is in memory ({kind}), where fsync costs nothing; name a disk by --dir"
    absent = [str(path) for path in options.etcd if not path.is_file()]
    if absent:
        return f"--etcd: no such file: {', '.join(absent)}"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = parse(arguments)
    cells = chosen(all_cells(options.clients, options.in_flight), options.only)
    if options.list or not cells:
        print("\n".join(cell.name for cell in (cells or all_cells(options.clients, options.in_flight))))
        return 0 if options.list else fail(f"no row matches {', '.join(options.only)}; these are the rows")
    if options.again:
        return tell_again(options)
    wrong = lacking(options)
    if wrong:
        return fail(wrong)
    # A terminated run cleans up like an interrupted one; and a shell that starts us in the background ignores SIGINT for us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        return start(options, cells, err)
    except revision.UnknownRevision as error:
        return fail(f"--against: {error}")


def start(options: argparse.Namespace, cells: Sequence[Cell], err: Console) -> int:
    """Prepare the session and run it; return the exit code."""
    peers = peers_of(options, err.print)
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(prefix="ferrite-bench-", dir=options.dir)
        place = Path(stack.enter_context(directory))
        about = machine.describe(place)
        err.print(", ".join(f"{key} {value}" for key, value in about.items()))
        own = [ferrite("Ferrite", revision.ROOT, options.settings)] if "ferrite" in options.stores else []
        if options.against:
            name = f"Ferrite {revision.short_name(options.against)}"
            tree = stack.enter_context(revision.worktree(options.against, place))
            own.append(ferrite(name, tree, options.settings))
        session = Session(
            contenders=[*own, *peers],
            cells=cells,
            runs=options.runs,
            bench=Bench(directory=place, seconds=options.seconds, to=options.to),
            place=place,
            together=options.together,
            profiler=profiler.Profiler(directory=options.profile) if options.profile else None,
        )
        return measure(session, options, about)


def fail(text: str) -> int:
    """Say what is wrong; return the exit code."""
    print(f"bench: {text}", file=sys.stderr)
    return 2


def measure(session: Session, options: argparse.Namespace, about: dict[str, Any]) -> int:
    """Run the session and tell the result, also when it is interrupted."""
    interrupted = False
    try:
        session.run()
    except KeyboardInterrupt:
        interrupted = True
        session.figures.failures.append("interrupted: what follows was not measured")
    shown = {key: value for key, value in vars(options).items() if key in TOLD_OPTIONS}
    stores = [contender.name for contender in session.contenders]
    outcome = report.Outcome(figures=session.figures, stores=stores, machine=about, options=shown)
    tell(outcome, options)
    if interrupted:
        return 130
    return 1 if session.figures.failures else 0


def tell(outcome: report.Outcome, options: argparse.Namespace) -> None:
    """Print the tables, and write the files that were asked for."""
    console = Console(width=None if sys.stdout.isatty() else report.WIDTH)
    report.print_all(console, outcome)
    if options.json:
        options.json.write_text(json.dumps(outcome.as_json(), indent=1) + "\n")
        console.print(f"written: {options.json}")
    if options.plot and outcome.figures.by_store:
        for path in plot.write(options.plot, outcome):
            console.print(f"written: {path}")
        if not plot.can_write_png():
            console.print("no PNG: .venv/bin/pip install matplotlib")


def tell_again(options: argparse.Namespace) -> int:
    """Tell the result of an earlier run; return the exit code."""
    try:
        outcome = report.Outcome.from_json(json.loads(options.again.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return fail(f"--from: {options.again} is no result of --json: {error!r}")
    tell(outcome, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
