"""Kill the leader again and again under load; no acknowledged write may be lost or applied twice (scripts/test-cluster.sh).

Three real processes, clients over HTTP and gRPC on all of them. The leader is killed with SIGKILL `--kills` times and restarted
each time. Each kill is timed to the first acknowledged write that began after it. At the end every acknowledged write is looked
for on every node: in its own state, and by a linearizable read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, NotInTime, wait_for
from tests.e2e.load import Ledger, Load, faults, read_all

MEDIAN_MAX_S = 2.0
WORST_MAX_S = 4.0
SETTLE_WRITES = 20
RECOVERY_TIMEOUT_S = 60.0
FAULTS_SHOWN_MAX = 10


@dataclass(slots=True)
class Report:
    """What happened. `checks` are name -> faults found (none: passed)."""

    kills: int = 0
    gaps_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    acknowledged: int = 0
    unknown: int = 0
    attempts: int = 0
    retried: int = 0
    checks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(not found for found in self.checks.values())

    @property
    def median_s(self) -> float:
        return statistics.median(self.gaps_s) if self.gaps_s else 0.0

    @property
    def worst_s(self) -> float:
        return max(self.gaps_s, default=0.0)

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "kills": self.kills,
            "seconds": round(self.seconds, 1),
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
            "attempts": self.attempts,
            "retried": self.retried,
            "first_write_after_kill_s": {
                "median": round(self.median_s, 3),
                "worst": round(self.worst_s, 3),
                "all": [round(gap, 3) for gap in self.gaps_s],
            },
            "checks": {name: found[:FAULTS_SHOWN_MAX] for name, found in self.checks.items()},
        }

    def as_text(self) -> str:
        figures = [
            ("leader killed", f"{self.kills} times in {self.seconds:.0f} s"),
            (
                "acknowledged writes",
                f"{self.acknowledged} ({self.acknowledged / max(self.seconds, 0.001):.0f}/s)",
            ),
            ("repeated until acknowledged", str(self.retried)),
            ("outcome unknown at the end", str(self.unknown)),
            ("first write after a kill", f"median {self.median_s:.2f} s, worst {self.worst_s:.2f} s"),
        ]
        lines = [f"  {name:<32} {value}" for name, value in figures]
        lines.append("")
        for name, found in self.checks.items():
            lines.append(f"  {'FAIL' if found else 'PASS'}  {name}")
            lines += [f"          {fault}" for fault in found[:FAULTS_SHOWN_MAX]]
            if len(found) > FAULTS_SHOWN_MAX:
                lines.append(f"          and {len(found) - FAULTS_SHOWN_MAX} more")
        return "\n".join(lines)


Progress = Callable[[int, str], None]


def torture(
    cluster: Cluster, *, kills: int, clients: int, seconds: float = 0.0, progress: Progress
) -> Report:
    """Run the whole thing on a cluster that was not started yet. Raises `NotInTime` when it does not recover."""
    progress(0, "starting three nodes")
    cluster.start()
    report = Report()
    killed_at: list[float] = []
    began = time.monotonic()
    with Load(list(cluster.nodes.values()), clients=clients) as load:
        for number in range(kills):
            _wait_progress(load, cluster)
            victim = cluster.leader()
            killed_at.append(time.monotonic())
            victim.kill()
            progress(number, f"node {victim.node_id} killed, waiting for the next write")
            _wait_progress(load, cluster, since=killed_at[-1])
            victim.start()
            spread = began + seconds * (number + 1) / kills - time.monotonic()
            time.sleep(max(0.0, spread))
            progress(number + 1, f"node {victim.node_id} is back")
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        _wait_progress(load, cluster)
        ledger = load.stop()
    report.kills = kills
    report.seconds = time.monotonic() - began
    report.gaps_s = [gap for at in killed_at if (gap := _gap(ledger, at)) is not None]
    _summarize(report, ledger)
    progress(kills, "comparing every node with the ledger")
    _verify(report, ledger, cluster)
    return report


def _wait_progress(load: Load, cluster: Cluster, since: float | None = None) -> None:
    """Wait until some writes that began from now (or `since`) on are acknowledged."""
    at = time.monotonic() if since is None else since
    position = len(load.ledger.writes)
    wanted = SETTLE_WRITES if since is None else 1

    def enough() -> bool:
        fresh = [write for write in load.ledger.writes[position:] if write.began_s > at and write.revision]
        return len(fresh) >= wanted

    wait_for("acknowledged writes", enough, RECOVERY_TIMEOUT_S, cluster.story)


def _gap(ledger: Ledger, killed_at: float) -> float | None:
    ends = [write.ended_s for write in ledger.acknowledged if write.began_s > killed_at]
    return min(ends) - killed_at if ends else None


def _summarize(report: Report, ledger: Ledger) -> None:
    report.acknowledged = len(ledger.acknowledged)
    report.unknown = len(ledger.unknown)
    report.attempts = ledger.attempts
    report.retried = sum(1 for write in ledger.acknowledged if write.attempts > 1)


def _verify(report: Report, ledger: Ledger, cluster: Cluster) -> None:
    cluster.wait_level(RECOVERY_TIMEOUT_S)
    for node in cluster.nodes.values():
        for linearizable in (False, True):
            kind = "linearizable read" if linearizable else "its own state"
            held = read_all(node, "", linearizable=linearizable)
            name = f"node {node.node_id}, {kind}: every acknowledged write once, none twice"
            report.checks[name] = faults(ledger, held)
    report.checks["writes were acknowledged"] = [] if report.acknowledged else ["none at all"]
    if report.gaps_s:
        median = (
            f"first write after a kill: median at most {MEDIAN_MAX_S:g} s, worst at most {WORST_MAX_S:g} s"
        )
        late = report.median_s > MEDIAN_MAX_S or report.worst_s > WORST_MAX_S
        report.checks[median] = (
            [f"median {report.median_s:.2f} s, worst {report.worst_s:.2f} s"] if late else []
        )


def _bar(total: int) -> Progress:
    """A progress bar on a terminal, a line for each kill elsewhere."""
    if not sys.stderr.isatty():
        return lambda done, what: print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)

    def show(done: int, what: str) -> None:
        filled = 30 * done // max(total, 1)
        print(
            f"\r\033[K[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {what}",
            end="",
            file=sys.stderr,
            flush=True,
        )

    return show


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when everything passed."""
    parser = argparse.ArgumentParser(
        prog="scripts/test-cluster.sh", description="Kill the leader of a real cluster under load."
    )
    parser.add_argument("--kills", type=int, default=20, help="how often the leader is killed (20)")
    parser.add_argument(
        "--clients", type=int, default=16, help="concurrent clients, half HTTP, half gRPC (16)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.0,
        help="spread the kills over this time at least (0: as fast as it recovers)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' directories")
    options = parser.parse_args(arguments)
    if options.kills < 0 or options.clients < 1 or options.seconds < 0:
        parser.error("--kills and --seconds want 0 or more, --clients 1 or more")
    directory = Path(tempfile.mkdtemp(prefix="ferrite-test-cluster-"))
    keep = options.keep
    try:
        with Cluster(directory) as cluster:
            report = torture(
                cluster,
                kills=options.kills,
                clients=options.clients,
                seconds=options.seconds,
                progress=_bar(options.kills),
            )
        print(file=sys.stderr)
        print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
        keep = keep or not report.passed
        return 0 if report.passed else 1
    except NotInTime as error:
        keep = True
        print(f"\nFAIL  {error}", file=sys.stderr)
        return 1
    finally:
        if keep:
            print(f"logs and data of the nodes: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
