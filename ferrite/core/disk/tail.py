"""The last entries of the log while it is read, bounded in memory; entry objects are made only for those that remain."""

from __future__ import annotations

from collections import deque
from typing import Final

from ferrite.core.disk.record import Body
from ferrite.core.values import Entry

ENTRY_OVERHEAD_BYTES: Final = 96
"""What an entry costs in memory besides its payload: a tuple, a bytes object, a place in a list."""


class Tail:
    """The bodies of the last records, with how many entries of each are live. Holds at most one record more than its bound."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._bodies: deque[tuple[int, int, int, Body]] = deque()
        """First index, number of live entries, bytes, body."""

    def clear(self) -> None:
        """Forget everything: the log was emptied."""
        self._bodies.clear()
        self._bytes = 0

    def append(self, first_index: int, size: int, body: Body) -> None:
        """Add one record's entries, about `size` bytes, and forget old ones."""
        size += ENTRY_OVERHEAD_BYTES * len(body.payloads)
        self._bodies.append((first_index, len(body.payloads), size, body))
        self._bytes += size
        while self._bytes - self._bodies[0][2] > self._bytes_max:
            self._bytes -= self._bodies.popleft()[2]

    def truncate(self, first_index: int) -> None:
        """Drop every entry from `first_index` on."""
        while self._bodies and self._bodies[-1][0] + self._bodies[-1][1] > first_index:
            first, _, size, body = self._bodies.pop()
            if first < first_index:
                self._bodies.append((first, first_index - first, size, body))
            else:
                self._bytes -= size

    def entries(self) -> tuple[Entry, ...]:
        """Return the last entries, as many as the bound allows."""
        kept: list[Entry] = []
        size = 0
        for _, live, _, body in reversed(self._bodies):
            for entry in reversed(list(body.entries())[:live]):
                size += len(entry.payload) + ENTRY_OVERHEAD_BYTES
                if size > self._bytes_max:
                    return tuple(reversed(kept))
                kept.append(entry)
        return tuple(reversed(kept))
