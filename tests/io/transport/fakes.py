"""Nodes that are only a transport and a gRPC server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from ferrite.core import Index, Member, Membership, NodeId, SnapshotMeta, Term, messages
from ferrite.io.grpc.handlers import RaftHandlers
from ferrite.io.grpc.server import GrpcServer
from ferrite.io.transport import Transport, TransportOptions
from tests.io.grpc.fakes import IDENTITY, FakeRequestPath, make_config

CLUSTER = bytes(range(16))
OPTIONS = TransportOptions(
    connect_timeout_ms=2000,
    retry_delay_ms=10,
    retry_delay_ms_max=200,
    keep_alive_interval_ms=10_000,
    stall_timeout_ms=10_000,
    compression=False,
    message_bytes_max=4 * 2**20,
)


def instance_of(node: int) -> bytes:
    return bytes([node]) * 16


def beat(round_: int) -> messages.Heartbeat:
    return messages.Heartbeat(term=Term(1), leader_commit=Index(0), round=round_)


def chunk(size: int, offset: int = 0) -> messages.InstallSnapshot:
    snapshot = SnapshotMeta(snapshot_id=bytes(16), last_index=Index(9), last_term=Term(1), size_bytes=2**30)
    return messages.InstallSnapshot(
        term=Term(1), snapshot=snapshot, offset=offset, data=bytes(size), done=False
    )


@dataclass
class Node:
    """One node. `got` are its messages in order, `frames` how many came in each frame, `lost` the peers reported unreachable."""

    node_id: int
    options: TransportOptions = OPTIONS
    cluster: bytes = CLUSTER
    check: Callable[[messages.Header], str | None] | None = None
    port: int = 0
    got: list[tuple[int, messages.Message]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, port: int = 0) -> None:
        self.server = GrpcServer(FakeRequestPath(), make_config(), RaftHandlers(self, lambda: IDENTITY))
        self.port = await self.server.start(port)
        self.transport = Transport(
            NodeId(self.node_id),
            self.addr,
            header_for=self.header_for,
            check_header=self.check or self.check_header,
            receive=self.receive,
            unreachable=self.unreachable,
            options=self.options,
        )

    @property
    def addr(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        await self.transport.receive_stream(frames, peer_addr=peer_addr, caller=caller)

    def header_for(self, peer: NodeId) -> messages.Header:
        return messages.Header(
            cluster_id=self.cluster,
            source=NodeId(self.node_id),
            source_instance=instance_of(self.node_id),
            source_boot=1,
            target=peer,
            target_instance=instance_of(peer),
        )

    def check_header(self, header: messages.Header) -> str | None:
        if header.cluster_id != self.cluster:
            return "another cluster"
        if header.target != self.node_id or header.target_instance != instance_of(self.node_id):
            return f"for node {header.target}, this is node {self.node_id}"
        return None

    def receive(self, header: messages.Header, batch: list[messages.Message]) -> None:
        self.frames.append(len(batch))
        self.got += [(header.source, message) for message in batch]
        self.changed.set()

    def unreachable(self, peer: NodeId) -> None:
        self.lost.append(peer)
        self.changed.set()

    def knows(self, *others: Node) -> None:
        members = {
            NodeId(other.node_id): Member(node_id=NodeId(other.node_id), peer_addr=other.addr)
            for other in (self, *others)
        }
        self.transport.update_peers(Membership(voters=tuple(sorted(members)), members=members))

    def send(self, peer: int, *batch: messages.Message) -> None:
        self.transport.send(NodeId(peer), batch)

    async def until(self, condition: Callable[[], object], seconds: float = 15) -> None:
        """Wait until something came that makes the condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.changed.wait()

    async def stop(self) -> None:
        await self.transport.close()
        await self.server.stop(0)


@contextlib.asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Run nodes for a block."""
    for node in nodes:
        await node.start()
    try:
        yield
    finally:
        for node in nodes:
            await node.stop()


def with_options(**changes: object) -> TransportOptions:
    return replace(OPTIONS, **changes)  # type: ignore[arg-type]  # a table of mixed keyword arguments
