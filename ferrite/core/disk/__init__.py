"""The segmented Raft log: formats, recovery and the store, over a small file interface that hosts implement (docs/disk.md)."""

from ferrite.core.disk.errors import (
    CHECK_DISK,
    MAKE_SPACE,
    REPLACE_NODE,
    DiskError,
    LogCorrupt,
    NewerFormat,
    WrongIdentity,
)
from ferrite.core.disk.files import INSTANCE, Files
from ferrite.core.disk.recovery import OpenReport, check_log
from ferrite.core.disk.store import LogOptions, LogStore
from ferrite.core.disk.torn import Cut

__all__ = [
    "CHECK_DISK",
    "INSTANCE",
    "MAKE_SPACE",
    "REPLACE_NODE",
    "Cut",
    "DiskError",
    "Files",
    "LogCorrupt",
    "LogOptions",
    "LogStore",
    "NewerFormat",
    "OpenReport",
    "WrongIdentity",
    "check_log",
]
