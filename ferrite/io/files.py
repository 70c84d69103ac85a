"""Real files for the log: one directory, `pwrite`, `fdatasync`, and zeros that are really written."""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ferrite.core.disk import DiskError

FILE_MODE: Final = 0o600
OPEN_FILES_MAX: Final = 32
"""Descriptors kept open. Only files with nothing to sync are closed: an error of theirs would be reported to nobody."""
_ZEROS: Final = bytes(1 << 20)
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# macOS, for development only, has no fdatasync.
_fdatasync: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


class DirectoryFiles:
    """`ferrite.core.disk.Files` over one existing directory. Not thread-safe: the log thread owns it."""

    def __init__(self, path: str) -> None:
        """Raises `DiskError` when `path` is no directory that can be opened."""
        self.path = path
        self._open: OrderedDict[str, int] = OrderedDict()
        self._unsynced: set[str] = set()
        with self._errors("open", "."):
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def list(self) -> tuple[str, ...]:
        """Return the names of everything in the directory, directories included."""
        with self._errors("list", "."):
            return tuple(os.listdir(self._directory))

    def size(self, name: str) -> int:
        """Return the size in bytes. Raises `DiskError` unless it is a regular file."""
        with self._errors("open", name):
            return os.fstat(self._descriptor(name)).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the end of the file."""
        pieces = []
        with self._errors("read", name):
            descriptor = self._descriptor(name)
            while length > 0:
                piece = os.pread(descriptor, length, offset)
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def create(self, name: str, size_bytes: int) -> None:
        """Make a file of zeros, durably. Written, not `posix_fallocate`d: unwritten extents cost a journal commit a sync later.

        After a failure the unfinished file is removed when that is possible: on a full disk its room is needed.
        """
        with self._errors("create", name):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._directory)
        self._keep(name, descriptor)
        try:
            for offset in range(0, size_bytes, len(_ZEROS)):
                self.write(name, offset, _ZEROS[: size_bytes - offset])
            with self._errors("fsync", name):
                os.fsync(descriptor)
                self._unsynced.discard(name)
            self._sync_directory()
        except DiskError as error:
            if error.disk_full:
                self.remove(name)
            raise

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`."""
        with self._errors("write", name):
            descriptor = self._descriptor(name)
            self._unsynced.add(name)
            written = os.pwrite(descriptor, data, offset)
            while written < len(data):
                written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)

    def sync(self, name: str) -> None:
        """Make what was written to this file durable, its size included."""
        with self._errors("fdatasync", name):
            _fdatasync(self._descriptor(name))
            self._unsynced.discard(name)

    def rename(self, old: str, new: str) -> None:
        """Give a file a free name, durably."""
        with self._errors(f"rename {old} to", new):
            if new in os.listdir(self._directory):
                raise FileExistsError(errno.EEXIST, "the name is taken")
            os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        if old in self._open:
            self._open[new] = self._open.pop(old)
        if old in self._unsynced:
            self._unsynced.remove(old)
            self._unsynced.add(new)
        self._sync_directory()

    def remove(self, name: str) -> None:
        """Remove a file, durably."""
        self._forget(name)
        with self._errors("remove", name):
            os.unlink(name, dir_fd=self._directory)
        self._sync_directory()

    def close(self) -> None:
        """Close every descriptor. What was not synced stays in doubt."""
        for name in tuple(self._open):
            self._forget(name)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is not None:
            self._open.move_to_end(name)
            return descriptor
        # O_NONBLOCK: a pipe that bears a segment's name must not hang us before we see what it is.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=self._directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file; move it out of the log directory")
        self._keep(name, descriptor)
        return descriptor

    def _keep(self, name: str, descriptor: int) -> None:
        self._open[name] = descriptor
        if len(self._open) > OPEN_FILES_MAX:
            clean = [kept for kept in self._open if kept not in self._unsynced and kept != name]
            for kept in clean[: len(self._open) - OPEN_FILES_MAX]:
                os.close(self._open.pop(kept))

    def _forget(self, name: str) -> None:
        self._unsynced.discard(name)
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def _sync_directory(self) -> None:
        with self._errors("fsync of the directory of", "."):
            os.fsync(self._directory)

    @contextmanager
    def _errors(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            detail = f"{operation} {os.path.join(self.path, name)}: {error.strerror or error}"
            raise DiskError(detail, disk_full=error.errno in _DISK_FULL) from error
