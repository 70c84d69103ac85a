"""What is measured: cells (a row of the table), their results, and medians of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Door = Literal["http", "grpc", "client"]
Operation = Literal["write", "read"]
To = Literal["leader", "follower", "all"]

DOORS: Final[tuple[Door, ...]] = ("http", "grpc", "client")
"""`http` is JSON from wrk, `grpc` unary calls from h2load, `client` the store's own library in one Python process."""
OPERATIONS: Final[tuple[Operation, ...]] = ("write", "read")


class NotASuccess(Exception):
    """Answers that were no successes, or not as many as were counted: no figure can come of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """So many clients at one door, each with one operation under way; for `client`, so many operations in flight."""

    door: Door
    operation: Operation
    clients: int

    @property
    def name(self) -> str:
        return f"{self.door}-{self.operation}-{self.clients}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a generator saw. `failed` counts answers that were errors or did not come; `answer_bytes` the answers' bytes."""

    operations: int
    failed: int
    duration_s: float
    p50_us: float
    p99_us: float
    max_us: float
    answer_bytes: int
    complaint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One cell of one store in one run. CPU in seconds of a core; `fsyncs` of the leader's log, None where unknown.

    `others_cpu_s` is what the machine's cores did meanwhile for anybody else: neighbours, and the kernel's own threads.
    """

    operations: int
    duration_s: float
    p50_us: float
    p99_us: float
    max_us: float
    leader_cpu_s: float
    followers_cpu_s: tuple[float, ...]
    generator_cpu_s: float
    others_cpu_s: float
    fsyncs: int | None

    @property
    def per_s(self) -> float:
        return self.operations / self.duration_s

    @property
    def fsyncs_per_operation(self) -> float | None:
        return None if self.fsyncs is None else self.fsyncs / self.operations


@dataclass(slots=True)
class Figures:
    """Everything measured so far: by store and cell, one `Measured` a run; and what failed, in words."""

    by_store: dict[str, dict[Cell, list[Measured]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, store: str, cell: Cell, measured: Measured) -> None:
        self.by_store.setdefault(store, {}).setdefault(cell, []).append(measured)

    def of(self, store: str, cell: Cell) -> Summary | None:
        """Return the medians, or None when nothing was measured."""
        runs = self.by_store.get(store, {}).get(cell)
        return summarize(runs) if runs else None

    def as_json(self) -> dict[str, Any]:
        """Return plain values: every run of every cell, and the failures."""
        cells = [
            {
                "store": store,
                "door": cell.door,
                "operation": cell.operation,
                "clients": cell.clients,
                "run": number,
                "per_s": round(run.per_s, 1),
                **{name: getattr(run, name) for name in Measured.__dataclass_fields__},
            }
            for store, by_cell in self.by_store.items()
            for cell, runs in by_cell.items()
            for number, run in enumerate(runs, 1)
        ]
        return {"cells": cells, "failures": self.failures}

    @staticmethod
    def from_json(found: Any) -> Figures:
        """Return what `as_json` told. Raises KeyError or TypeError when it is something else."""
        figures = Figures(failures=list(found["failures"]))
        for one in found["cells"]:
            cell = Cell(door=one["door"], operation=one["operation"], clients=one["clients"])
            values = {name: one[name] for name in Measured.__dataclass_fields__}
            values["followers_cpu_s"] = tuple(values["followers_cpu_s"])
            figures.add(one["store"], cell, Measured(**values))
        return figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Medians of a cell's runs. `spread` is half the distance of the slowest and the fastest run, as a share of the median."""

    runs: int
    per_s: float
    spread: float
    p50_us: float
    p99_us: float
    leader_cpu_s: float
    followers_cpu_s: tuple[float, ...]
    generator_cpu_s: float
    others_cpu_s: float
    fsyncs_per_operation: float | None


def summarize(runs: Sequence[Measured]) -> Summary:
    """Return the medians of at least one run."""
    rates = [run.per_s for run in runs]
    middle = statistics.median(rates)
    syncs = [run.fsyncs_per_operation for run in runs]
    known = [share for share in syncs if share is not None]
    return Summary(
        runs=len(runs),
        per_s=middle,
        spread=(max(rates) - min(rates)) / 2 / middle,
        p50_us=statistics.median(run.p50_us for run in runs),
        p99_us=statistics.median(run.p99_us for run in runs),
        leader_cpu_s=statistics.median(run.leader_cpu_s for run in runs),
        followers_cpu_s=tuple(
            statistics.median(each) for each in zip(*(run.followers_cpu_s for run in runs), strict=True)
        ),
        generator_cpu_s=statistics.median(run.generator_cpu_s for run in runs),
        others_cpu_s=statistics.median(run.others_cpu_s for run in runs),
        fsyncs_per_operation=statistics.median(known) if known else None,
    )


def all_cells(clients: Iterable[int], in_flight: Iterable[int]) -> list[Cell]:
    """Return every row: the doors with so many clients, the client library with so many operations in flight."""
    counts: dict[Door, tuple[int, ...]] = {
        "http": tuple(clients),
        "grpc": tuple(clients),
        "client": tuple(in_flight),
    }
    return [
        Cell(door=door, operation=operation, clients=count)
        for door in DOORS
        for operation in OPERATIONS
        for count in counts[door]
    ]
