"""Events and actions as short tuples of numbers for the digest, and as texts for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final
from zlib import crc32

from ferrite.core import Entry, HardState, ReplicaStatus, actions, events, messages

Summary = tuple[object, ...]


def summary(thing: events.Event | actions.Action) -> Summary:
    """Return the name and the telling numbers. Of entries it is the last one's CRC; all else is in the CRC of those frames that
    travel as bytes.
    """
    kind = type(thing)
    tell = _TELL.get(kind)
    return (kind.__name__, *tell(thing)) if tell else (kind.__name__,)


def _received(event: events.MessageReceived) -> Summary:
    return event.header.source, *_message(event.message)


def _sent(action: actions.Send) -> Summary:
    return action.to, *_message(action.message)


def _entries(entries: Sequence[Entry]) -> Summary:
    return len(entries), crc32(entries[-1].payload) if entries else 0


def _message(message: messages.Message) -> Summary:
    kind = type(message)
    tell = _TELL_MESSAGE.get(kind)
    return (kind.__name__, tell(message)) if tell else (kind.__name__, message.term)


_TELL_MESSAGE: Final[dict[type[Any], Callable[[Any], Any]]] = {
    messages.Heartbeat: attrgetter("term", "leader_commit", "round"),
    messages.HeartbeatResponse: attrgetter("term", "round", "last_log_index"),
    messages.AppendEntries: lambda it: (it.term, it.prev_log_index, len(it.entries), it.leader_commit),
    messages.AppendEntriesResponse: attrgetter("term", "success", "match_index", "conflict_index"),
    messages.ReadIndexResponse: attrgetter("term", "context", "read_index", "ready"),
}
"""What a message says beyond its term, for those that make up nearly all of the traffic."""

_TELL: Final[dict[type[Any], Callable[[Any], Summary]]] = {
    events.MessageReceived: _received,
    events.Persisted: lambda it: (it.write_seq,),
    events.PersistFailed: lambda it: (it.write_seq,),
    events.Applied: lambda it: (it.applied_index,),
    events.StateFlushed: lambda it: (it.applied_index,),
    actions.Persist: lambda it: (it.write_seq, it.first_index, *_entries(it.entries), it.truncate, it.base),
    actions.Apply: lambda it: (it.first_index, len(it.entries)),
    actions.ServeRead: attrgetter("requests", "read_index"),
    actions.Send: _sent,
    actions.Refuse: lambda it: (it.request, it.code.value),
    actions.Reply: lambda it: (it.request,),
    actions.Abandon: lambda it: (it.request,),
    actions.Announce: lambda it: (it.role.value, it.term, it.leader),
}


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
