"""One watch as a stream of pieces, for whatever engine sends them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ferrite.core.kv import Delivery, WatchEnd, WatchEnded
from ferrite.io.http.exchange import Call, HttpStream, WriteNow, no_write
from ferrite.io.http.fields import Encoding
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.watch_json import (
    Framing,
    WatchRequest,
    canceled_piece,
    created_piece,
    delivery_piece,
    framing,
    heartbeat_piece,
    resumed,
)
from ferrite.io.request_path import RequestPath, Watch

HEARTBEAT_S: Final = 10.0  # proxies close what is silent for 30 s or more
_PIECE_BYTES: Final = 32 * 1024  # of small deliveries that came together: one write for all
_HEADERS: Final = (("X-Accel-Buffering", "no"),)  # nginx would keep events back otherwise


def begin_watch(request_path: RequestPath, request: WatchRequest, call: Call) -> HttpStream:
    """Begin the watch. Raises `RequestError`, and `HttpProblem` when it would begin behind the compaction."""
    request = resumed(request, call.last_event_id)
    form = framing(call.accept)
    start, oldest = request.spec.start_revision, request_path.status().compacted_revision
    if 0 < start < oldest:
        raise HttpProblem(
            "compacted",
            f"Revision {start} is compacted; the oldest that can be watched is {oldest}.",
            extra={"oldest_revision": oldest},
        )
    watch = request_path.watch(request.spec)
    source = WatchSource(watch, encoding=request.encoding, form=form)
    return HttpStream(content_type=form.value, source=source, headers=_HEADERS)


class WatchSource:
    """The pieces of one watch. Holds one take's worth: what the client does not read stays with the watch, which has a bound."""

    def __init__(
        self,
        watch: Watch,
        *,
        encoding: Encoding,
        form: Framing,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """Nothing is taken yet. Made with the loop running."""
        self._loop = asyncio.get_running_loop()
        self._watch = watch
        self._revision = watch.revision  # everything up to it counts as delivered
        self._encoding: Encoding = encoding
        self._form = form
        self._heartbeat_s = heartbeat_s
        self._taken: deque[Delivery | WatchEnded] = deque()
        self._waiting: asyncio.Future[bytes] | None = None
        self._write_now: WriteNow = no_write
        self._beat: asyncio.TimerHandle | None = None  # one a watch, not one a piece: there are many pieces
        self._silent_since_s = 0.0
        self._created = False
        self._ended = False
        self._shutting_down = False
        watch.listen(self._on_ready)

    async def next_piece(self, write_now: WriteNow) -> bytes:
        """Wait for the next piece that `write_now` does not take; nothing at the end."""
        if self._ended:
            return b""
        if not self._created:
            self._created = True
            return created_piece(self._revision, self._form)
        if self._shutting_down:
            return self._last_piece()
        if not self._taken:
            self._taken.extend(self._watch.take())
        if self._taken:
            return self._piece()
        self._silent_since_s = self._loop.time()
        if self._beat is None:
            self._beat_after(self._heartbeat_s)
        self._waiting, self._write_now = self._loop.create_future(), write_now
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def shut_down(self) -> None:
        """The node goes: the next piece is the last one."""
        self._shutting_down = True
        if self._waits:
            self._give(self._last_piece())

    def close(self) -> None:
        """Nobody reads any more."""
        self._ended = True
        if self._beat is not None:
            self._beat.cancel()
        self._watch.cancel()

    @property
    def _waits(self) -> bool:
        return self._waiting is not None and not self._waiting.done()

    def _on_ready(self) -> None:
        if not self._waits:
            return  # the next piece has it
        try:
            self._taken.extend(self._watch.take())
            while self._taken and self._waits:
                self._give(self._piece())
        except Exception as error:  # noqa: BLE001 - the end of this stream, and not of the round that came by
            if self._waiting is not None:
                self._waiting.set_exception(error)

    def _give(self, piece: bytes) -> None:
        """To who waits: past it when that needs no waiting and more is to come."""
        if not self._ended and self._write_now(piece):
            self._silent_since_s = self._loop.time()
        elif self._waiting is not None:
            self._waiting.set_result(piece)

    def _beat_after(self, seconds: float) -> None:
        self._beat = self._loop.call_later(seconds, self._on_beat)

    def _on_beat(self) -> None:
        left_s = self._silent_since_s + self._heartbeat_s - self._loop.time()
        self._beat_after(left_s if left_s > 0 else self._heartbeat_s)
        if left_s <= 0 and self._waits:
            self._give(heartbeat_piece(self._revision, self._form))

    def _piece(self) -> bytes:
        """Some of what was taken. A delivery's bytes belong to all its watches; what is joined here is this one's own."""
        pieces: list[bytes] = []
        size = 0
        while self._taken and size < _PIECE_BYTES:
            one = self._taken.popleft()
            if isinstance(one, WatchEnded):
                self._ended = True
                pieces.append(canceled_piece(one, self._form))
                break
            self._revision = one.revision
            pieces.append(delivery_piece(one, self._encoding, self._form))
            size += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _last_piece(self) -> bytes:
        self._ended = True
        detail = "the node shuts down; go on at another one"
        last = WatchEnded(reason=WatchEnd.SHUTTING_DOWN, detail=detail, revision=self._revision)
        return canceled_piece(last, self._form)
