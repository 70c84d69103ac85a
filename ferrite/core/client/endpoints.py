"""Whom to ask: the leader where it is known, else one after the other; those that failed have a rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

Dice = Callable[[int], int]
"""`dice(bound)`: an integer from 0 to bound - 1. Seeded in the simulator."""

COOL_DOWN_FIRST_US: Final = 250_000
COOL_DOWN_MAX_US: Final = 10_000_000
"""Doubled with each failure in a row. A node that restarts is back within seconds; asking one that is away costs a time-out
each.
"""
FOUND_MAX: Final = 256
"""Members beyond it are not used: no cluster is so large, and an answer must not fill the memory."""


class _Health:
    """How an endpoint did lately."""

    __slots__ = ("cool_until_us", "failures")

    def __init__(self) -> None:
        self.failures = 0
        self.cool_until_us = 0


class Endpoints:
    """Those that the user gave stay for ever; those found are replaced by what is found later."""

    __slots__ = ("_all", "_dice", "_given", "_health", "_position", "leader")

    def __init__(self, given: Sequence[str], dice: Dice) -> None:
        assert given, "a client has one endpoint at least"
        self._given = tuple(dict.fromkeys(given))
        self._dice = dice
        self._all = self._given
        self._health: dict[str, _Health] = {}
        self._position = dice(len(self._all))
        self.leader = ""
        """As far as known; empty: unknown."""

    @property
    def all(self) -> tuple[str, ...]:
        return self._all

    def found(self, endpoints: Sequence[str]) -> None:
        """These are the members now."""
        self._all = tuple(dict.fromkeys((*self._given, *endpoints[:FOUND_MAX])))
        self._health = {name: health for name, health in self._health.items() if name in self._all}
        if self.leader not in self._all:
            self.leader = ""

    def leads(self, endpoint: str) -> None:
        """Somebody said who leads."""
        self.leader = endpoint
        if endpoint and endpoint not in self._all:
            self._all = (*self._all, endpoint)[: FOUND_MAX + len(self._given)]

    def choose(self, now_us: int, *, avoid: Collection[str] = (), any_node: bool = False) -> str:
        """The leader (unless `any_node` will do), else the next in turn; not one to avoid or that cools down, if there is
        another.
        """
        if not any_node and self.leader and self.leader not in avoid and self._fit(self.leader, now_us):
            return self.leader
        count = len(self._all)
        turn = [self._all[(self._position + step) % count] for step in range(1, count + 1)]
        best = min(turn, key=lambda name: (name in avoid, max(0, self._cool_until_us(name) - now_us)))
        self._position = self._all.index(best)
        return best

    def has_fit(self, now_us: int, *, avoid: Collection[str]) -> bool:
        """Is there one to ask at once?"""
        return any(name not in avoid and self._fit(name, now_us) for name in self._all)

    def is_suspect(self, endpoint: str) -> bool:
        """It failed, and has not answered since."""
        return endpoint in self._health

    def did_well(self, endpoint: str) -> None:
        """It answered."""
        self._health.pop(endpoint, None)

    def failed(self, endpoint: str, now_us: int) -> None:
        """It did not answer, or is of no use for now."""
        if endpoint == self.leader:
            self.leader = ""
        if endpoint not in self._all:
            return
        health = self._health.setdefault(endpoint, _Health())
        if now_us < health.cool_until_us:
            return  # The same failure, seen by several calls.
        rest_us = min(COOL_DOWN_MAX_US, COOL_DOWN_FIRST_US << min(health.failures, 16))
        health.failures += 1
        health.cool_until_us = now_us + rest_us // 2 + self._dice(rest_us // 2 + 1)

    def _fit(self, endpoint: str, now_us: int) -> bool:
        return self._cool_until_us(endpoint) <= now_us

    def _cool_until_us(self, endpoint: str) -> int:
        health = self._health.get(endpoint)
        return health.cool_until_us if health else 0
