"""ferrite.raft.RaftService: what other nodes call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from ferrite.io.grpc.pb import raft_pb2
from ferrite.io.grpc.service import CallContext
from ferrite.io.node_identity import NodeIdentity

PEER_ADDR_METADATA_KEY: Final = "ferrite-peer-addr"


class FrameReceiver(Protocol):
    """Where the frames of a peer's stream go: the transport."""

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        """Take frames until the stream ends. Raises `RpcError` for a frame that is refused."""
        ...


class RaftHandlers:
    """ferrite.raft.RaftService: what other nodes call."""

    def __init__(self, receiver: FrameReceiver, identify: Callable[[], NodeIdentity]) -> None:
        """`identify` says who this node is now."""
        self._receiver = receiver
        self._identify = identify

    async def connect(self, frames: AsyncIterator[raft_pb2.Frame], context: CallContext) -> raft_pb2.Farewell:
        await self._receiver.receive_stream(
            (frame.data async for frame in frames),
            peer_addr=context.metadata(PEER_ADDR_METADATA_KEY),
            caller=context.caller(),
        )
        return raft_pb2.Farewell()

    async def identify(
        self, request: raft_pb2.IdentifyRequest, context: CallContext
    ) -> raft_pb2.IdentifyResponse:
        who = self._identify()
        return raft_pb2.IdentifyResponse(
            node_id=who.node_id,
            instance=who.instance,
            cluster_id=who.cluster_id,
            http_addr=who.http_addr,
            grpc_addr=who.grpc_addr,
            peer_addr=who.peer_addr,
            version=who.version,
        )
