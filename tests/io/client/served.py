"""Nodes in memory behind real doors: one key-value machine, and a gRPC and an HTTP server for each node, told when to
misbehave.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ferrite.core import (
    Consistency,
    Entry,
    EntryKind,
    Identity,
    Index,
    NodeId,
    RequestId,
    Term,
    encode_payload,
)
from ferrite.core.kv import (
    CommandFailed,
    LeaseGrant,
    MemoryStore,
    Operation,
    Query,
    Session,
    StateMachine,
    WatchSpec,
    encode_command,
)
from ferrite.io.grpc.handlers import RaftHandlers
from ferrite.io.grpc.server import GrpcServer
from ferrite.io.http import HttpServer
from ferrite.io.request_path import (
    Answered,
    CommandRejected,
    Done,
    MemberStatus,
    NodeStatus,
    OutcomeUnknown,
    RequestError,
    RequestRefused,
)
from tests.io.backup.fakes import FakeBackup
from tests.io.grpc import fakes
from tests.io.http import helpers

BOOT = 1


class Machine:
    """What the cluster agrees on."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._machine = StateMachine(self.store, Identity(node_id=NodeId(1), instance=bytes(16), boot=BOOT))
        self._requests = 0
        self.sessions: list[Session] = []
        self.operations: list[Operation] = []

    def run(self, operation: Operation, session: Session | None) -> Any:
        self._requests += 1
        self.operations.append(operation)
        if session is not None:
            self.sessions.append(session)
        origin = (NodeId(1), BOOT, RequestId(self._requests))
        command = encode_command(operation, origin=origin, session=session)
        payload = encode_payload(EntryKind.COMMAND, time.monotonic_ns() // 1000, command)
        index = Index(self._machine.applied_index + 1)
        applied = self._machine.apply(index, [Entry(Term(1), payload)])
        self.store.write(applied.batch)
        self._machine.advance(applied)
        ((_, result),) = applied.outcomes
        return _good(result)

    def read(self, query: Query) -> Any:
        return _good(self._machine.read(query))


def _good(result: Any) -> Any:
    if isinstance(result, CommandFailed):
        raise CommandRejected(result.code.name.lower(), result.detail, revision=result.revision)
    return result


@dataclass
class ScriptedNode:
    """One node's request path. Each request takes the next step of `script`, if there is one:

    a `RequestError` refuses it; "lose" carries it out and does not know; "hang" never carries it out, and never answers.
    """

    machine: Machine
    node_id: int
    script: deque[RequestError | str] = field(default_factory=deque)
    members: tuple[MemberStatus, ...] = ()
    leader_id: int = 1
    watches: list[fakes.FakeWatch] = field(default_factory=list)
    specs: list[WatchSpec] = field(default_factory=list)
    asked: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    backups: list[Consistency] = field(default_factory=list)
    next_backup: FakeBackup = field(default_factory=FakeBackup)
    backup_error: RequestError | None = None

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        lose = await self._step()
        if isinstance(operation, LeaseGrant) and not operation.lease_id:
            operation = replace(operation, lease_id=session.request_id if session else 1)
        result = self.machine.run(operation, session)
        if lose:
            raise OutcomeUnknown("unknown_outcome", "the node lost sight of it")
        return self._answered(result)

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        await self._step()
        return self._answered(self.machine.read(query))

    def begin_write(
        self,
        operation: Operation,
        done: Done,
        *,
        session: Session | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        self._begin(self.write(operation, session=session), done)

    def begin_read(self, query: Query, done: Done, **options: Any) -> None:
        self._begin(self.read(query), done)

    def _begin(self, request: Coroutine[Any, Any, Answered], done: Done) -> None:
        async def settle() -> None:
            try:
                answered = await request
            except RequestError as error:
                done(error)
            else:
                done(answered)

        task = asyncio.get_running_loop().create_task(settle())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _step(self) -> bool:
        self.asked += 1
        step = self.script.popleft() if self.script else ""
        if isinstance(step, RequestError):
            raise step
        if step == "hang":
            await asyncio.Event().wait()
        return step == "lose"

    def watch(self, spec: WatchSpec) -> fakes.FakeWatch:
        watch = fakes.FakeWatch(spec, self.machine._machine.revision)
        self.specs.append(spec)
        self.watches.append(watch)
        return watch

    async def change_membership(self, voters: Any, *, timeout_ms: int | None = None) -> int:
        await self._step()
        return 43

    async def add_learner(self, member: Any, *, timeout_ms: int | None = None) -> int:
        await self._step()
        return 42

    async def remove_member(self, node_id: int, *, timeout_ms: int | None = None) -> int:
        await self._step()
        return 44

    async def transfer_leader(self, target: int, *, timeout_ms: int | None = None) -> int:
        await self._step()
        return target or 2

    async def initialize(self, members: Any, *, timeout_ms: int | None = None) -> NodeStatus:
        return self.status()

    async def backup(
        self, *, consistency: Consistency = Consistency.LINEARIZABLE, timeout_ms: int | None = None
    ) -> FakeBackup:
        self.backups.append(consistency)
        if self.backup_error is not None:
            raise self.backup_error
        return self.next_backup

    def status(self) -> NodeStatus:
        leader = next((member for member in self.members if member.node_id == self.leader_id), None)
        return replace(
            fakes.STATUS,
            node_id=self.node_id,
            role="leader" if self.leader_id == self.node_id else "follower",
            leader_id=self.leader_id,
            leader_http_addr=leader.http_addr if leader else "",
            leader_grpc_addr=leader.grpc_addr if leader else "",
            members=self.members,
            compacted_revision=self.machine._machine.compacted_revision,
            revision=self.machine._machine.revision,
        )

    def _answered(self, result: Any) -> Answered:
        status = self.status()
        return Answered(
            result=result,
            leader_id=status.leader_id,
            leader_http_addr=status.leader_http_addr,
            leader_grpc_addr=status.leader_grpc_addr,
        )


@dataclass
class Door:
    """A node and its servers."""

    node: ScriptedNode
    grpc: GrpcServer
    http: HttpServer
    grpc_addr: str
    http_addr: str

    def addr(self, protocol: str) -> str:
        return self.grpc_addr if protocol == "grpc" else self.http_addr

    async def stop(self) -> None:
        for watch in self.node.watches:
            watch.canceled = True
        for task in self.node.tasks:
            task.cancel()
        await self.grpc.stop(0)
        await self.http.stop(grace_ms=0)


@dataclass
class Served:
    """The cluster. Node 1 leads."""

    machine: Machine
    doors: list[Door]

    def endpoints(self, protocol: str) -> list[str]:
        return [door.addr(protocol) for door in self.doors]

    def not_leader(self, leader: int) -> RequestRefused:
        door = self.doors[leader - 1]
        return RequestRefused(
            "not_leader",
            "ask another",
            leader_id=leader,
            leader_http_addr=door.http_addr,
            leader_grpc_addr=door.grpc_addr,
        )


@asynccontextmanager
async def serving(count: int = 1) -> AsyncIterator[Served]:
    """Run the nodes for a block."""
    machine = Machine()
    doors = [await _door(ScriptedNode(machine=machine, node_id=number)) for number in range(1, count + 1)]
    members = tuple(
        MemberStatus(
            node_id=door.node.node_id,
            http_addr=door.http_addr,
            grpc_addr=door.grpc_addr,
            peer_addr=door.grpc_addr,
            instance="00" * 16,
            voter=True,
        )
        for door in doors
    )
    for door in doors:
        door.node.members = members
    try:
        yield Served(machine=machine, doors=doors)
    finally:
        for door in doors:
            await door.stop()


async def _door(node: ScriptedNode) -> Door:
    raft = RaftHandlers(fakes.NoFrames(), lambda: fakes.IDENTITY)
    grpc_server = GrpcServer(node, fakes.make_config(), raft)
    http_server = HttpServer(node, helpers.SETTINGS, lambda: helpers.IDENTITY)
    grpc_port = await grpc_server.start(0)
    _, http_port = await http_server.start()
    return Door(
        node=node,
        grpc=grpc_server,
        http=http_server,
        grpc_addr=f"127.0.0.1:{grpc_port}",
        http_addr=f"127.0.0.1:{http_port}",
    )
