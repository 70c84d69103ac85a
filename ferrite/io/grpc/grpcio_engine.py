"""The engine on grpcio: serves methods over `grpc.aio`. Handlers, validation and errors are not its business."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import grpc
from grpc import aio

from ferrite.io.config import Config
from ferrite.io.file_limit import connections_allowed
from ferrite.io.grpc.call_headers import METADATA_BYTES_MAX
from ferrite.io.grpc.call_limits import UNCOUNTED_MAX
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.engine import (
    ANSWER_MESSAGES,
    CONCURRENT_STREAMS_MAX,
    CONNECTION_AGE_GRACE_MS,
    CONNECTION_AGE_MS_MAX,
    KEEPALIVE_TIMEOUT_MS,
    PING_INTERVAL_MS_MIN,
    PING_STRIKES_MAX,
    STREAM_WINDOW_BYTES,
    Services,
)
from ferrite.io.grpc.listen import CannotListen, check_can_listen
from ferrite.io.grpc.service import Method, StreamClosed
from ferrite.io.grpc.status import DETAILS_METADATA_KEY, RpcError

_STATUS_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_Context = aio.ServicerContext[Any, Any]
_Serve = Callable[[Any, _Context], Awaitable[bytes | None]]


class GrpcioEngine:
    """Serves methods (`Engine`).

    Before `stop`, close the transport: its incoming streams would otherwise last for the whole grace.
    """

    def __init__(self, services: Services, config: Config) -> None:
        """Nothing is bound before `start`."""
        self.options = server_options(config)
        self._services = services
        self._server: aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and serve; returns the port. Raises `AddressInUse` or `CannotListen`."""
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        server = aio.server(
            options=self.options,
            maximum_concurrent_rpcs=self._services.limits.calls_max + UNCOUNTED_MAX,
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
        return bound

    async def stop(self, grace_ms: int) -> None:
        """Take no new calls, let those in progress finish for `grace_ms`, then end them."""
        assert self._server is not None, "stopped once, after start"
        await self._server.stop(grace_ms / 1000)

    def _add_services(self, server: aio.Server) -> None:
        handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method in self._services.methods:
            _, service, name = method.path.split("/")
            handlers.setdefault(service, {})[name] = self._handler_of(method)
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, rpcs) for service, rpcs in handlers.items())
        )

    def _handler_of(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        # No (de)serializers: bytes pass through, so that what is no message is refused by us and not logged as grpcio's crash.
        serve = self._counted(method, self._serve_of(method))
        return _HANDLER_MAKERS[method.client_streaming, method.server_streaming](serve)

    def _serve_of(self, method: Method) -> _Serve:
        drain = self._services.drain

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

    def _counted(self, method: Method, plain: _Serve) -> _Serve:
        limits = self._services.limits

        async def serve(data: Any, context: _Context) -> bytes | None:
            refused = limits.begin(method)
            if refused is not None:
                return await _abort(context, refused)
            try:
                return await plain(data, context)
            finally:
                limits.end(method)

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
        ("grpc.max_send_message_length", ANSWER_MESSAGES * config.network.max_message_size),
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
        ("grpc.http2.lookahead_bytes", STREAM_WINDOW_BYTES),
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
