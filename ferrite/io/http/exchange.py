"""A request and an answer as the door sees them: plain values, whatever engine reads and writes the bytes.

Nobody changes them; but those that each request makes are not frozen, for a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ferrite.io.http.held_bytes import Hold

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"
FIXED_HEADERS: Final = (
    ("Server", "ferrite"),  # and nothing about versions
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What is known before the body is read. `headers` finds names without regard to case, or has them in lower case."""

    method: str
    target: str  # as on the request line: origin-form, absolute-form, authority-form or *
    headers: Mapping[str, str]
    has_body: bool
    http_1_1: bool = True


@dataclass(slots=True, kw_only=True)
class HttpAnswer:
    """What the engine sends, with `FIXED_HEADERS` on top. `close`: the connection ends with it."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """An admitted request with its body. `argument` is the last segment of a path such as /livez/NAME."""

    body: bytes
    hold: Hold
    argument: str = ""
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accept: str = ""
    last_event_id: str = ""


WriteNow = Callable[[bytes], bool]
"""Writes a piece if that needs no waiting; did it?"""


def no_write(_: bytes) -> bool:
    """Write nothing: it has to wait."""
    return False


class StreamSource(Protocol):
    """What comes after the head of a stream. Whoever has it reads to the end or closes it."""

    async def next_piece(self, write_now: WriteNow) -> bytes:
        """Wait for the next piece; nothing at the end. While it waits, pieces may go by `write_now`: no task wakes for them."""
        ...

    def shut_down(self) -> None:
        """The node goes: whoever waits for a piece gets the last one at once."""
        ...

    def close(self) -> None:
        """Nobody reads any more. Closing twice is harmless."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStream:
    """An answer without a known end: status 200, `FIXED_HEADERS` and these, then pieces; the connection ends with it."""

    content_type: str
    source: StreamSource
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call], Awaitable[HttpAnswer | HttpStream]]
Finish = Callable[[HttpAnswer | Exception], None]
Begin = Callable[[Call, Finish], None]
"""A handler without a task: it may raise, else `finish` gets the one outcome after it has returned. Nothing cancels it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path and one method (GET also answers HEAD). `argument`: one more segment follows, e.g. /livez/{check}.

    It has a `handler` or, where requests come by the thousand, a `begin`. `streams`: its answer may have no known end.
    """

    method: str
    path: str
    handler: Handler | None = None
    begin: Begin | None = None
    streams: bool = False
    argument: bool = False
    query: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """What it answers to."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def label(self) -> str:
        """The path as metrics and the OpenAPI document name it."""
        return f"{self.path}/{{check}}" if self.argument else self.path


def json_answer(
    content: Mapping[str, Any],
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: tuple[tuple[str, str], ...] = (),
    close: bool = False,
) -> HttpAnswer:
    """JSON on one line, with a line end for people at a terminal."""
    body = json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"
    return HttpAnswer(status=status, body=body, content_type=content_type, headers=headers, close=close)


def json_bytes_answer(body: bytes) -> HttpAnswer:
    """JSON that is encoded already, with its line end."""
    return HttpAnswer(status=200, body=body, content_type=JSON)


def text_answer(text: str, *, status: int = 200, content_type: str = TEXT) -> HttpAnswer:
    """Plain text."""
    return HttpAnswer(status=status, body=text.encode("utf-8"), content_type=content_type)
