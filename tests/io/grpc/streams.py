"""A client's side of `Pipeline` and `Watch` over grpcio, and a context and a writer for streams without any engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc import aio

from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.pb import kv_pb2
from tests.io.grpc.fakes import Served

PIPELINE = "/ferrite.kv.KvService/Pipeline"
WATCH = "/ferrite.kv.KvService/Watch"


def put(request_id: int, key: bytes = b"k", value: bytes = b"") -> kv_pb2.PipelineRequest:
    return kv_pb2.PipelineRequest(id=request_id, put=kv_pb2.PutRequest(key=key, value=value))


def requests(*operations: kv_pb2.PipelineRequest) -> bytes:
    return kv_pb2.PipelineRequests(requests=operations).SerializeToString()


class Pipeline:
    """One stream. Answers are collected by id."""

    def __init__(self, served: Served) -> None:
        open_stream: Any = served.channel.stream_stream(PIPELINE)
        self.call: Any = open_stream(timeout=30)
        self.answers: dict[int, kv_pb2.PipelineResponse] = {}

    async def send(self, *operations: kv_pb2.PipelineRequest) -> None:
        await self.call.write(requests(*operations))

    async def read(self, *ids: int) -> list[kv_pb2.PipelineResponse]:
        """Wait until all of these are answered."""
        while not self.answers.keys() >= set(ids):
            data = await self.call.read()
            assert data is not aio.EOF, f"the stream ended with {sorted(self.answers)} of {ids}"
            for answer in kv_pb2.PipelineResponses.FromString(data).responses:
                assert answer.id not in self.answers, "one answer each"
                self.answers[answer.id] = answer
        return [self.answers[request_id] for request_id in ids]

    async def rest(self) -> None:
        """Read until the server ends the stream."""
        while (data := await self.call.read()) is not aio.EOF:
            for answer in kv_pb2.PipelineResponses.FromString(data).responses:
                self.answers[answer.id] = answer


class WatchStream:
    """One stream of watches."""

    def __init__(self, served: Served) -> None:
        open_stream: Any = served.channel.stream_stream(WATCH)
        self.call: Any = open_stream(timeout=30)

    async def create(self, watch_id: int, key: bytes = b"k", **fields: Any) -> None:
        await self.send(
            kv_pb2.WatchRequest(create=kv_pb2.WatchCreateRequest(watch_id=watch_id, key=key, **fields))
        )

    async def cancel(self, watch_id: int) -> None:
        await self.send(kv_pb2.WatchRequest(cancel=kv_pb2.WatchCancelRequest(watch_id=watch_id)))

    async def progress(self, watch_id: int) -> None:
        await self.send(kv_pb2.WatchRequest(progress=kv_pb2.WatchProgressRequest(watch_id=watch_id)))

    async def send(self, request: kv_pb2.WatchRequest) -> None:
        await self.call.write(request.SerializeToString())

    async def read(self) -> kv_pb2.WatchResponse:
        data = await self.call.read()
        assert data is not aio.EOF, "the stream ended"
        return kv_pb2.WatchResponse.FromString(data)

    async def ended(self) -> bool:
        return await self.call.read() is aio.EOF


class Context:
    """A call without an engine."""

    def __init__(self) -> None:
        self.drain = Drain()

    def remaining_ms(self) -> int | None:
        return None

    def metadata(self, key: str) -> str:
        return ""

    def caller(self) -> str:
        return "test"


class SlowWriter:
    """Takes a message only when the test lets it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.sending = 0
        self._room = asyncio.Semaphore(0)

    def let(self, messages: int) -> None:
        for _ in range(messages):
            self._room.release()

    async def send(self, data: bytes) -> None:
        assert not self.sending, "one at a time"
        self.sending += 1
        await self._room.acquire()
        self.sending -= 1
        self.sent.append(data)


async def frames(
    data: Iterable[bytes], *, taken: list[bytes] | None = None, stay: bool = False
) -> AsyncIterator[bytes]:
    """A client's messages; `taken` records those that were read, `stay` keeps the client's side open."""
    for each in data:
        if taken is not None:
            taken.append(each)
        yield each
    if stay:
        await asyncio.Event().wait()
