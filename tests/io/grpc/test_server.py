"""grpcio's engine: limits, bad input, health, reflection, start and stop."""

import asyncio
import contextlib
import errno
import gzip
import socket
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ferrite.io.config.table import BY_PATH
from ferrite.io.grpc.engine import PING_INTERVAL_MS_MIN
from ferrite.io.grpc.handlers import RaftHandlers
from ferrite.io.grpc.listen import AddressInUse, CannotListen, check_can_listen
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.server import GrpcServer
from tests.io.grpc.fakes import (
    IDENTITY,
    FakeRequestPath,
    NoFrames,
    Served,
    call,
    eventually,
    make_config,
    refusal,
    serving,
)

pytestmark = pytest.mark.usefixtures("each_engine")

SET = "/ferrite.kv.KvService/Set"


async def _still_serves(served: Served) -> None:
    served.path.gate = None
    answer = await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"after"), kv_pb2.SetResponse)
    assert answer.revision >= 1


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "path",
    [
        "/ferrite.kv.KvService/Lock",
        "/ferrite.management.ManagementService/Snapshot",
        "/ferrite.kv.KvService/set",
        "/ferrite.kv.kvservice/Set",
        "/ferrite.kv.KvService/Set/",
        "//ferrite.kv.KvService/Set",
        "/ferrite.kv.KvService/Set?x=1",
        "/ferrite.kv.KvService/%53et",
        "/etcdserverpb.KV/Put",
        "/",
    ],
)
async def test_what_does_not_exist_is_unimplemented(path: str) -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw(path, b"")
        assert found[0].code is grpc.StatusCode.UNIMPLEMENTED
        assert served.path.calls == []


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\x05ab", b"\x0a", b"\x00" * 40, b"<html>", b"\x0b" * 200, b"\xff" * 4096]
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw(SET, data)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid")
        assert found[0].fields == ("request",)
        assert served.path.calls == []
        await _still_serves(served)
    assert "Traceback" not in caplog.text


async def test_text_that_is_not_utf8_is_an_invalid_argument() -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw("/ferrite.management.ManagementService/AddLearner", b"\x08\x02\x12\x02\xff\xfe")
        assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw(SET, bytes(4 * 2**20 + 1))
        assert found[0].code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert served.path.calls == []
        await _still_serves(served)


async def test_a_compressed_bomb_is_refused() -> None:
    async with serving() as served:
        assert len(gzip.compress(bytes(32 * 2**20))) < 2**20
        async with refusal() as found:
            await served.raw(SET, bytes(32 * 2**20), compression=grpc.Compression.Gzip)
        assert found[0].code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await _still_serves(served)


async def test_twenty_kilobytes_of_metadata_are_refused() -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw(SET, b"\x0a\x01k", metadata=(("x-large", "a" * 20_000),))
        assert found[0].code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert served.path.calls == []
        await _still_serves(served)


async def test_garbage_in_binary_metadata_harms_nobody() -> None:
    async with serving() as served:
        await served.raw(
            SET, b"\x0a\x01k", metadata=(("x-bin", bytes(range(256))), ("grpc-status-details-bin", b"\xff"))
        )
        await _still_serves(served)


async def test_unknown_fields_are_ignored_as_protobuf_has_it() -> None:
    async with serving() as served:
        answer = await served.raw(SET, b"\x0a\x01k" + b"\xfa\x3e\x03new")
        assert kv_pb2.SetResponse.FromString(answer).revision == 1


async def test_plain_http_and_noise_on_the_port_are_cut_off() -> None:
    async with serving() as served:
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", bytes(1000)):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(noise)
            await _until_closed(reader)
            writer.close()
        await _still_serves(served)


async def test_a_unary_call_without_a_message_reaches_no_handler() -> None:
    async with serving() as served:
        stream: Any = served.channel.stream_unary(SET)
        with pytest.raises(aio.AioRpcError):
            await stream(
                iter(()), timeout=0.5
            )  # grpcio gives no answer to such a call; it ends with the client's patience
        assert served.path.calls == []
        await _still_serves(served)


async def test_calls_over_the_limit_are_refused_before_they_begin() -> None:
    async with serving(make_config(limits__concurrent_rpcs_max=8)) as served:
        served.path.gate = asyncio.Event()
        async with aio.insecure_channel(
            f"127.0.0.1:{served.port}", options=(("grpc.use_local_subchannel_pool", 1),)
        ) as other:
            request = kv_pb2.SetRequest(key=b"k").SerializeToString()
            held = [asyncio.create_task(served.raw(SET, request)) for _ in range(8)]
            await eventually(lambda: served.path.in_progress == 8)
            async with refusal() as found:
                ninth: Any = other.unary_unary(SET)
                await ninth(request, timeout=20)
            assert (found[0].code, found[0].reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
            assert found[0].metadata["certainly_not_applied"] == "true"
            assert found[0].retry_ms > 0

            # Peers are not clients: they still come through.
            identify: Any = other.unary_unary("/ferrite.raft.RaftService/Identify")
            assert await identify(b"", timeout=20)

            served.path.gate.set()
            await asyncio.gather(*held)
        await _still_serves(served)


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(15):
            while await reader.read(65536):
                pass


async def test_a_flood_of_pings_ends_the_connection() -> None:
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_PREFACE + _PING * 50)
        await _until_closed(reader)
        writer.close()
        await _still_serves(served)


def test_a_peers_own_keep_alive_interval_is_no_flood() -> None:
    assert BY_PATH["network.keep_alive_interval"].minimum > PING_INTERVAL_MS_MIN


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(make_config(limits__header_timeout=100)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        await _until_closed(reader)
        writer.close()
        await _still_serves(served)


async def test_connections_over_the_limit_are_closed() -> None:
    async with serving(make_config(limits__connections_max=8, limits__connections_per_ip_max=8)) as served:
        opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(12)]
        for _, writer in opened:
            writer.write(_PREFACE)
        closed = [asyncio.create_task(_until_closed(reader)) for reader, _ in opened]
        await eventually(lambda: sum(task.done() for task in closed) >= 4)
        assert sum(task.done() for task in closed) == 4
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*closed)


# -------------------------------------------------------------------------------------------------------- start and stop


def _server(port: int) -> GrpcServer:
    config = make_config(node__grpc_addr=f"127.0.0.1:{port}")
    return GrpcServer(FakeRequestPath(), config, RaftHandlers(NoFrames(), lambda: IDENTITY))


async def test_an_address_in_use_is_an_error_of_its_own() -> None:
    async with serving() as served:
        second = _server(served.port)
        with pytest.raises(AddressInUse, match=f"127.0.0.1:{served.port} is in use") as found:
            await second.start()
        assert found.value.errno == errno.EADDRINUSE
        await second.stop(0)
        await _still_serves(served)


async def test_a_listener_that_is_not_grpc_counts_as_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressInUse):
        await _server(taken.getsockname()[1]).start()


async def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1"):
        await check_can_listen("192.0.2.1", 9001)


async def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(CannotListen, match="does not resolve"):
        await check_can_listen("no-such-host.invalid", 9001)


async def test_a_stopped_servers_port_is_free_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    first = _server(port)
    assert await first.start() == port
    await first.stop(0)
    second = _server(port)
    assert await second.start() == port
    await second.stop(0)


async def test_stopping_lets_calls_in_progress_finish_and_takes_no_new_ones() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        held = asyncio.create_task(
            call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
        )
        await eventually(lambda: served.path.in_progress)
        async with asyncio.timeout(20):
            stopping = asyncio.create_task(served.server.stop(10_000))
            await asyncio.sleep(0.05)
            assert not stopping.done()
            async with refusal() as found:
                await served.raw(SET, b"\x0a\x01k")
            assert found[0].code is grpc.StatusCode.UNAVAILABLE
            served.path.gate.set()
            assert (await held).revision == 1
            await stopping


async def test_the_grace_ends_calls_that_do_not_finish() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        held = asyncio.create_task(served.raw(SET, b"\x0a\x01k"))
        await eventually(lambda: served.path.in_progress)
        async with asyncio.timeout(20):
            await served.server.stop(50)
        with pytest.raises(aio.AioRpcError):
            await held


# -------------------------------------------------------------------------------------------------------- health, reflection


async def _health(served: Served, service: str) -> str:
    request = health_pb2.HealthCheckRequest(service=service)
    data = await served.raw("/grpc.health.v1.Health/Check", request.SerializeToString())
    return health_pb2.HealthCheckResponse.ServingStatus.Name(
        health_pb2.HealthCheckResponse.FromString(data).status
    )


async def test_the_standard_health_service_speaks_for_the_server_and_each_service() -> None:
    async with serving() as served:
        for service in ("", "ferrite.kv.KvService", "ferrite.management.ManagementService"):
            assert await _health(served, service) == "SERVING"
        served.server.set_serving(serving=False)
        assert await _health(served, "ferrite.kv.KvService") == "NOT_SERVING"
        async with refusal() as found:
            await _health(served, "no.such.Service")
        assert found[0].code is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_not_serving_before_the_server_goes() -> None:
    async with serving() as served:
        watch: Any = served.channel.unary_stream("/grpc.health.v1.Health/Watch")
        stream = watch(b"", timeout=20)
        serving_first = health_pb2.HealthCheckResponse.FromString(await stream.read())
        stopping = asyncio.create_task(served.server.stop(300))
        then = health_pb2.HealthCheckResponse.FromString(await stream.read())
        stream.cancel()
        await stopping
    assert (serving_first.status, then.status) == (1, 2)


async def test_reflection_lists_the_services() -> None:
    async with serving() as served:
        reflect: Any = served.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        stream = reflect(timeout=20)
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await stream.read()
        stream.cancel()
    assert {service.name for service in answer.list_services_response.service} >= {
        "ferrite.kv.KvService",
        "ferrite.management.ManagementService",
        "ferrite.raft.RaftService",
        "grpc.health.v1.Health",
    }
