"""Reads a backup file, every byte of it, and says what it holds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from ferrite.core.kv import (
    BackupContents,
    ExpectedSnapshot,
    SnapshotInvalid,
    open_backup,
    read_snapshot,
    summarize,
)

READ_BYTES: Final = 256 << 10
Progress = Callable[[int], None]
"""Is told of so many bytes more."""


class BackupInvalid(Exception):
    """The file is not the backup that was saved; the text says what is wrong. Nothing of it may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStatus:
    """What a verified file holds. `last_index` and `last_term`: the log's position of which it is the state."""

    cluster_id: bytes
    cluster_name: str
    node_id: int
    """Who made it."""
    version: str
    """Of Ferrite."""
    saved_unix_ms: int
    last_index: int
    last_term: int
    revision: int
    compacted_revision: int
    key_count: int
    lease_count: int
    session_count: int
    size_bytes: int
    sha256: bytes
    """Of the whole file."""


class BackupFile:
    """A file being read from its beginning; a context manager. `size_bytes` and `sha256` are of what was read."""

    def __init__(self, path: str, progress: Progress | None = None) -> None:
        """Raises `BackupInvalid` for what is no file, and OSError."""
        self.path = path
        self.size_bytes = 0
        self._progress = progress
        self._digest = hashlib.sha256()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BackupInvalid(f"{path} is no file: name the file that was saved")
        self._file = os.fdopen(descriptor, "rb")

    @property
    def sha256(self) -> bytes:
        """Of what was read so far."""
        return self._digest.digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if isinstance(error, SnapshotInvalid):
            raise BackupInvalid(
                f"{self.path} is not a whole backup: {error.reason}. Use another copy; nothing of this one may be used"
            ) from error

    def contents(self) -> BackupContents:
        """Read the beginning. Raises SnapshotInvalid, here and from the pairs: the block's end makes `BackupInvalid` of it."""
        return open_backup(read_snapshot(self._chunks(), expected=ExpectedSnapshot(group_id=0)))

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._file.read(READ_BYTES):
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            if self._progress is not None:
                self._progress(len(chunk))
            yield chunk


def status(path: str, *, progress: Progress | None = None) -> BackupStatus:
    """Verify the whole file and return what it holds. Blocks. Raises `BackupInvalid` and OSError."""
    with BackupFile(path, progress) as file:
        contents = file.contents()
        summary = summarize(contents)
        header, note = contents.header, contents.note
        return BackupStatus(
            cluster_id=header.cluster_id,
            cluster_name=note.cluster_name,
            node_id=header.source,
            version=note.version,
            saved_unix_ms=note.saved_unix_ms,
            last_index=header.last_index,
            last_term=header.last_term,
            revision=summary.revision,
            compacted_revision=summary.compacted_revision,
            key_count=summary.key_count,
            lease_count=summary.lease_count,
            session_count=summary.session_count,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )
