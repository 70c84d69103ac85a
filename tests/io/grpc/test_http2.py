"""Hostile and unlucky clients of our own HTTP/2 engine, byte by byte."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import ngh2
import pytest

from ferrite.io.grpc import http2, http2_engine
from ferrite.io.grpc.engine import STREAM_WINDOW_BYTES
from ferrite.io.grpc.http2_engine import Http2Engine
from ferrite.io.grpc.pb import kv_pb2
from tests.io.grpc.fakes import Served, eventually, make_config, serving
from tests.io.grpc.raw import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    REQUEST,
    SET,
    SETTINGS,
    WATCH,
    RawClient,
    connected,
    h2_frame,
    head,
    message,
)

GREETING = PREFACE + h2_frame(SETTINGS) + h2_frame(SETTINGS, flags=ACK)


def engine_of(served: Served) -> Http2Engine:
    engine = served.server.engine
    assert isinstance(engine, Http2Engine)
    return engine


def set_limits(served: Served, **changed: Any) -> None:
    engine_of(served).limits = replace(engine_of(served).limits, **changed)


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_engine, "TICK_S", 0.01)
    monkeypatch.setattr(http2, "LINGER_S", 0.05)


async def serves(client: RawClient) -> bool:
    return await client.answer(client.call(message(REQUEST))) == (0, "")


async def cut_off(port: int, *wire: bytes) -> bytes:
    """Send the bytes; returns what came until the server closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            for piece in wire:
                writer.write(piece)
                await writer.drain()
            while piece := await reader.read(1 << 16):
                got += piece
    writer.close()
    return got


def goaway_code(wire: bytes) -> int | None:
    """The code of the last GOAWAY in what a server sent."""
    found = None
    while len(wire) >= 9:
        size, kind = int.from_bytes(wire[:3], "big"), wire[3]
        if kind == 7:
            found = int.from_bytes(wire[13:17], "big")
        wire = wire[9 + size :]
    return found


# -------------------------------------------------------------------------------------------------------- floods


@pytest.mark.parametrize(
    "frames, code",
    [
        (h2_frame(PING, bytes(8)) * 50, ngh2.ErrorCode.ENHANCE_YOUR_CALM),
        (h2_frame(SETTINGS) * 300, ngh2.ErrorCode.ENHANCE_YOUR_CALM),
        (h2_frame(16, struct.pack(">I", 1) + b"u=1") * 300, ngh2.ErrorCode.ENHANCE_YOUR_CALM),
    ],
    ids=["pings", "settings", "priorities"],
)
async def test_floods_of_frames_that_move_nothing_end_the_connection(frames: bytes, code: int) -> None:
    async with serving() as served:
        found = goaway_code(await cut_off(served.port, GREETING, frames))
        assert found in (code, None), "None: libnghttp2 itself had enough, and says nothing"
        async with connected(served.port) as client:
            assert await serves(client)


async def test_a_flood_of_empty_data_ends_the_connection() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = client.call(b"", end=False)
        client.writer.write(h2_frame(0, stream=stream) * 300)
        await client.until_closed()
        assert client.goaway == [ngh2.ErrorCode.ENHANCE_YOUR_CALM]


async def test_settings_whose_answers_nobody_reads_do_not_pile_up() -> None:
    async with serving() as served:
        connection = None
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GREETING)
        await eventually(lambda: engine_of(served)._connections)
        (connection,) = engine_of(served)._connections
        connection.pause_writing()  # as a socket does whose other side reads nothing
        writer.write(h2_frame(SETTINGS) * 250)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while await reader.read(1 << 16):
                    pass
        writer.close()
        await eventually(lambda: not engine_of(served)._connections)


async def test_rapid_resets_end_the_connection_and_leave_nothing_behind() -> None:
    async with serving() as served, connected(served.port) as client:
        served.path.gate = asyncio.Event()
        with contextlib.suppress(ngh2.NGH2Error, AssertionError):
            for _ in range(3000):
                stream = client.http2.send_request(head(WATCH))
                client.http2.send_data(stream, b"")
                client.flush()
                client.http2.reset_stream(stream)
                client.flush()
        await client.until_closed()
        await eventually(lambda: not engine_of(served)._connections)
        await eventually(lambda: served.server.limits._calls == 0)
        async with connected(served.port) as other:
            served.path.gate = None
            assert await serves(other)


async def test_endless_header_blocks_end_the_connection() -> None:
    async with serving() as served:
        block = h2_frame(HEADERS, b"\x00\x01a\x01b", stream=1)
        more = h2_frame(CONTINUATION, b"\x00\x01a\x01b", stream=1)
        await cut_off(served.port, GREETING, block + more * 100)
        async with connected(served.port) as client:
            assert await serves(client)


async def test_a_header_bomb_ends_the_connection() -> None:
    # One entry of the dynamic table, 4,000 bytes, named a thousand times by one byte each: 4 MB out of 5 kB.
    entry = b"\x40\x01x\x7f\xa1\x1e" + bytes(b"a" * 4000)
    block = b"\x83\x86\x84\x41\x01x" + entry + b"\xbe" * 1000
    async with serving() as served:
        await cut_off(
            served.port, GREETING, h2_frame(HEADERS, block, flags=END_HEADERS | END_STREAM, stream=1)
        )
        async with connected(served.port) as client:
            assert await serves(client)


async def test_many_small_fields_end_the_connection() -> None:
    async with serving() as served, connected(served.port) as client:
        client.call(
            message(REQUEST), headers=head(SET, *((b"x", b"") for _ in range(http2.HEADER_FIELDS_MAX)))
        )
        await client.until_closed()


async def test_streams_over_the_limit_are_not_served() -> None:
    async with serving(make_config(limits__concurrent_rpcs_max=8)) as served:
        served.path.gate = asyncio.Event()
        async with connected(served.port) as client:
            await client.until(lambda: client.http2.remote_settings[3] == 8)
            for _ in range(8):
                client.call(message(REQUEST))
            await eventually(lambda: served.path.in_progress == 8)
            # libnghttp2's client keeps to the limit; these bytes do not
            fields = b"\x83\x86\x84\x41\x01x"
            client.writer.write(h2_frame(HEADERS, fields, flags=END_HEADERS, stream=101))
            await client.until(lambda: client.goaway or client.resets)
            assert served.path.in_progress == 8
        served.path.gate.set()
        await eventually(lambda: served.server.limits._calls == 0)


# -------------------------------------------------------------------------------------------------------- flow control


class _Stuck:
    """A receiver that takes nothing of a peer's stream."""

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        await asyncio.Event().wait()


async def test_a_stream_that_nobody_reads_holds_its_sender_back_and_no_other_stream() -> None:
    async with serving(receiver=_Stuck()) as served, connected(served.port) as client:
        frames = message(bytes(60_000)) * 100
        stream = client.call(frames, headers=head(b"/ferrite.raft.RaftService/Connect"), end=False)
        for _ in range(5):
            assert await serves(client)
        sent = len(frames) - client.http2.queued_body_size(stream)
        assert STREAM_WINDOW_BYTES // 2 < sent <= 2 * STREAM_WINDOW_BYTES


async def test_windows_of_calls_that_were_refused_or_given_up_come_back() -> None:
    async with serving() as served, connected(served.port) as client:
        before = None
        for turn in range(25):
            stream = client.call(bytes(400_000), headers=head(b"/no/such"), end=False)
            await client.answer(stream)
            stream = client.call(bytes(400_000), headers=head(WATCH), end=False)
            client.http2.reset_stream(stream)
            client.flush()
            if turn == 0:
                before = client.http2.remote_window_size
        assert await serves(client)
        assert before is not None
        assert client.http2.remote_window_size > before - http2.CONNECTION_WINDOW_BYTES // 2


async def test_an_answer_that_nobody_reads_stays_where_it_is() -> None:
    async with serving() as served, connected(served.port, read=False) as client:
        value = bytes(1 << 20)
        stored = kv_pb2.SetRequest(key=b"k", value=value).SerializeToString()
        assert await client.answer(client.call(message(stored))) == (0, "")
        get = message(kv_pb2.GetRequest(key=b"k").SerializeToString())
        stream = client.call(get, headers=head(b"/ferrite.kv.KvService/Get"))
        await client.until(lambda: len(client.bodies.get(stream, b"")) > 60_000)
        assert stream not in client.ended
        async with connected(served.port) as other:
            assert await serves(other)


async def test_an_answer_longer_than_the_window_comes_in_whole() -> None:
    async with serving() as served, connected(served.port) as client:
        value = bytes(range(256)) * 4096
        stored = kv_pb2.SetRequest(key=b"k", value=value).SerializeToString()
        assert await client.answer(client.call(message(stored))) == (0, "")
        get = message(kv_pb2.GetRequest(key=b"k").SerializeToString())
        stream = client.call(get, headers=head(b"/ferrite.kv.KvService/Get"))
        assert await client.answer(stream) == (0, "")
        assert kv_pb2.GetResponse.FromString(client.bodies[stream][5:]).value == value


# -------------------------------------------------------------------------------------------------------- time


async def test_who_never_agrees_on_settings_is_cut_off() -> None:
    async with serving(make_config(limits__header_timeout=100)) as served:
        await cut_off(served.port, PREFACE + h2_frame(SETTINGS))
        await cut_off(served.port, PREFACE)
        await cut_off(served.port, PREFACE[:5])


async def test_an_idle_connection_is_sent_away(fast_clock: None) -> None:
    async with serving() as served:
        set_limits(served, idle_s=0.05)
        async with connected(served.port) as client:
            assert await serves(client)
            await client.until_closed()
            assert client.goaway == [ngh2.ErrorCode.NO_ERROR]


async def test_an_old_connection_is_sent_away_but_finishes_its_calls(fast_clock: None) -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        async with connected(served.port) as client:
            stream = client.call(message(REQUEST))
            await eventually(lambda: served.path.in_progress)
            set_limits(served, age_s=0.0)
            await client.until(lambda: client.goaway)
            served.path.gate.set()
            assert await client.answer(stream) == (0, "")
            await client.until_closed()


async def test_a_call_that_outlives_its_connections_grace_is_ended(fast_clock: None) -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        async with connected(served.port) as client:
            client.call(message(REQUEST))
            await eventually(lambda: served.path.in_progress)
            set_limits(served, age_s=0.0, age_grace_s=0.0)
            await client.until_closed()
        served.path.gate.set()


async def test_a_silent_connection_is_pinged_and_given_up_without_an_answer(fast_clock: None) -> None:
    async with serving() as served:
        set_limits(served, keep_alive_s=0.02, keep_alive_timeout_s=30.0)
        async with connected(served.port) as client:
            await client.until(lambda: client.pings >= 3)
            assert await serves(client)
            set_limits(served, keep_alive_s=0.02, keep_alive_timeout_s=0.0)
        assert PING in (await cut_off(served.port, GREETING))


async def test_a_client_that_reads_nothing_is_given_up(fast_clock: None) -> None:
    async with serving() as served, connected(served.port) as client:
        assert await serves(client)
        (connection,) = engine_of(served)._connections
        connection.pause_writing()
        set_limits(served, idle_s=0.0)
        await client.until_closed()
        assert client.goaway == []


# -------------------------------------------------------------------------------------------------------- ends


async def test_draining_finishes_what_was_begun_and_takes_nothing_new() -> None:
    async with serving() as served, connected(served.port) as client:
        served.path.gate = asyncio.Event()
        begun = client.call(message(REQUEST))
        await eventually(lambda: served.path.in_progress)
        stopping = asyncio.create_task(served.server.stop(20_000))
        await client.until(lambda: client.goaway)
        fields = b"\x83\x86\x84\x41\x01x"
        client.writer.write(h2_frame(HEADERS, fields, flags=END_HEADERS | END_STREAM, stream=begun + 2))
        served.path.gate.set()
        assert await client.answer(begun) == (0, "")
        await client.until_closed()
        assert begun + 2 not in client.headers
        await stopping


async def test_a_client_that_goes_leaves_no_handler_behind() -> None:
    async with serving() as served:
        async with connected(served.port) as client:
            client.call(b"", headers=head(WATCH), end=False)
            await eventually(lambda: served.server.limits._streams == 1)
        await eventually(lambda: served.server.limits._streams == 0)
        async with connected(served.port) as client:
            stream = client.call(b"", headers=head(WATCH), end=False)
            await eventually(lambda: served.server.limits._streams == 1)
            client.http2.reset_stream(stream)
            client.flush()
            await eventually(lambda: served.server.limits._streams == 0)
            assert await serves(client)


async def test_a_begun_write_counts_until_its_outcome_is_known() -> None:
    async with serving() as served, connected(served.port) as client:
        served.path.gate = asyncio.Event()
        stream = client.call(message(REQUEST))
        await eventually(lambda: served.path.in_progress)
        client.http2.reset_stream(stream)
        client.flush()
        assert await client.answer(client.call(message(b""), headers=head(b"/no/such"))) == (
            12,
            "Method not found!",
        )
        assert served.server.limits._calls == 1
        served.path.gate.set()
        await eventually(lambda: served.server.limits._calls == 0)


async def test_a_front_may_hand_a_connection_over_with_the_bytes_it_has_read() -> None:
    async with serving() as served:
        loop = asyncio.get_running_loop()

        class Front(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                assert isinstance(self.transport, asyncio.Transport)
                protocol = http2.Http2Connection(engine_of(served), loop)
                self.transport.set_protocol(protocol)
                protocol.connection_made(self.transport)
                protocol.data_received(data)

        async with front_of(Front) as port, connected(port) as client:
            assert await serves(client)


@contextlib.asynccontextmanager
async def front_of(factory: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    front = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()
