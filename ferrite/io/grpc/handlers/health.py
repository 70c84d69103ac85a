"""grpc.health.v1.Health: what load balancers and probes ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

from google.protobuf.message import Message as ProtoMessage
from grpc_health.v1 import health_pb2

from ferrite.io.grpc.service import CallContext, Writer
from ferrite.io.grpc.status import RpcError, StatusCode
from ferrite.io.request_path import RequestRefused

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_LIST_RESPONSE: Final[Any] = vars(health_pb2)["HealthListResponse"]  # newer than the stubs of the package
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthHandlers:
    """grpc.health.v1.Health."""

    def __init__(self, service_names: Iterable[str]) -> None:
        """It speaks for the server ("") and for these services. Until `set_serving` none of them serves."""
        self._names = ("", *service_names)
        self._serving = False
        self._changed: set[asyncio.Event] = set()

    def set_serving(self, *, serving: bool) -> None:
        """Answer so from now on, and tell whoever watches."""
        self._serving = serving
        for changed in self._changed:
            changed.set()

    async def check(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            raise RpcError(StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def list(self, request: ProtoMessage, context: CallContext) -> ProtoMessage:
        response: Any = _LIST_RESPONSE()
        for name in self._names:
            response.statuses[name].status = self._status(name)
        return cast(ProtoMessage, response)

    async def watch(
        self, request: health_pb2.HealthCheckRequest, context: CallContext, writer: Writer
    ) -> None:
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            with context.drain.calls(changed.set):
                last = None
                while True:
                    status = self._status(request.service)
                    if status != last:
                        await writer.send(health_pb2.HealthCheckResponse(status=status).SerializeToString())
                        last = status
                    elif context.drain.begun:
                        raise RequestRefused("shutting_down", "this node shuts down")
                    else:
                        await changed.wait()
                    changed.clear()
        finally:
            self._changed.discard(changed)

    def _status(self, name: str) -> int:
        if name not in self._names:
            return _UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING
