"""What appends have proved of a follower's log: S8. One English sentence above the check."""

from __future__ import annotations

from collections.abc import Sequence

from ferrite.core import Index, NodeId, Term, messages
from ferrite.sim.checks.shared import FOLLOWER, Checks, Seen, View


def appends_arrived(checks: Checks, node: NodeId, batch: Sequence[messages.Message], *, queued: bool) -> None:
    """Messages have arrived. Behind others that are `queued`, nobody can tell yet which append will fit: all are taken to."""
    seen, log = checks.seen[node], checks.ghost.disk(node).log
    end: tuple[Index, Term] | None = None
    for message in batch:
        if type(message) is not messages.AppendEntries:
            continue
        prev = (message.prev_log_index, message.prev_log_term)
        if queued or prev == end or prev[0] < log.base_index or log.term_at(prev[0]) == prev[1]:
            entries = message.entries
            end = (Index(prev[0] + len(entries)), entries[-1].term) if entries else prev
            if seen.proved is None:
                seen.proved = {}
            seen.proved[message.term] = max(end[0], seen.proved.get(message.term, 0))


def commit_is_proved(checks: Checks, node: NodeId, seen: Seen, before: View, after: View) -> None:
    """The commit index of a node has advanced."""
    if before.role is not FOLLOWER or after.role is not FOLLOWER or before.term != after.term:
        return
    if seen.proved is None:
        return
    proved = seen.proved.get(after.term, 0)
    # S8, Raft figure 2: a follower's log agrees with the leader's only as far as appends have shown.
    if after.commit_index > max(proved, checks.ghost.disk(node).installed_index):
        checks.fail(
            "S8",
            "A follower commits no further than an append of this term has proved its log.",
            f"node {node} of term {after.term} commits {after.commit_index}; appends proved {proved}",
        )
