"""From what a watch delivers to the bytes of its responses, encoded once for all watches of a range.

Every response begins with its watch's id; what follows is the same for all of them and is kept with the delivery. Serialized
messages may be concatenated, so deliveries of several revisions share a response: their events add up, and the last `revision`
counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ferrite.core.kv import Delivery, WatchEvent
from ferrite.io.grpc.framing import message_field, number_field
from ferrite.io.grpc.kv_convert import key_value
from ferrite.io.grpc.pb import kv_pb2

MESSAGE_BYTES: Final = 256 << 10
"""Of one response, unless a single revision has more."""
FRAGMENT_BYTES: Final = 1 << 20
"""A revision with more is split: half of the least network.max_message_size, so that an event more does not burst it."""

_FIELDS: Final = kv_pb2.WatchResponse.DESCRIPTOR.fields_by_name
_ID_FIELD: Final = _FIELDS["watch_id"].number
_EVENTS_FIELD: Final = _FIELDS["events"].number
_CACHE: Final = "grpc"


def responses(watch_id: int, deliveries: Sequence[Delivery]) -> Iterator[tuple[int, bytes]]:
    """Serialized `WatchResponse`s with all of it, in order, each with the revision up to which the client then has everything."""
    head = number_field(_ID_FIELD, watch_id)
    parts, size, revision = [head], 0, 0
    for delivery in deliveries:
        if parts[1:] and size + delivery.size_bytes > MESSAGE_BYTES:
            yield revision, b"".join(parts)
            parts, size = [head], 0
        if delivery.size_bytes > FRAGMENT_BYTES:
            yield from ((upto, head + fragment) for upto, fragment in _fragments(delivery))
            continue
        data = _encoded(delivery)
        parts.append(data)
        size += len(data)
        revision = delivery.revision
    if parts[1:]:
        yield revision, b"".join(parts)


def _encoded(delivery: Delivery) -> bytes:
    data = delivery.encoded.get(_CACHE)
    if data is None:
        data = kv_pb2.WatchResponse(
            revision=delivery.revision, events=[_event(event) for event in delivery.events]
        ).SerializeToString()
        delivery.encoded[_CACHE] = data
    return data


def _fragments(delivery: Delivery) -> Iterator[tuple[int, bytes]]:
    """Without a cache: two copies of what is large already would cost more than the time they save."""
    before = kv_pb2.WatchResponse(revision=delivery.revision - 1, fragment=True).SerializeToString()
    parts: list[bytes] = []
    size = 0
    for event in delivery.events:
        if size > FRAGMENT_BYTES:
            yield delivery.revision - 1, b"".join((*parts, before))
            parts, size = [], 0
        data = message_field(_EVENTS_FIELD, _event(event).SerializeToString())
        parts.append(data)
        size += len(data)
    last = kv_pb2.WatchResponse(revision=delivery.revision).SerializeToString()
    yield delivery.revision, b"".join((*parts, last))


def _event(event: WatchEvent) -> kv_pb2.Event:
    return kv_pb2.Event(
        type=kv_pb2.Event.DELETE if event.deleted else kv_pb2.Event.PUT,
        kv=key_value(event.entry),
        prev_kv=None if event.prev is None else key_value(event.prev),
    )
