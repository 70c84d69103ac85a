"""An answer's bytes in HTTP/1.1, as aiohttp writes them."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from ferrite.io.http.exchange import FIXED_HEADERS, HttpAnswer

_HEADS_MAX: Final = 256
_heads: dict[tuple[int, str, bool], bytes] = {}
"""Of answers without headers of their own, which are nearly all: all that precedes the length, by status, type and close."""
_date: tuple[int, bytes] = (0, b"")


def answer_bytes(answer: HttpAnswer, *, close: bool = True) -> bytes:
    """Head and body. `close`: say that the connection ends with this."""
    if answer.headers:
        head = _head_of(answer, close=close)
    else:
        kind = (answer.status, answer.content_type, close)
        known = _heads.get(kind)
        if known is None:
            if len(_heads) >= _HEADS_MAX:
                _heads.clear()
            known = _heads[kind] = _head_of(answer, close=close)
        head = known
    return b"%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (head, len(answer.body), _date_now(), answer.body)


def _head_of(answer: HttpAnswer, *, close: bool) -> bytes:
    headers = [("Content-Type", answer.content_type), *FIXED_HEADERS, *answer.headers]
    if close:
        headers.append(("Connection", "close"))
    lines = "".join(f"{name}: {content}\r\n" for name, content in headers)
    return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{lines}".encode("latin-1")


def _date_now() -> bytes:
    global _date  # noqa: PLW0603 - one clock for all connections
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True).encode("ascii"))
    return _date[1]
