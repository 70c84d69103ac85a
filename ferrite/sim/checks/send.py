"""What leaves a node: S11, which kills a whole class of bugs without any crash, and S25. One English sentence above each
check.
"""

from __future__ import annotations

from typing import Final

from ferrite.core import NodeId, Term, messages
from ferrite.sim.checks.chunks import chunk_sent
from ferrite.sim.checks.commands import forward_sent, refusal_sent
from ferrite.sim.checks.reads import question_answered, round_sent
from ferrite.sim.checks.shared import Checks

_PROMISES: Final = frozenset(
    {
        messages.RequestVote,
        messages.RequestVoteResponse,
        messages.AppendEntriesResponse,
        messages.InstallSnapshotResponse,
    }
)
"""Messages that promise more than their term."""


def sending(checks: Checks, node: NodeId, to: NodeId, message: messages.Message) -> None:
    """S11 PersistBeforeSend: at the moment a promise leaves, what it promises is durable."""
    disk = checks.ghost.disks[node]
    # S11: the term of a message is durable (but a pre-vote's, which is the one to come).
    fine = message.term <= disk.hard_state.term or isinstance(message, messages.PreVote)
    if fine and type(message) not in _PROMISES:
        if type(message) is messages.InstallSnapshot:
            chunk_sent(checks, node, to, message)
        elif type(message) is messages.Heartbeat:
            round_sent(checks, node, message)
        elif type(message) is messages.ReadIndexResponse and message.ready:
            question_answered(checks, node, to, message)
        elif type(message) is messages.PreVoteResponse and message.vote_granted:
            _pre_vote(checks, node, to, message.proposed_term)
        elif type(message) is messages.Forward or type(message) is messages.ForwardRefused:
            _forwarding(checks, node, to, message)
        return
    match message:
        case messages.RequestVote(term=term, disrupt=disrupt):
            _asked(checks, node, term, disrupt=disrupt)
            # S11: a candidate's vote for itself (it may have moved on to a later term since).
            fine = fine and checks.ghost.votes.get(term, {}).get(node) == node
        case messages.RequestVoteResponse(term=term, vote_granted=True):
            # S11: a granted vote.
            fine = fine and checks.ghost.votes.get(term, {}).get(node) == to
        case messages.AppendEntriesResponse(success=True, match_index=match):
            # S11: acknowledged entries.
            fine = fine and _has(checks, node, match)
        case messages.InstallSnapshotResponse(snapshot_id=snapshot_id, installed=True):
            # S11: an acknowledged snapshot is the durable state, or the durable log is past it.
            fine = fine and _has(checks, node, checks.ghost.snapshots.get(snapshot_id, 0))
        case _:
            pass
    if not fine:
        checks.fail(
            "S11",
            "What a message promises is durable at the moment it leaves.",
            f"node {node} sends {message} to {to}; durable: {disk.hard_state}, log to {disk.durable.last_index}",
        )


def _forwarding(
    checks: Checks, node: NodeId, to: NodeId, message: messages.Forward | messages.ForwardRefused
) -> None:
    facts = checks.seen[node].facts
    if facts is None:
        return
    if type(message) is messages.Forward:
        forward_sent(facts.commands, message)
    elif type(message) is messages.ForwardRefused:
        refusal_sent(checks, node, facts.commands, to, message)


def _pre_vote(checks: Checks, node: NodeId, to: NodeId, term: Term) -> None:
    # One that comes after the campaign changes nothing, and a node that lost that term in a crash asks anew.
    if checks.ghost.disk(to).ordered_hard_state.term < term:
        checks.ghost.pre_votes.setdefault((to, term), set()).add(node)


def _asked(checks: Checks, node: NodeId, term: Term, *, disrupt: bool) -> None:
    unasked = checks.seen[node].unasked
    # S25 PreVote (thesis 9.6): unless its leader handed over, nobody campaigns without a quorum of every configuration in force.
    if unasked is not None and unasked[0] == term and not disrupt:
        checks.fail(
            "S25",
            "Who was not told to campaigns only after a quorum of every configuration in force would vote for it.",
            f"node {node} campaigns for term {term} with pre-votes of {list(unasked[1])}",
        )


def _has(checks: Checks, node: NodeId, index: int) -> bool:
    """Is what the node has at this index, in memory, also on its disk?"""
    disk = checks.ghost.disk(node)
    if index > max(disk.durable.last_index, disk.installed_index):
        return False
    chain = disk.log.chain_at(index)
    return chain is None or checks.ghost.holds_durably(node, index, chain)
