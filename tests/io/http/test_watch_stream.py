"""The pieces of one watch, without any engine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core.kv import WatchEnd, WatchEnded
from ferrite.io.http.exchange import Call, HttpStream
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.watch_json import Framing, parse_watch
from ferrite.io.http.watch_stream import WatchSource, begin_watch
from tests.io.http.helpers import LIMITS, STATUS, FakeRequestPath, FakeWatch, delivery, put_event

SPEC = parse_watch({"key": "k"}, LIMITS).spec


def source_of(watch: FakeWatch, heartbeat_s: float = 10.0) -> WatchSource:
    return WatchSource(watch, encoding="utf-8", form=Framing.LINES, heartbeat_s=heartbeat_s)


async def lines(source: WatchSource) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await source.next_piece()).splitlines()]


async def test_what_was_taken_together_is_one_piece_in_order() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    watch.feed(
        delivery(8, put_event(b"k", b"v", 8)),
        delivery(9),
        WatchEnded(reason=WatchEnd.SLOW, detail="", revision=9),
    )
    assert await lines(source) == [{"created": True, "revision": 7}]
    got = await lines(source)
    assert [one["revision"] for one in got] == [8, 9, 9]
    assert got[-1]["reason"] == "slow"
    assert await source.next_piece() == b"", "the end, and the watch is not asked again"
    assert await source.next_piece() == b""


async def test_what_was_taken_together_is_written_in_pieces_that_are_not_large() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    large = [delivery(revision, put_event(b"k", b"v" * 20_000, revision)) for revision in range(8, 14)]
    watch.feed(*large)
    await source.next_piece()
    taken = [[one["revision"] for one in await lines(source)] for _ in range(3)]
    assert taken == [[8, 9], [10, 11], [12, 13]]


async def test_a_shut_down_does_not_claim_what_was_taken_but_not_written() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    watch.feed(*(delivery(revision, put_event(b"k", b"v" * 40_000, revision)) for revision in (8, 9)))
    await source.next_piece()
    assert [one["revision"] for one in await lines(source)] == [8]
    source.shut_down()
    (last,) = await lines(source)
    assert (last["reason"], last["revision"]) == ("shutting_down", 8)


async def test_silence_is_broken_by_heartbeats_and_nothing_is_lost_by_them() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch, heartbeat_s=0.001)
    await source.next_piece()
    assert await lines(source) == [{"revision": 7, "events": []}]
    watch.feed(delivery(8, put_event(b"k", b"v", 8)))
    assert (await lines(source))[0]["events"]
    assert await lines(source) == [{"revision": 8, "events": []}]


async def test_a_shut_down_ends_the_wait_at_once_with_a_last_line() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch, heartbeat_s=600)
    await source.next_piece()
    waiting = asyncio.ensure_future(lines(source))
    await asyncio.sleep(0)
    source.shut_down()
    async with asyncio.timeout(5):
        (last,) = await waiting
    assert (last["canceled"], last["reason"], last["revision"]) == (True, "shutting_down", 7)
    assert await source.next_piece() == b""


async def test_a_shut_down_between_two_pieces_is_not_missed() -> None:
    source = source_of(FakeWatch(spec=SPEC), heartbeat_s=600)
    source.shut_down()
    assert (await lines(source))[0]["created"]
    assert (await lines(source))[0]["reason"] == "shutting_down"


async def test_closing_cancels_the_watch() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    source.close()
    source.close()
    assert watch.canceled
    assert await source.next_piece() == b""


def begin(
    path: FakeRequestPath, content: dict[str, Any], *, accept: str = "", last_event_id: str = ""
) -> HttpStream:
    call = Call(body=b"", accept=accept, last_event_id=last_event_id)
    return begin_watch(path, parse_watch(content, LIMITS), call)


async def first_line(stream: HttpStream) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(await stream.source.next_piece())
    return line


async def test_a_watch_from_now_on_begins_behind_the_nodes_revision() -> None:
    assert (await first_line(begin(FakeRequestPath(), {"key": "k"})))["revision"] == 7


async def test_a_watch_from_a_revision_begins_there() -> None:
    path = FakeRequestPath()
    assert (await first_line(begin(path, {"key": "k", "start_revision": 5})))["revision"] == 4
    assert (await first_line(begin(path, {"key": "k"}, last_event_id="5")))["revision"] == 5
    assert [watch.spec.start_revision for watch in path.watches] == [5, 6]


def test_a_watch_that_begins_behind_the_compaction_is_refused_before_it_is_made() -> None:
    path = FakeRequestPath(present=replace(STATUS, compacted_revision=6))
    with pytest.raises(HttpProblem) as caught:
        begin(path, {"key": "k", "start_revision": 5})
    assert (caught.value.code, caught.value.extra) == ("compacted", {"oldest_revision": 6})
    begin(path, {"key": "k", "start_revision": 6})
    assert len(path.watches) == 1


def test_the_stream_has_the_media_type_that_was_asked_for() -> None:
    assert begin(FakeRequestPath(), {"key": "k"}).content_type == "application/x-ndjson"
    asked = begin(FakeRequestPath(), {"key": "k"}, accept="text/event-stream")
    assert asked.content_type == "text/event-stream"
