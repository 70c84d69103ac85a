"""`Watch`: many watches on one stream.

One writer sends what the client is answered, and takes from the watches that have something, one after the other. While the
reader is slow nothing more is taken, and what piles up behind is the request path's to bound (it cuts the watch).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from ferrite.core.kv import Delivery, WatchEnded, WatchSpec
from ferrite.io.grpc.kinds import Settings
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.service import CallContext, Writer
from ferrite.io.grpc.watch_convert import responses
from ferrite.io.request_path import RequestError, RequestPath, Watch
from ferrite.io.validation import INT_MAX, Invalid, check_int, check_watch

QUEUED_ANSWERS_MAX: Final = 16
"""Answers to a stream's requests that wait for the reader. With so many no further request is read."""
_CLIENT: Final = "client"
_INVALID: Final = "invalid"
_SHUTTING_DOWN: Final = "shutting_down"


class WatchHandler:
    """The RPC's handler."""

    def __init__(self, path: RequestPath, settings: Settings) -> None:
        """Watches are `path`'s."""
        self._path = path
        self._settings = settings

    async def __call__(
        self, messages: AsyncIterator[kv_pb2.WatchRequest], context: CallContext, writer: Writer
    ) -> None:
        """Serve one stream."""
        await _WatchStream(self._path, self._settings).run(messages, context, writer)


class _Served:
    """One watch of the stream. `revision`: everything up to it was sent to the client, or is being sent."""

    __slots__ = ("revision", "watch")

    def __init__(self, watch: Watch, revision: int) -> None:
        self.watch = watch
        self.revision = revision


class _WatchStream:
    """One stream. It ends when the client has ended its side and no watch is left, when the server stops, or by an error."""

    def __init__(self, path: RequestPath, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._watches: dict[int, _Served] = {}
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_ANSWERS_MAX)
        self._ready: dict[int, None] = {}
        """Watches that have something, in the order in which they got it."""
        self._more = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(
        self, messages: AsyncIterator[kv_pb2.WatchRequest], context: CallContext, writer: Writer
    ) -> None:
        loop = asyncio.get_running_loop()
        supervising = loop.create_task(self._supervise(messages, context), name="watch stream")
        supervising.add_done_callback(self._note_end)
        try:
            await self._send(writer)
            await supervising
        finally:
            supervising.cancel()
            for served in self._watches.values():
                served.watch.cancel()

    async def _supervise(self, messages: AsyncIterator[kv_pb2.WatchRequest], context: CallContext) -> None:
        """Let the client and the watches do, until the stream is over. The last answer is None."""
        reading = asyncio.get_running_loop().create_task(self._read(messages), name="watch requests")
        reading.add_done_callback(self._note_end)
        try:
            with context.drain.calls(self._changed.set):
                while not context.drain.begun and not (reading.done() and not self._watches):
                    await self._changed.wait()
                    self._changed.clear()
                    if reading.done() and not reading.cancelled():
                        reading.result()  # a request that cannot be answered under an id ends the stream
            reading.cancel()
            if context.drain.begun:
                await self._end_all()
        except Exception:
            await self._answer(None)
            raise
        finally:
            reading.cancel()
        await self._answer(None)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # known from here on, whether or not somebody lives to raise it
        self._changed.set()

    async def _end_all(self) -> None:
        for watch_id, served in list(self._watches.items()):
            served.watch.cancel()
            detail = "this node shuts down; another one can go on"
            await self._answer(_ended(watch_id, _SHUTTING_DOWN, detail, served.revision))
        self._watches.clear()

    # ------------------------------------------------------------------------------------------------ the client

    async def _read(self, messages: AsyncIterator[kv_pb2.WatchRequest]) -> None:
        async for message in messages:
            match message.WhichOneof("request"):
                case "create":
                    await self._create(message.create)
                case "cancel":
                    await self._cancel(message.cancel.watch_id)
                case "progress":
                    served = self._watches.get(message.progress.watch_id)
                    if served is not None:  # else it has just ended, and the client will hear of it
                        served.watch.request_progress()
                case _:
                    raise Invalid("request", "not set", "one of create, cancel, progress")

    async def _create(self, request: kv_pb2.WatchCreateRequest) -> None:
        watch_id = check_int("create.watch_id", request.watch_id, 1, INT_MAX)
        if watch_id in self._watches:
            raise Invalid("create.watch_id", f"{watch_id} again", "an id that no watch of the stream has")
        spec = WatchSpec(
            key=request.key,
            range_end=request.range_end,
            start_revision=request.start_revision,
            prev_kv=request.prev_kv,
            no_puts=request.no_puts,
            no_deletes=request.no_deletes,
            progress=request.progress,
        )
        try:
            watch = self._path.watch(check_watch(spec, self._settings.limits))
        except Invalid as error:
            await self._answer(_ended(watch_id, _INVALID, str(error), 0))
            return
        except RequestError as error:
            await self._answer(_ended(watch_id, error.code, error.detail, 0))
            return
        revision = spec.start_revision - 1 if spec.start_revision else watch.revision
        self._watches[watch_id] = _Served(watch, revision)
        created = kv_pb2.WatchResponse(watch_id=watch_id, created=True, revision=revision)
        await self._answer(created.SerializeToString())
        watch.listen(lambda: self._note_ready(watch_id))
        self._note_ready(watch_id)  # of what has come since

    async def _cancel(self, watch_id: int) -> None:
        served = self._watches.pop(watch_id, None)
        if served is None:
            return  # it has just ended by itself; the client will hear of it, once
        served.watch.cancel()
        await self._answer(_ended(watch_id, _CLIENT, "", served.revision))
        self._changed.set()

    # ------------------------------------------------------------------------------------------------ the writer

    def _note_ready(self, watch_id: int) -> None:
        self._ready[watch_id] = None
        self._more.set()

    async def _answer(self, data: bytes | None) -> None:
        await self._answers.put(data)
        self._more.set()

    async def _send(self, writer: Writer) -> None:
        """Send answers and deliveries, until the last answer."""
        while True:
            while not self._answers.empty():
                data = self._answers.get_nowait()
                if data is None:
                    return
                await writer.send(data)
            if self._ready:
                await self._send_deliveries(next(iter(self._ready)), writer)
            else:
                await self._more.wait()
                self._more.clear()

    async def _send_deliveries(self, watch_id: int, writer: Writer) -> None:
        del self._ready[watch_id]
        served = self._watches.get(watch_id)
        if served is None:
            return
        taken = served.watch.take()
        for revision, data in responses(watch_id, [one for one in taken if isinstance(one, Delivery)]):
            served.revision = revision
            await writer.send(data)
            if self._watches.get(watch_id) is not served:
                return  # it was cancelled, and its client is told so
        if taken and isinstance(ended := taken[-1], WatchEnded):
            del self._watches[watch_id]
            self._changed.set()
            await writer.send(_ended(watch_id, ended.reason.value, ended.detail, ended.revision))


def _ended(watch_id: int, reason: str, detail: str, revision: int) -> bytes:
    return kv_pb2.WatchResponse(
        watch_id=watch_id, canceled=True, reason=reason, detail=detail, revision=revision
    ).SerializeToString()
