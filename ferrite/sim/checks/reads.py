"""Whether a leader's reads were confirmed by a quorum after they arrived: S18, before any client could tell. One English sentence
above the check.
"""

from __future__ import annotations

from bisect import bisect_left

from ferrite.core import NodeId, messages
from ferrite.sim.checks.ghost import is_quorum
from ferrite.sim.checks.shared import LEADER, Checks, Question, View


def read_arrived(checks: Checks, node: NodeId, question: Question) -> None:
    """A linearizable read, or a follower's question, arrives; only those that a leader gets are followed."""
    seen = checks.seen[node]
    status, confirming = seen.status, seen.confirming
    if status is not None and status.role is LEADER:
        confirming.enter(status.term)
        confirming.moment += 1
        confirming.asked.setdefault(question, []).append((confirming.moment, status.membership))


def round_sent(checks: Checks, node: NodeId, message: messages.Heartbeat) -> None:
    """A heartbeat leaves a leader."""
    confirming = checks.seen[node].confirming
    if not confirming.asked or message.term != confirming.term:
        return  # Nobody waits for it.
    if message.round and (not confirming.rounds or message.round > confirming.rounds[-1]):
        confirming.moment += 1
        confirming.sent.append(confirming.moment)
        confirming.rounds.append(message.round)


def round_answered(checks: Checks, node: NodeId, source: NodeId, message: messages.HeartbeatResponse) -> None:
    """An answer to a heartbeat arrives."""
    confirming = checks.seen[node].confirming
    if message.term == confirming.term and message.round > confirming.heard.get(source, 0):
        confirming.heard[source] = message.round


def question_answered(
    checks: Checks, node: NodeId, source: NodeId, message: messages.ReadIndexResponse
) -> None:
    """A leader tells a follower its read index."""
    status = checks.seen[node].status
    if status is not None:
        read_confirmed(checks, node, status, (source, message.context))


def read_confirmed(checks: Checks, node: NodeId, status: View, question: Question) -> None:
    """A leader regards a read as confirmed: it serves it, or answers the follower that asked."""
    confirming = checks.seen[node].confirming
    if status.role is not LEADER or status.term != confirming.term:
        return
    arrivals = confirming.asked.get(question)
    if not arrivals:
        return
    # Of a question that arrived twice, the first answer is to the first.
    moment, membership = arrivals.pop(0)
    if not arrivals:
        del confirming.asked[question]
    place = bisect_left(confirming.sent, moment)
    needed = confirming.rounds[place] if place < len(confirming.rounds) else None
    agreeing = {peer for peer, heard in confirming.heard.items() if needed is not None and heard >= needed}
    agreeing.add(node)
    # S18, thesis 6.4: a quorum answered a heartbeat that left after the read arrived (etcd #20418).
    if not is_quorum(status.membership, agreeing) and not is_quorum(membership, agreeing):
        checks.fail(
            "S18",
            "A leader's read is confirmed by a quorum that answered a heartbeat sent after the read arrived.",
            f"leader {node} of term {status.term}, {question}: first round sent since then {needed}, "
            f"answers {dict(sorted(confirming.heard.items()))}",
        )
