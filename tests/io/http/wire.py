"""Requests and answers in HTTP/1.1, as bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; proves on the way that it is a whole problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = self.json()
        assert problem["status"] == self.status
        assert problem["type"] == f"urn:ferrite:problem:{problem['code']}"
        assert problem["title"]
        assert problem["detail"]
        assert isinstance(problem["certainly_not_applied"], bool)
        return str(problem["code"])


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end; a reset after the answer is an end, too (we refused what was still being sent)."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            received += piece
    return received


def request_bytes(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    close: bool = True,
) -> bytes:
    lines = {"Host": "127.0.0.1", **({"Connection": "close"} if close else {}), **(headers or {})}
    if body is not None:
        lines.setdefault("Content-Length", str(len(body)))
    head = "".join(f"{name}: {content}\r\n" for name, content in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def parse_reply(answer: bytes, *, head: bool = False) -> Reply:
    """The first reply in these bytes."""
    text, separator, rest = answer.partition(b"\r\n\r\n")
    assert separator, f"no whole answer: {answer[:200]!r}"
    status_line, *lines = text.decode("latin-1").split("\r\n")
    headers = {name.lower(): content.strip() for name, _, content in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked" and not head:
        return Reply(status=int(status_line.split()[1]), headers=headers, body=unchunked(rest))
    length = 0 if head else int(headers.get("content-length", "0"))
    assert len(rest) >= length, f"a cut answer: {answer[:200]!r}"
    return Reply(status=int(status_line.split()[1]), headers=headers, body=rest[:length])


def unchunked(rest: bytes) -> bytes:
    """A whole chunked body."""
    body = b""
    while True:
        size, separator, rest = rest.partition(b"\r\n")
        assert separator, "the last chunk is missing"
        length = int(size, 16)
        if length == 0:
            return body
        body, rest = body + rest[:length], rest[length + 2 :]
