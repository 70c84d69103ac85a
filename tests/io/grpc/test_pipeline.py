"""The Pipeline stream: answers as operations finish, errors as the unary call has them, and bounds."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # has stubs but no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed
from grpc import aio

from ferrite.core.kv import Put, Range, RangeResult
from ferrite.io.grpc.handlers import client_methods
from ferrite.io.grpc.handlers.pipeline import IN_FLIGHT_MAX, MESSAGE_BYTES
from ferrite.io.grpc.kinds import HEAVY
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.service import Method
from ferrite.io.grpc.status import RpcError
from ferrite.io.request_path import RequestRefused
from tests.io.grpc.answers import ENTRY, prepared
from tests.io.grpc.fakes import FakeRequestPath, call, eventually, explain, make_config, refusal, serving
from tests.io.grpc.streams import Context, Pipeline, SlowWriter, frames, put, requests

pytestmark = pytest.mark.usefixtures("each_engine")

_OPERATIONS: dict[str, tuple[Any, Any]] = {
    "put": (kv_pb2.PutRequest(key=b"k"), kv_pb2.PutResponse(revision=1)),
    "get": (kv_pb2.GetRequest(key=b"none"), kv_pb2.GetResponse(revision=1)),
    "range": (kv_pb2.RangeRequest(key=b"k"), None),
    "delete_range": (kv_pb2.DeleteRangeRequest(key=b"k"), None),
    "txn": (kv_pb2.TxnRequest(success=[kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=b"k"))]), None),
    "compact": (kv_pb2.CompactRequest(revision=1), kv_pb2.CompactResponse(compacted_revision=8, revision=13)),
    "lease_grant": (
        kv_pb2.LeaseGrantRequest(ttl_s=5),
        kv_pb2.LeaseGrantResponse(lease_id=77, ttl_s=5, revision=13),
    ),
    "lease_revoke": (
        kv_pb2.LeaseRevokeRequest(lease_id=77),
        kv_pb2.LeaseRevokeResponse(deleted=3, revision=14),
    ),
    "lease_keep_alive": (
        kv_pb2.LeaseKeepAliveRequest(lease_ids=[77, 78]),
        kv_pb2.LeaseKeepAliveResponse(ttls_s=[5, 0], revision=14),
    ),
    "lease_time_to_live": (kv_pb2.LeaseTimeToLiveRequest(lease_id=77), None),
}


def test_every_operation_of_the_contract_is_tried_here() -> None:
    oneof = kv_pb2.PipelineRequest.DESCRIPTOR.oneofs_by_name["operation"]
    assert {field.name for field in oneof.fields} == set(_OPERATIONS)
    results = kv_pb2.PipelineResponse.DESCRIPTOR.oneofs_by_name["result"]
    assert {field.name for field in results.fields} == {*_OPERATIONS, "error"}


async def test_every_operation_is_answered_under_its_id_and_name() -> None:
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        stream = Pipeline(served)
        for request_id, (name, (request, expected)) in enumerate(_OPERATIONS.items(), 2**62):
            await stream.send(kv_pb2.PipelineRequest(id=request_id, **{name: request}))
            (answer,) = await stream.read(request_id)
            assert answer.WhichOneof("result") == name
            result = getattr(answer, name)
            assert result.leader.node_id == 1
            if expected is not None:
                result.ClearField("leader")
                assert result == expected
        await stream.call.done_writing()
        await stream.rest()
        assert await stream.call.code() is grpc.StatusCode.OK


async def test_answers_come_as_operations_finish_not_in_their_order() -> None:
    class FirstIsSlow(FakeRequestPath):
        async def write(self, operation: Any, **options: Any) -> Any:
            if operation.key == b"slow":
                await slow.wait()
            return await FakeRequestPath.write(self, operation, **options)

    slow = asyncio.Event()
    async with serving(path=FirstIsSlow()) as served:
        stream = Pipeline(served)
        await stream.send(put(1, b"slow"), put(2), put(3))
        await stream.read(2, 3)
        assert set(stream.answers) == {2, 3}
        slow.set()
        await stream.read(1)


def _pipeline(path: FakeRequestPath) -> Method:
    methods = {method.path: method for method in client_methods(path, make_config())}
    return methods["/ferrite.kv.KvService/Pipeline"]


async def test_what_arrives_in_one_message_is_asked_for_in_one_turn_and_answered_in_one_message() -> None:
    turns: list[int] = []

    class Counting(FakeRequestPath):
        def begin_write(self, operation: Any, done: Any, **options: Any) -> None:
            turns.append(turn)
            FakeRequestPath.begin_write(self, operation, done, **options)

    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    writer = SlowWriter()
    writer.let(10)
    messages = frames([requests(*(put(n) for n in range(1, 301)))])
    await _pipeline(Counting()).stream(messages, Context(), writer)
    counting.cancel()
    assert len(turns) == 300
    assert len(set(turns)) == 1
    assert len(writer.sent) == 1
    assert len(kv_pb2.PipelineResponses.FromString(writer.sent[0]).responses) == 300


async def test_an_error_is_the_operations_own_and_says_what_the_unary_call_says() -> None:
    error = RequestRefused("not_leader", "ask node 3", leader_id=3, leader_grpc_addr="g:1")
    async with serving(path=FakeRequestPath(error=error)) as served:
        stream = Pipeline(served)
        await stream.send(put(1), put(2, b""), kv_pb2.PipelineRequest(id=3))
        refused, invalid, empty = await stream.read(1, 2, 3)
        async with refusal() as unary:
            await call(served, "KvService/Put", kv_pb2.PutRequest(key=b"k"), kv_pb2.PutResponse)
    found = Status.FromString(refused.error.details)
    info = ErrorInfo()
    found.details[0].Unpack(info)
    assert (refused.error.code, refused.error.message) == (14, unary[0].message)
    assert (found.code, found.message) == (14, refused.error.message)
    assert (info.reason, dict(info.metadata)) == (unary[0].reason, unary[0].metadata)
    assert (invalid.error.code, "key: empty" in invalid.error.message) == (3, True)
    assert (empty.error.code, "operation: not set" in empty.error.message) == (3, True)


async def test_an_error_nobody_expected_ends_one_operation_and_leaks_nothing() -> None:
    class Broken(FakeRequestPath):
        def begin_write(self, operation: Any, done: Any, **options: Any) -> None:
            done(ZeroDivisionError("secret"))  # as a kind's encoder might

    async with serving(path=Broken()) as served:
        stream = Pipeline(served)
        await stream.send(put(1))
        (answer,) = await stream.read(1)
        assert (answer.error.code, "secret" in answer.error.message) == (13, False)


async def test_each_operation_has_its_own_time() -> None:
    async with serving() as served:
        stream = Pipeline(served)
        for request_id, timeout_ms in ((1, 0), (2, 700), (3, 2**64 - 1)):
            request = put(request_id)
            request.timeout_ms = timeout_ms
            await stream.send(request)
            await stream.read(request_id)
        times = [options["timeout_ms"] for _, _, options in served.path.calls]
    assert times == [None, 700, 5000]


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab"])
async def test_a_malformed_message_ends_the_stream_once_what_was_begun_is_answered(data: bytes) -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        stream = Pipeline(served)
        await stream.send(put(1))
        await eventually(lambda: served.path.in_progress)
        await stream.call.write(data)
        served.path.gate.set()
        with pytest.raises(aio.AioRpcError) as found:
            await stream.rest()
        assert set(stream.answers) == {1}
        refused = explain(found.value)
        assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("request",))
        assert (await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)).revision


async def test_an_id_that_is_in_flight_already_ends_the_stream() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        stream = Pipeline(served)
        await stream.send(put(1), put(1))
        await eventually(lambda: served.path.in_progress)
        served.path.gate.set()
        with pytest.raises(aio.AioRpcError) as found:
            await stream.rest()
        assert explain(found.value).fields == ("requests.id",)
        assert len(served.path.calls) == 1


async def test_a_slow_reader_stops_what_is_read_and_later_gets_everything() -> None:
    path, writer, taken = FakeRequestPath(), SlowWriter(), list[bytes]()
    per_message = 64
    messages = [
        requests(*(put(n) for n in range(first, first + per_message)))
        for first in range(1, 3201, per_message)
    ]
    serving_stream = asyncio.create_task(
        _pipeline(path).stream(frames(messages, taken=taken), Context(), writer)
    )
    await eventually(lambda: len(path.calls) == IN_FLIGHT_MAX and not path.in_progress)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(path.calls) == IN_FLIGHT_MAX
    assert len(taken) <= IN_FLIGHT_MAX // per_message + 1
    writer.let(1000)
    await serving_stream
    ids = [
        answer.id for data in writer.sent for answer in kv_pb2.PipelineResponses.FromString(data).responses
    ]
    assert sorted(ids) == list(range(1, 3201))


async def test_heavy_operations_count_more_and_large_answers_travel_alone() -> None:
    entries = tuple(
        ENTRY.__class__(key=b"%d" % n, value=bytes(30_000), create_revision=1, mod_revision=1, version=1)
        for n in range(20)
    )
    path = FakeRequestPath(results={Range: RangeResult(revision=1, entries=entries, more=False)})
    writer = SlowWriter()
    heavy = [
        requests(kv_pb2.PipelineRequest(id=n, range=kv_pb2.RangeRequest(key=b"0", range_end=b"\0")))
        for n in range(1, 101)
    ]
    serving_stream = asyncio.create_task(_pipeline(path).stream(frames(heavy), Context(), writer))
    await eventually(lambda: path.calls and not path.in_progress)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(path.calls) <= IN_FLIGHT_MAX // HEAVY
    writer.let(1000)
    await serving_stream
    assert len(writer.sent) == 100
    assert all(len(data) > MESSAGE_BYTES for data in writer.sent)


async def test_a_client_that_leaves_leaves_nothing_running() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        stream = Pipeline(served)
        await stream.send(put(1), put(2))
        await eventually(lambda: served.path.in_progress == 2)
        stream.call.cancel()
        await eventually(lambda: not _tasks("pipeline reads"))
        served.path.gate.set()  # what was begun ends by itself, and its answers go nowhere
        await eventually(lambda: not served.path.in_progress)
        assert await _still_serves(served)


def _tasks(name: str) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def _still_serves(served: Any) -> bool:
    stream = Pipeline(served)
    await stream.send(put(1))
    (answer,) = await stream.read(1)
    stream.call.cancel()
    return bool(answer.put.revision)


async def test_the_end_of_the_clients_side_ends_the_stream_once_all_is_answered() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        stream = Pipeline(served)
        await stream.send(put(1))
        await stream.call.done_writing()
        await eventually(lambda: served.path.in_progress)
        served.path.gate.set()
        await stream.rest()
        assert (set(stream.answers), await stream.call.code()) == ({1}, grpc.StatusCode.OK)


async def test_a_server_that_stops_answers_what_it_began_and_says_why_it_ends() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        stream = Pipeline(served)
        await stream.send(put(1))
        await eventually(lambda: served.path.in_progress)
        stopping = asyncio.create_task(served.server.stop(10_000))
        await eventually(lambda: not _tasks("pipeline reads"))
        served.path.gate.set()
        with pytest.raises(aio.AioRpcError) as found:
            await stream.rest()
        refused = explain(found.value)
        assert (set(stream.answers), refused.code, refused.reason) == (
            {1},
            grpc.StatusCode.UNAVAILABLE,
            "shutting_down",
        )
        async with asyncio.timeout(10):
            await stopping


async def test_a_stream_that_begins_while_the_server_stops_ends_at_once() -> None:
    context = Context()
    context.drain.begin()
    with pytest.raises(RpcError) as found:
        await _pipeline(FakeRequestPath()).stream(frames([], stay=True), context, SlowWriter())
    assert found.value.code.name == "UNAVAILABLE"


async def test_streams_may_be_half_of_the_calls_in_progress() -> None:
    async with serving(make_config(limits__concurrent_rpcs_max=8)) as served:
        streams = [Pipeline(served) for _ in range(4)]
        for stream in streams:
            await stream.send(put(1))
            await stream.read(1)
        fifth = Pipeline(served)
        with pytest.raises(aio.AioRpcError) as found:
            await fifth.rest()
        assert (explain(found.value).code, explain(found.value).reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "overloaded",
        )
        assert (await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)).revision
        streams[0].call.cancel()

        async def there_is_room() -> bool:
            again = Pipeline(served)
            try:
                await again.send(put(1))
                await again.read(1)
            except aio.AioRpcError:
                return False
            return True

        tries = 0
        while not await there_is_room():  # each try waits for the server's answer
            tries += 1
            assert tries < 1000
        for stream in streams:
            stream.call.cancel()


async def test_the_session_of_an_operation_reaches_the_request_path() -> None:
    async with serving() as served:
        stream = Pipeline(served)
        request = put(1)
        request.put.session.client_id = b"me"
        request.put.session.request_id = 4
        await stream.send(request)
        await stream.read(1)
        _, operation, options = served.path.calls[-1]
    assert (operation, options["session"].request_id) == (Put(key=b"k"), 4)
