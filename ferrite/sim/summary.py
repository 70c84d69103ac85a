"""Events and actions as short tuples of numbers for the digest, and as texts for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final, get_args
from zlib import crc32

from ferrite.core import Entry, HardState, ReplicaStatus, actions, events, messages

Summary = tuple[object, ...]


def step_summary(
    batch: Sequence[events.Event], ordered: Sequence[actions.Action]
) -> tuple[list[object], list[object]]:
    """Return names and telling numbers of a step's events and of its actions. Of entries it is the last one's CRC; all else is
    in the CRC of those frames that travel as bytes.
    """
    told: list[object] = []
    for event in batch:
        if type(event) is events.MessageReceived:
            told += event.header.source, _MESSAGE[type(event.message)](event.message)
        else:
            told.append(_TELL.get(type(event), _name)(event))
    orders: list[object] = []
    for action in ordered:
        if type(action) is actions.Send:
            orders += action.to, _MESSAGE[type(action.message)](action.message)
        else:
            orders.append(_TELL.get(type(action), _name)(action))
    return told, orders


def _entries(entries: Sequence[Entry]) -> Summary:
    return len(entries), crc32(entries[-1].payload) if entries else 0


_NAME: Final = "__class__.__name__"
_name: Final = attrgetter(_NAME)
_name_and_term: Final = attrgetter(_NAME, "term")

_MESSAGE: Final[dict[type[Any], Callable[[Any], Any]]] = {
    **dict.fromkeys(get_args(messages.Message), _name_and_term),
    messages.Heartbeat: lambda it: ("Heartbeat", it.term, it.leader_commit, it.round),
    messages.HeartbeatResponse: lambda it: ("HeartbeatResponse", it.term, it.round, it.last_log_index),
    messages.AppendEntries: lambda it: (
        "AppendEntries",
        it.term,
        it.prev_log_index,
        len(it.entries),
        it.leader_commit,
    ),
    messages.AppendEntriesResponse: lambda it: (
        "AppendEntriesResponse",
        it.term,
        it.success,
        it.match_index,
        it.conflict_index,
    ),
    messages.ReadIndexResponse: lambda it: (
        "ReadIndexResponse",
        it.term,
        it.context,
        it.read_index,
        it.ready,
    ),
}
"""What a message says: its term, and more for those that make up nearly all of the traffic.

Those are spelled out: a getter that asks for the class's name takes twice as long.
"""

_TELL: Final[dict[type[Any], Callable[[Any], Any]]] = {
    events.Persisted: lambda it: ("Persisted", it.write_seq),
    events.PersistFailed: attrgetter(_NAME, "write_seq"),
    events.Applied: lambda it: ("Applied", it.applied_index),
    events.StateFlushed: attrgetter(_NAME, "applied_index"),
    actions.Persist: lambda it: (
        "Persist",
        it.write_seq,
        it.first_index,
        *_entries(it.entries),
        it.truncate,
        it.base,
    ),
    actions.Apply: lambda it: ("Apply", it.first_index, len(it.entries)),
    actions.ServeRead: attrgetter(_NAME, "requests", "read_index"),
    actions.Refuse: lambda it: ("Refuse", it.request, it.code.value),
    actions.Reply: lambda it: ("Reply", it.request),
    actions.Abandon: attrgetter(_NAME, "request"),
    actions.Announce: lambda it: ("Announce", it.role.value, it.term, it.leader),
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


def step_fields(batch: Sequence[events.Event], ordered: Sequence[actions.Action]) -> dict[str, Any]:
    """What a recording says of a step."""
    return {
        "events": [text_of(event) for event in batch] or ["timer"],
        "actions": [text_of(action) for action in ordered],
    }
