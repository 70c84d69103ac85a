"""Files and directory entries that survive a power loss: the few calls that make them so."""

from __future__ import annotations

import os
from pathlib import Path


def fsync_directory(directory: Path) -> None:
    """Make the directory's entries (new files, renames, removals) durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory durably if it is not there; its parent must be. Raises OSError."""
    if not directory.is_dir():
        directory.mkdir()
        fsync_directory(directory.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Give the file this content, durably and atomically: after a crash it has the old or the new one. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    publish(temporary, path)


def publish(temporary: Path, path: Path) -> None:
    """Rename a file whose content is durable to its final name, durably. Raises OSError."""
    temporary.rename(path)
    fsync_directory(path.parent)
