"""A backup of which the test gives the pieces."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from ferrite.io.request_path import RequestError


@dataclass(slots=True)
class FakeBackup:
    """`then` is raised where the end would be; with `hangs` nothing comes after the pieces."""

    pieces: list[bytes] = field(default_factory=lambda: [b"first", b"second"])
    then: RequestError | None = None
    hangs: bool = False
    name: str = "test-1.backup"
    closed: bool = False
    given: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.given)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.given).digest()

    async def next_piece(self) -> bytes:
        if self.pieces:
            piece = self.pieces.pop(0)
            self.given += piece
            return piece
        if self.hangs:
            await asyncio.Event().wait()
        if self.then is not None:
            raise self.then
        return b""

    def close(self) -> None:
        self.closed = True
