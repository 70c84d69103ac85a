"""One HTTP/2 connection of a client, as an asyncio protocol. The only module that knows `ngh2`.

libnghttp2 does framing, HPACK, flow control and the protocol's rules; `Hub` and `Stream` do gRPC; this does the rest: what leaves
in one write, when a connection is given up, and what a hostile client may cost. Streams are called from `data_received` and
`flush` and may call back into the connection at once.

Cut off by libnghttp2: resets (`_RESETS`), endless header blocks, settings and pings whose answers nobody reads, and breaches of
the protocol in small numbers (`_GLITCHES`). Cut off by `FloodGuard`: pings and other frames that move nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, cast

import ngh2

from ferrite.io.grpc.engine import STREAM_WINDOW_BYTES
from ferrite.io.grpc.flood_guard import FloodGuard
from ferrite.io.grpc.http2_roles import Header, Hub, Stream

CONNECTION_WINDOW_BYTES: Final = 16 * STREAM_WINDOW_BYTES
"""Over all streams of a connection: so many that are not read leave the others alone."""
WRITE_BYTES: Final = 256 * 1024
"""At most in one write; and so much may wait for the socket before no more is made."""
UNSENT_BYTES_MAX: Final = 64 * 1024
"""Of one stream, queued behind flow control: a writer with more waits."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""A header block with more ends the connection; a smaller one that is too large gets an answer."""
HEADER_FIELDS_MAX: Final = 256
LINGER_S: Final = 1.0
"""For a client to read our last words, before the connection is closed under its requests."""

_RESETS: Final = (1000, 33)  # burst, and each second: a client may give up that many calls
_GLITCHES: Final = (1000, 33)
_ACKS_MAX: Final = 200  # answers to settings and pings that wait because the client does not read

NO_ERROR: Final = int(ngh2.ErrorCode.NO_ERROR)
ENHANCE_YOUR_CALM: Final = int(ngh2.ErrorCode.ENHANCE_YOUR_CALM)

_CONFIGURATION: Final = ngh2.Configuration(
    auto_window_update=False,
    max_inbound_header_list_size=HEADER_BYTES_MAX,
    max_inbound_header_count=HEADER_FIELDS_MAX,
    max_outbound_ack=_ACKS_MAX,
    stream_reset_rate_limit=_RESETS,
    glitch_rate_limit=_GLITCHES,
)


class Http2Connection(asyncio.Protocol):
    """An asyncio protocol: a front that has read the first bytes calls `connection_made`, then `data_received` with them."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing is counted before `connection_made`."""
        self.flushing = False
        """The hub's: is a flush on its way?"""
        self._hub = hub
        self._loop = loop
        self._http2 = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._unended: set[int] = set()  # requests whose end has not come
        self._cut: dict[
            int, None
        ] = {}  # answered before their requests' end; to be reset when the answer is out
        self._crowded: dict[int, None] = {}  # streams that wait for room
        self._handshake: asyncio.TimerHandle | None = None
        self._began_s = self._heard_s = self._quiet_s = loop.time()
        self._pinged_s: float | None = None
        self._stalled_s: float | None = None  # since when the socket takes nothing
        self._last_s: float | None = None  # when the last word was said
        self._draining = False
        self._guard = FloodGuard(hub.limits.ping_interval_s_min, self._began_s)

    # ------------------------------------------------------------------------------------------------ asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and greet."""
        writable = cast(asyncio.Transport, transport)  # uvloop's is one, but no subclass
        if not self._hub.admit(self):
            writable.abort()
            return
        self._transport = writable
        writable.set_write_buffer_limits(WRITE_BYTES)
        limits = self._hub.limits
        self._http2.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: limits.streams_max,
                ngh2.Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: limits.metadata_bytes_max,
            }
        )
        self._http2.set_local_window_size(CONNECTION_WINDOW_BYTES)
        self._handshake = self._loop.call_later(limits.handshake_s, self.give_up)
        self._write(
            writable
        )  # at once: what a client sent before may be read in this very turn, and be the end

    def data_received(self, data: bytes) -> None:
        """Feed libnghttp2 and act on what it found."""
        if self._transport is None or self._last_s is not None:
            return
        try:
            self._http2.receive_data(data)
        except ngh2.NGH2Error:  # no HTTP/2, or more than a limit: there is nobody to talk to
            # Not aborted, while `tick` sees to it that it ends: who asked which protocol is spoken here has our greeting.
            self._last_s = self._loop.time()
            self._transport.close()
            return
        self._handle_events()
        if self.busy and self._http2.want_write:
            self._hub.flush_soon(self)

    def eof_received(self) -> bool:
        """Close: without the client's window updates no answer can leave."""
        return False

    def pause_writing(self) -> None:
        """The socket has enough."""
        self._stalled_s = self._loop.time()

    def resume_writing(self) -> None:
        """It takes more."""
        self._stalled_s = None
        self._hub.flush_soon(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everybody know."""
        if self._transport is None:
            return
        self._transport = None
        if self._handshake is not None:
            self._handshake.cancel()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.closed()
        self._crowded.clear()
        self._hub.release(self)

    # ------------------------------------------------------------------------------------------------ what streams do

    @property
    def peer(self) -> tuple[Any, ...]:
        """The client's address as the socket has it; empty when unknown."""
        found = None if self._transport is None else self._transport.get_extra_info("peername")
        return found if isinstance(found, tuple) else ()

    def answer(self, stream_id: int, headers: list[Header], body: bytes, trailers: list[Header]) -> None:
        """A whole answer."""
        self._submit(stream_id, lambda: self._submit_answer(stream_id, headers, body, trailers))
        self._ended(stream_id)

    def begin_answer(self, stream_id: int, headers: list[Header]) -> None:
        """Headers; `send` and `end_answer` follow."""
        self._submit(stream_id, lambda: self._http2.send_response(stream_id, headers))

    def send(self, stream_id: int, body: bytes) -> None:
        """Part of the answer."""
        self._submit(stream_id, lambda: self._http2.send_data(stream_id, body))

    def end_answer(self, stream_id: int, trailers: list[Header]) -> None:
        """After `begin_answer`."""
        self._submit(stream_id, lambda: self._http2.send_trailers(stream_id, trailers))
        self._ended(stream_id)

    def refuse(self, stream_id: int, headers: list[Header]) -> None:
        """An answer of headers alone."""
        self._submit(stream_id, lambda: self._http2.send_response(stream_id, headers, end_stream=True))
        self._ended(stream_id)

    def has_room(self, stream_id: int) -> bool:
        """May the stream queue more? When not, it hears of `room_made`."""
        if self._stalled_s is None and self._http2.queued_body_size(stream_id) <= UNSENT_BYTES_MAX:
            return True
        self._crowded[stream_id] = None
        return False

    def consume(self, stream_id: int, size: int) -> None:
        """Give so much of the window back to the sender."""
        if size and self._transport is not None and self._last_s is None:
            try:
                self._http2.acknowledge_received_data(size, stream_id)
            except ngh2.NGH2Error:  # the connection ends in this very turn
                return
            if self._http2.want_write:
                self._hub.flush_soon(self)

    def _submit(self, stream_id: int, submit: Callable[[], None]) -> None:
        if self._transport is None or self._last_s is not None:
            return
        try:
            submit()
        except (ngh2.StreamProtocolError, ngh2.ConnectionStateError):
            return  # closed in this very turn: its event follows
        self._guard.note_answer()
        self._hub.flush_soon(self)

    def _submit_answer(
        self, stream_id: int, headers: list[Header], body: bytes, trailers: list[Header]
    ) -> None:
        self._http2.send_response(stream_id, headers)
        self._http2.send_data(stream_id, body)
        self._http2.send_trailers(stream_id, trailers)

    def _ended(self, stream_id: int) -> None:
        if stream_id in self._unended:
            self._cut[stream_id] = None

    # ------------------------------------------------------------------------------------------------ what the hub does

    @property
    def busy(self) -> bool:
        """Is a call in progress, or an answer not out?"""
        return self._transport is not None and self._last_s is None

    def flush(self) -> None:
        """Write what is ready."""
        transport = self._transport
        if transport is None or self._stalled_s is not None or self._last_s is not None:
            return
        try:
            self._write(transport)
            if self._cut:
                self._reset_cut()
                self._write(transport)
        except ngh2.NGH2Error:
            self.give_up()
            return
        self._handle_events()
        if self._crowded:
            self._make_room()

    def drain(self) -> None:
        """Take no new calls, end when those in progress have ended."""
        if self._draining or self._transport is None or self._last_s is not None:
            return
        self._draining = True
        try:
            self._http2.send_goaway(NO_ERROR)
        except ngh2.NGH2Error:
            self.give_up()
        self._hub.flush_soon(self)

    def terminate(self, code: int) -> None:
        """End everything now, with a last word."""
        if self._transport is None or self._last_s is not None:
            return
        try:
            self._http2.terminate_connection(code)
            self._write(self._transport)
        except ngh2.NGH2Error:
            self.give_up()
            return
        self._say_no_more()

    def close(self) -> None:
        """Do not wait for the client any longer."""
        if self._transport is not None:
            self._transport.close()

    def give_up(self) -> None:
        """Cut it off: there is nobody to talk to."""
        if self._last_s is None:
            self._last_s = self._loop.time()
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now_s: float) -> None:
        """Look at the clock. Called every now and then."""
        limits = self._hub.limits
        if self._transport is None:
            return
        if self._is_dead(now_s):
            self.give_up()
        elif self._last_s is not None:
            return
        elif now_s - self._began_s > limits.age_s + limits.age_grace_s:
            self.terminate(NO_ERROR)
        elif now_s - self._began_s > limits.age_s or (
            not self._streams and now_s - self._quiet_s > limits.idle_s
        ):
            self.drain()
        elif self._pinged_s is None and now_s - self._heard_s > limits.keep_alive_s:
            self._pinged_s = now_s
            self._http2.ping()
            self._hub.flush_soon(self)

    def _is_dead(self, now_s: float) -> bool:
        """Does it not close, not read, or not answer?"""
        limits = self._hub.limits
        waits = (
            (self._last_s, LINGER_S),
            (self._stalled_s, limits.idle_s),
            (self._pinged_s, limits.keep_alive_timeout_s),
        )
        return any(since_s is not None and now_s - since_s > most_s for since_s, most_s in waits)

    # ------------------------------------------------------------------------------------------------ inside

    def _write(self, transport: asyncio.Transport) -> None:
        while self._stalled_s is None:
            data = self._http2.data_to_send(WRITE_BYTES)
            if data:
                transport.write(data)
            if len(data) < WRITE_BYTES:
                return

    def _reset_cut(self) -> None:
        """Free streams that were answered in full while their clients still send (PROTOCOL-HTTP2, "Early Server Closure")."""
        for stream_id in list(self._cut):
            if stream_id not in self._unended:
                del self._cut[stream_id]
            elif not self._http2.queued_body_size(stream_id) and self._window(stream_id) > 0:
                del self._cut[stream_id]
                self._http2.reset_stream(stream_id, NO_ERROR)

    def _window(self, stream_id: int) -> int:
        """Without any, not even the trailers that follow a body are out."""
        try:
            return min(self._http2.remote_window_size, self._http2.stream_remote_window_size(stream_id))
        except ngh2.StreamProtocolError:
            return 1  # it is closed already

    def _make_room(self) -> None:
        for stream_id in list(self._crowded):
            if self._stalled_s is not None or self._http2.queued_body_size(stream_id) > UNSENT_BYTES_MAX:
                continue
            del self._crowded[stream_id]
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.room_made()

    def _handle_events(self) -> None:
        events = self._http2.events()
        if events:
            self._heard_s = self._loop.time()
            self._pinged_s = None
        for event in events:
            act = _ACTS.get(type(event))
            if act is not None and self._last_s is None and self._transport is not None:
                act(self, event)

    def _on_request(self, event: ngh2.RequestReceived) -> None:
        stream_id = event.stream_id
        if not event.end_stream:
            self._unended.add(stream_id)
        stream = self._hub.open(self, stream_id, event.headers)
        if stream is None:
            return
        self._streams[stream_id] = stream
        if event.end_stream:
            stream.data_received(b"", ended=True)

    def _on_data(self, event: ngh2.DataReceived) -> None:
        data, ended = event.data, event.end_stream
        if ended:
            self._unended.discard(event.stream_id)
        elif not data:
            self._on_idle_frame(event)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.data_received(data, ended=ended)
        else:
            self.consume(event.stream_id, len(data))

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        self._unended.discard(event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.data_received(b"", ended=True)

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        stream_id = event.stream_id
        self._unended.discard(stream_id)
        self._cut.pop(stream_id, None)
        self._crowded.pop(stream_id, None)
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.closed()
        if not self._streams:
            self._quiet_s = self._loop.time()

    def _on_ping(self, _event: ngh2.PingReceived) -> None:
        if not self._guard.allows_ping(self._loop.time()):
            self.terminate(ENHANCE_YOUR_CALM)

    def _on_settings_acknowledged(self, _event: ngh2.SettingsAcknowledged) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _on_closed(self, _event: ngh2.ConnectionClosed) -> None:
        self._say_no_more()

    def _on_idle_frame(self, _event: object) -> None:
        if not self._guard.allows_idle_frame(self._loop.time()):
            self.terminate(ENHANCE_YOUR_CALM)

    def _say_no_more(self) -> None:
        """Everything is written. Wait for the client to close, so that what it still sends does not tear our last words away."""
        self._last_s = self._loop.time()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.closed()
        if self._transport is not None and self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client was faster
                self._transport.write_eof()
        elif self._transport is not None:
            self._transport.close()
        self._hub.settled(self)


_ACTS: Final[dict[type[ngh2.Event], Callable[[Http2Connection, Any], None]]] = {
    ngh2.RequestReceived: Http2Connection._on_request,  # noqa: SLF001 - the table of the class above
    ngh2.DataReceived: Http2Connection._on_data,  # noqa: SLF001 - the same
    ngh2.TrailersReceived: Http2Connection._on_trailers,  # noqa: SLF001 - the same
    ngh2.StreamClosed: Http2Connection._on_stream_closed,  # noqa: SLF001 - the same
    ngh2.PingReceived: Http2Connection._on_ping,  # noqa: SLF001 - the same
    ngh2.SettingsReceived: Http2Connection._on_idle_frame,  # noqa: SLF001 - the same
    ngh2.SettingsAcknowledged: Http2Connection._on_settings_acknowledged,  # noqa: SLF001 - the same
    ngh2.PriorityUpdateReceived: Http2Connection._on_idle_frame,  # noqa: SLF001 - the same
    ngh2.ConnectionClosed: Http2Connection._on_closed,  # noqa: SLF001 - the same
}
