"""One gRPC call over an HTTP/2 stream: its messages, its deadline, its end. Knows the protocol, but no frames."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from ferrite.io.grpc.call_headers import OK_TRAILERS, RESPONSE, CallHead, status_headers, trailers_only
from ferrite.io.grpc.call_limits import CallLimits
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.http2 import Http2Connection
from ferrite.io.grpc.messages import MessageReader, framed
from ferrite.io.grpc.service import Data, Method, StreamClosed
from ferrite.io.grpc.status import RpcError, StatusCode

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What all calls of a server share."""

    loop: asyncio.AbstractEventLoop
    limits: CallLimits
    drain: Drain
    message_bytes_max: int
    answer_bytes_max: int
    tasks: set[asyncio.Task[None]]


class Call:
    """A stream to its connection, a context and a writer to its handler. Over once it was answered, or nobody waits for it."""

    __slots__ = (
        "_connection",
        "_deadline_s",
        "_head",
        "_headers_sent",
        "_incoming",
        "_method",
        "_over",
        "_reader",
        "_request",
        "_room",
        "_services",
        "_stream_id",
        "_task",
        "_timer",
        "drain",
    )

    def __init__(
        self,
        services: CallServices,
        connection: Http2Connection,
        stream_id: int,
        head: CallHead,
        method: Method,
    ) -> None:
        """`begin` follows."""
        self.drain = services.drain
        self._services = services
        self._connection = connection
        self._stream_id = stream_id
        self._head = head
        self._method = method
        self._reader = MessageReader(head.encoding, services.message_bytes_max)
        self._request: bytes | None = None
        self._incoming: _Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s: float | None = None
        self._room: asyncio.Future[None] | None = None
        self._headers_sent = False
        self._over = False

    def begin(self) -> None:
        """Start the clock and, with a client's stream, the handler."""
        timeout_ns = self._head.timeout_ns
        if timeout_ns is not None:
            loop = self._services.loop
            self._deadline_s = loop.time() + timeout_ns / _NS
            if not timeout_ns:
                self._overdue()
                return
            self._timer = loop.call_at(self._deadline_s, self._overdue)
        if self._method.client_streaming:
            self._incoming = _Incoming(self._consume)
            self._serve(self._incoming.messages())

    # ------------------------------------------------------------------------------------------------ context and writer

    def remaining_ms(self) -> int | None:
        """Milliseconds until the client's deadline, never negative; None when it set none."""
        if self._deadline_s is None:
            return None
        return max(0, int((self._deadline_s - self._services.loop.time()) * 1000))

    def metadata(self, key: str) -> str:
        """The first value of a request header with this lower-case name; empty when there is none."""
        wanted = key.encode()
        return next(
            (value.decode("utf-8", "replace") for name, value in self._head.headers if name == wanted), ""
        )

    def caller(self) -> str:
        """Address of the client, for logs."""
        peer = self._connection.peer
        if len(peer) < 2:
            return "unknown"
        return f"ipv6:[{peer[0]}]:{peer[1]}" if len(peer) == 4 else f"ipv4:{peer[0]}:{peer[1]}"

    async def send(self, data: bytes) -> None:
        """Send one message. Returns when the reader leaves room. Raises `StreamClosed`."""
        if self._over:
            raise StreamClosed
        self._check_answer(data)
        if not self._headers_sent:
            self._headers_sent = True
            self._connection.begin_answer(self._stream_id, RESPONSE)
        self._connection.send(self._stream_id, framed(data))
        if self._connection.has_room(self._stream_id):
            return
        self._room = self._services.loop.create_future()
        try:
            await self._room
        finally:
            self._room = None
        if self._over:
            raise StreamClosed

    # ------------------------------------------------------------------------------------------------ the stream

    def data_received(self, data: bytes, *, ended: bool) -> None:
        """Bytes of the request."""
        if self._over:
            self._connection.consume(self._stream_id, len(data))
            return
        try:
            if self._incoming is not None:
                self._incoming.feed(data, self._reader)
            else:
                self._connection.consume(self._stream_id, len(data))
                self._take(data)
            if ended:
                self._end_request()
        except RpcError as error:
            self._fail(error)

    def room_made(self) -> None:
        """The writer may go on."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def closed(self) -> None:
        """Nobody waits for the answer."""
        self._end()

    # ------------------------------------------------------------------------------------------------ inside

    def _take(self, data: bytes) -> None:
        """Of a call with one message."""
        for message, _ in self._reader.feed(data):
            if self._request is not None:
                raise _one_message("more than one")
            self._request = message
        if self._request is not None and self._reader.partial_bytes:
            raise _one_message("more than one")

    def _end_request(self) -> None:
        if self._reader.partial_bytes:
            raise RpcError(StatusCode.INTERNAL, "the request ended within a message")
        if self._incoming is not None:
            self._incoming.end()
        elif self._request is None:
            raise _one_message("none")
        else:
            self._serve(self._request)

    def _serve(self, data: Data) -> None:
        method = self._method
        refused = self._services.limits.begin(method)
        if refused is not None:
            self._fail(refused)
        elif method.begins and isinstance(data, bytes):
            method.begin(data, self, self._done)
        else:
            self._task = self._services.loop.create_task(self._run(data))
            self._services.tasks.add(self._task)
            self._task.add_done_callback(self._task_ended)

    def _done(self, outcome: bytes | RpcError) -> None:
        """Of a call without a task. It counts until here, also when nobody waits any more: that much is in progress."""
        self._services.limits.end(self._method)
        if self._over:
            return
        try:
            if isinstance(outcome, RpcError):
                raise outcome
            self._check_answer(outcome)
        except RpcError as error:
            self._fail(error)
        else:
            self._end()
            self._connection.answer(self._stream_id, RESPONSE, framed(outcome), OK_TRAILERS)

    async def _run(self, data: Data) -> None:
        method = self._method
        try:
            if method.server_streaming:
                await method.stream(data, self, self)
                self._complete()
            else:
                answer = await method.answer(data, self)
                self._check_answer(answer)
                if not self._over:
                    self._end()
                    self._connection.answer(self._stream_id, RESPONSE, framed(answer), OK_TRAILERS)
        except RpcError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(RpcError(StatusCode.CANCELLED, "the call was cancelled"))
            raise

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Also of a task that was cancelled before its first step, of which nothing runs."""
        self._services.tasks.discard(task)
        self._services.limits.end(self._method)

    def _complete(self) -> None:
        """The end of an answer in a stream."""
        if self._over:
            return
        self._end()
        if not self._headers_sent:
            self._connection.begin_answer(self._stream_id, RESPONSE)
        self._connection.end_answer(self._stream_id, OK_TRAILERS)

    def _overdue(self) -> None:
        self._fail(RpcError(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _fail(self, error: RpcError) -> None:
        if self._over:
            return
        self._end()
        if self._headers_sent:
            self._connection.end_answer(self._stream_id, status_headers(error))
        else:
            self._connection.refuse(self._stream_id, trailers_only(error))

    def _end(self) -> None:
        """It is over, whatever the reason."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self.room_made()
        if self._incoming is not None:
            self._incoming.drop()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _check_answer(self, data: bytes) -> None:
        if len(data) > self._services.answer_bytes_max:
            detail = f"Sent message larger than max ({len(data)} vs. {self._services.answer_bytes_max})"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, detail)

    def _consume(self, size: int) -> None:
        self._connection.consume(self._stream_id, size)


class _Incoming:
    """The messages of a client's stream. What is not taken keeps its window, so the sender stops; a message must be able to get
    complete, so the bytes of a partial one give theirs back while nothing else waits.
    """

    __slots__ = ("_ahead", "_consume", "_ended", "_more", "_partial", "_queue")

    def __init__(self, consume: Callable[[int], None]) -> None:
        self._consume = consume
        self._queue: deque[tuple[bytes, int]] = deque()
        self._partial = 0
        self._ahead = 0  # bytes of the partial message that were given back
        self._ended = False
        self._more: asyncio.Event = asyncio.Event()

    def feed(self, data: bytes, reader: MessageReader) -> None:
        for message, size in reader.feed(data):
            self._queue.append((message, size - self._ahead))
            self._ahead = 0
        self._partial = reader.partial_bytes
        if self._queue:
            self._more.set()
        else:
            self._give_back_partial()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    def drop(self) -> None:
        """Nothing more is taken; what waits gives its window back to the connection."""
        left = sum(size for _, size in self._queue) + self._partial - self._ahead
        self._queue.clear()
        self._partial = self._ahead = 0
        self._consume(left)

    async def messages(self) -> AsyncIterator[bytes]:
        while True:
            while self._queue:
                message, size = self._queue.popleft()
                self._consume(size)
                if not self._queue:
                    self._give_back_partial()
                yield message
            if self._ended:
                return
            self._more.clear()
            await self._more.wait()

    def _give_back_partial(self) -> None:
        if self._partial > self._ahead:
            self._consume(self._partial - self._ahead)
            self._ahead = self._partial


def _one_message(how_many: str) -> RpcError:
    return RpcError(
        StatusCode.UNIMPLEMENTED, f"the call takes exactly one message; the request has {how_many}"
    )
