"""The client's side of exactly-once (Raft thesis 6.3): which request numbers are out, and what the server may forget."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import Session
from ferrite.core.kv.sessions import REPLIES_MAX
from ferrite.core.values import value

WINDOW_REQUESTS: Final = REPLIES_MAX - 4
"""Request numbers between the lowest unacknowledged and the highest sent. Below what the server remembers: no reply is
pushed out while
its request may be repeated."""


class SessionWindow:
    """The requests of one session. `lowest <= every open id < next`, and `next - lowest <= width`."""

    __slots__ = ("_lowest", "_next", "_open", "broken", "client_id", "width")

    def __init__(self, client_id: bytes, width: int = WINDOW_REQUESTS) -> None:
        self.client_id = client_id
        self.width = width
        self.broken = False
        """The server refused the session: nothing new begins in it."""
        self._next = 1
        self._lowest = 1
        self._open: set[int] = set()

    @property
    def full(self) -> bool:
        return self._next - self._lowest >= self.width

    @property
    def outstanding(self) -> int:
        return len(self._open)

    def take(self) -> int:
        """The number of a new request."""
        assert not self.full, "the window is full"
        request_id = self._next
        self._next += 1
        self._open.add(request_id)
        return request_id

    def give_back(self, request_id: int) -> None:
        """The request is over: its answer was received, or nobody waits for it. A copy still on its way will be refused."""
        self._open.discard(request_id)
        while self._lowest < self._next and self._lowest not in self._open:
            self._lowest += 1

    def session(self, request_id: int) -> Session:
        """What an attempt of an open request carries."""
        return Session(client_id=self.client_id, request_id=request_id, lowest_unacknowledged=self._lowest)


@value
class Slot:
    """A call's place in a session."""

    window: SessionWindow
    request_id: int

    def session(self) -> Session:
        return self.window.session(self.request_id)

    def give_back(self) -> None:
        self.window.give_back(self.request_id)


class Sessions:
    """A client's sessions, one after the other; their ids are the client's own and a growing number."""

    __slots__ = ("_client_id", "_named", "_width", "_window")

    def __init__(self, client_id: bytes, width: int = WINDOW_REQUESTS) -> None:
        """`client_id` was never used before, by nobody."""
        self._client_id = client_id
        self._width = width
        self._named = 0
        self._window = self._new_window()

    def take(self) -> Slot | None:
        """A place for a new request; None when the window is full."""
        if self._window.broken:
            self._window = self._new_window()
        return None if self._window.full else Slot(window=self._window, request_id=self._window.take())

    def _new_window(self) -> SessionWindow:
        self._named += 1
        return SessionWindow(b"%b.%d" % (self._client_id, self._named), self._width)
