"""One endpoint over gRPC. Operations ride together on a `Pipeline` stream; the rest are calls and streams of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from grpc import aio

from ferrite.core import kv
from ferrite.io.client.answers import EndpointStatus
from ferrite.io.client.cluster_guard import ClusterGuard, WrongCluster
from ferrite.io.client.connection import (
    Answered,
    Created,
    Delivered,
    Done,
    Ended,
    Lost,
    Outcome,
    Refusal,
    StreamBroken,
    WatchPiece,
)
from ferrite.io.client.grpc_errors import outcome_of_rpc
from ferrite.io.client.grpc_management import CLUSTER_OPERATIONS, backup_chunks, management_call
from ferrite.io.client.grpc_pipe import Pipe
from ferrite.io.client.grpc_words import RESULTS, event_of, leader_of, message_of, watch_message
from ferrite.io.client.request import AskStatus, Request, WatchSpec
from ferrite.io.grpc.pb import kv_pb2

MESSAGE_BYTES_MAX: Final = 64 << 20
"""Of one answer: a bound against nonsense, above what servers send."""
ANSWER_MARGIN_S: Final = 0.1
"""Kept for the answer's way back: the server works for so much less than we wait, but at least half as long."""
WATCH_SILENCE_S: Final = 10.0
"""A watch asks for progress when it heard nothing for so long; after as long again without an answer the node is gone."""
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)
_SERVICE: Final = "/ferrite.kv.KvService/"
_RESPONSES: Final[dict[str, tuple[str, Any]]] = {
    "put": ("Put", kv_pb2.PutResponse),
    "range": ("Range", kv_pb2.RangeResponse),
    "delete_range": ("DeleteRange", kv_pb2.DeleteRangeResponse),
    "txn": ("Txn", kv_pb2.TxnResponse),
    "compact": ("Compact", kv_pb2.CompactResponse),
    "lease_grant": ("LeaseGrant", kv_pb2.LeaseGrantResponse),
    "lease_revoke": ("LeaseRevoke", kv_pb2.LeaseRevokeResponse),
    "lease_keep_alive": ("LeaseKeepAlive", kv_pb2.LeaseKeepAliveResponse),
    "lease_time_to_live": ("LeaseTimeToLive", kv_pb2.LeaseTimeToLiveResponse),
    "lease_list": ("LeaseList", kv_pb2.LeaseListResponse),
}
_UNARY_ONLY: Final = "lease_list"


class _CannotConnect(Exception):
    """Nobody there; the text says what happened."""


class GrpcConnection:
    """A channel, made when it is needed and thrown away when it broke: a new one connects at once, without gRPC's own pauses."""

    def __init__(self, address: str, connect_timeout_s: float, guard: ClusterGuard) -> None:
        """`address`: host:port."""
        self._address = address
        self._guard = guard
        self._connect_timeout_s = connect_timeout_s
        self._channel: aio.Channel | None = None
        self._connecting: asyncio.Task[aio.Channel] | None = None
        self._pipe: Pipe | None = None
        self._has_pipeline = True
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------------------ attempts

    def begin(self, request: Request, session: kv.Session | None, timeout_s: float, done: Done) -> None:
        """See `Connection`."""
        if isinstance(request.operation, CLUSTER_OPERATIONS):
            self._spawn(self._manage(request, timeout_s, done))
            return
        try:
            name, message = message_of(request, session)
        except (DecodeError, ValueError) as error:  # too deep a nest, a number out of bounds
            detail = f"no message can carry this request: {error}"
            refusal = Refusal(code="invalid", detail=detail, certainly_not_applied=True)
            asyncio.get_running_loop().call_soon(done, refusal)
            return
        pipe = self._pipe
        if pipe is not None and pipe.broken is None and pipe.answered and name != _UNARY_ONLY:
            pipe.send(name, message, _server_ms(timeout_s), done)
        else:
            self._spawn(self._attempt(name, message, timeout_s, done))

    async def _attempt(self, name: str, message: ProtoMessage, timeout_s: float, done: Done) -> None:
        try:
            channel = await self._ready(timeout_s)
        except _CannotConnect as error:
            done(Lost(detail=str(error), sent=False))
            return
        if name == _UNARY_ONLY or not self._has_pipeline:
            done(await self._unary(channel, name, message, timeout_s))
            return
        if self._pipe is None or self._pipe.broken is not None:
            self._pipe = Pipe(channel)
        pipe = self._pipe

        def judge(outcome: Outcome) -> None:
            unsupported = isinstance(outcome, Refusal) and outcome.code == "unsupported"
            if unsupported and not pipe.answered:
                # A server without the method has done nothing: the same again as a call of its own.
                self._has_pipeline = False
                self._spawn(self._attempt(name, message, timeout_s, done))
            else:
                done(outcome)

        pipe.send(name, message, _server_ms(timeout_s), judge)

    async def _unary(
        self, channel: aio.Channel, name: str, message: ProtoMessage, timeout_s: float
    ) -> Outcome:
        rpc, response_type = _RESPONSES[name]
        call: Any = channel.unary_unary(
            _SERVICE + rpc,
            request_serializer=type(message).SerializeToString,
            response_deserializer=response_type.FromString,
        )
        try:
            answer = await call(message, timeout=timeout_s)
        except aio.AioRpcError as error:
            return self._failed(error)
        return Answered(result=RESULTS[name](answer), leader=leader_of(answer))

    async def _manage(self, request: Request, timeout_s: float, done: Done) -> None:
        try:
            channel = await self._ready(timeout_s)
        except _CannotConnect as error:
            done(Lost(detail=str(error), sent=False))
            return
        try:
            result = await management_call(channel, request.operation, self._address, timeout_s)
        except aio.AioRpcError as error:
            done(self._failed(error))
        else:
            done(Answered(result=result))

    def _failed(self, error: aio.AioRpcError) -> Outcome:
        outcome = outcome_of_rpc(error)
        if isinstance(outcome, Lost) and error.code() is grpc.StatusCode.UNAVAILABLE:
            self._drop()
        return outcome

    # ------------------------------------------------------------------------------------------------ the channel

    async def _ready(self, timeout_s: float) -> aio.Channel:
        """A connected channel. Raises `_CannotConnect`."""
        if self._channel is not None:
            broken = self._pipe is not None and self._pipe.broken is not None
            if not broken and self._channel.get_state() is grpc.ChannelConnectivity.READY:
                return self._channel
            # It may have connected again by itself, to whatever is there now.
            self._pipe = None
            self._drop()
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect(), name="connect")
        connecting = self._connecting
        await asyncio.wait([connecting], timeout=timeout_s)
        if not connecting.done():
            raise _CannotConnect(f"{self._address}: no connection within {timeout_s:.1f} s")
        return connecting.result()

    async def _connect(self) -> aio.Channel:
        channel = aio.insecure_channel(self._address, options=_OPTIONS)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                state = channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        raise _CannotConnect(f"{self._address}: connection refused, or no such host")
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
                await self._check_cluster(channel)
        except TimeoutError:
            await channel.close()
            detail = f"{self._address}: no connection within {self._connect_timeout_s:g} s"
            raise _CannotConnect(detail) from None
        except BaseException:
            await channel.close()
            raise
        self._channel = channel
        return channel

    async def _check_cluster(self, channel: aio.Channel) -> None:
        """Raises `_CannotConnect` when it is not the client's."""
        try:
            status = await management_call(channel, AskStatus(), self._address, self._connect_timeout_s)
            assert isinstance(status, EndpointStatus), "a status answers it"
            self._guard.check(self._address, status.cluster_id)
        except WrongCluster as error:
            raise _CannotConnect(str(error)) from None
        except aio.AioRpcError as error:
            raise _CannotConnect(f"{self._address}: it does not say its cluster: {error.details()}") from None

    def _drop(self) -> None:
        """The channel is of no use any more; streams on it end by themselves."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._spawn(channel.close())

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """See `Connection`."""
        tasks = [*self._tasks, *([self._connecting] if self._connecting else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._pipe is not None:
            await self._pipe.close()
        if self._channel is not None:
            await self._channel.close()

    # ------------------------------------------------------------------------------------------------ streams

    async def watch(self, spec: WatchSpec) -> AsyncIterator[WatchPiece]:
        """See `Connection`."""
        try:
            channel = await self._ready(self._connect_timeout_s)
        except _CannotConnect as error:
            raise StreamBroken(str(error)) from None
        open_stream: Any = channel.stream_stream(
            _SERVICE + "Watch",
            request_serializer=kv_pb2.WatchRequest.SerializeToString,
            response_deserializer=kv_pb2.WatchResponse.FromString,
        )
        call = open_stream()
        try:
            await call.write(watch_message(spec, 1))
            async for piece in _watch_pieces(call):
                yield piece
        except aio.AioRpcError as error:
            outcome = self._failed(error)
            raise StreamBroken(getattr(outcome, "detail", str(error))) from None
        finally:
            call.cancel()

    async def backup(self, *, serializable: bool) -> AsyncIterator[bytes]:
        """See `Connection`."""
        try:
            channel = await self._ready(self._connect_timeout_s)
        except _CannotConnect as error:
            raise StreamBroken(str(error)) from None
        async for data in backup_chunks(channel, serializable=serializable):
            yield data


async def _watch_pieces(call: Any) -> AsyncIterator[WatchPiece]:
    """The responses of one watch. A revision that comes in fragments is put together again."""
    fragments: list[Any] = []
    reading: asyncio.Task[Any] | None = None
    asked = False
    try:
        while True:
            reading = reading or asyncio.get_running_loop().create_task(call.read())
            await asyncio.wait([reading], timeout=WATCH_SILENCE_S)
            if not reading.done():
                if asked:
                    raise StreamBroken(f"the node said nothing for {2 * WATCH_SILENCE_S:g} s")
                asked = True
                progress = kv_pb2.WatchProgressRequest(watch_id=1)
                await call.write(kv_pb2.WatchRequest(progress=progress))
                continue
            response, reading, asked = reading.result(), None, False
            if response is aio.EOF:
                return
            if response.created:
                yield Created(revision=response.revision)
            elif response.canceled:
                yield Ended(reason=response.reason, detail=response.detail, revision=response.revision)
                return
            else:
                fragments += response.events
                if not response.fragment:
                    events = tuple(event_of(event) for event in fragments)
                    fragments = []
                    yield Delivered(revision=response.revision, events=events)
    finally:
        if reading is not None:
            reading.cancel()


def _server_ms(timeout_s: float) -> int:
    """How long the server may work, so that its answer is here in time."""
    return max(1, int(1000 * max(timeout_s - ANSWER_MARGIN_S, timeout_s / 2)))
