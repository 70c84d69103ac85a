"""The machine's position and counters: one small record, written with every batch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import ClassVar, Final

from ferrite.core.values import Index, Term

EMPTY_REVISION: Final = 1
"""The revision of a store that nothing changed yet: etcd's. The first change is at 2, and 0 stays free to mean "the latest"."""


@dataclass(slots=True)
class Meta:
    """What stands in the record `applied`. An apply owns a copy and changes it; everybody else only reads.

    Always: `session_deadline_us` is at most the time at which the first session expires (0: there is no session),
    `lease_deadline_us` at most that at which the first lease ends (0: there is no lease); `buried_first <= buried_next`;
    `swept_revision <= sweep_to_revision <= compacted_revision <= revision`.
    """

    FIELDS: ClassVar[int]

    applied_index: Index = field(default=Index(0))
    applied_term: Term = field(default=Term(0))
    time_us: int = 0
    """Cluster time; never decreases."""
    revision: int = EMPTY_REVISION
    membership_index: Index = field(default=Index(0))
    session_count: int = 0
    session_deadline_us: int = 0
    buried_first: int = 0
    buried_next: int = 0
    """Tombstones of sessions are numbered `[buried_first, buried_next)`."""
    size_bytes: int = 0
    """Of the records of table 40, keys included."""
    no_space: int = 0
    """1 while commands that add are refused."""
    compacted_revision: int = 0
    """The oldest revision that can be read; 0: nothing was compacted."""
    swept_revision: int = 0
    """What compaction to here leaves over is gone."""
    sweep_to_revision: int = 0
    """Where the sweep at work ends; `swept_revision` when none is."""
    sweep_revision: int = 0
    sweep_sub: int = 0
    """The change at which that sweep goes on."""
    lease_count: int = 0
    lease_deadline_us: int = 0

    def numbers(self) -> tuple[int, ...]:
        """Return the fields in order."""
        return _NUMBERS(self)

    def copy(self) -> Meta:
        """Return the copy that an apply works on."""
        return Meta(*_NUMBERS(self))


_NUMBERS = attrgetter(*(each.name for each in fields(Meta)))
Meta.FIELDS = len(fields(Meta))
