"""An event loop in a thread of its own, and how code without one asks it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, TypeVar

from ferrite.io.client.errors import Unavailable

_T = TypeVar("_T")
_END: Final = object()


class LoopThread:
    """Starts with the first call; may be asked from any thread but its own."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Begin it. Raises `Unavailable` after `close`."""
        with self._guard:
            if self._closed:
                coroutine.close()
                raise Unavailable("the client is closed", code="closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="ferrite client", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Its result. An interrupt cancels it."""
        future = self.start(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def walk(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        """Walk through an asynchronous generator."""
        try:
            while (item := self.wait(_next(items))) is not _END:
                yield item  # type: ignore[misc]  # not the mark, so an item
        finally:
            self.wait(_finish(items))

    @contextmanager
    def hold(self, manager: AbstractAsyncContextManager[_T]) -> Iterator[_T]:
        """Enter and leave a context there. An exception of the block does not cross over: it only ends the block."""
        held = self.wait(_enter(manager))
        try:
            yield held
        finally:
            self.wait(_leave(manager))

    def close(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it as the last thing, and end the thread. May be called again."""
        with self._guard:
            first, self._closed = not self._closed, True
            loop, thread = self._loop, self._thread
        if not first or loop is None or thread is None:
            coroutine.close()
            return
        asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _next(items: AsyncIterator[_T]) -> object:
    return await anext(items, _END)


async def _finish(items: AsyncIterator[Any]) -> None:
    aclose = getattr(items, "aclose", None)
    if aclose is not None:
        await aclose()


async def _enter(manager: AbstractAsyncContextManager[_T]) -> _T:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)


async def _cancel_all() -> None:
    """What other threads still wait for ends: they are told that it was cancelled."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
