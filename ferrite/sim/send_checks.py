"""What leaves a node: S11, which kills a whole class of bugs without any crash. One English sentence above each check."""

from __future__ import annotations

from ferrite.core import NodeId, messages
from ferrite.sim.checks import Checks


def sending(checks: Checks, node: NodeId, to: NodeId, message: messages.Message) -> None:
    """S11 PersistBeforeSend: at the moment a promise leaves, what it promises is durable. Kills a class of bugs without a
    crash.
    """
    disk = checks.ghost.disk(node)
    sentence = "What a message promises is durable at the moment it leaves."
    facts = (
        f"node {node} sends {message} to {to}; durable: {disk.hard_state}, log to {disk.durable.last_index}"
    )
    # S11: the term of a message is durable (but a pre-vote's, which is the one to come).
    if not isinstance(message, messages.PreVote) and message.term > disk.hard_state.term:
        checks.fail("S11", sentence, facts)
    match message:
        case messages.RequestVote(term=term):
            # S11: a candidate's vote for itself (it may have moved on to a later term since).
            if checks.ghost.votes.get(term, {}).get(node) != node:
                checks.fail("S11", sentence, facts)
        case messages.RequestVoteResponse(term=term, vote_granted=True):
            # S11: a granted vote.
            if checks.ghost.votes.get(term, {}).get(node) != to:
                checks.fail("S11", sentence, facts)
        case messages.AppendEntriesResponse(success=True, match_index=match):
            chain = disk.log.chain_at(match)
            # S11: acknowledged entries.
            if chain is not None and not checks.ghost.holds_durably(node, match, chain):
                checks.fail("S11", sentence, facts)
            if match > max(disk.durable.last_index, disk.installed_index):
                checks.fail("S11", sentence, facts)
        case messages.InstallSnapshotResponse(installed=True):
            # S11: an acknowledged snapshot is the durable state, or the durable log and state are past it.
            if not disk.installed_index and not disk.durable.last_index:
                checks.fail("S11", sentence, facts)
        case _:
            pass
