"""The bars: ratios that Ferrite must reach and aims at, each against the better of its peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from scripts.benchmark.cells import Cell, Door, Figures, Operation, Summary

Kind = Literal["etcd", "pysyncobj"]
MANY: Final = (16, 64, 256)
"""A ratio counts only if it holds at each of these numbers of clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Our door against a peer's, at the same numbers of clients (`clients`), or the best of all numbers where that is empty.

    `latency`: p50 is compared, and lower is better.
    """

    title: str
    door: Door
    operation: Operation
    peer: Kind
    peer_door: Door
    clients: tuple[int, ...]
    must: float
    aim: float
    latency: bool = False


def _many(title: str, door: Door, operation: Operation, peer_door: Door, must: float, aim: float) -> Bar:
    return Bar(
        title=title, door=door, operation=operation, peer="etcd", peer_door=peer_door, clients=MANY, must=must, aim=aim
    )  # fmt: skip


def _single(door: Door, operation: Operation) -> Bar:
    return Bar(
        title=f"{door} {operation}, one client, p50 / etcd gRPC", door=door, operation=operation,
        peer="etcd", peer_door="grpc", clients=(1,), must=1.0, aim=0.6, latency=True,
    )  # fmt: skip


BARS: Final = (
    _many("http write / etcd JSON put", "http", "write", "http", 2.5, 6),
    _many("http write / etcd gRPC put", "http", "write", "grpc", 1.5, 3),
    _many("grpc write / etcd gRPC put", "grpc", "write", "grpc", 1.5, 3),
    _many("http read / etcd gRPC range", "http", "read", "grpc", 1.2, 2.5),
    _many("grpc read / etcd gRPC range", "grpc", "read", "grpc", 1.2, 2.5),
    Bar(
        title="Python client, writes / etcd's best gRPC put", door="client", operation="write",
        peer="etcd", peer_door="grpc", clients=(), must=3, aim=8,
    ),
    _single("http", "write"),
    _single("grpc", "write"),
    _single("http", "read"),
    _single("grpc", "read"),
    Bar(
        title="Python client, writes / PySyncObj, journal", door="client", operation="write",
        peer="pysyncobj", peer_door="client", clients=(*MANY, 1000), must=2, aim=5,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A bar with its ratios by number of clients (0: the best of all numbers); `worst` is the one that counts."""

    bar: Bar
    ratios: Mapping[int, float]

    @property
    def worst(self) -> float:
        return max(self.ratios.values()) if self.bar.latency else min(self.ratios.values())

    @property
    def verdict(self) -> str:
        """Return "aim", "must" or "below"."""
        bar, worst = self.bar, self.worst
        if worst <= bar.aim if bar.latency else worst >= bar.aim:
            return "aim"
        return "must" if (worst <= bar.must if bar.latency else worst >= bar.must) else "below"

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.bar.title,
            "ratios": {str(clients): round(ratio, 3) for clients, ratio in self.ratios.items()},
            "measured": round(self.worst, 3),
            "must": self.bar.must,
            "aim": self.bar.aim,
            "verdict": self.verdict,
        }


def judge(figures: Figures, ours: str, peers: Mapping[Kind, Sequence[str]]) -> list[Judged]:
    """Return every bar for which both sides were measured, at least at one number of clients."""
    judged = []
    for bar in BARS:
        ratios = _ratios(bar, figures, ours, peers.get(bar.peer, ()))
        if ratios:
            judged.append(Judged(bar=bar, ratios=ratios))
    return judged


def _ratios(bar: Bar, figures: Figures, ours: str, peers: Sequence[str]) -> dict[int, float]:
    if not bar.clients:
        mine = _best(figures, [ours], bar.door, bar.operation)
        theirs = _best(figures, peers, bar.peer_door, bar.operation)
        return {0: mine / theirs} if mine and theirs else {}
    found = {}
    for clients in bar.clients:
        own = figures.of(ours, Cell(door=bar.door, operation=bar.operation, clients=clients))
        cell = Cell(door=bar.peer_door, operation=bar.operation, clients=clients)
        others = [summary for peer in peers if (summary := figures.of(peer, cell)) is not None]
        if own is not None and others:
            found[clients] = ratio(own, others, latency=bar.latency)
    return found


def ratio(own: Summary, others: Iterable[Summary], *, latency: bool = False) -> float:
    """Return ours divided by the better of theirs: operations per second, or p50."""
    if latency:
        return own.p50_us / min(other.p50_us for other in others)
    return own.per_s / max(other.per_s for other in others)


def _best(figures: Figures, names: Sequence[str], door: Door, operation: Operation) -> float:
    cells = {cell for name in names for cell in figures.by_store.get(name, {})}
    return max(
        (
            summary.per_s
            for name in names
            for cell in cells
            if (cell.door, cell.operation) == (door, operation)
            and (summary := figures.of(name, cell)) is not None
        ),
        default=0.0,
    )
