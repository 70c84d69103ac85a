"""How results are told: the table of all rows, the table of the bars, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.benchmark.bars import Judged, ratio
from scripts.benchmark.cells import Cell, Figures, Summary

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
    ("fsync/op", "right"),
    ("ratio", "right"),
)
LEGEND: Final = (
    "ops/s, p50 and p99 are medians of the runs, ± is half the distance of the fastest and the slowest. CPU in seconds of a "
    "core. fsync/op: of the leader's log, ? where it does not tell.\n"
    "ratio: ops/s of {ours} over the better of {peers} in the same row.\n"
    "http is JSON from wrk, grpc unary calls from h2load, client the store's own library in one process with so many "
    "operations in flight; values of 256 bytes."
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


def print_all(
    console: Console,
    figures: Figures,
    cells: Sequence[Cell],
    stores: Sequence[str],
    peers: Sequence[str],
    judged: Sequence[Judged],
) -> None:
    """Print both tables, and what failed."""
    if figures.by_store:
        console.print(figures_table(figures, cells, stores, peers))
        console.print(
            LEGEND.format(ours=stores[0], peers=" and ".join(peers) or "nothing (no peer was measured)"),
            soft_wrap=True, highlight=False,
        )  # fmt: skip
    if judged:
        console.print()
        console.print(bars_table(judged))
    for failure in figures.failures:
        console.print(f"FAILED {failure}", markup=False, highlight=False, soft_wrap=True)


def as_json(
    machine: Mapping[str, Any], options: Mapping[str, Any], figures: Figures, judged: Sequence[Judged]
) -> dict[str, Any]:
    """Return the whole result as plain values."""
    return {
        "machine": dict(machine),
        "options": dict(options),
        **figures.as_json(),
        "bars": [one.as_json() for one in judged],
    }
