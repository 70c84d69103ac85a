"""Say the same thing once a minute, not once a frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

INTERVAL_S = 60.0
SUBJECTS_MAX = 256  # different things remembered; a stranger who varies them makes the oldest speak again


class Quiet:
    """Remembers when each thing was said last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        self._clock = clock
        self._said: dict[Hashable, float] = {}

    def may_speak(self, subject: Hashable) -> bool:
        """True when `subject` was not said within the last minute; counts as said then."""
        now = self._clock()
        last = self._said.pop(subject, None)
        silent = last is not None and now - last < INTERVAL_S
        self._said[subject] = last if silent and last is not None else now
        if len(self._said) > SUBJECTS_MAX:
            del self._said[next(iter(self._said))]
        return not silent
