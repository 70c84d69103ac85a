"""The protocol that every connection begins with: it answers ordinary requests by itself, without a task for each.

A request is ordinary when its head is (`ordinary`), it is small, and all of it came at once or nearly so. The first that is not
takes the connection with it to aiohttp (`connection`), with all bytes that have no answer yet, for good. So there is one
behaviour for all that is unusual or wrong, and no second parser for it.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from ferrite.io.http.connection import ConnectionServer
from ferrite.io.http.engine import Engine
from ferrite.io.http.exchange import HttpAnswer
from ferrite.io.http.held_bytes import SMALL_BYTES, Hold
from ferrite.io.http.ordinary import BEGINNING, HEAD_BYTES_MAX, Ordinary, OrdinaryHeads
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.wire import answer_bytes

REST_S: Final = 0.02
"""For the rest of a request that came in pieces; its deadlines are aiohttp's business."""
_WAITING_BYTES_MAX: Final = 2 * SMALL_BYTES
"""Of requests behind the one in progress; the client is read no further."""
_END_OF_HEAD: Final = b"\r\n\r\n"


class Front(asyncio.Protocol):
    """One client's connection, as long as its requests are ordinary: one at a time, in order."""

    __slots__ = (
        "_buffer", "_busy", "_close", "_engine", "_full", "_heads", "_hold", "_idle", "_ip", "_last_s", "_loop", "_others",
        "_paused", "_rest", "_stuck", "_stuck_bytes", "_task", "_transport",
    )  # fmt: skip

    def __init__(self, engine: Engine, heads: OrdinaryHeads, others: ConnectionServer) -> None:
        """`others` serves what is not ordinary. Must be called with the loop running."""
        self._engine = engine
        self._heads = heads
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ip = ""
        self._buffer = b""  # bytes that have no answer yet
        self._busy = False  # a request is in progress
        self._close = False  # nothing more comes, or the server goes: close after this answer
        self._full = False  # the client does not read its answers
        self._paused = False  # we do not read the client's requests
        self._task: asyncio.Task[HttpAnswer] | None = None
        self._hold: Hold | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._stuck_bytes = 0
        self._last_s = 0.0

    # ------------------------------------------------------------------------------------------------ the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or refuse it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but no subclass
        ip = _ip_of(transport)
        over = self._engine.counts.admit(ip)
        if over:
            self._engine.log.refusal("HTTP connection refused", over)
            problem = HttpProblem("too_many_connections", f"There are already {over}.")
            self._transport.write(answer_bytes(self._engine.door.refuse_connection(problem)))
            self._transport.close()
            self._transport = None
            return
        self._ip = ip
        self._engine.fronts.add(self)
        self._last_s = self._loop.time()
        self._await_idle(self._engine.settings.limits.idle_timeout / 1000)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Uncount it. A request in progress goes on, but nobody hears its answer."""
        if self._transport is None:
            return
        self._leave()
        self._engine.counts.release(self._ip)
        if self._task is not None:
            self._task.cancel()
        if self._busy:
            self._end_request()
        self._release()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        if self._transport is None or self._close:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._busy and not self._full:
            self._serve()
        elif len(self._buffer) > _WAITING_BYTES_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client that only half-closed has its answer first."""
        if self._transport is None or not (self._busy or self._full or self._buffer):
            return False
        self._close = True
        if not self._busy and not self._full:
            self._hand_over()
        return True

    def pause_writing(self) -> None:
        """The client does not read: it is served no further, and cut when it goes on so."""
        self._full = True
        self._await_reader()

    def resume_writing(self) -> None:
        """It does."""
        self._full = False
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        self._release()
        if not self._busy:
            self._next()

    def shut_down(self) -> None:
        """The server goes: close, after the answer in progress."""
        self._close = True
        if not self._busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------------------------------------ requests

    def _serve(self) -> None:
        """Begin the first request of the buffer, when it is whole and ordinary."""
        buffer = self._buffer
        end = buffer.find(_END_OF_HEAD, 0, HEAD_BYTES_MAX)
        if end < 0:
            if buffer.startswith(BEGINNING) and len(buffer) < HEAD_BYTES_MAX:
                self._await_rest()
            else:
                self._hand_over()
            return
        ordinary = self._heads.find(buffer[:end])
        if ordinary is None:
            self._hand_over()
            return
        begin = end + len(_END_OF_HEAD)
        end = begin + ordinary.body_bytes
        if len(buffer) < end:
            self._await_rest()
            return
        if len(buffer) > end and not buffer.startswith(BEGINNING, end):
            self._hand_over()  # something in its wake that is no such request: whether this one counts is not ours to say
            return
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._buffer = b"" if ordinary.last else buffer[end:]
        self._close = self._close or ordinary.last
        self._begin(ordinary, buffer[begin:end])

    def _begin(self, ordinary: Ordinary, body: bytes) -> None:
        self._busy = True
        engine = self._engine
        engine.in_flight += 1
        self._hold = engine.held.hold()
        self._task = engine.door.begin(ordinary.admitted, body, self._hold, self._finish)

    def _finish(self, answer: HttpAnswer) -> None:
        transport = self._transport
        if transport is None or not self._busy:
            return  # the client is gone
        self._end_request()
        self._task = None
        close = answer.close or self._engine.draining or (self._close and not self._buffer)
        transport.write(answer_bytes(answer, close=close))
        if not self._full:
            self._release()
        if close:
            transport.close()
        else:
            self._last_s = self._loop.time()
            if self._buffer:
                self._next()

    def _next(self) -> None:
        """Go on with what came meanwhile, in a turn of its own: a thousand requests behind each other are no recursion."""
        if self._transport is None:
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._buffer:
            self._loop.call_soon(self._serve_waiting)
        elif self._close:
            self._transport.close()

    def _serve_waiting(self) -> None:
        if self._transport is not None and self._buffer and not self._busy and not self._full:
            self._serve()

    def _end_request(self) -> None:
        self._busy = False
        engine = self._engine
        engine.in_flight -= 1
        if engine.in_flight == 0:
            engine.idle.set()

    def _release(self) -> None:
        if self._hold is not None and not self._busy:
            self._hold.release()
            self._hold = None

    # ------------------------------------------------------------------------------------------------ ends

    def _hand_over(self) -> None:
        """Leave the connection to aiohttp."""
        transport = self._transport
        if transport is None or self._busy or self._full:
            return
        self._leave()
        self._transport = None
        connection = self._others.take_over(transport, self._ip, self._buffer)
        self._buffer = b""
        if self._close and connection.eof_received() is False:
            transport.close()

    def _leave(self) -> None:
        self._engine.fronts.discard(self)
        for timer in (self._rest, self._idle, self._stuck):
            if timer is not None:
                timer.cancel()

    def _await_rest(self) -> None:
        if self._close:
            self._hand_over()
        elif self._rest is None:
            self._rest = self._loop.call_later(REST_S, self._hand_over)

    def _await_idle(self, seconds: float) -> None:
        self._idle = self._loop.call_later(seconds, self._look_idle)

    def _look_idle(self) -> None:
        """One timer for many requests: it looks when the last one was, and waits on."""
        limit_s = self._engine.settings.limits.idle_timeout / 1000
        left_s = limit_s if self._busy or self._full else self._last_s + limit_s - self._loop.time()
        if left_s > 0:
            self._await_idle(left_s)
        elif self._transport is not None:
            self._transport.close()

    def _await_reader(self) -> None:
        assert self._transport is not None, "a transport that is full is open"
        self._stuck_bytes = self._transport.get_write_buffer_size()
        self._stuck = self._loop.call_later(self._engine.streams.write_timeout_s, self._look_stuck)

    def _look_stuck(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() < self._stuck_bytes:
            self._await_reader()
            return
        self._engine.log.refusal(
            "HTTP answer cut", f"{self._ip} took nothing for {self._engine.streams.write_timeout_s:g} s"
        )
        transport.abort()


def _ip_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
