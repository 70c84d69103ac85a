"""Sends streams and large answers over aiohttp's connections; they are cut when the client is gone or does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.http_writer import HttpVersion11
from prometheus_client import Gauge

from ferrite.io.http.exchange import FIXED_HEADERS, HttpAnswer, HttpStream, StreamSource, WriteNow, no_write
from ferrite.io.http.quiet_log import QuietLog

_PIECE_BYTES: Final = (
    64 * 1024
)  # of a large answer: what is copied at once, and must be taken within the time
_NEVER_WAITS_BYTES: Final = 32 * 1024  # half of what asyncio lets pile up before a writer has to wait


@dataclass(slots=True, kw_only=True)
class OpenStreams:
    """The streams of one server. `write_timeout_s`: who takes nothing for so long is cut."""

    gauge: Gauge
    log: QuietLog
    write_timeout_s: float
    draining: bool = False
    on_end: Callable[[], None]
    _sources: list[StreamSource] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._sources)

    def shut_down(self) -> None:
        """End all of them with their last words, and those that begin from now on."""
        self.draining = True
        for source in self._sources:
            source.shut_down()

    async def send(
        self,
        request: web.BaseRequest,
        stream: HttpStream,
        on_begin: Callable[[asyncio.Task[None]], None],
    ) -> web.StreamResponse:
        """Send all of it and return the answer. `on_begin` gets the task that writes, to cancel when the client goes."""
        response = web.StreamResponse(
            headers=[("Content-Type", stream.content_type), *FIXED_HEADERS, *stream.headers]
        )
        response.force_close()
        source = stream.source
        self._sources.append(source)
        self.gauge.set(len(self._sources))
        if self.draining:
            source.shut_down()
        writer = asyncio.ensure_future(self._write(request, response, source))
        on_begin(writer)
        try:
            await asyncio.wait((writer,))
        finally:
            writer.cancel()
            source.close()
            self._sources.remove(source)
            self.gauge.set(len(self._sources))
            self.on_end()
        self._judge(request, writer)
        return response

    async def _write(
        self, request: web.BaseRequest, response: web.StreamResponse, source: StreamSource
    ) -> None:
        if request.version == HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        write_now: WriteNow = no_write  # aiohttp sends the head with the first piece
        while piece := await source.next_piece(write_now):
            async with asyncio.timeout(self.write_timeout_s):
                await response.write(piece)
            write_now = _direct(request.transport, chunked=response.chunked)
        async with asyncio.timeout(self.write_timeout_s):
            await response.write_eof()

    def _judge(self, request: web.BaseRequest, writer: asyncio.Task[None]) -> None:
        """What did not end by itself ends here, with the connection."""
        error = None if writer.cancelled() else writer.exception()
        if error is None and not writer.cancelled():
            return
        if isinstance(error, TimeoutError):
            detail = f"{request.remote} took nothing for {self.write_timeout_s:g} s"
            self.log.refusal("HTTP stream cut", detail)
        elif error is not None and not isinstance(error, ConnectionError):
            self.log.failure("HTTP stream failed", error)
        if request.transport is not None:
            request.transport.abort()


async def send_in_pieces(
    request: web.BaseRequest, answer: HttpAnswer, *, close: bool, streams: OpenStreams
) -> web.StreamResponse:
    """Send an answer as fast as its client takes it; who takes nothing for as long as of a stream is cut likewise."""
    response = web.StreamResponse(
        status=answer.status, headers=[("Content-Type", answer.content_type), *FIXED_HEADERS, *answer.headers]
    )
    response.content_length = len(answer.body)
    if close:
        response.force_close()
    body = memoryview(answer.body)
    try:
        await response.prepare(request)
        for begin in range(0, len(body), _PIECE_BYTES):
            async with asyncio.timeout(streams.write_timeout_s):
                await response.write(body[begin : begin + _PIECE_BYTES])
        async with asyncio.timeout(streams.write_timeout_s):
            await response.write_eof()
    except TimeoutError:
        streams.log.refusal(
            "HTTP answer cut", f"{request.remote} took nothing for {streams.write_timeout_s:g} s"
        )
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the client is gone, and its connection ends by itself
    return response


def _direct(transport: asyncio.Transport | None, *, chunked: bool) -> WriteNow:
    """Write past aiohttp what the transport takes without ever making a writer wait."""
    if transport is None:
        return no_write

    def write_now(piece: bytes) -> bool:
        if transport.get_write_buffer_size() + len(piece) > _NEVER_WAITS_BYTES or transport.is_closing():
            return False
        transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        return True

    return write_now
