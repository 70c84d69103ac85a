"""The `Pipeline` stream of one endpoint: what is at hand leaves in one message, answers come back in any order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage
from grpc import aio

from ferrite.io.client.connection import Answered, Done, Lost, Outcome, Refusal
from ferrite.io.client.grpc_errors import outcome_of_rpc, outcome_of_status
from ferrite.io.client.grpc_words import RESULTS, leader_of
from ferrite.io.grpc.pb import kv_pb2

PATH: Final = "/ferrite.kv.KvService/Pipeline"
MESSAGE_BYTES: Final = 512 << 10
"""Of requests in one message, unless a single one is larger: below the least `network.max_message_size` of a server."""


class Pipe:
    """One stream. `broken` is set once, with its reason; what was written has been reported lost by then."""

    def __init__(self, channel: aio.Channel) -> None:
        """Opens the stream."""
        open_stream: Any = channel.stream_stream(
            PATH,
            request_serializer=kv_pb2.PipelineRequests.SerializeToString,
            response_deserializer=kv_pb2.PipelineResponses.FromString,
        )
        self._call = open_stream()
        self._ids = 0
        self._out: deque[tuple[kv_pb2.PipelineRequest, Done]] = deque()
        self._work = asyncio.Event()
        self._in_flight: dict[int, tuple[Done, int]] = {}
        """Each with the size of its request."""
        self.broken: Outcome | None = None
        self.answered = False
        """The server has answered something: it has the method."""
        loop = asyncio.get_running_loop()
        self._writing = loop.create_task(self._write(), name="pipeline writes")
        self._reading = loop.create_task(self._read(), name="pipeline reads")

    def send(self, name: str, message: ProtoMessage, timeout_ms: int, done: Done) -> None:
        """Queue an operation; it leaves with whatever else is queued by then."""
        assert self.broken is None, "a broken pipe is not used"
        self._ids += 1
        operation: Any = {name: message}
        request = kv_pb2.PipelineRequest(id=self._ids, timeout_ms=timeout_ms, **operation)
        self._out.append((request, done))
        self._work.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._out:
                    await self._call.write(self._batch())
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # The reader learns why, and reports.

    def _batch(self) -> kv_pb2.PipelineRequests:
        requests: list[kv_pb2.PipelineRequest] = []
        size = 0
        while self._out and (not requests or size + self._out[0][0].ByteSize() <= MESSAGE_BYTES):
            request, done = self._out.popleft()
            request_bytes = request.ByteSize()
            size += request_bytes
            requests.append(request)
            self._in_flight[request.id] = (done, request_bytes)
        return kv_pb2.PipelineRequests(requests=requests)

    async def _read(self) -> None:
        why: Outcome = Lost(detail="the server ended the stream", sent=True)
        try:
            async for message in self._call:
                self.answered = True
                for response in message.responses:
                    self._answered(response)
        except aio.AioRpcError as error:
            why = outcome_of_rpc(error)
        except asyncio.CancelledError:
            why = Lost(detail="the connection was closed", sent=True)
            raise
        finally:
            self._break(why)

    def _answered(self, response: kv_pb2.PipelineResponse) -> None:
        found = self._in_flight.pop(response.id, None)
        if found is None:
            return
        done, _ = found
        name = response.WhichOneof("result")
        if name == "error":
            error = response.error
            done(outcome_of_status(error.code, error.message, error.details))
        elif name in RESULTS:
            message = getattr(response, name)
            done(Answered(result=RESULTS[name](message), leader=leader_of(message)))
        else:
            done(Lost(detail=f"an answer of an unknown kind: {name}", sent=True))

    def _break(self, why: Outcome) -> None:
        """Report everything: what was written with the reason, what was not as never sent."""
        self.broken = why
        self._writing.cancel()
        written, self._in_flight = self._in_flight, {}
        waiting, self._out = self._out, deque()
        for done, request_bytes in written.values():
            done(_judge(why, request_bytes))
        detail = getattr(why, "detail", "the stream ended")
        for _, done in waiting:
            done(Lost(detail=detail, sent=False))

    async def close(self) -> None:
        """Break it off."""
        self._call.cancel()
        self._reading.cancel()
        await asyncio.wait([self._reading, self._writing])


def _judge(why: Outcome, request_bytes: int) -> Outcome:
    """What the end of the stream means for one request on it.

    A message over the server's limit is refused unread, and ends the stream for all. What is larger than `MESSAGE_BYTES`
    travels alone.
    """
    if not isinstance(why, Refusal) or why.code != "too_large":
        return why
    if request_bytes > MESSAGE_BYTES:
        return Refusal(code=why.code, detail=why.detail, certainly_not_applied=True)
    return Lost(detail="the stream ended: a larger request was refused", sent=True)
