"""How a server that wants to stop tells its long streams."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class Drain:
    """Begins once. From then on streams take nothing new, finish what they have begun, and end themselves."""

    def __init__(self) -> None:
        """Not begun."""
        self.begun = False
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._last = 0

    def begin(self) -> None:
        """Tell everybody who listens; whoever comes later is told at once."""
        self.begun = True
        for callback in list(self._callbacks.values()):
            callback()

    @contextlib.contextmanager
    def calls(self, callback: Callable[[], object]) -> Iterator[None]:
        """Within the block, call `callback` when it begins, or now when it has. It must not raise."""
        self._last += 1
        number = self._last
        self._callbacks[number] = callback
        try:
            if self.begun:
                callback()
            yield
        finally:
            del self._callbacks[number]
