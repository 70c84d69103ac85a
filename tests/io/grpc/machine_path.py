"""A request path on the real key-value machine in memory: no log, no cluster, but every operation as a node carries it out."""

from __future__ import annotations

from typing import Any

from ferrite.core import Consistency
from ferrite.core.kv import (
    CommandFailed,
    Delivery,
    Get,
    GetResult,
    LeaseGrant,
    Operation,
    Put,
    Query,
    Session,
    WatchEvent,
)
from ferrite.io.request_path import Answered, CommandRejected
from tests.core.kv.helpers import Machine, command
from tests.io.grpc.fakes import STATUS, FakeRequestPath


class MachinePath(FakeRequestPath):
    """Watches see puts of their one key."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.machine = Machine()
        self.requests = 0

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        self.requests += 1
        if isinstance(operation, LeaseGrant) and not operation.lease_id:
            operation = LeaseGrant(lease_id=self.requests, ttl_s=operation.ttl_s)
        entry = command(operation, request=self.requests, session=session, time_us=self.requests)
        answered = self._result(self.machine.result(entry))
        if isinstance(operation, Put):
            self._notify(operation.key)
        return answered

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        return self._result(self.machine.machine.read(query))

    def _result(self, result: Any) -> Answered:
        if isinstance(result, CommandFailed):
            raise CommandRejected(result.code.name.lower(), result.detail, revision=result.revision)
        return Answered(result=result, leader_id=STATUS.leader_id, leader_grpc_addr=STATUS.leader_grpc_addr)

    def _notify(self, key: bytes) -> None:
        found = self.machine.machine.read(Get(key=key))
        assert isinstance(found, GetResult)
        assert found.entry is not None
        event = WatchEvent(deleted=False, entry=found.entry)
        for watch in self.watches:
            if watch.spec.key == key and not watch.canceled:
                watch.deliver(Delivery(revision=found.revision, events=(event,), size_bytes=event.size_bytes))
