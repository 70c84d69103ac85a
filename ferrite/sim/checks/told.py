"""What a replica is told in a step, seen with its host's eyes: the source of what `contact.py` and `commands.py` know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ferrite.core import NodeId, Term, events, messages
from ferrite.sim.checks.commands import applied_to, refusal_arrived, state_skipped_to
from ferrite.sim.checks.shared import LEADER, Checks, Facts, Seen


def told(checks: Checks, node: NodeId, batch: Sequence[events.Event], now_us: int) -> None:
    """These events are handed to a replica, at this time of its clock; what it says of itself is not known yet."""
    seen = checks.seen[node]
    facts = seen.facts
    if facts is None:
        facts = seen.facts = Facts()
        facts.commands.applied_term = Term(checks.ghost.committed_terms[seen.applied_index])
    contact, status = facts.contact, seen.status
    contact.now_us = now_us
    if status is not None and status.role is LEADER:
        contact.membership = status.membership
    for event in batch:
        note = _ON_EVENT.get(type(event))
        if note is not None:
            note(checks, seen, facts, event)


def _message(checks: Checks, seen: Seen, facts: Facts, event: events.MessageReceived) -> None:
    note = _ON_MESSAGE.get(type(event.message))
    if note is not None:
        note(checks, seen, facts, event)


def _leader_spoke(_checks: Checks, seen: Seen, facts: Facts, event: events.MessageReceived) -> None:
    # Of an earlier term it would be no leader's any more.
    if seen.status is not None and event.message.term >= seen.status.term:
        facts.contact.leader_us = facts.contact.now_us


def _peer_answered(_checks: Checks, _seen: Seen, facts: Facts, event: events.MessageReceived) -> None:
    contact = facts.contact
    if event.message.term == contact.led:
        contact.heard_us[event.header.source] = contact.now_us


def _forward_refused(_checks: Checks, seen: Seen, facts: Facts, event: events.MessageReceived) -> None:
    assert isinstance(event.message, messages.ForwardRefused), "as the table says"
    refusal_arrived(facts.commands, seen.boot, event.message)


def _proposal(_checks: Checks, _seen: Seen, facts: Facts, event: events.ProposalReceived) -> None:
    facts.commands.waiting[event.request] = Term(0)


def _read(_checks: Checks, _seen: Seen, facts: Facts, event: events.ReadRequested) -> None:
    if event.max_staleness_us:
        facts.contact.bounds_us[event.request] = event.max_staleness_us


def _applied(checks: Checks, _seen: Seen, facts: Facts, event: events.Applied) -> None:
    applied_to(facts.commands, Term(checks.ghost.committed_terms[event.applied_index]))


def _installed(_checks: Checks, seen: Seen, facts: Facts, event: events.SnapshotInstalled) -> None:
    if event.state is not None and seen.status is not None:
        state_skipped_to(facts.commands, seen.status.node_id, seen.boot, event.state.applied_term)


_ON_EVENT: Final[dict[type[Any], Callable[[Checks, Seen, Facts, Any], None]]] = {
    events.MessageReceived: _message,
    events.ProposalReceived: _proposal,
    events.ReadRequested: _read,
    events.Applied: _applied,
    events.SnapshotInstalled: _installed,
}

_ON_MESSAGE: Final[dict[type[Any], Callable[[Checks, Seen, Facts, events.MessageReceived], None]]] = {
    messages.AppendEntries: _leader_spoke,
    messages.Heartbeat: _leader_spoke,
    messages.InstallSnapshot: _leader_spoke,
    messages.AppendEntriesResponse: _peer_answered,
    messages.HeartbeatResponse: _peer_answered,
    messages.InstallSnapshotResponse: _peer_answered,
    messages.ForwardRefused: _forward_refused,
}
