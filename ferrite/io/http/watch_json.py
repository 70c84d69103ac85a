"""Watches in JSON: requests to what a watch asks for, what it gets to lines and to server-sent events. Pure.

Every line is an object with `revision`: everything up to it was delivered, so a watch resumes at `revision + 1`, on any node.

    {"created":true,"revision":7}
    {"revision":8,"events":[{"type":"put","kv":{...},"prev_kv":null}]}    all changes of one revision
    {"revision":9,"events":[]}                                            nothing happened up to 9
    {"canceled":true,"reason":"slow","detail":"...","revision":9}         the last line
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from ferrite.core.kv import Delivery, WatchEnd, WatchEnded, WatchEvent, WatchSpec
from ferrite.io.config import LimitsConfig
from ferrite.io.http.accept import accepted
from ferrite.io.http.entries import key_value_json
from ferrite.io.http.fields import Encoding, JsonObject
from ferrite.io.http.options import RANGE_FIELDS, parse_key_range
from ferrite.io.validation import INT_MAX, Invalid, check_watch, shown

_CHOICES: Final = ("prev_kv", "no_puts", "no_deletes", "progress")
WATCH_FLAGS: Final = ("from_key", *_CHOICES)
WATCH_FIELDS: Final = (*RANGE_FIELDS, "start_revision", *_CHOICES, "encoding")
NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"


class Framing(enum.StrEnum):
    """How a stream is cut into pieces; the values are the media types."""

    LINES = NDJSON
    EVENTS = EVENT_STREAM


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What /watch asks for."""

    spec: WatchSpec
    encoding: Encoding


def parse_watch(given: Any, limits: LimitsConfig) -> WatchRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", WATCH_FIELDS)
    encoding = request.encoding()
    key, range_end = parse_key_range(request, encoding, limits)
    spec = WatchSpec(
        key=key,
        range_end=range_end,
        start_revision=request.integer("start_revision", 0, default=0),
        **{name: request.boolean(name, default=False) for name in _CHOICES},
    )
    return WatchRequest(spec=check_watch(spec, limits), encoding=encoding)


def resumed(request: WatchRequest, last_event_id: str) -> WatchRequest:
    """The request of a client that saw everything up to the event with this id (the header Last-Event-ID); "" for none."""
    if not last_event_id:
        return request
    digits = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= len(str(INT_MAX))
    if not digits or int(last_event_id) >= INT_MAX:
        raise Invalid("Last-Event-ID", shown(last_event_id), "the id of an event of this stream, a revision")
    return replace(request, spec=replace(request.spec, start_revision=int(last_event_id) + 1))


def framing(accept: str) -> Framing:
    """Server-sent events for those who ask for them and prefer them; else lines."""
    quality = accepted(accept)
    return Framing.EVENTS if quality.get(EVENT_STREAM, 0) > quality.get(NDJSON, 0) else Framing.LINES


def created_piece(revision: int, form: Framing) -> bytes:
    """The first piece: the watch is there."""
    return _piece({"created": True, "revision": revision}, form, event="created", event_id=revision)


def delivery_piece(delivery: Delivery, encoding: Encoding, form: Framing) -> bytes:
    """All changes of one revision. Made once for all watches that get the same delivery in the same form."""
    name = f"http {form.value} {encoding}"
    piece = delivery.encoded.get(name)
    if piece is None:
        content = {
            "revision": delivery.revision,
            "events": [_event_json(event, encoding) for event in delivery.events],
        }
        piece = delivery.encoded[name] = _piece(content, form, event_id=delivery.revision)
    return piece


def heartbeat_piece(revision: int, form: Framing) -> bytes:
    """A sign of life: what was delivered last, once more, or a comment."""
    return b":\n\n" if form is Framing.EVENTS else _piece({"revision": revision, "events": []}, form)


def canceled_piece(ended: WatchEnded, form: Framing) -> bytes:
    """The last piece."""
    content = {
        "canceled": True,
        "reason": ended.reason.value,
        "detail": ended.detail,
        "revision": ended.revision,
    }
    # A browser resumes after the last id by itself. Behind a compaction that would skip what is lost: no id, so it asks for what
    # it misses, and is told.
    event_id = None if ended.reason is WatchEnd.COMPACTED else ended.revision
    return _piece(content, form, event="canceled", event_id=event_id)


def _event_json(event: WatchEvent, encoding: Encoding) -> dict[str, Any]:
    return {
        "type": "delete" if event.deleted else "put",
        "kv": key_value_json(event.entry, encoding),
        "prev_kv": None if event.prev is None else key_value_json(event.prev, encoding),
    }


def _piece(content: dict[str, Any], form: Framing, *, event: str = "", event_id: int | None = None) -> bytes:
    line = json.dumps(content, separators=(",", ":"))
    if form is Framing.LINES:
        return f"{line}\n".encode("ascii")
    head = f"event: {event}\n" if event else ""
    if event_id is not None:
        head += f"id: {event_id}\n"
    return f"{head}data: {line}\n\n".encode("ascii")
