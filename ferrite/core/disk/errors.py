"""What can go wrong with the log on disk. Each text says what was found, what was expected and what an operator can do."""

from __future__ import annotations


class DiskError(Exception):
    """The disk refused an operation. After a failed write or sync of the log nothing may be written again (fsyncgate, 2018)."""

    def __init__(self, detail: str, *, disk_full: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.disk_full = disk_full


class LogCorrupt(Exception):
    """What is on disk is not what was written, or not all of it. Never guessed around: the node stays down."""


class WrongIdentity(Exception):
    """The data belong to another node, data directory, group or cluster."""


class NewerFormat(Exception):
    """The data were written by a later version of Ferrite, in a format that this one does not read."""
