"""The rolling digest of everything that happens, and the last lines of it for a failure report."""

from __future__ import annotations

import hashlib
from collections import deque


class Trace:
    """Same seed, same digest: one number for a whole run. `lines_max` 0 keeps no text."""

    def __init__(self, lines_max: int = 0) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._lines: deque[str] = deque(maxlen=lines_max)
        self.lines_max = lines_max
        self.count = 0

    def note(self, time_us: int, node: int, *what: object) -> None:
        """Add one line. `what` are texts, numbers and tuples of them: nothing whose repr differs between processes."""
        line = f"{time_us} {node} {what!r}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.count += 1
        if self.lines_max:
            self._lines.append(line)

    def digest(self) -> str:
        """Return the digest of all lines so far, 32 hex digits."""
        return self._hash.hexdigest()

    def last_lines(self) -> list[str]:
        """Return the newest lines kept, oldest first."""
        return list(self._lines)
