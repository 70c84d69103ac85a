"""`Watch`: many watches on one stream.

A task for each watch takes what is delivered and queues responses; one writer sends them. The queue is short: while the reader is
slow nothing more is taken, and what piles up behind is the request path's to bound (it cuts the watch).
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

QUEUED_RESPONSES_MAX: Final = 16
"""Responses of a stream that wait for the reader: enough to fill a message window, few enough to be cut early."""
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
    """One watch of the stream. `revision`: everything up to it was queued for the client."""

    __slots__ = ("revision", "task", "watch")

    def __init__(self, watch: Watch, revision: int) -> None:
        self.watch = watch
        self.revision = revision
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        self.watch.cancel()
        if self.task is not None:
            self.task.cancel()


class _WatchStream:
    """One stream. It ends when the client has ended its side and no watch is left, when the server stops, or by an error."""

    def __init__(self, path: RequestPath, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._watches: dict[int, _Served] = {}
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_RESPONSES_MAX)
        self._changed = asyncio.Event()

    async def run(
        self, messages: AsyncIterator[kv_pb2.WatchRequest], context: CallContext, writer: Writer
    ) -> None:
        loop = asyncio.get_running_loop()
        supervising = loop.create_task(self._supervise(messages, context), name="watch stream")
        supervising.add_done_callback(self._note_end)
        try:
            while (data := await self._out.get()) is not None:
                await writer.send(data)
            await supervising
        finally:
            supervising.cancel()
            for served in self._watches.values():
                served.end()

    async def _supervise(self, messages: AsyncIterator[kv_pb2.WatchRequest], context: CallContext) -> None:
        """Let the client and the watches do, until the stream is over. The last thing that is queued is None."""
        reading = asyncio.get_running_loop().create_task(self._read(messages), name="watch requests")
        reading.add_done_callback(self._note_end)
        try:
            with context.drain.calls(self._changed.set):
                while not context.drain.begun and not (reading.done() and not self._watches):
                    await self._changed.wait()
                    self._changed.clear()
                    self._raise_failure(reading)
            reading.cancel()
            if context.drain.begun:
                await self._end_all()
        except Exception:
            await self._out.put(None)
            raise
        finally:
            reading.cancel()
        await self._out.put(None)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # known from here on, whether or not somebody lives to raise it
        self._changed.set()

    def _raise_failure(self, reading: asyncio.Task[None]) -> None:
        """A watch's task that fails ends the stream: its client would wait for ever."""
        tasks = [reading, *(served.task for served in self._watches.values() if served.task is not None)]
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _end_all(self) -> None:
        for watch_id, served in list(self._watches.items()):
            served.end()
            await self._say_ended(
                watch_id, _SHUTTING_DOWN, "this node shuts down; another one can go on", served.revision
            )
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
            await self._say_ended(watch_id, _INVALID, str(error), 0)
            return
        except RequestError as error:
            await self._say_ended(watch_id, error.code, error.detail, 0)
            return
        revision = spec.start_revision - 1 if spec.start_revision else watch.revision
        served = self._watches[watch_id] = _Served(watch, revision)
        await self._say(kv_pb2.WatchResponse(watch_id=watch_id, created=True, revision=revision))
        served.task = asyncio.get_running_loop().create_task(
            self._serve(watch_id, served), name=f"watch {watch_id}"
        )
        served.task.add_done_callback(self._note_end)

    async def _cancel(self, watch_id: int) -> None:
        served = self._watches.pop(watch_id, None)
        if served is None:
            return  # it has just ended by itself; the client will hear of it, once
        served.end()
        await self._say_ended(watch_id, _CLIENT, "", served.revision)
        self._changed.set()

    # ------------------------------------------------------------------------------------------------ deliveries

    async def _serve(self, watch_id: int, served: _Served) -> None:
        while True:
            taken = await served.watch.take()
            if not taken:
                return  # it was canceled
            ended = taken[-1] if isinstance(taken[-1], WatchEnded) else None
            deliveries = [delivery for delivery in taken if isinstance(delivery, Delivery)]
            for revision, data in responses(watch_id, deliveries):
                await self._out.put(data)
                served.revision = revision
            if ended is not None:
                del self._watches[watch_id]
                await self._say_ended(watch_id, ended.reason.value, ended.detail, ended.revision)
                return

    async def _say_ended(self, watch_id: int, reason: str, detail: str, revision: int) -> None:
        await self._say(
            kv_pb2.WatchResponse(
                watch_id=watch_id, canceled=True, reason=reason, detail=detail, revision=revision
            )
        )

    async def _say(self, response: kv_pb2.WatchResponse) -> None:
        await self._out.put(response.SerializeToString())
