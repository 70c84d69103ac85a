"""The rolling digest of everything that happens, with checkpoints to find where two runs part, and the last lines as text."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Final

import msgpack

CHUNK_NOTES: Final = 1024
"""Notes are hashed so many at once; after each chunk stands a checkpoint."""

Note = tuple[object, ...]
_pack: Final = msgpack.Packer().pack
"""One packer for all: to make one costs as much as to pack a note."""


class Trace:
    """Same seed, same digest: one number for a whole run.

    A note is a tuple `(time_us, node, what, ...)` of texts, numbers, bytes and tuples of them, hashed in its msgpack form.
    `lines_max` keeps the newest notes; `chunk` keeps those of one chunk, counted from 0.
    """

    def __init__(self, lines_max: int = 0, *, chunk: int = -1) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._notes: list[Note] = []
        self._last: deque[Note] = deque(maxlen=lines_max)
        self._chunk = chunk
        self.chunk_notes: list[Note] = []
        self.checkpoints: list[str] = []

    def note(self, *note: object) -> None:
        """Add one note."""
        self._notes.append(note)
        if len(self._notes) >= CHUNK_NOTES:
            self._hash_chunk()

    def _hash_chunk(self) -> None:
        if len(self.checkpoints) == self._chunk:
            self.chunk_notes = self._notes
        self._hash.update(_pack(self._notes))
        self._last.extend(self._notes[-(self._last.maxlen or 0) :])
        self._notes = []
        self.checkpoints.append(self._hash.hexdigest())

    def digest(self) -> str:
        """Return the digest of all notes, 32 hex digits. Nothing is noted after it."""
        if self._notes:
            self._hash_chunk()
        return self._hash.hexdigest()

    def last_lines(self) -> list[str]:
        """Return the newest notes as text, oldest first."""
        kept = self._last.maxlen or 0
        notes = [*self._last, *self._notes][-kept:] if kept else []
        return [text_of(note) for note in notes]


def text_of(note: Note) -> str:
    """One line."""
    return " ".join(str(part) for part in note)
