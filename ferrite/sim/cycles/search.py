"""Cycles: strongly connected components (Tarjan 1972), then the shortest cycle of the simplest kind in one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from ferrite.sim.cycles.graph import PROCESS, REAL_TIME, RW, THROUGH, WR, WW, Edge, Graph

EDGES_MAX: Final = 2_000_000
"""Looked at for the shortest cycle of one kind, some seconds. What is found until then is a cycle all the same."""
_DEPENDENCIES: Final = (WW, WW | WR, WW | WR | RW)
_ORDERS: Final = (0, PROCESS, PROCESS | REAL_TIME)

Cycle = list[tuple[int, Edge]]
"""(transaction, edge to the next one), the last edge leading to the first one, which was invoked before the others."""


def find_cycle(graph: Graph) -> Cycle | None:
    """The simplest kind first: fewest kinds of dependencies, and no more order than it takes."""
    everything = range(len(graph.edges))
    cyclic = [node for component in components(graph, everything, -1) for node in component]
    if not cyclic:
        return None
    for order in _ORDERS:
        for dependencies in _DEPENDENCIES:
            allowed = dependencies | order | THROUGH
            found = components(graph, cyclic, allowed)
            if found:
                # The smallest component has the shortest explanation, as a rule.
                return _shortest(graph, min(found, key=len), allowed)
    raise AssertionError("a cycle of the whole graph is one of the last kind")


def components(graph: Graph, nodes: Iterable[int], allowed: int) -> list[list[int]]:
    """The strongly connected components of more than one node, along edges of the allowed kinds between these nodes."""
    edges = graph.edges
    nodes = list(nodes)
    new, left = -1, len(edges) + 1
    low = [left] * len(edges)
    for node in nodes:
        low[node] = new
    found: list[list[int]] = []
    count = 0
    stack: list[int] = []
    for root in nodes:
        if low[root] != new:
            continue
        low[root] = count
        path = [(root, count, iter(edges[root]))]
        stack.append(root)
        count += 1
        while path:
            node, index, following = path[-1]
            for target, kind, _, _ in following:
                if not kind & allowed:
                    continue
                if low[target] == new:
                    low[target] = count
                    path.append((target, count, iter(edges[target])))
                    stack.append(target)
                    count += 1
                    break
                low[node] = min(low[node], low[target])
            else:
                path.pop()
                if path and low[node] < low[path[-1][0]]:
                    low[path[-1][0]] = low[node]
                if low[node] == index:
                    component = _popped(stack, node)
                    for each in component:
                        low[each] = left
                    if len(component) > 1:
                        found.append(component)
    return found


def _popped(stack: list[int], node: int) -> list[int]:
    component = [stack.pop()]
    while component[-1] != node:
        component.append(stack.pop())
    return component


def _shortest(graph: Graph, component: list[int], allowed: int) -> Cycle:
    """With a single anti-dependency if there is such a cycle, else the shortest one."""
    walk = _Walk(graph, component)
    best: Cycle | None = None
    if allowed & RW:
        for node in walk.inside:
            for edge in graph.edges[node]:
                if edge.kind == RW and edge.target in walk.inside:
                    best = _shorter(best, walk.cycle(node, edge, allowed & ~RW))
        if best is not None:
            return best
    for node in walk.inside:
        for edge in graph.edges[node]:
            if edge.kind & allowed and edge.target in walk.inside and (walk.left > 0 or best is None):
                best = _shorter(best, walk.cycle(node, edge, allowed, at_any_cost=best is None))
    assert best is not None, "every edge within a component is on a cycle"
    return best


def _shorter(best: Cycle | None, other: Cycle | None) -> Cycle | None:
    if best is None or other is None:
        return best or other
    return min(best, other, key=len)


class _Walk:
    """Breadth-first walks inside one component, with a budget for all of them."""

    def __init__(self, graph: Graph, component: list[int]) -> None:
        self.inside = dict.fromkeys(sorted(component))
        self.left = EDGES_MAX
        self._graph = graph

    def cycle(self, start: int, first: Edge, allowed: int, *, at_any_cost: bool = False) -> Cycle | None:
        """The shortest cycle that begins by this edge; None when there is none, or the budget ended."""
        came: dict[int, tuple[int, Edge]] = {first.target: (start, first)}
        waiting = deque([first.target])
        while waiting and (self.left > 0 or at_any_cost):
            node = waiting.popleft()
            if node == start:
                return self._along(start, came)
            for edge in self._graph.edges[node]:
                self.left -= 1
                if edge.kind & allowed and edge.target in self.inside and edge.target not in came:
                    came[edge.target] = (node, edge)
                    # Going on through a moment or an end costs nothing: it is half an edge.
                    (waiting.appendleft if edge.kind == THROUGH else waiting.append)(edge.target)
        return None

    def _along(self, start: int, came: dict[int, tuple[int, Edge]]) -> Cycle:
        cycle: Cycle = []
        node = start
        while not cycle or node != start:
            node, edge = came[node]
            if node < self._graph.transactions:
                cycle.append((node, edge))
        first = cycle.index(min(cycle))
        return cycle[first::-1] + cycle[:first:-1]
