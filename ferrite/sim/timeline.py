"""Virtual time: one heap of things that will happen. Ties are broken by the order in which they were scheduled."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timeline:
    """The clock of a run, in integer microseconds. Nothing happens between two entries of the heap."""

    def __init__(self) -> None:
        self.now_us = 0
        self.events_done = 0
        self._counter = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, time_us: int, happen: Callable[[], None]) -> None:
        """Let `happen` be called at this time, now at the earliest."""
        self._counter += 1
        heapq.heappush(self._heap, (max(time_us, self.now_us), self._counter, happen))

    def after(self, delay_us: int, happen: Callable[[], None]) -> None:
        """Let `happen` be called this much later."""
        self.at(self.now_us + delay_us, happen)

    @property
    def next_us(self) -> int | None:
        """When the next thing happens; None when nothing will."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._heap:
            return False
        self.now_us, _, happen = heapq.heappop(self._heap)
        self.events_done += 1
        happen()
        return True

    def run_until(self, time_us: int) -> None:
        """Let everything happen up to this time, which is then the present."""
        while self._heap and self._heap[0][0] <= time_us:
            self.step()
        self.now_us = max(self.now_us, time_us)
