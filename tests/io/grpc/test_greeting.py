"""The first bytes of a connection, when a client was faster than the turn in which the engine writes."""

from __future__ import annotations

import asyncio
from typing import Any

from ferrite.io.grpc.http2 import Http2Connection
from ferrite.io.grpc.http2_roles import Http2Limits

SETTINGS_FRAME_TYPE = 4
LIMITS = Http2Limits(
    streams_max=1,
    metadata_bytes_max=1024,
    handshake_s=10,
    idle_s=10,
    age_s=10,
    age_grace_s=10,
    keep_alive_s=10,
    keep_alive_timeout_s=10,
    ping_interval_s_min=10,
)


class LateHub:
    """A hub whose turn to write never comes."""

    limits = LIMITS

    def admit(self, _connection: Any) -> bool:
        return True

    def release(self, _connection: Any) -> None:
        pass

    def flush_soon(self, _connection: Any) -> None:
        pass

    def settled(self, _connection: Any) -> None:
        pass

    def open(self, *_request: Any) -> None:
        raise AssertionError("there is no request")


class Written(asyncio.Transport):
    """What the engine did to its socket, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.did: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.did.append(bytes(data))

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def test_who_asks_in_http_1_which_protocol_this_is_reads_the_greeting() -> None:
    """An event loop may hand over what a client has sent in the turn in which it has connected."""
    connection, transport = Http2Connection(LateHub(), asyncio.get_running_loop()), Written()
    connection.connection_made(transport)
    connection.data_received(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    greeting, *then = transport.did
    assert isinstance(greeting, bytes)
    assert greeting[3] == SETTINGS_FRAME_TYPE
    assert then == ["close"]


async def test_a_client_that_speaks_no_http_2_and_stays_is_cut_off() -> None:
    connection, transport = Http2Connection(LateHub(), asyncio.get_running_loop()), Written()
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n" * 10)
    connection.data_received(b"and more of it")
    connection.tick(asyncio.get_running_loop().time() + 60)
    assert transport.did[-2:] == ["close", "abort"]
