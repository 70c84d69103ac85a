"""The next segment's file, made ahead in slices, so that rolling does not wait for megabytes of zeros."""

from __future__ import annotations

from ferrite.core.disk.errors import DiskError
from ferrite.core.disk.files import SPARE, Files


class Spare:
    """A file of zeros called `spare` that grows and then becomes a segment. Its content means nothing before that."""

    def __init__(self, files: Files, size_bytes: int, slice_bytes: int) -> None:
        self._files = files
        self._size_bytes = size_bytes
        self._slice_bytes = slice_bytes
        self._made_bytes: int | None = None
        self._seen_end = 0
        self._disk_full = False

    def grow(self, end: int) -> bool:
        """Write the next slice; `end` is how far the current segment is written. True when more is left to do.

        A full disk is no failure yet: the current segment has its room, and so the rest waits until the roll.
        """
        if self._disk_full or self._made_bytes == self._size_bytes:
            return False
        try:
            if self._made_bytes is None:
                self._files.create(SPARE, 0)
                self._made_bytes, self._seen_end = 0, end
            # The second half of a segment pays for a whole one: two bytes for each byte that was appended.
            wanted = max(self._slice_bytes, 2 * (end - self._seen_end))
            length = min(wanted, self._size_bytes - self._made_bytes)
            self._files.write(SPARE, self._made_bytes, bytes(length))
            self._files.sync(SPARE)
        except DiskError as error:
            if not error.disk_full:
                raise
            self._give_up()
            return False
        self._made_bytes, self._seen_end = self._made_bytes + length, end
        return self._made_bytes < self._size_bytes

    def become(self, name: str, head: bytes, size_bytes: int) -> None:
        """Turn the spare into the segment file `name` that begins with `head`, durably, in this order: zeros, head, name."""
        if self._made_bytes is None:
            self._files.create(SPARE, size_bytes)
        elif self._made_bytes < size_bytes:
            self._files.write(SPARE, self._made_bytes, bytes(size_bytes - self._made_bytes))
        self._files.write(SPARE, 0, head)
        self._files.sync(SPARE)
        self._files.rename(SPARE, name)
        self._made_bytes, self._disk_full = None, False

    def _give_up(self) -> None:
        self._disk_full, self._made_bytes = True, None
        if SPARE in self._files.list():
            self._files.remove(SPARE)
