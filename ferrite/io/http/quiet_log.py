"""Lines about what clients do, rate-limited by kind: no input, however often, may fill a log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 10.0  # at most one line of a kind in this time; the next one says how many were left out


class QuietLog:
    """Logs the first event of a kind and then counts. `kind` is one of our own words, never a client's."""

    def __init__(self, logger: logging.Logger, clock_s: Callable[[], float]) -> None:
        """`clock_s` is monotonic, in seconds."""
        self._logger = logger
        self._clock_s = clock_s
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def refusal(self, kind: str, detail: str) -> None:
        """Somebody sent what we refuse: a line for operators, no traceback. `detail` must be one printable line."""
        left_out = self._due(kind)
        if left_out is not None:
            self._logger.warning("%s: %s%s", kind, detail, _more(left_out))

    def failure(self, kind: str, error: BaseException) -> None:
        """We failed: with the traceback."""
        left_out = self._due(kind)
        if left_out is not None:
            self._logger.error("%s%s", kind, _more(left_out), exc_info=error)

    def _due(self, kind: str) -> int | None:
        """How many were left out since the last line, when a line is due; else None."""
        now_s = self._clock_s()
        if now_s < self._next_s.get(kind, now_s):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._next_s[kind] = now_s + INTERVAL_S
        return self._left_out.pop(kind, 0)


def _more(left_out: int) -> str:
    return f" ({left_out} more since the last line)" if left_out else ""
