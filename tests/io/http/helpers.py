"""A request path that answers from a table, a server on it, and clients that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ferrite.core import Consistency
from ferrite.core.kv import (
    Batch,
    BatchResult,
    Compact,
    CompactResult,
    Delete,
    DeleteRange,
    DeleteRangeResult,
    DeleteResult,
    Delivery,
    Get,
    GetResult,
    KeyValue,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseRevokeResult,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    ListKeys,
    ListKeysResult,
    ListLeases,
    ListLeasesResult,
    Operation,
    Put,
    PutResult,
    Query,
    Range,
    RangeResult,
    Session,
    Txn,
    TxnResult,
    WatchEnd,
    WatchEnded,
    WatchEvent,
    WatchSpec,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http import HttpServer, HttpSettings, Identity
from ferrite.io.request_path import (
    Answered,
    Done,
    MemberAddress,
    MemberStatus,
    NodeStatus,
    RequestError,
)
from tests.io.backup.fakes import FakeBackup
from tests.io.http.wire import Reply, parse_reply, read_all, request_bytes

KIB, MIB = 1024, 2**20
LIMITS = LimitsConfig(
    request_bytes_max=1_572_864,
    key_bytes_max=4096,
    value_bytes_max=MIB,
    batch_operations_max=128,
    pending_requests_max=2000,
    pending_bytes_max=64 * MIB,
    held_bytes_max=128 * MIB,
    connections_max=500,
    connections_per_ip_max=400,
    header_timeout=10_000,
    body_timeout=30_000,
    idle_timeout=60_000,
    list_keys_max=10_000,
    list_bytes_max=4 * MIB,
    concurrent_rpcs_max=1000,
    watches_max=10_000,
    watch_queue_bytes_max=4 * MIB,
    watches_bytes_max=256 * MIB,
)
SETTINGS = HttpSettings(host="127.0.0.1", port=0, limits=LIMITS)
IDENTITY = Identity(
    node_id=1,
    instance="ab" * 16,
    cluster_id="",
    http_addr="127.0.0.1:8001",
    grpc_addr="127.0.0.1:9001",
    peer_addr="127.0.0.1:9001",
    version="0.1.0",
)


def member(node_id: int, **more: Any) -> MemberStatus:
    return MemberStatus(
        node_id=node_id,
        http_addr=f"127.0.0.1:{8000 + node_id}",
        grpc_addr=f"127.0.0.1:{9000 + node_id}",
        peer_addr=f"127.0.0.1:{9000 + node_id}",
        instance=f"{node_id:032x}",
        voter=True,
        **more,
    )


STATUS = NodeStatus(
    node_id=1,
    node_name="one",
    cluster_name="test",
    cluster_id="cd" * 16,
    instance="ab" * 16,
    boot=3,
    version="0.1.0",
    role="leader",
    term=7,
    leader_id=1,
    leader_http_addr="127.0.0.1:8001",
    leader_grpc_addr="127.0.0.1:9001",
    initialized=True,
    commit_index=20,
    applied_index=19,
    persisted_index=20,
    last_log_index=21,
    first_log_index=5,
    flushed_index=4,
    revision=12,
    compacted_revision=3,
    size_bytes=4096,
    lease_count=2,
    watchers=5,
    pending_requests=2,
    leader_last_heard_ms=0,
    voters=(1, 2, 3),
    outgoing=(),
    learners=(),
    members=(
        member(1, match_index=20, lag=0, state="leader"),
        member(2, match_index=18, lag=3, state="replicate"),
        member(3, match_index=20, lag=1, state="probe", reachable=False),
    ),
    counters={"leader_changes": 4, "messages_dropped": 2},
)


ENTRY = KeyValue(key=b"k", value=b"v", create_revision=2, mod_revision=3, version=1, lease=2**63 - 1)
ENDED = WatchEnded(reason=WatchEnd.SHUTTING_DOWN, detail="why", revision=9)


@dataclass
class FakeWatch:
    """Gives what a test feeds it; waits when there is nothing."""

    spec: WatchSpec
    revision: int = 7
    fed: list[Delivery | WatchEnded] = field(default_factory=list)
    canceled: bool = False
    taken: int = 0
    on_ready: Callable[[], None] = lambda: None

    def feed(self, *items: Delivery | WatchEnded) -> None:
        self.fed += items
        self.on_ready()

    def listen(self, on_ready: Callable[[], None]) -> None:
        self.on_ready = on_ready

    def take(self) -> Sequence[Delivery | WatchEnded]:
        taken, self.fed = tuple(self.fed), []
        self.taken += len(taken)
        return taken

    def request_progress(self) -> None:
        raise AssertionError("HTTP has no way to ask for it")

    def cancel(self) -> None:
        self.canceled = True


def put_event(key: bytes, data: bytes, revision: int, prev: KeyValue | None = None) -> WatchEvent:
    entry = KeyValue(key=key, value=data, create_revision=revision, mod_revision=revision, version=1)
    return WatchEvent(deleted=False, entry=entry, prev=prev)


def delivery(revision: int, *events: WatchEvent) -> Delivery:
    return Delivery(revision=revision, events=events)


@dataclass
class FakeRequestPath:
    """Keeps keys in a dict; `failure` is raised by every request, `hold` delays them until it is set.

    What etcd has beyond get, set and delete is answered from a table. A watch ends at once unless `watching`.
    """

    present: NodeStatus = STATUS
    failure: Exception | None = None
    hold: asyncio.Event | None = None
    keys: dict[bytes, bytes] = field(default_factory=dict)
    revision: int = 1
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    watching: bool = False
    watches: list[FakeWatch] = field(default_factory=list)
    next_backup: FakeBackup | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _begin(self, *call: Any) -> None:
        self.calls.append(call)
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise self.failure

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        await self._begin("write", operation, session, timeout_ms)
        if not isinstance(operation, Put | Delete | Batch):
            return self._answered(canned(operation))
        changes = operation.operations if isinstance(operation, Batch) else (operation,)
        existed = tuple(one.key in self.keys for one in changes)
        for one in changes:
            if isinstance(one, Delete):
                self.keys.pop(one.key, None)
            else:
                self.keys[one.key] = one.value
        self.revision += 1
        match operation:
            case Batch():
                return self._answered(BatchResult(revision=self.revision, existed=existed))
            case Delete():
                return self._answered(DeleteResult(revision=self.revision, existed=existed[0]))
            case _:
                prev = ENTRY if operation.prev_kv and existed[0] else None
                return self._answered(PutResult(revision=self.revision, prev=prev))

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        await self._begin("read", query, consistency, max_staleness_ms, timeout_ms)
        match query:
            case Get(key=key):
                return self._answered(GetResult(revision=self.revision, entry=self._entry(key)))
            case ListKeys():
                return self._answered(self._page(query))
            case _:
                return self._answered(canned(query))

    def begin_write(
        self,
        operation: Operation,
        done: Done,
        *,
        session: Session | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        self._carry(self.write(operation, session=session, timeout_ms=timeout_ms), done)

    def begin_read(
        self,
        query: Query,
        done: Done,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> None:
        read = self.read(
            query, consistency=consistency, max_staleness_ms=max_staleness_ms, timeout_ms=timeout_ms
        )
        self._carry(read, done)

    def _carry(self, asked: Coroutine[Any, Any, Answered], done: Done) -> None:
        if self.failure is not None and not isinstance(self.failure, RequestError):
            asked.close()
            raise self.failure

        async def settle() -> None:
            try:
                outcome: Answered | RequestError = await asked
            except RequestError as error:
                outcome = error
            done(outcome)

        task = asyncio.ensure_future(settle())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def watch(self, spec: WatchSpec) -> FakeWatch:
        self.calls.append(("watch", spec))
        if self.failure is not None:
            raise self.failure
        made = FakeWatch(spec=spec, revision=spec.start_revision - 1 if spec.start_revision else 7)
        self.watches.append(made)
        if not self.watching:
            made.feed(delivery(8, put_event(b"k", b"v", 8, ENTRY)), ENDED)
        return made

    async def backup(
        self, *, consistency: Consistency = Consistency.LINEARIZABLE, timeout_ms: int | None = None
    ) -> FakeBackup:
        self.calls.append(("backup", consistency, timeout_ms))
        if self.failure is not None:
            raise self.failure
        return self.next_backup or FakeBackup()

    def _entry(self, key: bytes) -> KeyValue | None:
        if key not in self.keys:
            return None
        return KeyValue(key=key, value=self.keys[key], create_revision=2, mod_revision=3, version=1)

    def _page(self, query: ListKeys) -> ListKeysResult:
        names = sorted(key for key in self.keys if key.startswith(query.prefix) and key > query.after)
        page = names[: query.limit or 1000]
        entries = [self._entry(key) for key in page]
        shown = tuple(
            replace(entry, value=b"") if query.keys_only else entry for entry in entries if entry is not None
        )
        return ListKeysResult(revision=self.revision, entries=shown, more=len(page) < len(names))

    def _answered(self, result: Any) -> Answered:
        return Answered(result=result, leader_id=self.present.leader_id)

    async def initialize(
        self, members: Sequence[MemberAddress] | None, *, timeout_ms: int | None = None
    ) -> NodeStatus:
        await self._begin("initialize", members, timeout_ms)
        return self.present

    async def add_learner(self, member: MemberAddress, *, timeout_ms: int | None = None) -> int:
        await self._begin("add_learner", member, timeout_ms)
        return 31

    async def change_membership(self, voters: Sequence[int], *, timeout_ms: int | None = None) -> int:
        await self._begin("change_membership", tuple(voters), timeout_ms)
        return 32

    async def remove_member(self, node_id: int, *, timeout_ms: int | None = None) -> int:
        await self._begin("remove_member", node_id, timeout_ms)
        return 33

    async def transfer_leader(self, target: int, *, timeout_ms: int | None = None) -> int:
        await self._begin("transfer_leader", target, timeout_ms)
        return target or 2

    def status(self) -> NodeStatus:
        return self.present


def canned(asked: Any) -> Any:
    """One good answer for each thing to ask."""
    match asked:
        case DeleteRange(prev_kv=wanted):
            return DeleteRangeResult(revision=9, deleted=1, prev=(ENTRY,) if wanted else ())
        case Range(with_count=counted):
            return RangeResult(revision=9, entries=(ENTRY,), more=False, count=1 if counted else -1)
        case Txn(success=operations):
            results = (
                canned(one) if not isinstance(one, Put) else PutResult(revision=9) for one in operations
            )
            return TxnResult(revision=9, succeeded=True, results=tuple(results))
        case Compact(revision=revision):
            return CompactResult(revision=9, compacted=revision)
        case LeaseGrant(lease_id=lease_id, ttl_s=ttl_s):
            return LeaseGrantResult(revision=9, lease_id=lease_id or 2**63 - 1, ttl_s=ttl_s)
        case LeaseRevoke():
            return LeaseRevokeResult(revision=9, deleted=1)
        case LeaseKeepAlive(lease_ids=ids):
            return LeaseKeepAliveResult(revision=9, ttls_s=(60,) * len(ids))
        case LeaseTimeToLive(with_keys=wanted):
            keys = (b"k",) if wanted else ()
            return LeaseTimeToLiveResult(revision=9, remaining_us=1_999_999, granted_ttl_s=60, keys=keys)
        case ListLeases():
            return ListLeasesResult(revision=9, lease_ids=(5, 2**63 - 1), more=False)
        case other:
            raise AssertionError(other)


@dataclass
class Site:
    """A running server with its fake request path."""

    server: HttpServer
    path: FakeRequestPath
    port: int

    async def raw(self, *pieces: bytes, pause_s: float = 0.0, eof: bool = False) -> bytes:
        """Send the pieces, then read until the server closes (a bounded wait)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = asyncio.ensure_future(read_all(reader))
        try:
            for piece in pieces:
                if received.done():
                    break
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(pause_s)
            if eof:
                writer.write_eof()
            async with asyncio.timeout(20):
                return await received
        finally:
            received.cancel()
            writer.close()

    async def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        answer = await self.raw(request_bytes(method, target, body, headers))
        return parse_reply(answer, head=method == "HEAD")

    async def post(self, target: str, content: Any = None, **headers: str) -> Reply:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.ask("POST", target, body, {"Content-Type": "application/json", **headers})

    async def get(self, target: str, **headers: str) -> Reply:
        return await self.ask("GET", target, None, headers)


@contextlib.asynccontextmanager
async def serving(
    path: FakeRequestPath | None = None, *, settings: HttpSettings = SETTINGS, **limits: int
) -> AsyncIterator[Site]:
    """Run a server; afterwards it must still answer, and must never have answered 500."""
    path = path or FakeRequestPath()
    settings = replace(settings, limits=replace(settings.limits, **limits))
    server = HttpServer(path, settings, lambda: IDENTITY)
    _, port = await server.start()
    try:
        yield Site(server=server, path=path, port=port)
    finally:
        await server.stop(grace_ms=200)


def count_of(server: HttpServer, name: str, **labels: str) -> float:
    return server.registry.get_sample_value(name, labels) or 0.0


def internal_errors(server: HttpServer) -> float:
    return count_of(server, "ferrite_rejected_total", reason="internal")


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that the server does by itself; a bounded wait."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for is a gauge or a list, which has no event
            await asyncio.sleep(0.005)
