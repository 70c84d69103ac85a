"""Requests of /watch, and what a stream says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core.kv import WatchEnd, WatchEnded, WatchEvent, WatchSpec
from ferrite.io.http.watch_json import (
    Framing,
    canceled_piece,
    created_piece,
    delivery_piece,
    framing,
    heartbeat_piece,
    parse_watch,
    resumed,
)
from ferrite.io.validation import Invalid
from tests.io.http.helpers import ENTRY, LIMITS, delivery, put_event
from tests.io.http.test_range_json import ENTRY_JSON


def test_a_watch_asks_for_a_range_a_start_and_what_to_leave_out() -> None:
    request = parse_watch(
        {"prefix": "a", "start_revision": 5, "prev_kv": True, "no_puts": True, "progress": True}, LIMITS
    )
    assert request.spec == WatchSpec(
        key=b"a", range_end=b"b", start_revision=5, prev_kv=True, no_puts=True, progress=True
    )
    assert parse_watch({"key": "k", "no_deletes": True}, LIMITS).spec == WatchSpec(key=b"k", no_deletes=True)


BAD_WATCHES: dict[str, tuple[Any, str]] = {
    "no keys": ({}, "key"),
    "an empty key": ({"key": ""}, "key"),
    "start -1": ({"key": "k", "start_revision": -1}, "start_revision"),
    "start 2**63": ({"key": "k", "start_revision": 2**63}, "start_revision"),
    "start as text": ({"key": "k", "start_revision": "5"}, "start_revision"),
    "nothing left": ({"key": "k", "no_puts": True, "no_deletes": True}, "no_deletes"),
    "a session": ({"key": "k", "client_id": "c"}, "client_id"),
    "a watch id": ({"key": "k", "watch_id": 1}, "watch_id"),
}


@pytest.mark.parametrize("name", BAD_WATCHES)
def test_a_bad_watch_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_WATCHES[name]
    with pytest.raises(Invalid) as caught:
        parse_watch(content, LIMITS)
    assert caught.value.field == field


def test_the_last_event_seen_counts_more_than_the_start_in_the_url() -> None:
    request = parse_watch({"key": "k", "start_revision": 5}, LIMITS)
    assert resumed(request, "").spec.start_revision == 5
    assert resumed(request, "8").spec.start_revision == 9
    assert resumed(request, "0").spec.start_revision == 1


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "\u0661", str(2**63 - 1), "9" * 100])
def test_an_event_id_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        resumed(parse_watch({"key": "k"}, LIMITS), text)
    assert caught.value.field == "Last-Event-ID"


@pytest.mark.parametrize(
    "accept, form",
    [
        ("", Framing.LINES),
        ("*/*", Framing.LINES),
        ("application/json", Framing.LINES),
        ("text/event-stream", Framing.EVENTS),
        ("text/event-stream;q=0.5, application/x-ndjson", Framing.LINES),
        ("text/event-stream;q=0", Framing.LINES),
    ],
)
def test_server_sent_events_are_for_those_who_ask_for_them(accept: str, form: Framing) -> None:
    assert framing(accept) is form


EVENTS = delivery(
    8, put_event(b"a", b"v", 8, ENTRY), WatchEvent(deleted=True, entry=replace(ENTRY, mod_revision=8))
)


def test_all_changes_of_one_revision_are_one_line() -> None:
    line = delivery_piece(EVENTS, "utf-8", Framing.LINES)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    content = json.loads(line)
    assert content["revision"] == 8
    assert [(event["type"], event["kv"]["key"]) for event in content["events"]] == [
        ("put", "a"),
        ("delete", "k"),
    ]
    assert content["events"][0]["prev_kv"] == ENTRY_JSON
    assert content["events"][1]["prev_kv"] is None


def test_an_event_carries_its_revision_as_id() -> None:
    piece = delivery_piece(EVENTS, "utf-8", Framing.EVENTS)
    head, data, *end = piece.split(b"\n")
    assert (head, end) == (b"id: 8", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == json.loads(
        delivery_piece(EVENTS, "utf-8", Framing.LINES)
    )


def test_a_delivery_is_written_once_for_all_that_read_it_in_the_same_form() -> None:
    shared = delivery(8, put_event(b"a", b"v", 8))
    first = delivery_piece(shared, "utf-8", Framing.LINES)
    assert delivery_piece(shared, "utf-8", Framing.LINES) is first
    others = {
        delivery_piece(shared, "base64", Framing.LINES),
        delivery_piece(shared, "utf-8", Framing.EVENTS),
        delivery_piece(shared, "base64", Framing.EVENTS),
    }
    assert len(others | {first}) == 4
    assert b'"key":"YQ=="' in delivery_piece(shared, "base64", Framing.LINES)


def test_a_heartbeat_claims_no_more_than_was_delivered() -> None:
    assert json.loads(heartbeat_piece(8, Framing.LINES)) == {"revision": 8, "events": []}
    assert heartbeat_piece(8, Framing.EVENTS) == b":\n\n", "a comment: no browser sees an event"


def test_the_first_piece_says_from_where_the_watch_goes() -> None:
    assert json.loads(created_piece(7, Framing.LINES)) == {"created": True, "revision": 7}
    assert created_piece(7, Framing.EVENTS).startswith(b"event: created\nid: 7\ndata: {")


def test_the_last_piece_says_why_and_where_to_go_on() -> None:
    slow = WatchEnded(reason=WatchEnd.SLOW, detail="why", revision=8)
    assert json.loads(canceled_piece(slow, Framing.LINES)) == {
        "canceled": True, "reason": "slow", "detail": "why", "revision": 8,
    }  # fmt: skip
    assert canceled_piece(slow, Framing.EVENTS).startswith(b"event: canceled\nid: 8\ndata: {")


def test_behind_a_compaction_a_browser_must_not_go_on_as_if_nothing_were_missing() -> None:
    compacted = WatchEnded(reason=WatchEnd.COMPACTED, detail="why", revision=8)
    assert b"id:" not in canceled_piece(compacted, Framing.EVENTS)
