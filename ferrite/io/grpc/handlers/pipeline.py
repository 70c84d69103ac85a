"""`Pipeline`: many operations in flight on one stream, answered as they finish.

What arrives in one message is asked of the request path in one turn of the loop, and what is answered in one turn leaves in
one message. An operation costs a callback, not a task. What is in flight is bounded, answers that wait for a slow reader
included; when the bound is reached nothing more is read, and flow control holds the client back.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from ferrite.io.grpc.framing import message_field, number_field
from ferrite.io.grpc.kinds import LIGHT, Kind, Read, Settings, Write
from ferrite.io.grpc.kv_kinds import COMPACT, DELETE_RANGE, PUT, RANGE, TXN
from ferrite.io.grpc.lease_kinds import LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, LEASE_TIME_TO_LIVE
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.plain_kinds import GET
from ferrite.io.grpc.service import CallContext, Writer, rpc_error_of
from ferrite.io.request_path import Answered, PipelinedPath, RequestRefused
from ferrite.io.validation import Invalid

IN_FLIGHT_MAX: Final = 1024
"""Operations of a stream that were read and whose answers were not sent yet, heavy ones counting more: several times what keeps
a cluster busy."""
UNSENT_BYTES_MAX: Final = 4 << 20
"""Answers that wait for the reader; with more of them nothing is read."""
MESSAGE_BYTES: Final = 256 << 10
"""Of answers in one message, unless a single one is larger."""

_KINDS: Final[dict[str | None, Kind]] = {
    "put": PUT,
    "range": RANGE,
    "delete_range": DELETE_RANGE,
    "txn": TXN,
    "get": GET,
    "compact": COMPACT,
    "lease_grant": LEASE_GRANT,
    "lease_revoke": LEASE_REVOKE,
    "lease_keep_alive": LEASE_KEEP_ALIVE,
    "lease_time_to_live": LEASE_TIME_TO_LIVE,
}
_RESULT_FIELDS: Final = kv_pb2.PipelineResponse.DESCRIPTOR.fields_by_name
_ID_FIELD: Final = _RESULT_FIELDS["id"].number
_ERROR_FIELD: Final = _RESULT_FIELDS["error"].number
_RESPONSES_FIELD: Final = kv_pb2.PipelineResponses.DESCRIPTOR.fields_by_name["responses"].number
_NUMBERS: Final = {name: field.number for name, field in _RESULT_FIELDS.items()}


class PipelineHandler:
    """The RPC's handler."""

    def __init__(self, path: PipelinedPath, settings: Settings) -> None:
        """Operations go to `path`."""
        self._path = path
        self._settings = settings

    async def __call__(
        self, messages: AsyncIterator[kv_pb2.PipelineRequests], context: CallContext, writer: Writer
    ) -> None:
        """Serve one stream."""
        await _Pipe(self._path, self._settings, context, writer).run(messages)


class _Pipe:
    """One stream. Ends when the client has ended its side, or by an error, once everything in flight is answered."""

    def __init__(self, path: PipelinedPath, settings: Settings, context: CallContext, writer: Writer) -> None:
        self._path = path
        self._settings = settings
        self._context = context
        self._writer = writer
        self._room = IN_FLIGHT_MAX
        self._in_flight: dict[int, int] = {}  # id -> weight
        self._answers: deque[tuple[int, bytes]] = deque()  # weight, a framed answer
        self._unsent_bytes = 0
        self._closed = False
        self._work = asyncio.Event()
        self._drained = asyncio.Event()

    async def run(self, messages: AsyncIterator[kv_pb2.PipelineRequests]) -> None:
        reading = asyncio.get_running_loop().create_task(self._read(messages), name="pipeline reads")
        reading.add_done_callback(self._read_all)
        try:
            with self._context.drain.calls(reading.cancel):
                while not reading.done() or self._in_flight or self._answers:
                    await self._work.wait()
                    self._work.clear()
                    while self._answers:
                        await self._send_some()
            if reading.cancelled():
                raise RequestRefused("shutting_down", "this node shuts down; what it began was answered")
            reading.result()
        finally:
            self._closed = True
            reading.cancel()

    def _read_all(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled():
            reading.exception()  # known from here on, whether or not `run` still lives to raise it
        self._work.set()

    # ------------------------------------------------------------------------------------------------ in

    async def _read(self, messages: AsyncIterator[kv_pb2.PipelineRequests]) -> None:
        async for message in messages:
            for request in message.requests:
                if request.id in self._in_flight:
                    raise Invalid("requests.id", f"{request.id} again", "an id that is not in flight")
                asked = self._decode(request)
                weight = LIGHT if isinstance(asked, Exception) else asked.weight
                while self._room < weight or self._unsent_bytes > UNSENT_BYTES_MAX:
                    self._drained.clear()
                    await self._drained.wait()
                self._room -= weight
                self._in_flight[request.id] = weight
                self._begin(request, asked)

    def _decode(self, request: kv_pb2.PipelineRequest) -> Write | Read | Exception:
        name = request.WhichOneof("operation")
        kind = _KINDS.get(name)
        if kind is None:
            return Invalid(
                "operation",
                "not set, or unknown to this version of Ferrite",
                "one of " + ", ".join(map(str, _KINDS)),
            )
        try:
            return kind.decode(getattr(request, str(name)), self._settings)
        except Exception as error:  # noqa: BLE001 - it becomes this one operation's answer, and a log line when nobody expected it
            return error

    def _begin(self, request: kv_pb2.PipelineRequest, asked: Write | Read | Exception) -> None:
        done = functools.partial(self._done, request.id, str(request.WhichOneof("operation")))
        timeout_ms = min(request.timeout_ms, self._settings.timeout_ms_max) or None
        match asked:
            case Write():
                self._path.begin_write(asked.operation, done, session=asked.session, timeout_ms=timeout_ms)
            case Read():
                self._path.begin_read(
                    asked.query,
                    done,
                    consistency=asked.consistency,
                    max_staleness_ms=asked.max_staleness_ms,
                    timeout_ms=timeout_ms,
                )
            case _:
                done(asked)

    # ------------------------------------------------------------------------------------------------ out

    def _done(self, request_id: int, name: str, outcome: Answered | Exception) -> None:
        if self._closed:
            return  # the client has gone away
        try:
            if isinstance(outcome, Exception):
                raise outcome
            field, data = _NUMBERS[name], _KINDS[name].answer(outcome, self._settings)
        except Exception as error:  # noqa: BLE001 - it becomes this one operation's answer, and a log line when nobody expected it
            field, data = _ERROR_FIELD, self._error(error, name)
        framed = message_field(
            _RESPONSES_FIELD, number_field(_ID_FIELD, request_id) + message_field(field, data)
        )
        self._answers.append((self._in_flight.pop(request_id), framed))
        self._unsent_bytes += len(framed)
        self._work.set()

    def _error(self, error: Exception, name: str) -> bytes:
        """What the unary call would have said in its status."""
        found = rpc_error_of(error, where=f"Pipeline {name}", caller=self._context.caller())
        return kv_pb2.PipelineError(
            code=found.code, message=found.message, details=found.details.SerializeToString()
        ).SerializeToString()

    async def _send_some(self) -> None:
        weight, data = self._answers.popleft()
        parts, size = [data], len(data)
        while self._answers and size + len(self._answers[0][1]) <= MESSAGE_BYTES:
            more, data = self._answers.popleft()
            parts.append(data)
            weight += more
            size += len(data)
        await self._writer.send(b"".join(parts))
        self._room += weight
        self._unsent_bytes -= size
        self._drained.set()
