"""A watch that resumes by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from ferrite.core.client import TRANSIENT, Failure, RetryPolicy, WatchCursor
from ferrite.io.client.answers import Event, WatchBatch
from ferrite.io.client.connection import Created, Delivered, Ended, StreamBroken, WatchPiece
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import Compacted, DeadlineExceeded, Unavailable, error_of
from ferrite.io.client.request import WatchSpec

RESUMABLE: Final = TRANSIENT | {"slow"}
"""Ends of a watch after which it goes on from where it was, perhaps elsewhere."""


class Watch:
    """An async iterator of `WatchBatch`, and a context manager: inside the block the watch is known to the server.

    `revision`: everything up to it was delivered; to go on later, watch from `revision + 1`. One task at a time may ask for
    the next
    batch; a wait that is cancelled loses nothing.
    """

    def __init__(self, engine: Engine, spec: WatchSpec) -> None:
        """Nothing is sent yet."""
        self.revision = max(0, spec.start_revision - 1)
        self._engine = engine
        self._spec = spec
        self._cursor = WatchCursor(spec.start_revision, _mod_revision)
        self._batches = self._resuming()
        self._next: asyncio.Task[WatchBatch] | None = None
        self._created = asyncio.Event()
        self._closed = False
        self._trouble = ""

    async def __aenter__(self) -> Self:
        """Wait until a server has the watch. Raises `DeadlineExceeded` after the client's time."""
        created = asyncio.ensure_future(self._created.wait())
        timeout_s = self._engine.timeout_s(None)
        try:
            done, _ = await asyncio.wait(
                {self._asked(), created}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        except BaseException:
            await self.close()
            raise
        finally:
            created.cancel()
        if not done:
            await self.close()
            detail = f"no node took the watch within {timeout_s:g} s{self._trouble}"
            raise DeadlineExceeded(detail, code="deadline_exceeded")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchBatch:
        if self._closed:
            raise StopAsyncIteration
        asked = self._asked()
        await asyncio.wait({asked})
        if self._closed:
            raise StopAsyncIteration
        self._next = None
        batch = asked.result()
        self.revision = batch.revision
        return batch

    def _asked(self) -> asyncio.Task[WatchBatch]:
        """The task that waits for the next batch; it outlives a wait that was cancelled."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(_take(self._batches), name="watch")
        return self._next

    async def close(self) -> None:
        """End the watch; a wait for the next batch ends as the iteration does. May be called again."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
            if not self._next.cancelled():
                self._next.exception()  # Nobody asks for it any more.
            self._next = None
        await self._batches.aclose()  # type: ignore[attr-defined]  # an async generator

    async def _resuming(self) -> AsyncIterator[WatchBatch]:
        """One stream after the other."""
        policy, failures = RetryPolicy(), 0
        while True:
            delivered = False
            endpoint = ""
            try:
                endpoint, connection = await self._engine.any_connection(self._engine.timeout_s(None))
                spec = replace(self._spec, start_revision=self._cursor.next_revision)
                async with aclosing(connection.watch(spec)) as pieces:  # type: ignore[type-var]  # an async generator
                    async for piece in pieces:
                        batch = self._judge(piece)
                        delivered = delivered or not isinstance(piece, Created)
                        if batch is not None:
                            yield batch
            except StreamBroken as error:
                self._trouble = f"; {error}"
                self._engine.endpoint_failed(endpoint)
            except Unavailable as error:
                if error.code == "closed":
                    raise
                self._trouble = f"; {error}"
            failures = 0 if delivered else failures + 1
            await asyncio.sleep(policy.pause_us(failures, random.randrange) / 1_000_000)

    def _judge(self, piece: WatchPiece) -> WatchBatch | None:
        """What of it the user gets. Raises what ends the watch for good."""
        match piece:
            case Created(revision=revision):
                self._cursor.created(revision)
                self._created.set()
                return None
            case Delivered(revision=revision, events=events):
                fresh = self._cursor.take(revision, events)
                if fresh is None or not (fresh or self._spec.progress):
                    return None
                return WatchBatch(revision=revision, events=fresh)
            case Ended(reason="compacted", detail=detail, revision=revision):
                raise Compacted(detail, code="compacted", revision=revision + 1)
            case Ended(reason=reason, detail=detail) if reason not in RESUMABLE:
                raise error_of(Failure(code=reason, detail=detail, certainly_not_applied=True))
            case Ended():
                return None


async def _take(batches: AsyncIterator[WatchBatch]) -> WatchBatch:
    return await anext(batches)


async def something_happens(engine: Engine, spec: WatchSpec) -> None:
    """Wait for the first batch of a watch, or until nobody can tell any more: either way it is time to look again."""
    watch = Watch(engine, spec)
    try:
        await anext(watch)
    except Compacted:
        return  # What was compacted shows in the present state.
    finally:
        await watch.close()


def _mod_revision(event: Any) -> int:
    assert isinstance(event, Event)
    return event.kv.mod_revision
