"""Events and actions as short tuples of numbers for the digest, and as texts for people."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ferrite.core import HardState, ReplicaStatus, actions, events, messages

Summary = tuple[object, ...]


def summary(thing: events.Event | actions.Action) -> Summary:
    """Return the name and the telling numbers; the content of messages is in the CRC of their frames."""
    name = type(thing).__name__
    match thing:
        case events.MessageReceived(header=header, message=message):
            return (type(message).__name__, header.source, message.term)
        case events.Persisted(write_seq=number) | events.PersistFailed(write_seq=number):
            return (name, number)
        case events.Applied(applied_index=index) | events.StateFlushed(applied_index=index):
            return (name, index)
        case actions.Persist(
            write_seq=number, first_index=first, entries=entries, truncate=truncate, base=base
        ):
            return (name, number, first, len(entries), truncate, base)
        case actions.Apply(first_index=first, entries=entries):
            return (name, first, len(entries))
        case actions.ServeRead(requests=requests, read_index=index):
            return (name, requests, index)
        case actions.Send(to=to, message=message):
            return (name, to, type(message).__name__, message.term)
        case actions.Refuse(request=request, code=code):
            return (name, request, code.value)
        case actions.Reply(request=request) | actions.Abandon(request=request):
            return (name, request)
        case actions.Announce(role=role, term=term, leader=leader):
            return (name, role.value, term, leader)
        case _:
            return (name,)


_LONG = {"header", "command", "data", "outcomes", "membership", "result", "state", "cluster_id"}
"""Fields that say nothing in one line."""


def text_of(thing: events.Event | actions.Action | messages.Message) -> str:
    """One line for people."""
    match thing:
        case events.MessageReceived(header=header, message=message):
            return f"{text_of(message)} from {header.source}"
        case actions.Send(to=to, message=message):
            return f"Send to {to}: {text_of(message)}"
        case _:
            return _fields_text(thing)


def _fields_text(thing: Any) -> str:
    parts = [type(thing).__name__]
    for name in thing.__slots__:
        if name in _LONG:
            continue
        what = getattr(thing, name)
        if name in ("entries", "proposals"):
            parts.append(f"{name}={len(what)}")
        elif isinstance(what, Enum):
            parts.append(f"{name}={what.name}")
        elif isinstance(what, HardState):
            parts.append(f"term={what.term} voted_for={what.voted_for}")
        elif isinstance(what, bytes):
            parts.append(f"{name}={what.hex()[:8]}")
        elif what not in (None, False, ""):
            parts.append(f"{name}={what}")
    return " ".join(parts)


def state_of(status: ReplicaStatus) -> dict[str, Any]:
    """What the views show of a node."""
    membership = status.membership
    return {
        "role": status.role.value,
        "term": status.term,
        "leader": status.leader,
        "commit": status.commit_index,
        "applied": status.applied_index,
        "persisted": status.persisted_index,
        "last": status.last_log_index,
        "voters": list(membership.voters),
        "outgoing": list(membership.outgoing),
        "learners": list(membership.learners),
    }
