"""The figures as pictures: a page of HTML that needs nothing else, and a PNG where matplotlib is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from scripts.benchmark.bars import Judged
from scripts.benchmark.cells import Cell, Figures
from scripts.benchmark.report import Outcome

COLOURS: Final = ("#c2571a", "#3b6ea5", "#7aa6d1", "#8a8a8a", "#b9b9b9", "#5f8f4e")
"""By store, in their order: ours stands out, versions of one peer resemble each other."""
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 620, 300, 64, 16, 40
_TICKS = 4
_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1300px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.4em } h2 { font-size: 1.05em; margin: 0 0 .3em }
.panels { display: flex; flex-wrap: wrap; gap: 1.5em } svg { max-width: 100%; height: auto } text { font-size: 12px; fill: #444 }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left } .key span { display: inline-block; margin-right: 1.2em }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: .4em; vertical-align: -1px }
.aim { color: #2c7a2c } .below { color: #b3261e }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: operations per second of each store (rows) by number of clients (columns), as (low, median, high)."""

    title: str
    clients: tuple[int, ...]
    series: Mapping[str, Mapping[int, tuple[float, float, float]]]

    @property
    def top(self) -> float:
        """The highest number, rounded up to one that is easy to divide."""
        highest = max(high for points in self.series.values() for _, _, high in points.values())
        unit = 10.0 ** (len(str(int(highest))) - 1)
        return next(unit * step for step in (1, 2, 4, 6, 8, 10, 20) if unit * step >= highest)


def panels(figures: Figures, cells: Sequence[Cell], stores: Sequence[str]) -> list[Panel]:
    """Return a panel for each door and operation of which something was measured."""
    found = []
    for door, operation in dict.fromkeys((cell.door, cell.operation) for cell in cells):
        own = [cell for cell in cells if (cell.door, cell.operation) == (door, operation)]
        series = {store: _points(figures, store, own) for store in stores}
        shown = {store: points for store, points in series.items() if points}
        if shown:
            clients = tuple(cell.clients for cell in own)
            found.append(Panel(title=f"{door} {operation}s per second", clients=clients, series=shown))
    return found


def _points(figures: Figures, store: str, cells: Sequence[Cell]) -> dict[int, tuple[float, float, float]]:
    points = {}
    for cell in cells:
        summary = figures.of(store, cell)
        if summary is not None:
            rates = [run.per_s for run in figures.by_store[store][cell]]
            points[cell.clients] = (min(rates), summary.per_s, max(rates))
    return points


def write(directory: Path, outcome: Outcome) -> list[Path]:
    """Write what can be written; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = panels(outcome.figures, outcome.cells, outcome.stores)
    written = [directory / "bench.html"]
    written[0].write_text(html(drawn, outcome))
    if can_write_png():
        written.append(directory / "bench.png")
        write_png(written[1], drawn, outcome.stores)
    return written


def html(drawn: Sequence[Panel], outcome: Outcome) -> str:
    """Return one page: pictures, and the bars as a table."""
    colours = dict(zip(outcome.stores, COLOURS, strict=False))
    key = "".join(
        f'<span><i style="background:{colour}"></i>{escape(store)}</span>'
        for store, colour in colours.items()
    )
    pictures = "".join(f"<div><h2>{escape(panel.title)}</h2>{svg(panel, colours)}</div>" for panel in drawn)
    machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in outcome.machine.items())
    return (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Ferrite: benchmark</title><style>{_STYLE}</style><h1>Three nodes on one machine</h1>"
        "<p>Values of 256 bytes. Medians; whiskers are the slowest and the fastest run; across: clients, or operations in "
        f"flight. Machine: {escape(machine)}.</p><p class=key>{key}</p>"
        f"<div class=panels>{pictures}</div>{_bars(outcome.judged)}\n"
    )


def _bars(judged: Sequence[Judged]) -> str:
    if not judged:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.bar.title)}<td class={one.verdict}>{one.worst:.2f}<td>{one.bar.must:g}<td>{one.bar.aim:g}"
        for one in judged
    )
    return (
        "<h2>Ratios, at the least favourable number of clients</h2><table><tr><th>ratio<th>measured<th>must<th>aim"
        f"{rows}</table><p>Of p50 (latency), lower is better.</p>"
    )


def svg(panel: Panel, colours: Mapping[str, str]) -> str:
    """Return the panel as SVG: a group of bars for each number of clients, with whiskers; pointed at, a bar tells its figure."""
    high = _HEIGHT - _TOP - _BOTTOM
    group = (_WIDTH - _LEFT) / len(panel.clients)
    bar = group * 0.8 / len(panel.series)

    def y(value: float) -> float:
        return _TOP + high * (1 - value / panel.top)

    parts = []
    for tick in range(_TICKS + 1):
        value = panel.top * tick / _TICKS
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e4e4e4"/>'
            f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
        )
    for place, clients in enumerate(panel.clients):
        left = _LEFT + group * (place + 0.1)
        middle = left + group * 0.4
        parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{clients}</text>')
        for number, (store, points) in enumerate(panel.series.items()):
            if clients not in points:
                continue
            low, median, top = points[clients]
            x = left + bar * number
            centre = x + bar / 2
            parts.append(
                f'<rect x="{x:.1f}" y="{y(median):.1f}" width="{bar * 0.92:.1f}" height="{y(0) - y(median):.1f}" '
                f'fill="{colours[store]}"><title>{escape(store)}, {clients}: {median:,.0f}/s</title></rect>'
                f'<line x1="{centre:.1f}" x2="{centre:.1f}" y1="{y(low):.1f}" y2="{y(top):.1f}" stroke="#222"/>'
            )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(panel.title)}">{"".join(parts)}</svg>'
    )


def can_write_png() -> bool:
    """Is matplotlib there?"""
    return importlib.util.find_spec("matplotlib") is not None


def write_png(path: Path, drawn: Sequence[Panel], stores: Sequence[str]) -> None:
    """Write the panels as one picture."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    colours = dict(zip(stores, COLOURS, strict=False))
    rows = (len(drawn) + 1) // 2
    figure, axes = pyplot.subplots(rows, 2, figsize=(12, 3.4 * rows), squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, drawn, strict=False):
        width = 0.8 / len(panel.series)
        for number, (store, points) in enumerate(panel.series.items()):
            places = [place for place, clients in enumerate(panel.clients) if clients in points]
            chosen = [points[panel.clients[place]] for place in places]
            axis.bar(
                [place + width * number for place in places],
                [median for _, median, _ in chosen],
                width,
                yerr=[
                    [median - low for low, median, _ in chosen],
                    [top - median for _, median, top in chosen],
                ],
                label=store,
                color=colours[store],
            )
        axis.set_title(panel.title, fontsize=11)
        axis.set_xticks([place + 0.4 - width / 2 for place in range(len(panel.clients))], panel.clients)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
