"""Backups: streamed by a node (`serving`), saved and looked at as files, and made into new data directories (docs/backup.md).

What stands here is for tools and needs no running node.
"""

from ferrite.io.backup.reading import BackupInvalid, BackupStatus, Progress, status
from ferrite.io.backup.restoring import (
    REVISION_BUMP,
    Restored,
    RestoreRefused,
    restore,
)
from ferrite.io.backup.saving import SaveRefused, save

__all__ = [
    "REVISION_BUMP",
    "BackupInvalid",
    "BackupStatus",
    "Progress",
    "RestoreRefused",
    "Restored",
    "SaveRefused",
    "restore",
    "save",
    "status",
]
