"""What a replica is told in a step, seen with its host's eyes: the source of what `contact.py` and `commands.py` know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ferrite.core import NodeId, Term, events, messages
from ferrite.sim.checks.commands import applied_to, forward_arrived, refusal_arrived, state_skipped_to
from ferrite.sim.checks.shared import LEADER, Checks, Seen


def told(checks: Checks, node: NodeId, batch: Sequence[events.Event], now_us: int) -> None:
    """These events are handed to a replica, at this time of its clock; what it says of itself is not known yet."""
    seen = checks.seen[node]
    contact, status = seen.contact, seen.status
    contact.now_us = now_us
    if status is not None and status.role is LEADER:
        contact.membership = status.membership
    for event in batch:
        note = _ON_EVENT.get(type(event))
        if note is not None:
            note(checks, seen, event)


def _message(checks: Checks, seen: Seen, event: events.MessageReceived) -> None:
    note = _ON_MESSAGE.get(type(event.message))
    if note is not None:
        note(checks, seen, event)


def _leader_spoke(_checks: Checks, seen: Seen, event: events.MessageReceived) -> None:
    # Of an earlier term it would be no leader's any more.
    if seen.status is not None and event.message.term >= seen.status.term:
        seen.contact.leader_us = seen.contact.now_us


def _peer_answered(_checks: Checks, seen: Seen, event: events.MessageReceived) -> None:
    if event.message.term == seen.contact.led:
        seen.contact.heard_us[event.header.source] = seen.contact.now_us


def _forward(_checks: Checks, seen: Seen, event: events.MessageReceived) -> None:
    assert isinstance(event.message, messages.Forward), "as the table says"
    forward_arrived(seen, event.header.source, event.header.source_boot, event.message)


def _forward_refused(_checks: Checks, seen: Seen, event: events.MessageReceived) -> None:
    assert isinstance(event.message, messages.ForwardRefused), "as the table says"
    refusal_arrived(seen, event.message)


def _proposal(_checks: Checks, seen: Seen, event: events.ProposalReceived) -> None:
    seen.commands.waiting[event.request] = Term(0)


def _read(_checks: Checks, seen: Seen, event: events.ReadRequested) -> None:
    if event.max_staleness_us:
        seen.contact.bounds_us[event.request] = event.max_staleness_us


def _applied(checks: Checks, seen: Seen, event: events.Applied) -> None:
    applied_to(seen, Term(checks.ghost.committed_terms[event.applied_index]))


def _installed(_checks: Checks, seen: Seen, event: events.SnapshotInstalled) -> None:
    if event.state is not None and seen.status is not None:
        state_skipped_to(seen, seen.status.node_id, event.state.applied_term)


_ON_EVENT: Final[dict[type[Any], Callable[[Checks, Seen, Any], None]]] = {
    events.MessageReceived: _message,
    events.ProposalReceived: _proposal,
    events.ReadRequested: _read,
    events.Applied: _applied,
    events.SnapshotInstalled: _installed,
}

_ON_MESSAGE: Final[dict[type[Any], Callable[[Checks, Seen, events.MessageReceived], None]]] = {
    messages.AppendEntries: _leader_spoke,
    messages.Heartbeat: _leader_spoke,
    messages.InstallSnapshot: _leader_spoke,
    messages.AppendEntriesResponse: _peer_answered,
    messages.HeartbeatResponse: _peer_answered,
    messages.InstallSnapshotResponse: _peer_answered,
    messages.Forward: _forward,
    messages.ForwardRefused: _forward_refused,
}
