"""Which links work, and who could lead by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, permutations
from typing import Final

from ferrite.core import Index, Term
from ferrite.sim.dice import Dice

NODES: Final = 5
QUORUM: Final = NODES // 2 + 1
LINKS: Final = tuple(combinations(range(1, NODES + 1), 2))
"""The ten links; the bits of a graph's number are in this order."""

Link = tuple[int, int]
"""Two nodes, the smaller first; of an *arrow*, the sender first."""
Log = tuple[Term, Index]
"""Last term and last index: the order in which logs are up to date."""


def graph(number: int) -> frozenset[Link]:
    """Return the graph of a number from 0 to 1023: bit k is the k-th of `LINKS`."""
    return frozenset(link for place, link in enumerate(LINKS) if number >> place & 1)


def all_graphs() -> Iterator[frozenset[Link]]:
    """Every graph once."""
    return (graph(number) for number in range(1 << len(LINKS)))


def relabelled(links: frozenset[Link], order: Sequence[int]) -> frozenset[Link]:
    """Return the same graph with node n named `order[n - 1]`."""
    return frozenset(_link(order[a - 1], order[b - 1]) for a, b in links)


def _link(a: int, b: int) -> Link:
    return (a, b) if a < b else (b, a)


def shapes() -> list[frozenset[Link]]:
    """Return one graph of each of the 34 shapes (classes up to renaming nodes), the one of the smallest number."""
    orders = list(permutations(range(1, NODES + 1)))
    seen: set[frozenset[Link]] = set()
    found = []
    for links in all_graphs():
        if links not in seen:
            found.append(links)
            seen.update(relabelled(links, order) for order in orders)
    return found


def both_ways(links: Iterable[Link]) -> frozenset[Link]:
    """Return the arrows of links that work both ways."""
    return frozenset(arrow for a, b in links for arrow in ((a, b), (b, a)))


def drawn_arrows(number: int) -> frozenset[Link]:
    """Return the directed graph of a number: of five links two work, two one way, one not at all, on average."""
    dice = Dice(number).stream("arrows")
    drawn = ((link, dice.pick(("both", "both", "there", "back", "none"))) for link in LINKS)
    return frozenset(
        arrow
        for (a, b), kind in drawn
        for arrow, kinds in (((a, b), ("both", "there")), ((b, a), ("both", "back")))
        if kind in kinds
    )


def _neighbours(arrows: frozenset[Link], node: int) -> list[int]:
    """Return whom the node can ask and hear the answer of, itself included."""
    others = range(1, NODES + 1)
    return [other for other in others if other == node or {(node, other), (other, node)} <= arrows]


def quorum_connected(arrows: frozenset[Link]) -> tuple[int, ...]:
    """Return the nodes that reach a quorum directly."""
    return tuple(node for node in range(1, NODES + 1) if len(_neighbours(arrows, node)) >= QUORUM)


def able_nodes(arrows: frozenset[Link], logs: Mapping[int, Log]) -> tuple[int, ...]:
    """Return the nodes that a quorum they reach would vote for."""

    def votes(node: int) -> int:
        return sum(logs[other] <= logs[node] for other in _neighbours(arrows, node))

    return tuple(node for node in range(1, NODES + 1) if votes(node) >= QUORUM)
