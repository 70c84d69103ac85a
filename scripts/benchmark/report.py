"""How results are told: the table of all rows, the table of the bars, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.benchmark.bars import Judged, Kind, judge, ratio
from scripts.benchmark.cells import DOORS, Cell, Figures, Summary

WIDTH: Final = 150
"""Of the tables when they do not go to a terminal."""
COLUMNS: Final = (
    ("row", "left"),
    ("store", "left"),
    ("ops/s", "right"),
    ("±", "right"),
    ("p50 ms", "right"),
    ("p99 ms", "right"),
    ("CPU s leader", "right"),
    ("followers", "right"),
    ("generator", "right"),
    ("others", "right"),
    ("fsync/op", "right"),
    ("ratio", "right"),
)
LEGEND: Final = (
    "ops/s, p50 and p99 are medians of the runs, ± is half the distance of the fastest and the slowest. CPU in seconds of a "
    "core; others: neighbours on this machine, which disturb. fsync/op: of the leader's log, ? where it does not tell.\n"
    "ratio: ops/s of {ours} over the better of {peers} in the same row.\n"
    "http is JSON from wrk, grpc unary calls from h2load, client the store's own library in one process with so many "
    "operations in flight; values of 256 bytes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A result with what it depends on. The first of `stores` is ours, when Ferrite was measured at all."""

    figures: Figures
    stores: Sequence[str]
    machine: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def cells(self) -> list[Cell]:
        """Every cell that was measured, in the order of the table."""
        measured = {cell for by_cell in self.figures.by_store.values() for cell in by_cell}
        return sorted(
            measured, key=lambda cell: (DOORS.index(cell.door), -ord(cell.operation[0]), cell.clients)
        )

    @property
    def compared(self) -> list[str]:
        """The stores that the ratio is against: other revisions, or else all others."""
        others = list(self.stores[1:])
        return [name for name in others if name.startswith("Ferrite ")] or others

    @property
    def judged(self) -> list[Judged]:
        """The bars, for which etcd counts, and of PySyncObj the one with a journal."""
        named: dict[Kind, list[str]] = {
            "etcd": [name for name in self.stores if name.startswith("etcd")],
            "pysyncobj": [
                name for name in self.stores if name.startswith("PySyncObj") and name.endswith("journal")
            ],
        }
        return judge(self.figures, "Ferrite", named)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "machine": dict(self.machine),
            "options": dict(self.options),
            "stores": list(self.stores),
            **self.figures.as_json(),
            "bars": [one.as_json() for one in self.judged],
        }

    @staticmethod
    def from_json(found: Any) -> Outcome:
        """Return what `as_json` told; the bars are judged anew. Raises KeyError or TypeError when it is something else."""
        return Outcome(
            figures=Figures.from_json(found),
            stores=found["stores"],
            machine=found["machine"],
            options=found["options"],
        )


def figures_table(
    figures: Figures, cells: Sequence[Cell], stores: Sequence[str], peers: Sequence[str]
) -> Table:
    """Return a row for each cell and store that was measured. The ratio is the first store's, against the better of `peers`."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name, justify in COLUMNS:
        table.add_column(name, justify="left" if justify == "left" else "right", no_wrap=True)
    for cell in cells:
        summaries = {store: found for store in stores if (found := figures.of(store, cell)) is not None}
        others = [summaries[peer] for peer in peers if peer in summaries]
        for place, (store, summary) in enumerate(summaries.items()):
            shown = f"{ratio(summary, others):.2f}" if store == stores[0] and others else ""
            last = place == len(summaries) - 1
            table.add_row("" if place else cell.name, store, *_numbers(summary), shown, end_section=last)
    return table


def _numbers(summary: Summary) -> list[str]:
    followers = " + ".join(f"{used:.1f}" for used in summary.followers_cpu_s)
    syncs = summary.fsyncs_per_operation
    return [
        f"{summary.per_s:,.0f}",
        f"{summary.spread:.0%}" if summary.runs > 1 else "",
        f"{summary.p50_us / 1000:.2f}",
        f"{summary.p99_us / 1000:.2f}",
        f"{summary.leader_cpu_s:.1f}",
        followers,
        f"{summary.generator_cpu_s:.1f}",
        f"{summary.others_cpu_s:.1f}",
        "?" if syncs is None else f"{syncs:.3f}",
    ]


def bars_table(judged: Sequence[Judged]) -> Table:
    """Return a row for each bar: its ratio at each number of clients, and what it must be."""
    table = Table(box=box.SIMPLE, pad_edge=False, title="bars", title_justify="left")
    table.add_column("ratio")
    for name in ("by clients", "counts", "must", "aim", "reached"):
        table.add_column(name, justify="right")
    for one in judged:
        ratios = "  ".join(
            f"{clients}: {value:.2f}" if clients else f"{value:.2f}" for clients, value in one.ratios.items()
        )
        sign = "<= " if one.bar.latency else ""
        reached = {"aim": "aim", "must": "must", "below": "NO"}[one.verdict]
        table.add_row(
            one.bar.title,
            ratios,
            f"{one.worst:.2f}",
            f"{sign}{one.bar.must:g}",
            f"{sign}{one.bar.aim:g}",
            reached,
        )
    return table


def print_all(console: Console, outcome: Outcome) -> None:
    """Print both tables, and what failed."""
    figures = outcome.figures
    if figures.by_store:
        peers = " and ".join(outcome.compared) or "nothing (no peer was measured)"
        console.print(figures_table(figures, outcome.cells, outcome.stores, outcome.compared))
        console.print(LEGEND.format(ours=outcome.stores[0], peers=peers), soft_wrap=True, highlight=False)
    if outcome.judged:
        console.print()
        console.print(bars_table(outcome.judged))
    for failure in figures.failures:
        console.print(f"FAILED {failure}", markup=False, highlight=False, soft_wrap=True)
