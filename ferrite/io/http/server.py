"""The HTTP listener of one node."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from ferrite.io.file_limit import connections_allowed
from ferrite.io.http.cluster_json import Identity
from ferrite.io.http.connection import ConnectionServer
from ferrite.io.http.door import Door
from ferrite.io.http.engine import ConnectionCounts, Engine
from ferrite.io.http.front import Front
from ferrite.io.http.handlers import Handlers
from ferrite.io.http.held_bytes import HeldBytes
from ferrite.io.http.metrics import node_registry
from ferrite.io.http.ordinary import OrdinaryHeads
from ferrite.io.http.quiet_log import QuietLog
from ferrite.io.http.settings import HttpSettings
from ferrite.io.http.streaming import OpenStreams
from ferrite.io.request_path import PipelinedPath

_BACKLOG: Final = 512  # a burst of connections after a restart
_LAST_MS: Final = 50  # after the grace: time to cancel what is left


class AddressInUse(OSError):
    """Another process listens on the address. `errno` is EADDRINUSE."""


class CannotListen(OSError):
    """The address cannot be bound for another reason: not of this machine, a privileged port, a name that does not resolve."""


class HttpServer:
    """Serves a request path over HTTP. Start once, stop once; any number of them in one process."""

    def __init__(
        self,
        request_path: PipelinedPath,
        settings: HttpSettings,
        identity: Callable[[], Identity],
        extra_metrics: Sequence[Collector] = (),
    ) -> None:
        """`identity` is asked at each request: the cluster id may appear later. Nothing is opened yet."""
        self._settings = settings
        logger = logging.getLogger("ferrite.io.http")
        self._log = QuietLog(logger, time.monotonic)
        self._logger = logger
        self.registry: CollectorRegistry
        self.registry, self._metrics = node_registry(request_path.status, extra_metrics)
        self.handlers = Handlers(request_path, settings.limits, identity, self.registry)
        self.door = Door(self.handlers.routes(), settings, self._metrics, self._log)
        self.heads = OrdinaryHeads(self.door)
        self.held = HeldBytes(settings.limits.held_bytes_max, wait_s=settings.room_wait_ms / 1000)
        self._engine: Engine | None = None
        self._connections: ConnectionServer | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> tuple[str, int]:
        """Listen; returns host and port as bound. Raises `AddressInUse` or `CannotListen`, both OSError."""
        settings = self._settings
        counts = ConnectionCounts(
            connections_max=connections_allowed(settings.limits.connections_max),
            per_ip_max=settings.limits.connections_per_ip_max,
            gauge=self._metrics.connections,
        )
        idle = asyncio.Event()
        streams = OpenStreams(
            gauge=self._metrics.streams,
            log=self._log,
            write_timeout_s=settings.limits.idle_timeout / 1000,
            on_end=idle.set,
        )
        self._engine = Engine(
            door=self.door,
            settings=settings,
            counts=counts,
            log=self._log,
            streams=streams,
            held=self.held,
            idle=idle,
        )
        self._connections = ConnectionServer(self._engine, self._logger)
        front = partial(Front, self._engine, self.heads, self._connections)
        where = f"{settings.host}:{settings.port}"
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                front, settings.host, settings.port, backlog=_BACKLOG
            )
        except OSError as error:
            raise _listen_error(error, where) from error
        host, port = self._listener.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def stop(self, grace_ms: int) -> None:
        """Accept no more, end the streams, let requests in progress finish for at most `grace_ms`, close everything."""
        engine, connections, listener = self._engine, self._connections, self._listener
        if engine is None or connections is None or listener is None:
            return
        self._engine = self._connections = self._listener = None
        listener.close()
        engine.draining = True
        engine.streams.shut_down()
        try:
            async with asyncio.timeout(grace_ms / 1000):
                while engine.busy:
                    engine.idle.clear()
                    await engine.idle.wait()
        except TimeoutError:
            self._log.refusal(
                "HTTP stopped",
                f"{engine.in_flight} requests had no answer, {len(engine.streams)} streams no end after {grace_ms} ms",
            )
        await asyncio.sleep(0)  # the last answers reach their sockets' buffers
        for front in tuple(engine.fronts):
            front.shut_down()
        connections.pre_shutdown()
        await connections.shutdown(_LAST_MS / 1000)
        for front in tuple(engine.fronts):
            front.abort()
        await listener.wait_closed()


def _listen_error(error: OSError, where: str) -> OSError:
    if error.errno == errno.EADDRINUSE:
        advice = "stop that one, or choose another node.http_addr"
        return AddressInUse(error.errno, f"HTTP address {where} is in use by another process: {advice}")
    advice = "set node.http_addr to an address of this machine"
    return CannotListen(error.errno, f"HTTP cannot listen on {where} ({error.strerror or error}): {advice}")
