"""The dependency graph: which transaction must come before which, and why.

Nodes are transactions by their number. Two more kinds of nodes keep it linear in the history: a *moment* stands for all that had
returned by then (each moment leads to the next one, so that no pair of transactions needs an edge of its own: the frontier
reduced to one node), an *end* of a key for all its versions that were read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ferrite.sim.cycles.transactions import Key, Transaction
from ferrite.sim.cycles.versions import Versions
from ferrite.sim.linearizability.history import NEVER

WW: Final = 1
"""The next version after another's."""
WR: Final = 2
"""Read what another appended."""
RW: Final = 4
"""Missed what another appended: an anti-dependency."""
PROCESS: Final = 8
"""The same process did one after the other."""
REAL_TIME: Final = 16
"""One returned before the other was invoked."""
THROUGH: Final = 32
"""From a moment or an end onwards: the second half of the edge that led there."""


class Edge(NamedTuple):
    """`kind` is one of the above. Of a dependency, `key` and the element's place: WR what was read last, else what came next."""

    target: int
    kind: int
    key: Key = None
    place: int = 0


class Graph:
    """`edges[node]` are what follows it. Nodes below `transactions` are transactions."""

    def __init__(self, transactions: list[Transaction], versions: Iterable[Versions]) -> None:
        self.transactions = len(transactions)
        self.edges: list[list[Edge]] = [[] for _ in transactions]
        for each in versions:
            self._add_key(each)
        happened = [one for one in transactions if one.timed and (one.ok or self.edges[one.number])]
        self._add_processes(happened)
        self._add_real_time(happened)

    def _node(self) -> int:
        self.edges.append([])
        return len(self.edges) - 1

    def _add_key(self, versions: Versions) -> None:
        key, writers = versions.key, versions.writers
        for place in range(1, len(writers)):
            self._add(writers[place - 1].number, Edge(writers[place].number, WW, key, place))
        end = self._node() if versions.unread else -1
        if versions.unread:
            self.edges[end] = [Edge(writer.number, THROUGH) for writer in versions.unread]
            if writers:
                self._add(
                    writers[-1].number, Edge(end, RW if versions.guessed_next else WW, key, len(writers))
                )
        for place, reader in versions.readers:
            if place:
                self._add(writers[place - 1].number, Edge(reader.number, WR, key, place - 1))
            if place < len(writers):
                self._add(reader.number, Edge(writers[place].number, RW, key, place))
            elif versions.unread:
                self._add(reader.number, Edge(end, RW, key, place))

    def _add(self, source: int, edge: Edge) -> None:
        if edge.target != source:
            self.edges[source].append(edge)

    def _add_processes(self, transactions: list[Transaction]) -> None:
        last: dict[int, Transaction] = {}
        for transaction in transactions:
            before = last.get(transaction.operation.process)
            if before is not None:
                self.edges[before.number].append(Edge(transaction.number, PROCESS))
            if transaction.ok:
                last[transaction.operation.process] = transaction

    def _add_real_time(self, transactions: list[Transaction]) -> None:
        events = [(one.operation.invoke, False, one.number) for one in transactions]
        events += [
            (one.operation.ret, True, one.number) for one in transactions if one.operation.ret != NEVER
        ]
        moment, fresh = -1, False
        for _, returned, number in sorted(events):
            if not returned:
                fresh = False
                if moment >= 0:
                    self.edges[moment].append(Edge(number, THROUGH))
            else:
                if not fresh:
                    earlier, moment, fresh = moment, self._node(), True
                    if earlier >= 0:
                        self.edges[earlier].append(Edge(moment, THROUGH))
                self.edges[number].append(Edge(moment, REAL_TIME))
