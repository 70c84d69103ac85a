"""The few file operations the log needs, what each makes durable, and how its files are named."""

from __future__ import annotations

from typing import Final, Protocol

MARK: Final = "mark"
INSTANCE: Final = "instance"
"""Made by the host with the data directory, before its identity: a log directory without it was emptied, or is another one."""
SPARE: Final = "spare"
_SEGMENT_SUFFIX: Final = ".seg"
_TORN_PREFIX: Final = "torn-"
_DIGITS: Final = 16


class Files(Protocol):
    """One flat directory of files. Every method raises `DiskError`; none retries.

    Durable here means: survives the loss of power. What is not durable may survive in part, each 512-byte sector on its own:
    as it was, or as it was last written. A file not synced may also come back without its last extensions.
    """

    def list(self) -> tuple[str, ...]:
        """Return the names of everything in the directory, in any order."""
        ...

    def size(self, name: str) -> int:
        """Return the size in bytes. Raises `DiskError` when it is missing or no regular file."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return what was last written; shorter than `length` only at the end of the file."""
        ...

    def create(self, name: str, size_bytes: int) -> None:
        """Make a new file of really written zeros. The file, its size, its zeros and its name are durable afterwards.

        Raises `DiskError` when the name exists. After an error the name may exist or not.
        """
        ...

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of `data`; past the end the file grows. Nothing of it is durable before `sync` of this file."""
        ...

    def sync(self, name: str) -> None:
        """Make everything written to this file so far durable, its size included. Says nothing about other files."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file a name that is free. Atomic; the new name is durable afterwards, the content as far as it was synced."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file. That it is gone is durable afterwards."""
        ...


def segment_name(number: int) -> str:
    """Return the file name of a segment; names sort as their numbers do."""
    return f"{number:0{_DIGITS}x}{_SEGMENT_SUFFIX}"


def segment_number(name: str) -> int | None:
    """Return the number in a segment's file name; None for every other name."""
    digits = name.removesuffix(_SEGMENT_SUFFIX)
    if digits == name or len(digits) != _DIGITS or not set(digits) <= set("0123456789abcdef"):
        return None
    return int(digits, 16) or None


def torn_name(number: int, offset: int, write_seq: int) -> str:
    """Return the file name for the copy of bytes that were cut from a segment after this write."""
    return f"{_TORN_PREFIX}{number:0{_DIGITS}x}-{offset:08x}-{write_seq}"


def is_torn_copy(name: str) -> bool:
    """Is this the name of a copy made by an earlier cut?"""
    return name.startswith(_TORN_PREFIX)
