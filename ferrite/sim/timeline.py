"""Virtual time: one heap of things that will happen. Ties are broken by the order in which they were scheduled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class EndlessRun(Exception):
    """More events than a run may have: something goes round and round."""


class Timeline:
    """The clock of a run, in integer microseconds. Nothing happens between two entries of the heap."""

    def __init__(self, events_max: int = 0) -> None:
        """`events_max` ends a run that never ends; 0 for no bound."""
        self.events_max = events_max
        self.now_us = 0
        self.events_done = 0
        self._counter = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, time_us: int, happen: Callable[..., None], *given: Any) -> None:
        """Let `happen(*given)` be called at this time, now at the earliest."""
        now_us = self.now_us
        self._counter = counter = self._counter + 1
        # Without `max`, which would cost as much as all the rest.
        due_us = time_us if time_us > now_us else now_us  # noqa: FURB136 - the same
        heappush(self._heap, (due_us, counter, happen, given))

    def after(self, delay_us: int, happen: Callable[..., None], *given: Any) -> None:
        """Let `happen(*given)` be called this much later; not negative."""
        self._counter = counter = self._counter + 1
        heappush(self._heap, (self.now_us + delay_us, counter, happen, given))

    @property
    def next_us(self) -> int | None:
        """When the next thing happens; None when nothing will."""
        return self._heap[0][0] if self._heap else None

    def at_rest(self) -> bool:
        """Is nothing else to happen at this instant?"""
        heap = self._heap
        return not heap or heap[0][0] > self.now_us

    def step(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._heap:
            return False
        self.now_us, _, happen, given = heappop(self._heap)
        self.events_done += 1
        happen(*given)
        return True

    def run_until(self, time_us: int) -> None:
        """Let everything happen up to this time, which is then the present."""
        heap, events_max = self._heap, self.events_max or sys.maxsize
        while heap and heap[0][0] <= time_us:
            self.now_us, _, happen, given = heappop(heap)
            self.events_done = done = self.events_done + 1
            if done > events_max:
                raise EndlessRun
            happen(*given)
        self.now_us = max(self.now_us, time_us)
