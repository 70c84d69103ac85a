"""The Watch stream: many watches, responses encoded once, slow readers, ends that say why."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from ferrite.core.kv import Delivery, KeyValue, WatchEnd, WatchEnded, WatchEvent, WatchSpec
from ferrite.io.grpc import watch_convert
from ferrite.io.grpc.handlers import client_methods
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.service import Method
from ferrite.io.grpc.watch_convert import FRAGMENT_BYTES, MESSAGE_BYTES, responses
from ferrite.io.request_path import RequestRefused
from tests.io.grpc.fakes import FakeRequestPath, Served, call, eventually, explain, make_config, serving
from tests.io.grpc.streams import Context, SlowWriter, WatchStream, frames

pytestmark = pytest.mark.usefixtures("each_engine")


def _entry(key: bytes, revision: int, value: bytes = b"v") -> KeyValue:
    return KeyValue(key=key, value=value, create_revision=1, mod_revision=revision, version=1)


def _delivery(revision: int, *events: WatchEvent) -> Delivery:
    return Delivery(revision=revision, events=events, size_bytes=sum(event.size_bytes for event in events))


def _put(revision: int, key: bytes = b"k", value: bytes = b"v") -> Delivery:
    return _delivery(revision, WatchEvent(deleted=False, entry=_entry(key, revision, value)))


async def _created(served: Served, stream: WatchStream, watch_id: int, **fields: Any) -> Any:
    await stream.create(watch_id, **fields)
    answer = await stream.read()
    assert (answer.watch_id, answer.created) == (watch_id, True)
    return served.path.watches[-1]


async def test_a_watch_asks_for_every_field_and_delivers_every_event() -> None:
    async with serving(path=FakeRequestPath(revision=5)) as served:
        stream = WatchStream(served)
        watch = await _created(
            served,
            stream,
            7,
            range_end=b"l",
            start_revision=3,
            prev_kv=True,
            no_puts=True,
            progress=True,
        )
        assert watch.spec == WatchSpec(
            key=b"k", range_end=b"l", start_revision=3, prev_kv=True, no_puts=True, progress=True
        )
        watch.deliver(
            _delivery(
                6,
                WatchEvent(deleted=False, entry=_entry(b"k", 6), prev=_entry(b"k", 4, b"old")),
                WatchEvent(deleted=True, entry=_entry(b"k2", 6, b"")),
            )
        )
        answer = await stream.read()
        stream.call.cancel()
    assert (answer.watch_id, answer.revision, answer.created, answer.canceled) == (7, 6, False, False)
    first, second = answer.events
    assert (first.type, first.kv.key, first.kv.value, first.kv.mod_revision) == (
        kv_pb2.Event.PUT,
        b"k",
        b"v",
        6,
    )
    assert (first.prev_kv.value, first.prev_kv.mod_revision) == (b"old", 4)
    assert (second.type, second.kv.key, second.kv.mod_revision) == (kv_pb2.Event.DELETE, b"k2", 6)
    assert not second.HasField("prev_kv")


async def test_the_first_answer_says_where_the_watch_begins() -> None:
    async with serving(path=FakeRequestPath(revision=5)) as served:
        stream = WatchStream(served)
        await stream.create(1)
        from_now = await stream.read()
        await stream.create(2, start_revision=3)
        from_three = await stream.read()
        stream.call.cancel()
    assert (from_now.revision, from_three.revision) == (5, 2)


async def test_many_watches_share_a_stream_and_each_hears_its_own() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        for watch_id in (1, 2, 3):
            await _created(served, stream, watch_id)
        for number, watch in enumerate(served.path.watches, 1):
            watch.deliver(_put(10 + number))
        answers = [await stream.read() for _ in range(3)]
        stream.call.cancel()
    assert sorted((answer.watch_id, answer.revision) for answer in answers) == [(1, 11), (2, 12), (3, 13)]


async def test_a_client_cancels_one_watch_and_the_others_go_on() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        first = await _created(served, stream, 1)
        second = await _created(served, stream, 2)
        first.deliver(_put(4))
        await stream.read()
        await stream.cancel(1)
        answer = await stream.read()
        assert (answer.watch_id, answer.canceled, answer.reason, answer.revision) == (1, True, "client", 4)
        assert first.canceled
        await stream.cancel(1)  # again: it is gone, and was told so once
        second.deliver(_put(5))
        assert (await stream.read()).watch_id == 2
        await _created(served, stream, 1)  # the id is free again
        stream.call.cancel()


async def test_progress_is_asked_of_the_watch_and_comes_as_an_answer_without_events() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watch = await _created(served, stream, 1)
        await stream.progress(99)  # nobody's
        await stream.progress(1)
        await eventually(lambda: watch.progress_requests == 1)
        watch.deliver(_delivery(17))
        answer = await stream.read()
        stream.call.cancel()
    assert (answer.watch_id, answer.revision, len(answer.events), answer.canceled) == (1, 17, 0, False)


@pytest.mark.parametrize("reason", list(WatchEnd))
async def test_a_watch_that_the_server_ends_says_why_and_where_to_resume(reason: WatchEnd) -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watch = await _created(served, stream, 1)
        watch.deliver(_put(4), WatchEnded(reason=reason, detail="because", revision=4))
        assert (await stream.read()).revision == 4
        answer = await stream.read()
        assert (answer.canceled, answer.reason, answer.detail, answer.revision) == (
            True,
            reason.value,
            "because",
            4,
        )
        await stream.call.done_writing()
        assert await stream.ended()
        assert await stream.call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"key": b""}, "key: empty"),
        ({"key": bytes(4097)}, "key: 4097 bytes"),
        ({"start_revision": 2**63}, "start_revision"),
        ({"no_puts": True, "no_deletes": True}, "no_deletes"),
    ],
)
async def test_a_watch_that_cannot_be_is_refused_and_the_stream_goes_on(
    fields: dict[str, Any], words: str
) -> None:
    async with serving() as served:
        stream = WatchStream(served)
        await stream.create(1, **fields)
        answer = await stream.read()
        assert (answer.watch_id, answer.canceled, answer.reason) == (1, True, "invalid")
        assert words in answer.detail
        await _created(served, stream, 1)
        stream.call.cancel()


async def test_a_watch_that_the_node_refuses_says_why() -> None:
    async with serving(path=FakeRequestPath(error=RequestRefused("overloaded", "too many"))) as served:
        stream = WatchStream(served)
        await stream.create(1)
        answer = await stream.read()
        stream.call.cancel()
    assert (answer.canceled, answer.reason, answer.detail) == (True, "overloaded", "too many")


@pytest.mark.parametrize(
    "request_message, field",
    [
        (kv_pb2.WatchRequest(), "request"),
        (kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(key=b"k")), "create.watch_id"),
        (
            kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(key=b"k", watch_id=2**63)),
            "create.watch_id",
        ),
        (kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(key=b"k", watch_id=1)), "create.watch_id"),
    ],
)
async def test_what_cannot_be_answered_under_an_id_ends_the_stream(
    request_message: kv_pb2.WatchRequest, field: str
) -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watch = await _created(served, stream, 1)
        await stream.send(request_message)
        with pytest.raises(aio.AioRpcError) as found:
            await stream.read()
        refused = explain(found.value)
        assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
        await eventually(lambda: watch.canceled)


async def test_an_error_in_a_watch_ends_its_stream_rather_than_leaving_it_silent() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watch = await _created(served, stream, 1)
        watch.deliver("no delivery at all", None)
        watch.take = None
        with pytest.raises(aio.AioRpcError) as found:
            await stream.read()
        assert found.value.code() is grpc.StatusCode.INTERNAL


async def test_a_client_that_leaves_cancels_its_watches() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watches = [await _created(served, stream, watch_id) for watch_id in (1, 2)]
        stream.call.cancel()
        await eventually(lambda: all(watch.canceled for watch in watches))
        await eventually(lambda: not _tasks())
        assert (await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)).revision


def _tasks() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("watch ")]


async def test_the_end_of_the_clients_side_leaves_its_watches_until_they_end() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        watch = await _created(served, stream, 1)
        await stream.call.done_writing()
        watch.deliver(_put(4))
        assert (await stream.read()).revision == 4
        watch.deliver(WatchEnded(reason=WatchEnd.SLOW, detail="", revision=4))
        assert (await stream.read()).canceled
        assert await stream.ended()


async def test_a_server_that_stops_tells_every_watch_where_to_resume() -> None:
    async with serving() as served:
        stream = WatchStream(served)
        first = await _created(served, stream, 1)
        await _created(served, stream, 2, start_revision=9)
        first.deliver(_put(4))
        await stream.read()
        stopping = asyncio.create_task(served.server.stop(10_000))
        answers = [await stream.read() for _ in range(2)]
        assert [(answer.watch_id, answer.reason, answer.revision) for answer in answers] == [
            (1, "shutting_down", 4),
            (2, "shutting_down", 8),
        ]
        assert await stream.ended()
        async with asyncio.timeout(10):
            await stopping


# -------------------------------------------------------------------------------------------------------- slow readers


def _method(path: FakeRequestPath) -> Method:
    return next(
        method for method in client_methods(path, make_config()) if method.path.endswith("KvService/Watch")
    )


async def test_a_slow_reader_stops_what_is_taken_and_hurts_no_other_stream() -> None:
    path, slow, quick = FakeRequestPath(), SlowWriter(), SlowWriter()
    quick.let(1000)
    create = kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(watch_id=1, key=b"k"))
    streams = [
        asyncio.create_task(
            _method(path).stream(frames([create.SerializeToString()], stay=True), Context(), writer)
        )
        for writer in (slow, quick)
    ]
    await eventually(lambda: len(path.watches) == 2 and len(quick.sent) == 1)
    for revision in range(1, 101):
        for watch in path.watches:
            watch.deliver(_put(revision))
        for _ in range(5):
            await asyncio.sleep(0)
    slow_watch, quick_watch = path.watches
    await eventually(lambda: not quick_watch.waiting)
    assert len(slow_watch.waiting) == 100, "nothing is taken before what came first is sent"
    slow.let(1000)
    await eventually(lambda: not slow_watch.waiting and not slow.sending)
    for writer in (slow, quick):
        revisions = [
            event.kv.mod_revision
            for data in writer.sent
            for event in kv_pb2.WatchResponse.FromString(data).events
        ]
        assert revisions == list(range(1, 101))
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    assert all(watch.canceled for watch in path.watches)


async def test_a_stream_that_is_left_while_its_queue_is_full_ends_all_of_its_tasks() -> None:
    path, writer = FakeRequestPath(), SlowWriter()
    create = kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(watch_id=1, key=b"k"))
    stream = asyncio.create_task(
        _method(path).stream(frames([create.SerializeToString()], stay=True), Context(), writer)
    )
    await eventually(lambda: path.watches)
    for revision in range(1, 51):
        path.watches[0].deliver(_put(revision))
        for _ in range(3):
            await asyncio.sleep(0)
    stream.cancel()
    await asyncio.gather(stream, return_exceptions=True)
    await eventually(lambda: not _tasks())
    assert path.watches[0].canceled


# -------------------------------------------------------------------------------------------------------- bytes


def _parsed(watch_id: int, deliveries: list[Delivery]) -> list[kv_pb2.WatchResponse]:
    answers = []
    for revision, data in responses(watch_id, deliveries):
        answer = kv_pb2.WatchResponse.FromString(data)
        assert (answer.watch_id, answer.revision) == (watch_id, revision)
        answers.append(answer)
    return answers


def test_deliveries_that_wait_together_share_a_response() -> None:
    (answer,) = _parsed(2**62, [_put(4), _put(5), _delivery(9)])
    assert ([event.kv.mod_revision for event in answer.events], answer.revision) == ([4, 5], 9)


def test_a_delivery_is_encoded_once_for_all_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    built = 0

    def counted(event: WatchEvent) -> kv_pb2.Event:
        nonlocal built
        built += 1
        return kv_pb2.Event(kv=kv_pb2.KeyValue(key=event.entry.key))

    monkeypatch.setattr(watch_convert, "_event", counted)
    delivery = _put(4)
    for watch_id in range(1, 101):
        (answer,) = _parsed(watch_id, [delivery])
        assert answer.events[0].kv.key == b"k"
    assert built == 1


def test_a_long_history_comes_in_responses_of_a_bounded_size() -> None:
    deliveries = [_put(revision, value=bytes(20_000)) for revision in range(1, 101)]
    answers = _parsed(1, deliveries)
    assert [event.kv.mod_revision for answer in answers for event in answer.events] == list(range(1, 101))
    assert max(answer.ByteSize() for answer in answers) <= MESSAGE_BYTES + 20_000
    assert len(answers) > 5


def test_a_revision_that_fits_no_message_is_split_and_only_its_last_part_moves_the_revision() -> None:
    events = [
        WatchEvent(deleted=False, entry=_entry(b"%03d" % number, 7, bytes(100_000))) for number in range(40)
    ]
    answers = _parsed(1, [_put(6), _delivery(7, *events), _put(8)])
    assert [(answer.fragment, answer.revision) for answer in answers] == [
        (False, 6),
        *[(True, 6)] * (len(answers) - 3),
        (False, 7),
        (False, 8),
    ]
    assert len(answers) > 5
    assert max(answer.ByteSize() for answer in answers) < FRAGMENT_BYTES + 200_000
    keys = [event.kv.key for answer in answers for event in answer.events]
    assert keys == [b"k", *(b"%03d" % number for number in range(40)), b"k"]
