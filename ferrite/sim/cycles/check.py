"""The front of the cycle check: a history of transactions in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from ferrite.sim.cycles.anomaly import MEANINGS, Anomaly, list_text
from ferrite.sim.cycles.graph import PROCESS, REAL_TIME, RW, WR, WW, Edge, Graph
from ferrite.sim.cycles.internal import look_inside
from ferrite.sim.cycles.search import Cycle, find_cycle
from ferrite.sim.cycles.transactions import Transaction, transactions_of
from ferrite.sim.cycles.versions import Versions, versions_of, writers_of
from ferrite.sim.linearizability.history import Operation, read_history
from ferrite.sim.linearizability.values import show

MODEL: Final = "list-append"
Status = Literal["strictly serializable", "violation"]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What became of a check: there is always an answer."""

    operations: int
    keys: int
    anomaly: Anomaly | None = None

    @property
    def status(self) -> Status:
        """In two words or one."""
        return "strictly serializable" if self.anomaly is None else "violation"

    def text(self) -> str:
        """The verdict for people; several lines when there is a violation."""
        counted = f"{self.operations:,} transactions on {self.keys:,} keys, model {MODEL}, checker cycles"
        return (
            f"{self.status} ({counted})" if self.anomaly is None else f"{self.anomaly.text()}\n  ({counted})"
        )

    def as_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        return {
            "status": self.status,
            "strictly_serializable": self.anomaly is None,
            "model": MODEL,
            "checker": "cycles",
            "operations": self.operations,
            "keys": self.keys,
            "explanation": None if self.anomaly is None else self.anomaly.as_json(),
        }


def check_transactions(lines: str | Iterable[str | bytes]) -> Verdict:
    """Check a history of transactions, given as its text or its lines. Raises HistoryInvalid.

    The verdict is exact: without an anomaly an order of all transactions exists that explains every read and agrees with real
    time; any topological order of the graph is one.
    """
    return check_operations(read_history(lines, keep_failed=True))


def check_operations(operations: list[Operation]) -> Verdict:
    """Check operations that were read before, the failed ones among them."""
    transactions = transactions_of(operations)
    writers = writers_of(transactions)
    verdict = Verdict(operations=len(transactions), keys=len(writers))
    for transaction in transactions:
        anomaly = look_inside(transaction) if transaction.ok else None
        if anomaly is not None:
            verdict.anomaly = anomaly
            return verdict
    versions, verdict.anomaly = versions_of(transactions, writers)
    if verdict.anomaly is None:
        cycle = find_cycle(Graph(transactions, versions))
        if cycle is not None:
            verdict.anomaly = _explained(cycle, transactions, {each.key: each for each in versions})
    return verdict


def _explained(cycle: Cycle, transactions: list[Transaction], versions: dict[Any, Versions]) -> Anomaly:
    chain = [transactions[number] for number, _ in cycle]
    following = chain[1:] + chain[:1]
    reasons = [
        _reason(one, other, edge, versions.get(edge.key))
        for one, other, (_, edge) in zip(chain, following, cycle, strict=True)
    ]
    kinds = [edge.kind for _, edge in cycle]
    missed = kinds.count(RW)
    name = ("G1c" if WR in kinds else "G0") if not missed else "G-single" if missed == 1 else "G2-item"
    order = "-realtime" if REAL_TIME in kinds else "-process" if PROCESS in kinds else ""
    return Anomaly(name=name + order, sentence=MEANINGS[name], transactions=chain, reasons=reasons)


def _reason(one: Transaction, other: Transaction, edge: Edge, versions: Versions | None) -> str:
    if edge.kind == PROCESS:
        return f"{one.name} came before {other.name} in process {one.operation.process}"
    if edge.kind == REAL_TIME:
        return (
            f"{one.name} returned (line {one.operation.ret}) before {other.name} was invoked "
            f"(line {other.operation.invoke})"
        )
    assert versions is not None, "a dependency is one of a key"
    key, elements = versions.key, versions.elements
    if edge.kind == WR:
        read = list_text(other.reads[key])
        return f"{one.name} appended {show(elements[edge.place])} to {show(key)} before {other.name} read {read} of it"
    if edge.place < len(elements):
        appended = show(elements[edge.place])
    else:
        appended = (
            show(next(each for each in other.appends[key] if each not in elements)) + ", which no read found"
        )
    if edge.kind == WW:
        before = show(elements[edge.place - 1])
        return f"{one.name} appended {before} to {show(key)} before {other.name} appended {appended}"
    assert edge.kind == RW, "there are no other kinds"
    return (
        f"{one.name} read {list_text(one.reads[key])} of {show(key)} before {other.name} appended {appended}"
    )
