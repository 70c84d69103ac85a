"""Coverage marks: states that a search must sometimes reach, else it proves nothing about them.

A sweep reports the marks that none of its seeds reached. Besides these, every kind of fault counts as reached when it struck.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

MARKS: Final = {
    "two_leaders": "two nodes believed to lead at once, in different terms",
    "conflict_cut": "a follower cut two or more entries that conflicted",
    "figure_8": "an entry that was durable on a quorum was cut (figure 8 of the paper)",
    "membership_cut": "a membership entry was cut, and the one before was in force again",
    "joint_election": "a leader was elected inside a joint configuration",
    "leader_removed": "a leader that was not in the new membership stepped down",
    "learner_promoted": "a learner became a voter",
    "single_voter": "a cluster of one voter committed something",
    "snapshot_over_conflict": "a snapshot was installed over a log that conflicted with it or was longer",
    "snapshot_installed": "a snapshot was installed",
    "snapshot_refused": "a damaged snapshot was refused",
    "log_discarded": "the beginning of a log was discarded",
    "entries_loaded": "entries were read back from the log for a slow peer",
    "repeated_request": "one request stands in the log more than once",
    "retried_write": "a write was acknowledged after more than one attempt",
    "library_retried_write": "a write of the shipped client library was acknowledged after more than one attempt",
    "unknown_write_took_effect": "a write whose outcome its client never learned took effect",
    "refused_write": "a write was certainly not carried out",
    "read_across_leaders": "a linearizable read was answered after the leader had changed",
    "stale_read": "a read that may be stale returned less than was acknowledged",
    "crash_lost_writes": "a power loss lost writes that were not synced",
    "crash_tore_write": "a power loss tore a write",
    "lost_tail": "a node noticed that its log had lost its tail",
    "node_refused": "a node refused to run on a damaged or foreign disk",
    "dead_incarnation": "a message of a dead incarnation, or for another one, was dropped",
    "frame_damaged": "a damaged frame was dropped",
    "transfer_done": "leadership was handed over on request",
    "change_done": "a membership change was carried out",
    "change_refused": "a membership change was refused",
    "watch_cut": "a watch whose client did not take was cut",
    "watch_resumed": "a watch went on at another node",
    "watch_compacted": "a watch ended because what it wanted was compacted",
    "watch_past": "a watch began in the past",
    "watch_future": "a watch began at a revision that its node did not have yet",
    "watch_joined": "a watch that began in the past caught up with what was written meanwhile",
    "watch_progress": "a watch was told how far it is",
    "watch_installed": "a snapshot was installed under a watch",
    "core_only": "the cluster converged with some nodes broken for ever",
    "unrecoverable": "so much was damaged that no quorum could work, and nothing wrong was said",
}
"""Name -> what was reached."""


class Marks:
    """The marks of one run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(MARKS, 0))

    def hit(self, name: str, times: int = 1) -> None:
        """It was reached."""
        assert name in MARKS, f"{name} is no mark"
        self.counts[name] += times
