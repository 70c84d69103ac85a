"""A client that says exactly what the test wants: libnghttp2's frames, or bytes of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence

import ngh2

from ferrite.io.grpc.pb import kv_pb2

SET = b"/ferrite.kv.KvService/Set"
WATCH = b"/ferrite.kv.KvService/Watch"
REQUEST = kv_pb2.SetRequest(key=b"k", value=b"v").SerializeToString()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, PING, CONTINUATION = 4, 1, 6, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def message(data: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(data)) + data


def h2_frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head(path: bytes = SET, *more: tuple[bytes, bytes], **changed: bytes | None) -> list[tuple[bytes, bytes]]:
    """A call's headers; `method`, `content_type` and `te` change what the protocol asks for, or leave it away (None)."""
    fields = {"method": b"POST", "content_type": b"application/grpc", "te": b"trailers"} | changed
    names = {"method": b":method", "content_type": b"content-type", "te": b"te"}
    named = [(names[name], value) for name, value in fields.items() if value is not None]
    pseudo = [(b":scheme", b"http"), (b":path", path), (b":authority", b"test")]
    return [*named[:1], *pseudo, *named[1:], *more] if "method" in fields else [*pseudo, *named, *more]


class RawClient:
    """One connection. What came is kept by stream; `closed` once the server has closed the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, read: bool) -> None:
        self.http2 = ngh2.Connection(
            ngh2.Role.CLIENT,
            ngh2.Configuration(auto_window_update=read, max_send_header_block_length=1 << 24),
        )
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.trailers: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.goaway: list[int] = []
        self.pings = 0
        self.closed = False
        self._reader = reader
        self.writer = writer
        self.http2.initiate_connection()
        self.flush()

    def call(
        self,
        body: bytes | None,
        *,
        headers: Sequence[tuple[bytes, bytes]] | None = None,
        end: bool = True,
    ) -> int:
        stream = self.http2.send_request(headers or head(), end_stream=body is None and end)
        if body is not None:
            self.http2.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def flush(self) -> None:
        self.writer.write(self.http2.data_to_send())

    async def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                assert not self.closed, "the server has closed the connection"
                await self.read()

    async def until_closed(self) -> None:
        async with asyncio.timeout(20):
            while not self.closed:
                await self.read()

    async def read(self) -> None:
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self.http2.receive_data(data)
        for event in self.http2.events():
            self._note(event)
        with contextlib.suppress(ConnectionError):
            self.flush()

    def _note(self, event: ngh2.Event) -> None:
        match event:
            case ngh2.ResponseReceived():
                self.headers[event.stream_id] = dict(event.headers)
            case ngh2.TrailersReceived():
                self.trailers[event.stream_id] = dict(event.headers)
            case ngh2.DataReceived():
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            case ngh2.StreamReset():
                self.resets[event.stream_id] = event.error_code
            case ngh2.StreamClosed():
                self.ended[event.stream_id] = event.error_code
            case ngh2.GoAwayReceived():
                self.goaway.append(event.error_code)
            case ngh2.PingReceived() | ngh2.PingAcknowledged():
                self.pings += 1
            case _:
                pass

    async def answer(self, stream: int) -> tuple[int, str]:
        """Wait for the end of a stream; returns its gRPC status and message."""
        await self.until(lambda: stream in self.ended)
        found = self.trailers.get(stream) or self.headers[stream]
        return int(found[b"grpc-status"]), found.get(b"grpc-message", b"").decode()


@contextlib.asynccontextmanager
async def connected(port: int, *, read: bool = True) -> AsyncIterator[RawClient]:
    """Connect for a block; with `read` False no window is given back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawClient(reader, writer, read=read)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
