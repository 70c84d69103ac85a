"""Writes a backup that comes in pieces to a file, which has its name only when it is whole, verified and durable."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from ferrite.io.backup.reading import BackupStatus, Progress, status
from ferrite.io.durable import publish

PART_SUFFIX: Final = ".part"
FILE_MODE: Final = 0o600


class SaveRefused(Exception):
    """The file is there already."""


async def save(
    pieces: AsyncIterator[bytes], path: str, *, replace: bool = False, progress: Progress | None = None
) -> BackupStatus:
    """Write the pieces (`AsyncClient.backup`) to `path`, read it back, and return what it holds. Mode 0600.

    Until it is whole the file is `path` with `.part`; after a failure nothing is left. Raises `SaveRefused`, `BackupInvalid`,
    OSError, and what `pieces` raises. `progress` is told of bytes written.
    """
    part = path + PART_SUFFIX
    descriptor = _begin(path, part, replace=replace)
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for piece in pieces:
                file.write(piece)
                if progress is not None:
                    progress(len(piece))
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        found = await asyncio.to_thread(status, part)
        publish(Path(part), Path(path))
    finally:
        with contextlib.suppress(FileNotFoundError):  # it has its name
            os.unlink(part)
    return found


def _begin(path: str, part: str, *, replace: bool) -> int:
    if os.path.lexists(path) and not replace:
        raise SaveRefused(f"{path} exists: give another name, or ask to replace it")
    with contextlib.suppress(FileNotFoundError):  # of a save that was killed; its mode may be another
        os.unlink(part)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(part, flags, FILE_MODE)
