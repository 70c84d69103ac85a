"""What the leader knows of one peer's log (thesis 3.5 and 10.2.1; the three states are etcd's)."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ferrite.core.values import NO_INDEX, Index, SnapshotMeta, must


class ProgressState(enum.Enum):
    """How entries are sent."""

    PROBE = "probe"
    """The peer's log is unknown: one append outstanding, until it answers or the next heartbeat is due."""
    REPLICATE = "replicate"
    """The logs agree up to `next_index`: appends are pipelined within the window."""
    SNAPSHOT = "snapshot"
    """The peer is below the log's first entry and gets a snapshot in chunks."""


# By plain names: looking an enum's member up costs more than the comparison, and this runs for every peer in every step.
PROBE: Final = ProgressState.PROBE
REPLICATE: Final = ProgressState.REPLICATE
SNAPSHOT: Final = ProgressState.SNAPSHOT


@dataclass(slots=True, kw_only=True)
class Progress:
    """Always `match_index < next_index`; `match_index` is durable on the peer and never decreases in a term.

    But for one case: a newer boot of the peer that shows a shorter log (a lost tail) begins at 0 again.
    """

    next_index: Index
    last_heard_us: int
    match_index: Index = NO_INDEX
    state: ProgressState = PROBE
    probe_outstanding: bool = False
    inflight: deque[tuple[Index, int]] = field(default_factory=deque)
    """`(last index, bytes)` of appends not yet acknowledged, while REPLICATE."""
    inflight_messages: int = 0
    """How many these are."""
    inflight_bytes: int = 0
    acknowledged: bool = True
    """Has anything been acknowledged since the last heartbeat was due?"""
    commit_sent: Index = NO_INDEX
    round_confirmed: int = 0
    match_boot: int = 0
    """The boot of the peer that gave `match_index`."""
    match_round: int = 0
    """The last round that had been sent when `match_index` was learned."""
    snapshot: SnapshotMeta | None = None
    """While SNAPSHOT: the file being sent; None until one is saved."""
    snapshot_offset: int = 0
    chunk_outstanding: bool = False
    chunk_retried: bool = False
    """The chunk was sent again after its time: an answer that goes back is believed now."""
    chunk_resend_us: int = 0
    """When a chunk without an answer is sent again; far away while the receiver installs."""

    def to_probe(self) -> None:
        """Forget what is in flight and begin again at what is certain."""
        if self.state is REPLICATE:
            self.next_index = Index(self.match_index + 1)
        self.state = PROBE
        self._clear()

    def to_replicate(self) -> None:
        """The peer acknowledged: pipeline from there."""
        self.state = REPLICATE
        self.next_index = Index(max(self.next_index, self.match_index + 1))
        self._clear()

    def to_snapshot(self) -> None:
        """The entries that the peer needs are gone."""
        self.state = SNAPSHOT
        self._clear()

    def sent(self, last_index: Index, size: int) -> None:
        """Count an append that left, with entries up to `last_index`."""
        if self.state is PROBE:
            self.probe_outstanding = True
            return
        must(self.state is REPLICATE, "appends are sent in PROBE and REPLICATE only")
        self.next_index = Index(last_index + 1)
        self.inflight.append((last_index, size))
        self.inflight_messages += 1
        self.inflight_bytes += size

    def matched(self, match_index: Index, boot: int) -> bool:
        """Take an acknowledgement; True when it says something new."""
        self.acknowledged = True
        while self.inflight and self.inflight[0][0] <= match_index:
            self.inflight_messages -= 1
            self.inflight_bytes -= self.inflight.popleft()[1]
        if match_index <= self.match_index:
            return False
        self.match_index, self.match_boot = match_index, boot
        self.next_index = Index(max(self.next_index, match_index + 1))
        return True

    def lost_tail(self) -> None:
        """A newer boot of the peer no longer has what it acknowledged."""
        self.match_index = NO_INDEX
        self.state = PROBE
        self._clear()

    def _clear(self) -> None:
        self.probe_outstanding = False
        self.inflight.clear()
        self.inflight_messages = self.inflight_bytes = 0
        self.snapshot = None
        self.snapshot_offset = 0
        self.chunk_outstanding = False
        self.chunk_retried = False
