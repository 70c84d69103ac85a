"""The pieces of one watch, without any engine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core.kv import WatchEnd, WatchEnded
from ferrite.io.http.exchange import Call, HttpStream, no_write
from ferrite.io.http.held_bytes import HeldBytes
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.watch_json import Framing, parse_watch
from ferrite.io.http.watch_stream import WatchSource, begin_watch
from tests.io.http.helpers import LIMITS, STATUS, FakeRequestPath, FakeWatch, delivery, put_event, until

SPEC = parse_watch({"key": "k"}, LIMITS).spec


def source_of(watch: FakeWatch, heartbeat_s: float = 10.0) -> WatchSource:
    return WatchSource(watch, encoding="utf-8", form=Framing.LINES, heartbeat_s=heartbeat_s)


async def lines(source: WatchSource) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await source.next_piece(no_write)).splitlines()]


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
    assert await source.next_piece(no_write) == b"", "the end, and the watch is not asked again"
    assert await source.next_piece(no_write) == b""


async def test_what_was_taken_together_is_written_in_pieces_that_are_not_large() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    large = [delivery(revision, put_event(b"k", b"v" * 20_000, revision)) for revision in range(8, 14)]
    watch.feed(*large)
    await source.next_piece(no_write)
    taken = [[one["revision"] for one in await lines(source)] for _ in range(3)]
    assert taken == [[8, 9], [10, 11], [12, 13]]


async def test_a_shut_down_does_not_claim_what_was_taken_but_not_written() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    watch.feed(*(delivery(revision, put_event(b"k", b"v" * 40_000, revision)) for revision in (8, 9)))
    await source.next_piece(no_write)
    assert [one["revision"] for one in await lines(source)] == [8]
    source.shut_down()
    (last,) = await lines(source)
    assert (last["reason"], last["revision"]) == ("shutting_down", 8)


class Engine:
    """Writes at once while it has room."""

    def __init__(self) -> None:
        self.room = True
        self.written: list[bytes] = []

    def write_now(self, piece: bytes) -> bool:
        if self.room:
            self.written.append(piece)
        return self.room

    @property
    def revisions(self) -> list[int]:
        return [json.loads(line)["revision"] for line in b"".join(self.written).splitlines()]


async def waiting_source(
    watch: FakeWatch, engine: Engine, heartbeat_s: float = 10.0
) -> tuple[WatchSource, asyncio.Task[bytes]]:
    source = source_of(watch, heartbeat_s)
    await source.next_piece(engine.write_now)
    waiting = asyncio.ensure_future(source.next_piece(engine.write_now))
    await asyncio.sleep(0)
    return source, waiting


async def test_while_the_engine_waits_and_has_room_pieces_go_past_its_task() -> None:
    watch, engine = FakeWatch(spec=SPEC), Engine()
    source, waiting = await waiting_source(watch, engine)
    watch.feed(delivery(8, put_event(b"k", b"v", 8)), delivery(9))
    watch.feed(*(delivery(revision, put_event(b"k", b"v" * 20_000, revision)) for revision in (10, 11, 12)))
    watch.feed()
    assert engine.revisions == [8, 9, 10, 11, 12]
    assert [piece.count(b"\n") for piece in engine.written] == [2, 2, 1], (
        "what came together, in pieces that are not large"
    )
    assert not waiting.done()
    source.shut_down()
    assert json.loads(await waiting)["revision"] == 12
    assert engine.revisions[-1] == 12, "the end is the task's: it ends the stream"


async def test_without_room_the_task_gets_the_next_piece_and_nothing_overtakes_it() -> None:
    watch, engine = FakeWatch(spec=SPEC), Engine()
    source, waiting = await waiting_source(watch, engine)
    engine.room = False
    watch.feed(delivery(8))
    engine.room = True
    watch.feed(delivery(9))
    await asyncio.sleep(0)
    watch.feed(delivery(10))
    assert json.loads(await waiting)["revision"] == 8
    assert engine.written == []
    assert watch.taken == 1, "the rest stays with the watch, which has a bound"
    assert [one["revision"] for one in await lines(source)] == [9, 10]


async def test_the_end_of_a_watch_is_never_written_past_the_task() -> None:
    watch, engine = FakeWatch(spec=SPEC), Engine()
    source, waiting = await waiting_source(watch, engine)
    watch.feed(delivery(8), WatchEnded(reason=WatchEnd.SLOW, detail="", revision=8))
    assert [json.loads(line)["revision"] for line in (await waiting).splitlines()] == [8, 8]
    assert engine.written == []
    assert await source.next_piece(engine.write_now) == b""


async def test_a_write_that_fails_is_the_streams_end_and_nobody_elses() -> None:
    def broken(_: bytes) -> bool:
        raise ZeroDivisionError

    watch = FakeWatch(spec=SPEC)
    source = source_of(watch)
    await source.next_piece(broken)
    waiting = asyncio.ensure_future(source.next_piece(broken))
    await asyncio.sleep(0)
    watch.feed(delivery(8))
    with pytest.raises(ZeroDivisionError):
        await waiting


async def test_heartbeats_go_past_the_task_too_and_say_how_far_the_watch_is() -> None:
    watch, engine = FakeWatch(spec=SPEC), Engine()
    _, waiting = await waiting_source(watch, engine, heartbeat_s=0.001)
    await until(lambda: len(engine.written) >= 2)
    assert set(engine.revisions) == {7}
    watch.feed(delivery(8))
    count = len(engine.written)
    await until(lambda: len(engine.written) > count)
    assert engine.revisions[-1] == 8, "how far the watch is"
    assert not waiting.done()
    waiting.cancel()


async def test_silence_is_broken_by_heartbeats_and_nothing_is_lost_by_them() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch, heartbeat_s=0.001)
    await source.next_piece(no_write)
    assert await lines(source) == [{"revision": 7, "events": []}]
    watch.feed(delivery(8, put_event(b"k", b"v", 8)))
    assert (await lines(source))[0]["events"]
    assert await lines(source) == [{"revision": 8, "events": []}]


async def test_a_shut_down_ends_the_wait_at_once_with_a_last_line() -> None:
    watch = FakeWatch(spec=SPEC)
    source = source_of(watch, heartbeat_s=600)
    await source.next_piece(no_write)
    waiting = asyncio.ensure_future(lines(source))
    await asyncio.sleep(0)
    source.shut_down()
    async with asyncio.timeout(5):
        (last,) = await waiting
    assert (last["canceled"], last["reason"], last["revision"]) == (True, "shutting_down", 7)
    assert await source.next_piece(no_write) == b""


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
    assert await source.next_piece(no_write) == b""


def begin(
    path: FakeRequestPath, content: dict[str, Any], *, accept: str = "", last_event_id: str = ""
) -> HttpStream:
    call = Call(body=b"", hold=HeldBytes(0, wait_s=0).hold(), accept=accept, last_event_id=last_event_id)
    return begin_watch(path, parse_watch(content, LIMITS), call)


async def first_line(stream: HttpStream) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(await stream.source.next_piece(no_write))
    return line


async def test_a_watch_from_now_on_begins_behind_the_nodes_revision() -> None:
    assert (await first_line(begin(FakeRequestPath(), {"key": "k"})))["revision"] == 7


async def test_a_watch_from_a_revision_begins_there() -> None:
    path = FakeRequestPath()
    assert (await first_line(begin(path, {"key": "k", "start_revision": 5})))["revision"] == 4
    assert (await first_line(begin(path, {"key": "k"}, last_event_id="5")))["revision"] == 5
    assert [watch.spec.start_revision for watch in path.watches] == [5, 6]


async def test_a_watch_that_begins_behind_the_compaction_is_refused_before_it_is_made() -> None:
    path = FakeRequestPath(present=replace(STATUS, compacted_revision=6))
    with pytest.raises(HttpProblem) as caught:
        begin(path, {"key": "k", "start_revision": 5})
    assert (caught.value.code, caught.value.extra) == ("compacted", {"oldest_revision": 6})
    begin(path, {"key": "k", "start_revision": 6})
    assert len(path.watches) == 1


async def test_the_stream_has_the_media_type_that_was_asked_for() -> None:
    assert begin(FakeRequestPath(), {"key": "k"}).content_type == "application/x-ndjson"
    asked = begin(FakeRequestPath(), {"key": "k"}, accept="text/event-stream")
    assert asked.content_type == "text/event-stream"
