"""Bytes that the HTTP door holds for its clients, bodies coming in and answers going out: one bound for all connections.

What is small is never counted and never refused, so that health checks and ordinary requests go on when the bound is reached.
Whoever has a `Hold` releases it, once: when the answer is with the transport, or when the client is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ferrite.io.http.problems import HttpProblem

SMALL_BYTES: Final = 64 * 1024  # about what a transport buffers by itself


class HeldBytes:
    """The bound, and who waits for room under it."""

    def __init__(self, bytes_max: int, *, wait_s: float) -> None:
        """Nothing is held yet. `wait_s`: how long a large answer waits for room."""
        self.total = 0
        self._bytes_max = bytes_max
        self._wait_s = wait_s
        self._waiting: deque[tuple[Hold, int, asyncio.Future[None]]] = deque()

    def hold(self) -> Hold:
        """What one request holds; nothing at first."""
        return Hold(self)

    def take(self, hold: Hold, more_bytes: int, *, force: bool = False) -> bool:
        """Count `more_bytes` (negative: fewer) for `hold` unless they pass the bound. Were they counted?"""
        if more_bytes > 0 and not force and self.total + more_bytes > self._bytes_max:
            return False
        self.total += more_bytes
        hold.size_bytes += more_bytes
        if more_bytes < 0:
            self._wake()
        return True

    async def wait_for(self, hold: Hold, more_bytes: int) -> None:
        """Count `more_bytes`, in turn and once there is room. Raises `HttpProblem` when there is none in time."""
        if not self._waiting and self.take(hold, more_bytes):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, more_bytes, turn))
        try:
            async with asyncio.timeout(self._wait_s):
                await turn  # who gives up cancels it, and is passed over
        except TimeoutError:
            raise self.refusal() from None
        finally:
            self._wake()  # when this one gave up: the next in turn may need less

    def refusal(self) -> HttpProblem:
        """Say that there is no room."""
        return HttpProblem(
            "overloaded",
            f"Bodies and answers that clients have not sent or read to the end fill the {self._bytes_max} bytes that this node "
            "holds for them (limits.held_bytes_max); try again, or ask for less at a time.",
        )

    def _wake(self) -> None:
        while self._waiting:
            hold, more_bytes, turn = self._waiting[0]
            if not turn.done():
                if not self.take(hold, more_bytes):
                    return
                turn.set_result(None)
            self._waiting.popleft()


class Hold:
    """The bytes of one request: its body until it is answered, then its answer until it is written."""

    __slots__ = ("_held", "_owed", "size_bytes")

    def __init__(self, held: HeldBytes) -> None:
        """Nothing is counted yet."""
        self.size_bytes = 0
        self._held = held
        self._owed = False

    def body(self, size_bytes: int) -> None:
        """Count a body, of which `size_bytes` are here. Raises `HttpProblem`: there is no room for it."""
        if size_bytes > SMALL_BYTES and not self._held.take(self, size_bytes - self.size_bytes):
            raise self._held.refusal()

    async def reserve(self, size_bytes: int, *, owed: bool) -> None:
        """Make room for an answer that may have so many bytes, before anything is read or changed for it.

        `owed`: the request changes something, so that its answer is sent even when it became larger. Raises `HttpProblem`.
        """
        await self._held.wait_for(self, size_bytes)
        self._owed = owed

    def answer(self, size_bytes: int) -> None:
        """Count the answer instead of body and reservation. Raises `HttpProblem`: it is dropped, there is no room for it."""
        counted = size_bytes if size_bytes > SMALL_BYTES else 0
        if not self._held.take(self, counted - self.size_bytes, force=self._owed):
            raise self._held.refusal()

    def release(self) -> None:
        """Nothing is held any more."""
        self._held.take(self, -self.size_bytes)
