"""grpcio's engine: serves the methods of `service` over `grpc.aio`. Handlers, validation and errors are not its business.

Every limit of HTTP/2 that a client could lean on is set here, none is left at a library's default (SEC23, SEC26).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from ferrite.io.config import Config
from ferrite.io.file_limit import connections_allowed
from ferrite.io.grpc import status
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.handlers import RaftHandlers, client_methods, peer_methods
from ferrite.io.grpc.listen import AddressInUse, CannotListen, check_can_listen
from ferrite.io.grpc.service import Method, StreamClosed
from ferrite.io.grpc.status import DETAILS_METADATA_KEY, RpcError
from ferrite.io.request_path import PipelinedPath

METADATA_BYTES_MAX: Final = 16 * 1024
STREAMS_SHARE: Final = 2  # long streams may be every second of limits.concurrent_rpcs_max
CONCURRENT_STREAMS_MAX: Final = 1000  # of one connection; SEC26
PEER_RPCS_RESERVED: Final = 256  # beyond clients' share: two per peer and some for health checks
CONNECTION_AGE_MS_MAX: Final = (
    45 * 60_000
)  # so that balancers may rebalance; peers renew their streams sooner (transport)
CONNECTION_AGE_GRACE_MS: Final = 5 * 60_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000  # silence after a ping that makes a connection dead
PING_INTERVAL_MS_MIN: Final = 900
"""Between pings on a connection without traffic; faster ones end it (SEC26). Just under the least `network.keep_alive_interval`,
because a peer that pings by its own configuration must not lose its stream over ours; floods are a thousand times faster."""
PING_STRIKES_MAX: Final = 2
WINDOW_BYTES: Final = 512 * 1024
"""How much a sender may have under way on one stream. Fixed, because a window that grows with the measured bandwidth lets
snapshot pieces fill seconds of a slow link in front of a heartbeat. This is 0.4 s at 10 Mbit/s, and 7 MB/s at 75 ms of delay."""

_STATUS_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_Context = aio.ServicerContext[Any, Any]
_Serve = Callable[[Any, _Context], Awaitable[bytes | None]]


class GrpcServer:
    """One listener with all services, health and reflection.

    Before `stop`, close the transport: its incoming streams would otherwise last for the whole grace.
    """

    def __init__(self, request_path: PipelinedPath, config: Config, raft_service: RaftHandlers) -> None:
        """Nothing is bound before `start`."""
        self._address = config.node.grpc_addr
        self._calls_max = config.limits.concurrent_rpcs_max
        self._streams_max = self._calls_max // STREAMS_SHARE
        self._calls = 0
        self._streams = 0
        self._drain = Drain()
        self._client_methods = client_methods(request_path, config)
        self._peer_methods = peer_methods(raft_service)
        self._options = server_options(config)
        self._server: aio.Server | None = None
        self._health = health_aio.HealthServicer()

    async def start(self, port: int | None = None) -> int:
        """Listen and serve; returns the port. `port` overrides the configured one (0: any free one).

        Raises `AddressInUse` or `CannotListen`, both OSError.
        """
        host, port = self._address.host, self._address.port if port is None else port
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if port:
            await check_can_listen(host, port)
        server = aio.server(
            options=self._options, maximum_concurrent_rpcs=self._calls_max + PEER_RPCS_RESERVED
        )
        self._add_services(server)
        try:
            bound = server.add_insecure_port(shown)
        except RuntimeError as error:  # taken since the check, or something that the check cannot see
            if port:
                await check_can_listen(host, port)
            raise CannotListen(0, f"gRPC cannot listen on {shown}: {error}") from error
        await server.start()
        self._server = server
        await self.set_serving(serving=True)
        return bound

    async def set_serving(self, *, serving: bool) -> None:
        """What grpc.health.v1 says, of the server ("") and of each service for clients."""
        state = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in ("", *self._service_names()):
            await self._health.set(service, state)

    async def stop(self, grace_ms: int) -> None:
        """Say NOT_SERVING, take no new calls, let those in progress finish for `grace_ms`, then end them.

        Streams end themselves.
        """
        server, self._server = self._server, None
        if server is None:
            return
        self._drain.begin()
        await self._health.enter_graceful_shutdown()
        await server.stop(grace_ms / 1000)

    def _add_services(self, server: aio.Server) -> None:
        handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method, counted in (
            *((method, True) for method in self._client_methods),
            *((method, False) for method in self._peer_methods),
        ):
            _, service, name = method.path.split("/")
            handlers.setdefault(service, {})[name] = self._handler_of(method, counted=counted)
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, rpcs) for service, rpcs in handlers.items())
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (
            *handlers,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(names, server)

    def _service_names(self) -> list[str]:
        return sorted({method.path.split("/")[1] for method in self._client_methods})

    def _handler_of(self, method: Method, *, counted: bool) -> grpc.RpcMethodHandler[Any, Any]:
        # No (de)serializers: bytes pass through, so that what is no message is refused by us and not logged as grpcio's crash.
        serve = self._serve_of(method)
        if counted:
            serve = self._counted(serve, streams=method.server_streaming)
        return _HANDLER_MAKERS[method.client_streaming, method.server_streaming](serve)

    def _serve_of(self, method: Method) -> _Serve:
        drain = self._drain

        async def answer(data: Any, context: _Context) -> bytes | None:
            try:
                return await method.answer(data, _GrpcioContext(context, drain))
            except RpcError as error:
                return await _abort(context, error)

        async def stream(data: Any, context: _Context) -> bytes | None:
            try:
                await method.stream(data, _GrpcioContext(context, drain), _GrpcioWriter(context))
            except RpcError as error:
                await _abort(context, error)
            return None

        return stream if method.server_streaming else answer

    def _counted(self, plain: _Serve, *, streams: bool) -> _Serve:
        """Clients share `limits.concurrent_rpcs_max`; peers do not count, so that clients cannot starve Raft (SEC25).

        Long streams may have half of it, so that they cannot starve the calls.
        """

        async def serve(data: Any, context: _Context) -> bytes | None:
            if self._calls >= self._calls_max:
                detail = (
                    f"{self._calls} gRPC calls are in progress on this node, as many as it takes; try again"
                )
                return await _abort(context, status.overloaded(detail))
            if streams and self._streams >= self._streams_max:
                detail = (
                    f"{self._streams} streams are open on this node, as many as it takes; try another node"
                )
                return await _abort(context, status.overloaded(detail))
            self._calls += 1
            self._streams += streams
            try:
                return await plain(data, context)
            finally:
                self._calls -= 1
                self._streams -= streams

        return serve


_HANDLER_MAKERS: Final[dict[tuple[bool, bool], Callable[[Any], grpc.RpcMethodHandler[Any, Any]]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By client's and server's streaming."""


def server_options(config: Config) -> list[tuple[str, int]]:
    """Channel arguments of grpcio for a server, all limits among them."""
    return [
        ("grpc.so_reuseport", 0),  # a second process on the same port is an error, not a surprise
        ("grpc.max_receive_message_length", config.network.max_message_size),
        # What a client may send may come back twice, as a value and the one before it. Our own answers are cut well below.
        ("grpc.max_send_message_length", 2 * config.network.max_message_size),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", min(CONCURRENT_STREAMS_MAX, config.limits.concurrent_rpcs_max)),
        ("grpc.max_allowed_incoming_connections", connections_allowed(config.limits.connections_max)),
        ("grpc.max_connection_idle_ms", config.limits.idle_timeout),
        ("grpc.max_connection_age_ms", CONNECTION_AGE_MS_MAX),
        ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
        ("grpc.server_handshake_timeout_ms", config.limits.header_timeout),
        ("grpc.keepalive_time_ms", config.network.keep_alive_interval),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),  # the server's own pings are not held back
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
        ("grpc.http2.max_ping_strikes", PING_STRIKES_MAX),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),
    ]


class _GrpcioContext:
    """`CallContext` over grpcio's."""

    __slots__ = ("_context", "drain")

    def __init__(self, context: _Context, drain: Drain) -> None:
        self._context = context
        self.drain = drain

    def remaining_ms(self) -> int | None:
        remaining_s = cast(
            "float | None", self._context.time_remaining()
        )  # the stubs forget calls without a deadline
        return None if remaining_s is None else max(0, int(remaining_s * 1000))

    def metadata(self, key: str) -> str:
        for name, value in self._context.invocation_metadata() or ():
            if name == key:
                return value if isinstance(value, str) else value.decode("utf-8", "replace")
        return ""

    def caller(self) -> str:
        return self._context.peer()


class _GrpcioWriter:
    """`Writer` over grpcio's context, whose `write` returns once HTTP/2's windows have room."""

    __slots__ = ("_context",)

    def __init__(self, context: _Context) -> None:
        self._context = context

    async def send(self, data: bytes) -> None:
        try:
            await self._context.write(data)
        except aio.BaseError as error:  # grpcio has several for a call that is over
            raise StreamClosed from error


async def _abort(context: _Context, error: RpcError) -> bytes:
    trailers = ((DETAILS_METADATA_KEY, error.details.SerializeToString()),)
    await context.abort(_STATUS_CODES[error.code], error.message, trailers)
    raise AssertionError("abort always raises")


__all__ = ["AddressInUse", "CannotListen", "GrpcServer", "server_options"]
