"""What can go wrong with the log on disk. Each text says what was found, what was expected and what an operator can do."""

from __future__ import annotations

from typing import ClassVar, Final

REPLACE_NODE: Final = (
    "replace this node: remove it from the cluster, add it again under a new id with an empty data directory "
    "(of a single node: restore a backup)"
)
"""What to do about data that are damaged. Removing the damaged files alone would make the node forget its promises."""

MAKE_SPACE: Final = "make space on the disk and start the node again"
CHECK_DISK: Final = (
    "look at the disk and the kernel's log (dmesg), then start the node again: it reads and checks everything"
)


class DiskError(Exception):
    """The disk refused an operation. After a failed write or sync of the log nothing may be written again (fsyncgate, 2018)."""

    def __init__(self, detail: str, *, disk_full: bool = False) -> None:
        """The text is the detail and what to do."""
        super().__init__(f"{detail}; {MAKE_SPACE if disk_full else CHECK_DISK}")
        self.detail = detail
        self.disk_full = disk_full


class LogCorrupt(Exception):
    """What is on disk is not what was written, or not all of it. Never guessed around: the node stays down."""

    advice: ClassVar[str] = REPLACE_NODE
    """Said after every detail; empty where the detail says it."""

    def __init__(self, detail: str) -> None:
        """The text is the detail and what to do."""
        super().__init__(f"{detail}; {self.advice}" if self.advice else detail)


class WrongIdentity(Exception):
    """The data belong to another node, data directory, group or cluster."""


class NewerFormat(Exception):
    """The data were written by a later version of Ferrite, in a format that this one does not read."""
