"""aiohttp's server protocol with what it lacks: deadlines for head and body, fixed answers.

aiohttp parses HTTP and keeps the connection's order; the door decides. Only this module and `streaming` know aiohttp.
A connection comes here from `front`, which counted it, with its first request that is not quite ordinary.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from ferrite.io.http.door import body_too_large
from ferrite.io.http.engine import Engine
from ferrite.io.http.exchange import FIXED_HEADERS, HttpAnswer, HttpStream, RequestHead
from ferrite.io.http.held_bytes import SMALL_BYTES, Hold
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.settings import HttpSettings
from ferrite.io.http.streaming import send_in_pieces
from ferrite.io.http.wire import answer_bytes

HEADERS_MAX: Final = 64  # curl sends 5, a browser about 20
LINE_BYTES_MAX: Final = 8190  # request line, and each header field; aiohttp's own default
LINGER_S: Final = (
    1.0  # for a client that still sends while we refuse: time to read the refusal before the close
)
_MS: Final = 1000


class ConnectionServer(web.Server):
    """What aiohttp shares between connections."""

    def __init__(self, engine: Engine, logger: logging.Logger) -> None:
        """Must be called with the loop running."""
        super().__init__(self._handle)
        self._engine = engine
        self._logger = logger

    def take_over(self, transport: asyncio.Transport, ip: str, data: bytes) -> Connection:
        """From now on aiohttp serves this connection, beginning with the bytes that came and have no answer yet."""
        connection = Connection(self, self._engine, self._logger, ip)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(data)
        return connection

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        engine = self._engine
        protocol = request.protocol
        assert isinstance(protocol, Connection), "this factory makes no others"
        hold = engine.held.hold()
        engine.in_flight += 1
        try:
            answer = await _exchange(engine, request, hold)
            if isinstance(answer, HttpAnswer):
                return await self._send(request, answer, protocol)
        finally:
            hold.release()
            engine.in_flight -= 1
            if engine.in_flight == 0:
                engine.idle.set()
        return await self._stream(request, answer, protocol)

    async def _send(
        self, request: web.BaseRequest, answer: HttpAnswer, connection: Connection
    ) -> web.StreamResponse:
        """A small answer is left to aiohttp. A large one is with the transport when this returns."""
        engine = self._engine
        close = answer.close or engine.draining or connection.answers_last()
        if len(answer.body) <= SMALL_BYTES or request.method == "HEAD":
            return _response(answer, close=close)
        return await send_in_pieces(request, answer, close=close, streams=engine.streams)

    async def _stream(
        self, request: web.BaseRequest, stream: HttpStream, connection: Connection
    ) -> web.StreamResponse:
        if not connection.half_closed:
            return await self._engine.streams.send(request, stream, connection.begin_stream)
        stream.source.close()  # there would be no telling when its client goes
        problem = HttpProblem("invalid", "A stream needs a connection that stays open in both directions.")
        return _response(self._engine.door.refuse_connection(problem), close=True)


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_engine", "_head_deadline", "_ip", "_stream", "half_closed")

    def __init__(
        self,
        server: ConnectionServer,
        engine: Engine,
        logger: logging.Logger,
        ip: str,
    ) -> None:
        """`ip`: as it was counted. Set aiohttp's own limits; content codings stay as they are (the door refuses them)."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=engine.settings.limits.idle_timeout / _MS,
            logger=logger,
            access_log=None,  # type: ignore[arg-type]  # None is aiohttp's own spelling of no access log
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._engine = engine
        self._head_deadline: asyncio.TimerHandle | None = None
        self._ip = ip
        self._stream: asyncio.Task[None] | None = None  # writes the stream that this connection ends with
        self.half_closed = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Uncount it."""
        self._engine.counts.release(self._ip)
        self._disarm()
        if self._stream is not None:
            self._stream.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and keep the head's deadline: it runs from a head's first byte to its last."""
        if self._stream is not None:  # a stream is the last answer: who sends on is not heard
            return
        requests_before = self._request_count
        super().data_received(data)
        if self._request_count != requests_before:
            self._disarm()
            self._fail_body_of_broken_framing()
        elif data and self._head_deadline is None and self._waits_for_head():
            timeout_s = self._engine.settings.limits.header_timeout / _MS
            self._head_deadline = self._loop.call_later(timeout_s, self._head_too_slow)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio reads the result; aiohttp's None means False
        """Let a client that only half-closed have its answer; then, or at once when nothing is asked, close."""
        if self._stream is not None or self._waits_for_head():
            return False
        self.half_closed = True
        if self._current_request is not None:
            self.fail_body_without_end(self._current_request.content)
        if not self._messages:
            self.close()  # after the answer in progress; it may be written already, with nobody left to look at the flag
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with fixed text what is no HTTP (aiohttp would echo it, and log a traceback), and what we failed at."""
        if status < 500:
            self._engine.log.refusal("HTTP request refused", f"{type(exc).__name__} from {self._ip}")
            answer = self._engine.door.refuse_connection(_framing_problem(exc))
        else:
            self._engine.log.failure("HTTP exchange failed", exc or RuntimeError(f"status {status}"))
            answer = self._engine.door.refuse_connection(
                HttpProblem("internal", "The exchange failed inside Ferrite.")
            )
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already on its way")
        return _response(answer, close=True)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What aiohttp itself reports, rate-limited."""
        error = kw.get("exc_info")
        if isinstance(error, RequestPayloadError):  # the client's doing, and answered already
            self._engine.log.refusal("HTTP request refused", f"{error} from {self._ip}")
            return
        self._engine.log.failure(
            "HTTP connection failed", error if isinstance(error, BaseException) else RuntimeError(*args)
        )

    def answers_last(self) -> bool:
        """Is the request in progress the last one of a half-closed connection?"""
        return self.half_closed and not self._messages

    def fail_body_without_end(self, content: StreamReader) -> None:
        """After a half-close nothing more comes: whoever reads this body must not wait for it."""
        if self.half_closed and not content.is_eof():
            content.set_exception(RequestPayloadError("the connection was half-closed within a body"))

    def begin_stream(self, writer: asyncio.Task[None]) -> None:
        """From now on nothing is parsed any more; when the client goes, `writer` is cancelled."""
        self._stream = writer
        if self.transport is None:
            writer.cancel()
        elif (
            self._buffer_paused
        ):  # many requests wait: they get no answer, but the client's end must be noticed
            cast(asyncio.ReadTransport, self.transport).resume_reading()

    def _waits_for_head(self) -> bool:
        waiter = self._waiter
        if waiter is not None:
            return not waiter.done() and not self._messages
        return self._request_count == 0  # the request loop has not had its first turn

    def _fail_body_of_broken_framing(self) -> None:
        """Bytes that are not HTTP came where a body's rest belongs: whoever reads that body must not wait for it."""
        request = self._current_request
        if request is not None and not request.content.is_eof() and self._messages:
            request.content.set_exception(RequestPayloadError("the body's framing is broken"))

    def _head_too_slow(self) -> None:
        self._head_deadline = None
        if self.transport is None or not self._waits_for_head():
            return
        timeout = self._engine.settings.limits.header_timeout
        problem = HttpProblem(
            "request_timeout", f"The headers did not come in within {timeout} ms (limits.header_timeout)."
        )
        self.transport.write(answer_bytes(self._engine.door.refuse_connection(problem)))
        self.force_close()

    def _disarm(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None


async def _exchange(engine: Engine, request: web.BaseRequest, hold: Hold) -> HttpAnswer | HttpStream:
    if request.version < HttpVersion10:
        return engine.door.refuse_connection(_framing_problem(None))
    head = RequestHead(
        method=request.method,
        target=request._message.path,  # noqa: SLF001 - the target as sent; every public spelling of it is decoded
        headers=request.headers,
        has_body=not (request.content.at_eof() and request.content.exception() is None),
        http_1_1=request.version >= HttpVersion11,
    )
    admitted = engine.door.admit(head)
    if isinstance(admitted, HttpAnswer):
        return admitted
    body = b""
    if head.has_body:
        protocol = request.protocol
        if isinstance(protocol, Connection):
            protocol.fail_body_without_end(request.content)
        try:
            _expect(request, head)
            body = await _read_body(request.content, admitted.body_bytes_max, engine.settings, hold)
        except HttpProblem as problem:
            return engine.door.refuse_body(admitted, problem)
    return await engine.door.answer(admitted, body, hold)


def _expect(request: web.BaseRequest, head: RequestHead) -> None:
    """Tell a client that waits for leave to send its body to go on (RFC 9110, 10.1.1)."""
    expectation = head.headers.get("expect")
    if expectation is None or not head.http_1_1:
        return
    if expectation.strip().lower() != "100-continue":
        raise HttpProblem("expectation_failed", "The only expectation that can be met is 100-continue.")
    transport = request.transport
    if transport is not None and not request.content.total_bytes:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read_body(content: StreamReader, bytes_max: int, settings: HttpSettings, hold: Hold) -> bytes:
    """Read all of it: within the limit, the deadline, and no slower than the least rate."""
    try:
        if content.is_eof():  # the usual case: it came with the head
            body = content.read_nowait(-1)
            if len(body) > bytes_max:
                raise body_too_large(bytes_max)
            hold.body(len(body))
            return body
        return await _read_slow_body(content, bytes_max, settings, hold)
    except RequestPayloadError:
        raise HttpProblem("malformed_http", "The body's framing is broken, or its end is missing.") from None


async def _read_slow_body(content: StreamReader, bytes_max: int, settings: HttpSettings, hold: Hold) -> bytes:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    body_timeout = settings.limits.body_timeout
    body = bytearray()
    try:
        async with asyncio.timeout(None) as deadline:
            while True:
                earned_ms = settings.body_rate_grace_ms + len(body) * _MS // settings.body_rate_bytes_min
                deadline.reschedule(started_s + min(body_timeout, earned_ms) / _MS)
                piece = await content.readany()
                if not piece:
                    return bytes(body)
                body += piece
                if len(body) > bytes_max:
                    raise body_too_large(bytes_max)
                hold.body(len(body))
    except TimeoutError:
        raise HttpProblem(
            "request_timeout",
            f"The body came in too slowly: it must be complete within {body_timeout} ms (limits.body_timeout) and come at "
            f"{settings.body_rate_bytes_min} bytes a second at least.",
        ) from None


def _framing_problem(error: BaseException | None) -> HttpProblem:
    if isinstance(error, LineTooLong):
        return HttpProblem(
            "headers_too_large", f"A request line or header field has at most {LINE_BYTES_MAX} bytes."
        )
    return HttpProblem("malformed_http", "The bytes on this connection are not HTTP/1.1 as RFC 9112 has it.")


def _response(answer: HttpAnswer, *, close: bool) -> web.Response:
    headers = [("Content-Type", answer.content_type), *FIXED_HEADERS, *answer.headers]
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    if close:
        response.force_close()
    return response
