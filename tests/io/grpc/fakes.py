"""A request path in memory, and a real server over it on a free loopback port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message as ProtoMessage
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has stubs but no py.typed
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed
from grpc import aio

from ferrite.core import Consistency
from ferrite.core.kv import (
    Batch,
    BatchResult,
    Delete,
    DeleteResult,
    Delivery,
    Exists,
    ExistsResult,
    Get,
    GetResult,
    KeyValue,
    ListKeys,
    ListKeysResult,
    Operation,
    Put,
    PutResult,
    Query,
    Session,
    WatchEnded,
    WatchSpec,
)
from ferrite.io.config import Config, Override, load_config
from ferrite.io.grpc.handlers import FrameReceiver, RaftHandlers
from ferrite.io.grpc.server import GrpcServer
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.request_path import (
    Answered,
    Done,
    MemberAddress,
    MemberStatus,
    NodeStatus,
)
from tests.io.backup.fakes import FakeBackup

IDENTITY = NodeIdentity(
    node_id=1,
    instance=bytes(range(16)),
    cluster_id=bytes(range(16, 32)),
    http_addr="127.0.0.1:8001",
    grpc_addr="127.0.0.1:9001",
    peer_addr="127.0.0.1:9001",
    version="0.1.0",
)

STATUS = NodeStatus(
    node_id=1,
    node_name="node-1",
    cluster_name="ferrite",
    cluster_id="10" * 16,
    instance="00" * 16,
    boot=3,
    version="0.1.0",
    role="leader",
    term=7,
    leader_id=1,
    leader_http_addr="127.0.0.1:8001",
    leader_grpc_addr="127.0.0.1:9001",
    initialized=True,
    commit_index=12,
    applied_index=11,
    persisted_index=13,
    last_log_index=14,
    first_log_index=2,
    flushed_index=5,
    revision=9,
    pending_requests=4,
    leader_last_heard_ms=0,
    voters=(1, 2),
    outgoing=(),
    learners=(3,),
    members=(
        MemberStatus(
            node_id=2,
            http_addr="127.0.0.1:8002",
            grpc_addr="127.0.0.1:9002",
            peer_addr="127.0.0.1:9002",
            instance="02" * 16,
            voter=True,
            match_index=10,
            lag=4,
            state="replicate",
            reachable=False,
        ),
    ),
    counters={"elections": 2},
    compacted_revision=3,
    size_bytes=4096,
    no_space=True,
    lease_count=2,
    watchers=5,
)


class FakeWatch:
    """A watch that delivers what the test gives it."""

    def __init__(self, spec: WatchSpec, revision: int) -> None:
        self.spec = spec
        self.revision = revision
        self.canceled = False
        self.progress_requests = 0
        self.waiting: list[Delivery | WatchEnded] = []
        self._on_ready: Callable[[], None] = lambda: None

    def deliver(self, *items: Delivery | WatchEnded) -> None:
        self.waiting += items
        self._on_ready()

    def listen(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready

    def take(self) -> Sequence[Delivery | WatchEnded]:
        taken, self.waiting = self.waiting, []
        return taken

    def request_progress(self) -> None:
        self.progress_requests += 1

    def cancel(self) -> None:
        self.canceled = True


@dataclass(slots=True)
class FakeRequestPath:
    """A store of one node without a log. `error` is raised by every request; `gate`, when set, holds every request back.

    `results` has the answer of each kind of operation or query that the store does not know.
    """

    node_status: NodeStatus = STATUS
    error: Exception | None = None
    gate: asyncio.Event | None = None
    store: dict[bytes, KeyValue] = field(default_factory=dict)
    revision: int = 0
    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)
    in_progress: int = 0
    results: dict[type, Any] = field(default_factory=dict)
    watches: list[FakeWatch] = field(default_factory=list)
    begun: set[asyncio.Task[None]] = field(default_factory=set)
    next_backup: FakeBackup = field(default_factory=FakeBackup)
    backups: list[FakeBackup] = field(default_factory=list)

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        await self._enter("write", operation, session=session, timeout_ms=timeout_ms)
        if type(operation) in self.results:
            return self._answered(self.results[type(operation)])
        match operation:
            case Put():
                self._put(operation, self._next())
                return self._answered(PutResult(revision=self.revision))
            case Delete():
                existed = self.store.pop(operation.key, None) is not None
                return self._answered(
                    DeleteResult(revision=self._next() if existed else self.revision, existed=existed)
                )
            case Batch():
                existed_each = tuple(change.key in self.store for change in operation.operations)
                revision = self._next()
                for change in operation.operations:
                    if isinstance(change, Put):
                        self._put(change, revision)
                return self._answered(BatchResult(revision=revision, existed=existed_each))
            case _:
                raise AssertionError(f"no answer is prepared for {operation}")

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        await self._enter(
            "read", query, consistency=consistency, max_staleness_ms=max_staleness_ms, timeout_ms=timeout_ms
        )
        if type(query) in self.results:
            return self._answered(self.results[type(query)])
        if isinstance(query, Get):
            return self._answered(GetResult(revision=self.revision, entry=self.store.get(query.key)))
        if isinstance(query, Exists):
            return self._answered(ExistsResult(revision=self.revision, exists=query.key in self.store))
        assert isinstance(query, ListKeys), f"no answer is prepared for {query}"
        found = [
            entry
            for key, entry in sorted(self.store.items())
            if key.startswith(query.prefix) and key > query.after
        ]
        page = found[: query.limit or None]
        if query.keys_only:
            page = [replace(entry, value=b"") for entry in page]
        return self._answered(
            ListKeysResult(revision=self.revision, entries=tuple(page), more=len(page) < len(found))
        )

    def begin_write(
        self,
        operation: Operation,
        done: Done,
        *,
        session: Session | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        self._begin(self.write(operation, session=session, timeout_ms=timeout_ms), done)

    def begin_read(
        self,
        query: Query,
        done: Done,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> None:
        reading = self.read(
            query, consistency=consistency, max_staleness_ms=max_staleness_ms, timeout_ms=timeout_ms
        )
        self._begin(reading, done)

    def _begin(self, request: Coroutine[Any, Any, Answered], done: Done) -> None:
        async def settle() -> None:
            try:
                answered = await request
            except Exception as error:  # noqa: BLE001 - a failure that nobody expected is an outcome as well
                done(error)  # type: ignore[arg-type]  # the same
            else:
                done(answered)

        task = asyncio.get_running_loop().create_task(settle())
        self.begun.add(task)
        task.add_done_callback(self.begun.discard)

    def watch(self, spec: WatchSpec) -> FakeWatch:
        if self.error is not None:
            raise self.error
        watch = FakeWatch(spec, self.revision)
        self.watches.append(watch)
        return watch

    async def backup(
        self, *, consistency: Consistency = Consistency.LINEARIZABLE, timeout_ms: int | None = None
    ) -> FakeBackup:
        await self._enter("backup", consistency, timeout_ms=timeout_ms)
        self.backups.append(self.next_backup)
        return self.next_backup

    async def initialize(
        self, members: Sequence[MemberAddress] | None, *, timeout_ms: int | None = None
    ) -> NodeStatus:
        await self._enter("initialize", members, timeout_ms=timeout_ms)
        return self.node_status

    async def add_learner(self, member: MemberAddress, *, timeout_ms: int | None = None) -> int:
        await self._enter("add_learner", member, timeout_ms=timeout_ms)
        return 42

    async def change_membership(self, voters: Sequence[int], *, timeout_ms: int | None = None) -> int:
        await self._enter("change_membership", tuple(voters), timeout_ms=timeout_ms)
        return 43

    async def remove_member(self, node_id: int, *, timeout_ms: int | None = None) -> int:
        await self._enter("remove_member", node_id, timeout_ms=timeout_ms)
        return 44

    async def transfer_leader(self, target: int, *, timeout_ms: int | None = None) -> int:
        await self._enter("transfer_leader", target, timeout_ms=timeout_ms)
        return target or 2

    def status(self) -> NodeStatus:
        return self.node_status

    async def _enter(self, name: str, argument: Any, **rest: Any) -> None:
        self.calls.append((name, argument, rest))
        self.in_progress += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.in_progress -= 1
        if self.error is not None:
            raise self.error

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def _put(self, put: Put, revision: int) -> None:
        before = self.store.get(put.key)
        self.store[put.key] = KeyValue(
            key=put.key,
            value=put.value,
            create_revision=before.create_revision if before else revision,
            mod_revision=revision,
            version=before.version + 1 if before else 1,
        )

    def _answered(self, result: Any) -> Answered:
        status = self.node_status
        return Answered(
            result=result,
            leader_id=status.leader_id,
            leader_http_addr=status.leader_http_addr,
            leader_grpc_addr=status.leader_grpc_addr,
        )


async def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere and has no event to offer
            await asyncio.sleep(0.005)


class NoFrames:
    """A node without a transport."""

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        async for _ in frames:
            raise AssertionError("no test sends frames here")


@dataclass(slots=True)
class Tested:
    """What serves gRPC in the present test: see the fixture `each_engine`."""

    engine: str = "ngh2"


tested = Tested()


def make_config(**settings: int | str) -> Config:
    """The defaults, with `section__key=value` changed, and the engine that is tested now."""
    texts = {"network__grpc_engine": f'"{tested.engine}"', **settings}
    return load_config(
        None,
        overrides=[
            Override(key=key.replace("__", "."), text=str(text), option="test") for key, text in texts.items()
        ],
    )


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and a channel to it."""

    path: FakeRequestPath
    server: GrpcServer
    port: int
    channel: aio.Channel

    async def raw(self, path: str, data: bytes, **options: Any) -> bytes:
        """Call with any bytes; returns the answer's bytes."""
        call: Any = self.channel.unary_unary(path)
        answer: bytes = await call(data, timeout=options.pop("timeout", 20), **options)
        return answer


@contextlib.asynccontextmanager
async def serving(
    config: Config | None = None,
    *,
    path: FakeRequestPath | None = None,
    receiver: FrameReceiver | None = None,
    channel_options: Iterable[tuple[str, int]] = (),
) -> AsyncIterator[Served]:
    """Run a server for a block."""
    path = path or FakeRequestPath()
    raft = RaftHandlers(receiver or NoFrames(), lambda: IDENTITY)
    server = GrpcServer(path, config or make_config(), raft)
    port = await server.start(0)
    options = (("grpc.use_local_subchannel_pool", 1), *channel_options)
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield Served(path, server, port, channel)
    finally:
        await server.stop(0)


_Answer = TypeVar("_Answer", bound=ProtoMessage)


async def call(
    served: Served, rpc: str, request: ProtoMessage, answer: type[_Answer], **options: Any
) -> _Answer:
    """Call `KvService/Set` and the like."""
    package = {"KvService": "kv", "ManagementService": "management", "RaftService": "raft"}[
        rpc.split("/", maxsplit=1)[0]
    ]
    data = await served.raw(f"/ferrite.{package}.{rpc}", request.SerializeToString(), **options)
    return answer.FromString(data)


@dataclass(frozen=True, slots=True)
class Refused:
    """An error as a client sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    retry_ms: int
    fields: tuple[str, ...]


@contextlib.asynccontextmanager
async def refusal() -> AsyncIterator[list[Refused]]:
    """Expect the block to be refused; the list holds the error afterwards."""
    found: list[Refused] = []
    try:
        yield found
    except aio.AioRpcError as error:
        found.append(explain(error))
        return
    raise AssertionError("the call was answered, not refused")


def explain(error: aio.AioRpcError) -> Refused:
    status, info, retry, bad = Status(), ErrorInfo(), RetryInfo(), BadRequest()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
            assert status.code == error.code().value[0]
            assert status.message == error.details()
    for detail in status.details:
        for shape in (info, retry, bad):
            detail.Unpack(shape)
    return Refused(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        retry_ms=retry.retry_delay.ToMilliseconds(),
        fields=tuple(violation.field for violation in bad.field_violations),
    )
