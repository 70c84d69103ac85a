"""Errors of the disk, the log and the state store as the one fact that the core understands: `StorageFailed`."""

from __future__ import annotations

import errno

from ferrite.core import events
from ferrite.core.disk import DiskError, LogCorrupt
from ferrite.core.kv import StateCorrupt

_FULL_ERRNOS = frozenset((errno.ENOSPC, errno.EDQUOT))
# RocksDB reports every error as a bare exception with a text: these are the beginnings and words of its status codes.
_FULL_TEXTS = ("no space left", "disk quota exceeded", "out of space", "space limit")
_CORRUPT_TEXTS = ("corruption:", "checksum mismatch")


def is_disk_full(error: BaseException) -> bool:
    """Is it for want of space?"""
    if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
        return True
    return bool(getattr(error, "disk_full", False)) or _says(error, _FULL_TEXTS)


def is_corrupt(error: BaseException) -> bool:
    """Is what is stored not what was written?"""
    if isinstance(error, LogCorrupt | StateCorrupt) or getattr(error, "corrupt", False):
        return True
    return not isinstance(error, DiskError) and _says(error, _CORRUPT_TEXTS)


def storage_failed(what: str, error: BaseException) -> events.StorageFailed:
    """Return the event for an error while doing `what`."""
    return events.StorageFailed(
        corrupt=is_corrupt(error),
        disk_full=is_disk_full(error),
        detail=f"{what}: {str(error) or repr(error)}",
    )


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
