"""One short tuple of numbers per event and action: enough for the digest to notice a difference, cheap enough for every step."""

from __future__ import annotations

from ferrite.core import actions, events

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
