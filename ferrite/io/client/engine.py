"""Runs calls: the pure `Requests` decides, connections carry, futures wait."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final, TypeVar

from ferrite.core import kv
from ferrite.core.client import (
    AttemptAnswered,
    AttemptLost,
    AttemptRefused,
    CallCancelled,
    CallKind,
    CallMade,
    Discover,
    Event,
    Failure,
    Finish,
    MembersFound,
    Requests,
    Try,
)
from ferrite.io.client.answers import EndpointStatus
from ferrite.io.client.cluster_guard import ClusterGuard
from ferrite.io.client.connection import Answered, Connection, Leader, Lost, Outcome, Refusal, Scheme
from ferrite.io.client.errors import FerriteError, Unavailable, error_of
from ferrite.io.client.finding import address_of, connect_to, find_cluster
from ferrite.io.client.request import (
    LINEARIZABLE,
    AskStatus,
    ClusterOperation,
    ReadOptions,
    Request,
)
from ferrite.io.client.settings import ClientSettings, checked_timeout_s, parse_endpoint

_Result = TypeVar("_Result")
DISCOVERY_TIMEOUT_S: Final = 5.0
FIND_PAUSE_S: Final = 0.2


def now_us() -> int:
    """The clock that deadlines are reckoned by."""
    return time.monotonic_ns() // 1000


class Engine:
    """One client's calls. Belongs to the event loop that it is first used in."""

    def __init__(self, settings: ClientSettings) -> None:
        """Nothing is connected yet."""
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finding: asyncio.Task[None] | None = None
        self._not_found = "no endpoint answered in time"
        self._scheme: Scheme = "grpc"
        self._requests: Requests | None = None
        self._connections: dict[str, Connection] = {}
        self._guard = ClusterGuard()
        self._calls: dict[int, tuple[Request, CallKind, asyncio.Future[object]]] = {}
        self._calls_made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0
        self._discovery: asyncio.Task[None] | None = None
        self._members: dict[int, str] = {}
        """Node id -> endpoint, as last discovered."""
        self._closed = False

    # ------------------------------------------------------------------------------------------------ calls

    def timeout_s(self, given: float | None) -> float:
        """The call's own time, or the client's. Raises `InvalidArgument`."""
        return self.settings.timeout_s if given is None else checked_timeout_s(given)

    async def change(
        self, operation: kv.Operation, expected: type[_Result], timeout_s: float | None
    ) -> _Result:
        """Carry out a change, exactly once."""
        return await self._call(CallKind.CHANGE, Request(operation=operation), expected, timeout_s)

    async def read(
        self, query: kv.Query, expected: type[_Result], reading: ReadOptions, timeout_s: float | None
    ) -> _Result:
        """Answer a query."""
        return await self._call(
            CallKind.REPEATABLE, Request(operation=query, reading=reading), expected, timeout_s
        )

    async def txn(self, txn: kv.Txn, timeout_s: float | None) -> kv.TxnResult:
        """Carry out a transaction: as a read, when it can do nothing else."""
        if kv.is_read_only(txn):
            return await self.read(txn, kv.TxnResult, LINEARIZABLE, timeout_s)
        return await self.change(txn, kv.TxnResult, timeout_s)

    async def repeatable(
        self, operation: kv.Operation, expected: type[_Result], timeout_s: float | None
    ) -> _Result:
        """Carry out a command that may as well happen twice."""
        return await self._call(CallKind.REPEATABLE, Request(operation=operation), expected, timeout_s)

    async def manage(
        self,
        operation: ClusterOperation,
        expected: type[_Result],
        timeout_s: float | None,
        *,
        kind: CallKind = CallKind.REPEATABLE,
        endpoint: str | None = None,
    ) -> _Result:
        """Carry out an operator's request, at this endpoint (once, whatever comes of it) or wherever it is possible."""
        only = await self._endpoint(endpoint) if endpoint is not None else ""
        return await self._call(kind, Request(operation=operation), expected, timeout_s, endpoint=only)

    async def _call(
        self,
        kind: CallKind,
        request: Request,
        expected: type[_Result],
        timeout_s: float | None,
        *,
        endpoint: str = "",
    ) -> _Result:
        deadline_us = now_us() + round(self.timeout_s(timeout_s) * 1_000_000)
        if self._requests is None:
            await self._find(deadline_us)
        elif self._closed:
            raise _closed()
        assert self._loop is not None, "found, so there is a loop"
        future: asyncio.Future[object] = self._loop.create_future()
        self._calls_made += 1
        call = self._calls_made
        self._calls[call] = (request, kind, future)
        self._step(CallMade(call=call, kind=kind, deadline_us=deadline_us, endpoint=endpoint))
        try:
            result = await future
        except asyncio.CancelledError:
            if self._calls.pop(call, None) is not None:
                self._step(CallCancelled(call=call))
            raise
        if not isinstance(result, expected):
            raise FerriteError(
                f"the server answered with {type(result).__name__}, not {expected.__name__}",
                code="malformed_answer",
                certainly_not_applied=False,
            )
        return result

    # ------------------------------------------------------------------------------------------------ the pure half

    def _step(self, event: Event | None) -> None:
        requests = self._requests
        assert requests is not None, "nothing happens before the cluster is found"
        for action in requests.step([event] if event is not None else [], now_us()):
            match action:
                case Try():
                    self._try(action)
                case Finish():
                    self._finish(action)
                case Discover():
                    self._discover()
        self._arm(requests.deadline_us)

    def _arm(self, deadline_us: int) -> None:
        """A timer that is too early does no harm; it is moved only when it would be too late."""
        if not self._calls or (self._timer is not None and self._timer_us <= deadline_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        assert self._loop is not None, "called in a loop"
        self._timer_us = deadline_us
        delay_s = max(0, deadline_us - now_us()) / 1_000_000
        self._timer = self._loop.call_later(delay_s, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        if not self._closed:
            self._step(None)

    def _try(self, action: Try) -> None:
        request, _, _ = self._calls[action.call]

        def done(outcome: Outcome) -> None:
            if not self._closed:
                self._step(self._event(action.attempt, outcome))

        connection = self._connection(action.endpoint)
        connection.begin(request, action.session, action.timeout_us / 1_000_000, done)

    def _event(self, attempt: int, outcome: Outcome) -> Event:
        match outcome:
            case Answered(result=result, leader=leader):
                return AttemptAnswered(attempt=attempt, answer=result, leader=self._leader_endpoint(leader))
            case Refusal():
                return AttemptRefused(
                    attempt=attempt,
                    code=outcome.code,
                    detail=outcome.detail,
                    certainly_not_applied=outcome.certainly_not_applied,
                    leader=self._leader_endpoint(outcome.leader),
                    retry_after_us=outcome.retry_after_us,
                    revision=outcome.revision,
                )
            case Lost(detail=detail, sent=sent):
                return AttemptLost(attempt=attempt, detail=detail, sent=sent)

    def _finish(self, action: Finish) -> None:
        found = self._calls.pop(action.call, None)
        if found is None or found[2].done():
            return
        if action.failure is not None:
            found[2].set_exception(error_of(action.failure))
        else:
            found[2].set_result(action.answer)

    # ------------------------------------------------------------------------------------------------ the cluster

    async def _find(self, deadline_us: int) -> None:
        """Wait for the first contact with the cluster. Raises `Unavailable`."""
        if self._closed:
            raise _closed()
        if self._finding is None:
            self._loop = asyncio.get_running_loop()
            self._finding = self._loop.create_task(self._keep_finding(), name="find the cluster")
        finding = self._finding
        await asyncio.wait([finding], timeout=max(0.0, (deadline_us - now_us()) / 1_000_000))
        if self._closed:
            raise _closed()
        if not finding.done():
            raise Unavailable(self._not_found, code="unreachable")
        finding.result()

    async def _keep_finding(self) -> None:
        """Until an endpoint answers: they may be about to start."""
        while self._requests is None:
            try:
                self._scheme, endpoints = await find_cluster(self.settings, self._guard)
            except Unavailable as error:
                self._not_found = error.detail
                await asyncio.sleep(FIND_PAUSE_S)
            else:
                self._requests = Requests(self.settings.client_id, endpoints, random.SystemRandom().randrange)
        self._discover()

    def _discover(self) -> None:
        if self._discovery is None or self._discovery.done():
            assert self._loop is not None, "called in a loop"
            self._discovery = self._loop.create_task(self._ask_for_members(), name="discover members")

    async def _ask_for_members(self) -> None:
        try:
            status = await self.manage(AskStatus(), EndpointStatus, DISCOVERY_TIMEOUT_S)
        except FerriteError:
            return  # Nobody answers: the next failure of an endpoint asks again.
        self._members = {
            member.node_id: f"{self._scheme}://{address}"
            for member in status.members
            if (address := address_of(self._scheme, member.http_addr, member.grpc_addr))
        }
        if not self._closed:
            leader = self._members.get(status.leader_id, "")
            self._step(MembersFound(endpoints=tuple(self._members.values()), leader=leader))

    def _leader_endpoint(self, leader: Leader | None) -> str:
        if leader is None:
            return ""
        address = leader.grpc_addr if self._scheme == "grpc" else leader.http_addr
        return f"{self._scheme}://{address}" if address else self._members.get(leader.node_id, "")

    async def known_endpoints(self, timeout_s: float | None) -> tuple[str, ...]:
        """As `scheme://host:port`, once the members are known or nobody answers."""
        deadline_us = now_us() + round(self.timeout_s(timeout_s) * 1_000_000)
        if self._requests is None:
            await self._find(deadline_us)
        if self._discovery is not None and not self._discovery.done():
            await asyncio.wait([self._discovery], timeout=max(0.0, (deadline_us - now_us()) / 1_000_000))
        assert self._requests is not None, "found"
        return self._requests.endpoints.all

    async def _endpoint(self, given: str) -> str:
        """The endpoint in the form that connections are kept under."""
        scheme, address = parse_endpoint(given)
        if not scheme:
            matching = [one for one in self._connections if one.endswith(f"://{address}")]
            if matching:
                return matching[0]
            scheme = await connect_to(address, self.settings.connect_timeout_s)
        return f"{scheme}://{address}"

    def _connection(self, endpoint: str) -> Connection:
        found = self._connections.get(endpoint)
        if found is None:
            found = self._connections[endpoint] = new_connection(
                endpoint, self.settings.connect_timeout_s, self._guard
            )
        return found

    async def any_connection(self, timeout_s: float, endpoint: str | None = None) -> tuple[str, Connection]:
        """For a watch or a backup: any endpoint that seems well, another one each time. Raises `Unavailable`."""
        if self._requests is None:
            await self._find(now_us() + round(timeout_s * 1_000_000))
        if self._closed:
            raise _closed()
        if endpoint is not None:
            chosen = await self._endpoint(endpoint)
        else:
            assert self._requests is not None, "found"
            chosen = self._requests.endpoints.choose(now_us(), any_node=True)
        return chosen, self._connection(chosen)

    def endpoint_failed(self, endpoint: str) -> None:
        """A watch broke there: others are asked first for a while."""
        if self._requests is not None and endpoint:
            self._requests.endpoints.failed(endpoint, now_us())
            self._discover()

    def endpoint_of(self, node_id: int) -> str:
        """A member's endpoint; empty when it is not known."""
        return self._members.get(node_id, "")

    async def close(self) -> None:
        """Close every connection; calls under way end."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._finding, self._discovery):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        calls, self._calls = self._calls, {}
        for _, kind, future in calls.values():
            if not future.done():
                future.set_exception(_ended(kind))
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))


def new_connection(endpoint: str, connect_timeout_s: float, guard: ClusterGuard) -> Connection:
    """A connection to `scheme://host:port`. Loads the protocol's library."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "grpc":
        from ferrite.io.client.grpc_connection import GrpcConnection  # noqa: PLC0415 - loads grpc, which HTTP does not need

        return GrpcConnection(address, connect_timeout_s, guard)
    from ferrite.io.client.http_connection import HttpConnection  # noqa: PLC0415 - loads aiohttp, which gRPC does not need

    return HttpConnection(address, connect_timeout_s, guard)


def _closed() -> Unavailable:
    return Unavailable("the client is closed", code="closed")


def _ended(kind: CallKind) -> FerriteError:
    """What a call under way is told when its client is closed."""
    if kind is CallKind.REPEATABLE:
        return _closed()
    detail = "the client was closed while the change was under way"
    return error_of(Failure(code="unknown_outcome", detail=detail, certainly_not_applied=False))
