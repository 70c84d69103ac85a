"""What an engine serves: methods as data, from the services' descriptors to the handlers' coroutines. Bytes in, bytes out.

An engine (grpcio now) knows HTTP/2, deadlines and cancellation. Everything else of a call is here, so that two engines cannot
differ: which methods exist, how a request is parsed, what becomes of an exception. An engine does four things for a call: find
its `Method` by path, give it a `CallContext`, run `answer` (or `answer_stream`), and send the bytes, or the `RpcError`'s code,
message and details.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.message_factory import GetMessageClass

from ferrite.io.grpc import status
from ferrite.io.grpc.status import RpcError
from ferrite.io.request_path import RequestError
from ferrite.io.validation import Invalid

DEADLINE_MARGIN_MS_MAX: Final = (
    100  # an answer must travel back before the client gives up: a tenth of the time, at most this
)

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_log = structlog.get_logger("ferrite.io.grpc")


class CallContext(Protocol):
    """What a handler may know of the call beside its request."""

    def remaining_ms(self) -> int | None:
        """Milliseconds until the client's deadline, never negative; None when it set none."""
        ...

    def metadata(self, key: str) -> str:
        """The first value of a request header with this lower-case name; empty when there is none."""
        ...

    def caller(self) -> str:
        """Address of the client, for logs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC. `handler` takes the request (or, with `client_streaming`, an async iterator of them) and the `CallContext`."""

    path: str
    request_type: type[ProtoMessage]
    response_type: type[ProtoMessage]
    client_streaming: bool
    handler: Callable[[Any, CallContext], Awaitable[ProtoMessage]]

    async def answer(self, data: bytes, context: CallContext) -> bytes:
        """Answer a unary call. Raises nothing but `RpcError` (and what cancels the task)."""
        assert not self.client_streaming, self.path
        return await self._run(self._parse(data), context)

    async def answer_stream(self, data: AsyncIterator[bytes], context: CallContext) -> bytes:
        """Answer a client's stream. Raises nothing but `RpcError` (and what cancels the task)."""
        assert self.client_streaming, self.path
        return await self._run(self._parse_each(data), context)

    async def _run(self, request: object, context: CallContext) -> bytes:
        try:
            response = await self.handler(request, context)
            return response.SerializeToString()
        except RpcError:
            raise
        except RequestError as error:
            raise status.of_request_error(error) from error
        except Invalid as error:
            raise status.of_invalid(error) from error
        except Exception as error:
            _log.exception("an RPC failed unexpectedly", method=self.path, caller=context.caller())
            raise status.internal() from error

    def _parse(self, data: bytes) -> ProtoMessage:
        try:
            return self.request_type.FromString(data)
        except DecodeError:
            expected = f"a {self.request_type.DESCRIPTOR.full_name} in protobuf's binary format"
            raise status.of_invalid(
                Invalid("request", f"{len(data)} bytes that are no such message", expected)
            ) from None

    async def _parse_each(self, stream: AsyncIterator[bytes]) -> AsyncIterator[ProtoMessage]:
        async for data in stream:
            yield self._parse(data)


def methods_of(file: FileDescriptor, service_name: str, handlers: object) -> tuple[Method, ...]:
    """The methods of a service that `handlers` has a coroutine method for, named in snake_case; the others are unimplemented."""
    service = file.services_by_name[service_name]
    return tuple(
        _method_of(method, handlers)
        for method in service.methods
        if hasattr(handlers, snake_case(method.name))
    )


def snake_case(rpc_name: str) -> str:
    """`BatchSet` -> `batch_set`."""
    return _WORD_START.sub("_", rpc_name).lower()


def timeout_ms(context: CallContext, most_ms: int) -> int | None:
    """How long the server may work for this call: the client's deadline less the way back, at most `most_ms`.

    None when the client set no deadline: the request path knows what is usual.
    """
    remaining_ms = context.remaining_ms()
    if remaining_ms is None:
        return None
    return max(1, min(most_ms, remaining_ms - min(DEADLINE_MARGIN_MS_MAX, remaining_ms // 10)))


def _method_of(method: MethodDescriptor, handlers: object) -> Method:
    assert not method.server_streaming, f"{method.full_name}: no engine serves streams of answers yet"
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        request_type=GetMessageClass(method.input_type),
        response_type=GetMessageClass(method.output_type),
        client_streaming=method.client_streaming,
        handler=getattr(handlers, snake_case(method.name)),
    )
