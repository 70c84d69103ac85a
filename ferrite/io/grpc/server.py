"""The gRPC listener of one node: all services, health and reflection, over the configured engine."""

from __future__ import annotations

from ferrite.io.config import Config
from ferrite.io.grpc.call_limits import CallLimits
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.engine import Engine, Services
from ferrite.io.grpc.handlers import (
    HealthHandlers,
    RaftHandlers,
    client_methods,
    health_methods,
    peer_methods,
    reflection_methods,
)
from ferrite.io.grpc.listen import AddressInUse, CannotListen, check_can_listen
from ferrite.io.grpc.service import Method
from ferrite.io.request_path import PipelinedPath


class GrpcServer:
    """One listener with all services, health and reflection.

    Before `stop`, close the transport: its incoming streams would otherwise last for the whole grace.
    """

    def __init__(self, request_path: PipelinedPath, config: Config, raft_service: RaftHandlers) -> None:
        """Nothing is bound before `start`."""
        self._address = config.node.grpc_addr
        self._drain = Drain()
        clients = client_methods(request_path, config)
        self._health = HealthHandlers(_service_names(clients))
        methods = (*clients, *peer_methods(raft_service), *health_methods(self._health))
        self.limits = CallLimits(config.limits.concurrent_rpcs_max)
        services = Services(
            methods=(*methods, *reflection_methods(_service_names(methods))),
            limits=self.limits,
            drain=self._drain,
        )
        self.engine = _engine(services, config)
        self._started = False

    async def start(self, port: int | None = None) -> int:
        """Listen and serve; returns the port. `port` overrides the configured one (0: any free one).

        Raises `AddressInUse` or `CannotListen`, both OSError.
        """
        host, port = self._address.host, self._address.port if port is None else port
        if port:
            await check_can_listen(host, port)
        bound = await self.engine.start(host, port)
        self._started = True
        self.set_serving(serving=True)
        return bound

    def set_serving(self, *, serving: bool) -> None:
        """What grpc.health.v1 says, of the server ("") and of each service for clients."""
        self._health.set_serving(serving=serving)

    async def stop(self, grace_ms: int) -> None:
        """Say NOT_SERVING, take no new calls, let those in progress finish for `grace_ms`, then end them.

        Streams end themselves.
        """
        if not self._started:
            return
        self._started = False
        self.set_serving(serving=False)
        self._drain.begin()
        await self.engine.stop(grace_ms)


def _service_names(methods: tuple[Method, ...]) -> list[str]:
    return sorted({method.path.split("/")[1] for method in methods})


def _engine(services: Services, config: Config) -> Engine:
    """The one that is not used is not imported either."""
    if config.network.grpc_engine == "grpcio":
        from ferrite.io.grpc.grpcio_engine import GrpcioEngine  # noqa: PLC0415 - see above

        return GrpcioEngine(services, config)
    from ferrite.io.grpc.http2_engine import Http2Engine  # noqa: PLC0415 - see above

    return Http2Engine(services, config)


__all__ = ["AddressInUse", "CannotListen", "GrpcServer"]
