"""What an engine serves: methods as data, from the services' descriptors to the handlers' coroutines. Bytes in, bytes out.

An engine knows HTTP/2, flow control, deadlines and cancellation. Everything else of a call is here, so that two engines cannot
differ: which methods exist, how a request is parsed, what becomes of an exception. For a call an engine finds its `Method` by
path, gives it a `CallContext`, and runs `answer` or, with `server_streaming`, `stream`; then it sends the bytes, or the
`RpcError`'s code, message and details. A call whose client has gone away or whose deadline is over, it cancels. Where a method
`begins`, an engine may use `begin` instead of `answer` and save the task; then it ignores the outcome of what it would cancel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import structlog
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.message_factory import GetMessageClass

from ferrite.io.grpc import status
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.status import RpcError
from ferrite.io.request_path import RequestError
from ferrite.io.validation import Invalid

DEADLINE_MARGIN_MS_MAX: Final = (
    100  # an answer must travel back before the client gives up: a tenth of the time, at most this
)
DEADLINE_ROUNDING_PERCENT: Final = 4
"""By how much a deadline may be longer on the wire than its client meant it. grpcio's core rounds the time left up to three
digits (2001 ms travel as "2010m": 1 %), and sends a header that the connection knows already when that is up to 3 % longer."""

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_log = structlog.get_logger("ferrite.io.grpc")


class CallContext(Protocol):
    """What a handler may know of the call beside its request."""

    def remaining_ms(self) -> int | None:
        """Milliseconds until the client's deadline, never negative; None when it set none."""
        ...

    @property
    def drain(self) -> Drain:
        """How a long stream learns that the server wants to stop."""
        ...

    def metadata(self, key: str) -> str:
        """The first value of a request header with this lower-case name; empty when there is none."""
        ...

    def caller(self) -> str:
        """Address of the client, for logs."""
        ...


class Writer(Protocol):
    """Where the answers of a stream go."""

    async def send(self, data: bytes) -> None:
        """Send one message. Returns when the engine has taken it, which it does when the reader leaves room (flow control).

        One call at a time. Raises `StreamClosed` when the client has gone away.
        """
        ...


class StreamClosed(Exception):
    """Nobody reads the answers any more."""


Data = bytes | AsyncIterator[bytes]
"""A request's bytes; of a client's stream an iterator of them, which reads no further than it is asked to."""
Handler = Callable[..., Awaitable[Any]]
Outcome = Callable[[bytes | RpcError], None]
"""Gets the one outcome of a call, on the loop."""


class BeginningHandler(Protocol):
    """A handler that can also do without a task."""

    def begin(self, request: Any, context: CallContext, done: Callable[[bytes | Exception], None]) -> None:
        """Begin; `done` gets the one outcome, on the loop. What is raised here is the outcome too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC. `handler` takes the request (or, with `client_streaming`, an async iterator of them) and the `CallContext`.

    It returns the answer or its bytes; with `server_streaming` it takes a `Writer` too and returns when the stream is complete.
    """

    path: str
    request_type: type[ProtoMessage]
    response_type: type[ProtoMessage]
    client_streaming: bool
    server_streaming: bool
    handler: Handler
    counted: bool = True
    """Does it take one of the calls that clients share?"""

    @property
    def begins(self) -> bool:
        """Can it be answered without a task?"""
        return hasattr(self.handler, "begin")

    def begin(self, data: bytes, context: CallContext, done: Outcome) -> None:
        """As `answer`, but nothing cancels it. `done` is called once, perhaps before this returns."""
        handler = cast(BeginningHandler, self.handler)
        try:
            handler.begin(self._parse(data), context, functools.partial(self._done, context, done))
        except Exception as error:  # noqa: BLE001 - it becomes the call's outcome, and a log line when nobody expected it
            done(rpc_error_of(error, where=self.path, caller=context.caller()))

    def _done(self, context: CallContext, done: Outcome, outcome: bytes | Exception) -> None:
        if isinstance(outcome, Exception):
            outcome = rpc_error_of(outcome, where=self.path, caller=context.caller())
        done(outcome)

    async def answer(self, data: Data, context: CallContext) -> bytes:
        """Answer a call. Raises nothing but `RpcError` (and what cancels the task)."""
        assert not self.server_streaming, self.path
        response: ProtoMessage | bytes = await self._run(context, self._request(data), context)
        return response if isinstance(response, bytes) else response.SerializeToString()

    async def stream(self, data: Data, context: CallContext, writer: Writer) -> None:
        """Answer a call with a stream. Raises nothing but `RpcError` (and what cancels the task)."""
        assert self.server_streaming, self.path
        try:
            await self._run(context, self._request(data), context, writer)
        except StreamClosed:
            _log.debug("a client left its stream", method=self.path, caller=context.caller())

    async def _run(self, context: CallContext, *arguments: object) -> Any:
        try:
            return await self.handler(*arguments)
        except (RpcError, StreamClosed):
            raise
        except Exception as error:
            raise rpc_error_of(error, where=self.path, caller=context.caller()) from error

    def _request(self, data: Data) -> ProtoMessage | AsyncIterator[ProtoMessage]:
        return self._parse(data) if isinstance(data, bytes) else self._parse_each(data)

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


def rpc_error_of(error: Exception, *, where: str, caller: str) -> RpcError:
    """What a client sees of an exception. One that nobody expected is logged here; the client learns no more than that."""
    match error:
        case RpcError():
            return error
        case RequestError():
            return status.of_request_error(error)
        case Invalid():
            return status.of_invalid(error)
        case _:
            _log.error("an RPC failed unexpectedly", method=where, caller=caller, exc_info=error)
            return status.internal()


def methods_of(
    file: FileDescriptor, service_name: str, handler_of: Callable[[str], Handler], *, counted: bool = True
) -> tuple[Method, ...]:
    """All methods of a service. `handler_of` finds the handler of an RPC by its name."""
    service = file.services_by_name[service_name]
    return tuple(_method_of(method, handler_of(method.name), counted=counted) for method in service.methods)


def handlers_in(handlers: object) -> Callable[[str], Handler]:
    """For `methods_of`: the coroutine methods of an object, named in snake_case."""
    return lambda rpc_name: getattr(handlers, snake_case(rpc_name))


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
    margin_ms = min(DEADLINE_MARGIN_MS_MAX, remaining_ms // 10)
    rounding_ms = remaining_ms * DEADLINE_ROUNDING_PERCENT // 100
    return max(1, min(most_ms, remaining_ms - margin_ms - rounding_ms))


def _method_of(method: MethodDescriptor, handler: Handler, *, counted: bool) -> Method:
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        request_type=GetMessageClass(method.input_type),
        response_type=GetMessageClass(method.output_type),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        handler=handler,
        counted=counted,
    )
