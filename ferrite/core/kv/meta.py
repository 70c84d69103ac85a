"""The machine's position and counters: one small record, written with every batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ferrite.core.values import Index, Term

EMPTY_REVISION: Final = 1
"""The revision of a store that nothing changed yet: etcd's. The first change is at 2, and 0 stays free to mean "the latest"."""


@dataclass(slots=True)
class Meta:
    """What stands in the record `applied`. An apply owns a copy and changes it; everybody else only reads.

    Always: `session_deadline_us` is at most the time at which the first session expires (0: there is no session);
    `buried_first <= buried_next`.
    """

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

    def copy(self) -> Meta:
        """Return the copy that an apply works on (a third of the price of `dataclasses.replace`)."""
        return Meta(
            self.applied_index,
            self.applied_term,
            self.time_us,
            self.revision,
            self.membership_index,
            self.session_count,
            self.session_deadline_us,
            self.buried_first,
            self.buried_next,
        )
