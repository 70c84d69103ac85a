"""Ordinary requests, told by their heads: a POST in HTTP/1.1 with a plain Content-Length, which the door admits. Pure.

A client's requests have one head, over and over, but for the length. So a head is read once and then known by its bytes, and
nothing is lost by reading it with suspicion: whatever is odd in any way is not ordinary, and is left to a full HTTP parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ferrite.io.http.door import Admitted, Door
from ferrite.io.http.exchange import RequestHead
from ferrite.io.http.held_bytes import SMALL_BYTES
from ferrite.io.http.problems import HttpProblem
from ferrite.io.validation import Invalid

BEGINNING: Final = b"POST /"
HEAD_BYTES_MAX: Final = 2048  # curl's has 150, a browser's about 700
_HEADS_MAX: Final = 1024
_HEADERS_MAX: Final = 32
_REQUEST_LINE: Final = re.compile(r"POST (/[a-z/-]+) HTTP/1\.1")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_LENGTH: Final = re.compile(r"[1-9][0-9]{0,5}")
_ODD: Final = frozenset(
    ("transfer-encoding", "expect", "upgrade", "content-encoding", "te", "trailer", "proxy-connection")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordinary:
    """What an ordinary head says. `body_bytes`: 1 to SMALL_BYTES. `last`: the client wants the connection closed then."""

    admitted: Admitted
    body_bytes: int
    last: bool


class OrdinaryHeads:
    """The heads of one server that were ordinary."""

    def __init__(self, door: Door) -> None:
        """None is known yet."""
        self._door = door
        self._known: dict[bytes, Ordinary] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, head: bytes) -> Ordinary | None:
        """What this head says, which ends before the empty line; None: it is not ordinary."""
        known = self._known.get(head)
        if known is None:
            known = self._read(head)
            if known is not None:
                if len(self._known) >= _HEADS_MAX:
                    self._known.clear()
                self._known[head] = known
        return known

    def _read(self, head: bytes) -> Ordinary | None:
        if not head.isascii() or len(head) > HEAD_BYTES_MAX:
            return None
        line, *lines = head.decode("ascii").split("\r\n")
        target = _REQUEST_LINE.fullmatch(line)
        headers = _headers(lines)
        if target is None or headers is None or "host" not in headers:
            return None
        length = _LENGTH.fullmatch(headers.get("content-length", ""))
        if length is None or int(length[0]) > SMALL_BYTES:
            return None
        connection = headers.get("connection", "keep-alive").lower()
        if connection not in ("keep-alive", "close"):
            return None
        try:
            admitted = self._door.find(
                RequestHead(method="POST", target=target[1], headers=headers, has_body=True)
            )
        except (HttpProblem, Invalid):
            return None  # refused in the same words by whoever reads it next
        if admitted.route.streams or int(length[0]) > admitted.body_bytes_max:
            return None
        return Ordinary(admitted=admitted, body_bytes=int(length[0]), last=connection == "close")


def _headers(lines: list[str]) -> dict[str, str] | None:
    """By lower-case names; None when anything about them is odd."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, content = line.partition(":")
        folded = name.lower()
        if not colon or not _NAME.fullmatch(name) or folded in headers or folded in _ODD:
            return None
        content = content.strip(" ")
        if not content.isprintable():
            return None
        headers[folded] = content
    return headers if len(headers) <= _HEADERS_MAX else None
