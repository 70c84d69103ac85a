"""Which protocol a port speaks, found out without a library: gRPC's HTTP/2 begins with a frame, HTTP/1.1 with its name."""

from __future__ import annotations

import asyncio
from typing import Final

from ferrite.io.client.connection import Scheme

_QUESTION: Final = b"GET /livez HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
_HTTP: Final = b"HTTP/1."
_SETTINGS_FRAME_TYPE: Final = 4
_FRAME_HEADER_BYTES: Final = 9


class NotRecognised(Exception):
    """Nobody answers there, or nothing that Ferrite speaks; the text says what happened."""


async def recognise(address: str, timeout_s: float) -> Scheme:
    """Ask `host:port`. Raises `NotRecognised`."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _ask(host.strip("[]"), int(port), _QUESTION % address.encode())
    except TimeoutError:
        raise NotRecognised(f"{address} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NotRecognised(f"{address} cannot be reached: {error}") from None
    if answer.startswith(_HTTP):
        return "http"
    # RFC 9113 3.4: a server's first frame is SETTINGS.
    if len(answer) == _FRAME_HEADER_BYTES and answer[3] == _SETTINGS_FRAME_TYPE:
        return "grpc"
    raise NotRecognised(f"{address} speaks neither HTTP/1.1 nor gRPC: it begins with {answer!r}")


async def _ask(host: str, port: int, question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        await writer.drain()
        return await reader.readexactly(_FRAME_HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        writer.close()
