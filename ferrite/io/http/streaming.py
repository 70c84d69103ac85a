"""Sends streams over aiohttp's connections: one writer for each, cut when its client is gone or does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import Gauge

from ferrite.io.http.exchange import FIXED_HEADERS, HttpStream, StreamSource
from ferrite.io.http.quiet_log import QuietLog

_NEVER_WAITS_BYTES: Final = (
    32 * 1024
)  # into an empty buffer: half of what asyncio lets pile up before a writer has to wait


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
        await response.prepare(request)
        while piece := await source.next_piece():
            transport = request.transport
            if (
                transport is not None
                and len(piece) <= _NEVER_WAITS_BYTES
                and not transport.get_write_buffer_size()
            ):
                await response.write(piece)  # the usual case, without the price of a timer
                continue
            async with asyncio.timeout(self.write_timeout_s):
                await response.write(piece)
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
