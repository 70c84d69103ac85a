"""What each step of an exercise stands on: calling an RPC, expecting something of its answer, judging a refusal."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # has stubs but no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed
from grpc import aio

from ferrite.io.grpc.pb import kv_pb2, management_pb2
from ferrite.io.grpc.status import DETAILS_METADATA_KEY

KEY_PREFIX: Final = b"ferrite-grpc-client-test/"
KV: Final = "ferrite.kv.KvService"
MANAGEMENT: Final = "ferrite.management.ManagementService"
RAFT: Final = "ferrite.raft.RaftService"
HEALTH: Final = "grpc.health.v1.Health"

_Answer = TypeVar("_Answer", bound=ProtoMessage)


class Failed(Exception):
    """An RPC did not do what it should; the text says what it did."""


def explain(error: aio.AioRpcError) -> str:
    """Status, our reason and the message, in one line."""
    reason = reason_of(error)
    return f"{error.code().name}{f' ({reason})' if reason else ''}: {error.details()}"


def reason_of(error: aio.AioRpcError) -> str:
    """The stable code of an error of ours; empty for anybody else's."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_METADATA_KEY and isinstance(value, bytes):
            try:
                details = Status.FromString(value).details
            except DecodeError:
                return ""
            info = ErrorInfo()
            return next((str(info.reason) for detail in details if detail.Unpack(info)), "")
    return ""


def expect(condition: object, what: str) -> None:
    """Fail with `what` unless the condition holds."""
    if not condition:
        raise Failed(what)


class Caller:
    """One visit to a node: a channel, a time for each call, and keys of its own that are deleted at the end."""

    def __init__(self, channel: aio.Channel, timeout_s: float) -> None:
        """The channel is its owner's to close."""
        self.channel = channel
        self.timeout_s = timeout_s
        self.prefix = KEY_PREFIX + uuid.uuid4().hex.encode() + b"/"
        self.client_id = self.prefix[-33:-1]

    def key(self, name: str) -> bytes:
        """A key of this visit."""
        return self.prefix + name.encode()

    @property
    def prefix_end(self) -> bytes:
        """The first key after those with the prefix."""
        return self.prefix[:-1] + bytes([self.prefix[-1] + 1])

    async def clean_up(self) -> None:
        """Delete what the visit wrote. What cannot be deleted any more is small and under our prefix."""
        request = kv_pb2.DeleteRangeRequest(key=self.prefix, range_end=self.prefix_end)
        try:
            await self.call(f"{KV}/DeleteRange", request, kv_pb2.DeleteRangeResponse)
        except aio.AioRpcError:
            return

    async def call(self, rpc: str, request: ProtoMessage, answer: type[_Answer]) -> _Answer:
        return await self._call_on(self.channel, rpc, request, answer)

    async def call_leader(self, rpc: str, request: ProtoMessage, answer: type[_Answer]) -> _Answer:
        """Only the leader changes the cluster: ask this node who that is, and go there."""
        leader = await self.call(
            f"{MANAGEMENT}/GetLeader", management_pb2.GetLeaderRequest(), management_pb2.GetLeaderResponse
        )
        expect(leader.grpc_addr, "no leader is known")
        if leader.is_leader:
            return await self.call(rpc, request, answer)
        async with aio.insecure_channel(
            leader.grpc_addr, options=(("grpc.enable_http_proxy", 0),)
        ) as channel:
            return await self._call_on(channel, rpc, request, answer)

    async def refused(self, rpc: str, request: ProtoMessage, reason: str) -> str:
        """Call it in a form that every node refuses, for this reason."""
        try:
            await self.call(rpc, request, management_pb2.GetLeaderResponse)
        except aio.AioRpcError as error:
            if reason_of(error) == reason:
                return f"refused as it should: {reason}"
            raise
        raise Failed(f"was carried out, where {reason} was expected")

    def stream(self, rpc: str) -> Any:
        """Open a stream in both directions, of bytes."""
        open_stream: Any = self.channel.stream_stream(f"/{rpc}")
        return open_stream(timeout=self.timeout_s)

    async def _call_on(
        self, channel: aio.Channel, rpc: str, request: ProtoMessage, answer: type[_Answer]
    ) -> _Answer:
        call: Any = channel.unary_unary(f"/{rpc}")
        data: bytes = await call(request.SerializeToString(), timeout=self.timeout_s)
        return answer.FromString(data)
