"""What a leader proposes by itself: time for leases, compaction by policy, the space quota.

Every node has one, and all of them take samples; only a leader proposes. What it decides takes effect through the log alone, so a
leader that is none any more can propose in vain but do no harm.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from ferrite.core.kv.machine import StateMachine
from ferrite.core.kv.operations import Compact, SetNoSpace, Tick
from ferrite.core.values import value

LOOK_US: Final = 1_000_000
"""A look at the state at least so often: a lease lives 2 s and more, and a quota is overrun by a second's writes at most."""
ENTRY_GAP_US_MAX: Final = 1_000_000
"""While leases exist there is an entry so often: what of a lease's time a new leader does not know of."""
SWEEP_PAUSE_US: Final = 50_000
"""Between two Ticks of a compaction: it removes up to 20,000 changes a second and leaves most of the time to clients."""
SAMPLES_PER_AGE: Final = 10
"""History is kept up to so much of a part longer than its age."""
SPACE_FREE_PERCENT: Final = 90
"""Of the quota: below it clients may add again. Without the distance, each deletion would let one more put in."""

HousekeepingCommand = Tick | Compact | SetNoSpace


class AutoCompaction(enum.StrEnum):
    """Whether history is forgotten by itself, and how much of it is kept."""

    OFF = "off"
    REVISIONS = "revisions"
    AGE = "age"


@value
class HousekeepingConfig:
    """Of one node; those of the leader count. `retention`: revisions, or microseconds of cluster time."""

    quota_bytes: int = 0
    """0: none."""
    auto_compaction: AutoCompaction = AutoCompaction.OFF
    retention: int = 0


@value
class MachineFacts:
    """What the machine says of itself: see `StateMachine`."""

    time_us: int
    revision: int
    compacted_revision: int
    compaction_pending: bool
    lease_count: int
    next_deadline_us: int
    size_bytes: int
    no_space: bool

    @classmethod
    def of(cls, machine: StateMachine) -> MachineFacts:
        """Return them as they are now."""
        return cls(
            time_us=machine.time_us,
            revision=machine.revision,
            compacted_revision=machine.compacted_revision,
            compaction_pending=machine.compaction_pending,
            lease_count=machine.lease_count,
            next_deadline_us=machine.next_deadline_us,
            size_bytes=machine.size_bytes,
            no_space=machine.no_space,
        )


class Housekeeper:
    """Says what to propose. The host asks `consider` when it was told to, and after the outcome of what it proposed."""

    __slots__ = ("_config", "_samples", "_swept_us")

    def __init__(self, config: HousekeepingConfig) -> None:
        """Knows nothing of the past: by age, history is kept a whole retention after a start."""
        self._config = config
        self._samples: deque[tuple[int, int]] = deque()
        """`(time_us, revision)`, ascending in both: at that time, the revision was that."""
        self._swept_us = 0
        """The cluster time at which a compaction was last given a Tick."""

    def consider(
        self, cluster_time_us: int | None, facts: MachineFacts
    ) -> tuple[HousekeepingCommand | None, int]:
        """Return what to propose now, and in how many microseconds to ask again when nothing was proposed.

        `cluster_time_us` is the replica's own as a leader, None when it is none. One proposal at a time: ask again only when
        the one before has its outcome, whichever.
        """
        self._sample(facts)
        if cluster_time_us is None:
            return None, LOOK_US
        if facts.lease_count and facts.next_deadline_us <= cluster_time_us:
            return Tick(), 0
        command = self._space(facts) or self._compaction(cluster_time_us, facts)
        if command is not None:
            return command, 0
        return self._tick(cluster_time_us, facts)

    def _space(self, facts: MachineFacts) -> SetNoSpace | None:
        quota = self._config.quota_bytes
        if facts.no_space:
            free = not quota or facts.size_bytes * 100 < quota * SPACE_FREE_PERCENT
            return SetNoSpace(on=False) if free else None
        return SetNoSpace(on=True) if quota and facts.size_bytes > quota else None

    def _compaction(self, cluster_time_us: int, facts: MachineFacts) -> Compact | None:
        if facts.compaction_pending:
            return None
        target = 0
        match self._config.auto_compaction:
            case AutoCompaction.REVISIONS:
                kept = self._config.retention
                worth = max(1, kept // SAMPLES_PER_AGE)
                target = facts.revision - kept
                if target < facts.compacted_revision + worth:
                    return None
            case AutoCompaction.AGE:
                target = self._revision_at(cluster_time_us - self._config.retention)
            case AutoCompaction.OFF:
                return None
        return Compact(revision=target) if 1 <= target > facts.compacted_revision else None

    def _tick(self, cluster_time_us: int, facts: MachineFacts) -> tuple[Tick | None, int]:
        due_us = cluster_time_us + LOOK_US
        if facts.compaction_pending:
            due_us = min(due_us, self._swept_us + SWEEP_PAUSE_US)
        if facts.lease_count:
            due_us = min(due_us, facts.time_us + ENTRY_GAP_US_MAX, facts.next_deadline_us)
        if due_us > cluster_time_us:
            return None, due_us - cluster_time_us
        self._swept_us = cluster_time_us
        return Tick(), 0

    def _sample(self, facts: MachineFacts) -> None:
        """Note the revision now and then. The time of entries is the same on all nodes, so followers are ready to lead."""
        if self._config.auto_compaction is not AutoCompaction.AGE:
            return
        samples, apart_us = self._samples, self._config.retention // SAMPLES_PER_AGE
        if not samples or facts.time_us >= samples[-1][0] + max(1, apart_us):
            samples.append((facts.time_us, facts.revision))
        # The newest one that is old enough stays: it says what may go.
        while len(samples) > 1 and samples[1][0] <= facts.time_us - self._config.retention:
            samples.popleft()

    def _revision_at(self, time_us: int) -> int:
        """Return the revision at a time in the past, or one before; 0: not known."""
        return max((revision for sampled_us, revision in self._samples if sampled_us <= time_us), default=0)
