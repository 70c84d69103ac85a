"""The engine on libnghttp2: one listener, its connections, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

import structlog

from ferrite.io.config import Config
from ferrite.io.file_limit import connections_allowed
from ferrite.io.grpc.call_headers import METADATA_BYTES_MAX, NotGrpc, call_head, trailers_only
from ferrite.io.grpc.engine import (
    ANSWER_MESSAGES,
    CONCURRENT_STREAMS_MAX,
    CONNECTION_AGE_GRACE_MS,
    CONNECTION_AGE_MS_MAX,
    KEEPALIVE_TIMEOUT_MS,
    PING_INTERVAL_MS_MIN,
    Services,
)
from ferrite.io.grpc.http2 import NO_ERROR, Http2Connection
from ferrite.io.grpc.http2_call import Call, CallServices
from ferrite.io.grpc.http2_roles import Header, Http2Limits
from ferrite.io.grpc.listen import CannotListen, check_can_listen
from ferrite.io.grpc.status import RpcError, StatusCode

_log = structlog.get_logger("ferrite.io.grpc")

TICK_S: Final = 0.5
"""How late an idle, silent or old connection may be noticed."""
BACKLOG: Final = 512  # a burst of connections after a restart
CANCEL_S: Final = 1.0  # for cancelled handlers to end


def http2_limits(config: Config) -> Http2Limits:
    """What of the configuration matters to a connection."""
    return Http2Limits(
        streams_max=min(CONCURRENT_STREAMS_MAX, config.limits.concurrent_rpcs_max),
        metadata_bytes_max=METADATA_BYTES_MAX,
        handshake_s=config.limits.header_timeout / 1000,
        idle_s=config.limits.idle_timeout / 1000,
        age_s=CONNECTION_AGE_MS_MAX / 1000,
        age_grace_s=CONNECTION_AGE_GRACE_MS / 1000,
        keep_alive_s=config.network.keep_alive_interval / 1000,
        keep_alive_timeout_s=KEEPALIVE_TIMEOUT_MS / 1000,
        ping_interval_s_min=PING_INTERVAL_MS_MIN / 1000,
    )


class Http2Engine:
    """Serves methods (`Engine`), and is the hub of its connections."""

    def __init__(self, services: Services, config: Config) -> None:
        """Nothing is bound before `start`."""
        self.limits = http2_limits(config)
        self._services = services
        self._connections_max = connections_allowed(config.limits.connections_max)
        self._message_bytes_max = config.network.max_message_size
        self._methods = {method.path.encode(): method for method in services.methods}
        self._connections: dict[Http2Connection, None] = {}
        self._dirty: list[Http2Connection] = []
        self._listener: asyncio.Server | None = None
        self._calls: CallServices | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Listen and serve; returns the port. Raises `AddressInUse` or `CannotListen`."""
        loop = asyncio.get_running_loop()
        self._calls = CallServices(
            loop=loop,
            limits=self._services.limits,
            drain=self._services.drain,
            message_bytes_max=self._message_bytes_max,
            answer_bytes_max=ANSWER_MESSAGES * self._message_bytes_max,
            tasks=set(),
        )
        try:
            self._listener = await _listen(loop, lambda: Http2Connection(self, loop), host, port)
        except OSError as error:
            if port:
                await check_can_listen(host, port)
            raise CannotListen(error.errno, f"gRPC cannot listen on {host}:{port}: {error}") from error
        self._ticking = loop.call_later(TICK_S, self._tick)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self, grace_ms: int) -> None:
        """Take no new calls, let those in progress finish for `grace_ms`, then end them."""
        assert self._listener is not None, "stopped once, after start"
        assert self._calls is not None, "made by start"
        self._listener.close()
        for connection in list(self._connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_ms / 1000):
                while any(connection.busy for connection in self._connections):
                    self._settled.clear()
                    await self._settled.wait()
        for connection in list(self._connections):
            connection.terminate(NO_ERROR)
        if self._calls.tasks:
            await asyncio.wait(set(self._calls.tasks), timeout=CANCEL_S)
        for connection in list(self._connections):
            connection.close()
        if self._ticking is not None:
            self._ticking.cancel()

    # ------------------------------------------------------------------------------------------------ the hub

    def admit(self, connection: Http2Connection) -> bool:
        """Count one more connection, or do not."""
        if len(self._connections) >= self._connections_max:
            return False
        self._connections[connection] = None
        return True

    def release(self, connection: Http2Connection) -> None:
        """It is gone."""
        del self._connections[connection]
        self._settled.set()

    def settled(self, _connection: Http2Connection) -> None:
        """Nothing of it is in progress."""
        self._settled.set()

    def flush_soon(self, connection: Http2Connection) -> None:
        """One write per connection and turn of the loop."""
        if connection.flushing:
            return
        connection.flushing = True
        if not self._dirty:
            assert self._calls is not None, "connections are made after start"
            self._calls.loop.call_soon(self._flush)
        self._dirty.append(connection)

    def open(self, connection: Http2Connection, stream_id: int, headers: tuple[Header, ...]) -> Call | None:
        """A call begins, or is refused for what its headers say."""
        assert self._calls is not None, "connections are made after start"
        try:
            head = call_head(headers)
            method = self._methods.get(head.path)
            if method is None:
                raise RpcError(StatusCode.UNIMPLEMENTED, "Method not found!")
        except NotGrpc as refused:
            connection.refuse(stream_id, trailers_only(refused.error, refused.http_status))
            return None
        except RpcError as error:
            connection.refuse(stream_id, trailers_only(error))
            return None
        call = Call(self._calls, connection, stream_id, head, method)
        call.begin()
        return call

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flushing = False
            try:
                connection.flush()
            except Exception as error:  # noqa: BLE001 - a fault of ours in one connection must not silence the others
                _log.error("a gRPC connection failed unexpectedly", exc_info=error)
                connection.give_up()

    def _tick(self) -> None:
        assert self._calls is not None, "made by start"
        loop = self._calls.loop
        now_s = loop.time()
        for connection in list(self._connections):
            connection.tick(now_s)
        self._ticking = loop.call_later(TICK_S, self._tick)


async def _listen(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol], host: str, port: int
) -> asyncio.Server:
    """Every address of `host`; of the wildcard of IPv6 both families, as grpcio has it."""
    if host == "::" and socket.has_dualstack_ipv6():
        both = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
        return await loop.create_server(factory, sock=both, backlog=BACKLOG)
    return await loop.create_server(factory, host, port, backlog=BACKLOG)
