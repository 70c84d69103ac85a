"""Calls every RPC of a running node once and judges the answers: what `ferrite-grpc-client-test` does.

Keys are written under a prefix of their own and deleted at the end. RPCs that would change the cluster are called in a form that
every node refuses, unless `allow_changes`; even then the voters stay who they are.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # has stubs but no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed
from grpc import aio
from grpc_health.v1 import health_pb2

from ferrite.io.grpc.pb import kv_pb2, management_pb2, raft_pb2
from ferrite.io.grpc.status import DETAILS_METADATA_KEY

KEY_PREFIX: Final = b"ferrite-grpc-client-test/"
KV: Final = "ferrite.kv.KvService"
MANAGEMENT: Final = "ferrite.management.ManagementService"
RAFT: Final = "ferrite.raft.RaftService"
HEALTH: Final = "grpc.health.v1.Health"
_NOT_A_NODE_ID: Final = 2**64 - 1

_Answer = TypeVar("_Answer", bound=ProtoMessage)


class Failed(Exception):
    """An RPC did not do what it should; the text says what it did."""


class Unreachable(Exception):
    """No gRPC server answers at the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one RPC did."""

    rpc: str
    passed: bool
    duration_ms: float
    detail: str


async def exercise(address: str, *, timeout_ms: int, allow_changes: bool) -> list[Outcome]:
    """Call everything, one after the other. `timeout_ms` bounds each call. Raises `Unreachable`."""
    async with aio.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await channel.channel_ready()
        except TimeoutError:
            raise Unreachable(f"no gRPC server answers at {address} within {timeout_ms} ms") from None
        run = _Run(channel, timeout_ms / 1000, allow_changes=allow_changes)
        try:
            return [await _judge(rpc, step) for rpc, step in run.steps()]
        finally:
            await run.clean_up()


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


async def _judge(rpc: str, step: Callable[[], Awaitable[str]]) -> Outcome:
    started = time.perf_counter()
    try:
        detail, passed = await step(), True
    except Failed as failure:
        detail, passed = str(failure), False
    except aio.AioRpcError as error:
        detail, passed = explain(error), False
    duration_ms = (time.perf_counter() - started) * 1000
    return Outcome(rpc=rpc, passed=passed, duration_ms=duration_ms, detail=detail)


def _expect(condition: object, what: str) -> None:
    if not condition:
        raise Failed(what)


class _Run:
    """One pass over all RPCs. Each step returns a line for people, or raises."""

    def __init__(self, channel: aio.Channel, timeout_s: float, *, allow_changes: bool) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._allow_changes = allow_changes
        self._prefix = KEY_PREFIX + uuid.uuid4().hex.encode() + b"/"
        self._metrics: management_pb2.GetMetricsResponse | None = None
        self._written: set[bytes] = set()

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Every RPC in the order of a visit: look around, use it, try the levers."""
        return [
            (f"{HEALTH}/Check", self._standard_health),
            (f"{RAFT}/Identify", self._identify),
            (f"{MANAGEMENT}/GetMetrics", self._get_metrics),
            (f"{MANAGEMENT}/HealthCheck", self._health_check),
            (f"{MANAGEMENT}/GetLeader", self._get_leader),
            (f"{KV}/Set", self._set),
            (f"{KV}/Get", self._get),
            (f"{KV}/Exists", self._exists),
            (f"{KV}/BatchSet", self._batch_set),
            (f"{KV}/ListKeys", self._list_keys),
            (f"{KV}/Delete", self._delete),
            (f"{MANAGEMENT}/Initialize", self._initialize),
            (f"{MANAGEMENT}/AddLearner", self._add_learner),
            (f"{MANAGEMENT}/ChangeMembership", self._change_membership),
            (f"{MANAGEMENT}/TransferLeader", self._transfer_leader),
            (f"{RAFT}/Connect", self._connect),
        ]

    async def clean_up(self) -> None:
        """Delete what the run wrote. What cannot be deleted any more is small and under our prefix."""
        for key in sorted(self._written):
            try:
                await self._call(f"{KV}/Delete", kv_pb2.DeleteRequest(key=key), kv_pb2.DeleteResponse)
            except aio.AioRpcError:
                return

    # ------------------------------------------------------------------------------------------------ looking around

    async def _standard_health(self) -> str:
        answer = await self._call(
            f"{HEALTH}/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        )
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        _expect(name == "SERVING", f"the server says {name}")
        return name

    async def _identify(self) -> str:
        answer = await self._call(f"{RAFT}/Identify", raft_pb2.IdentifyRequest(), raft_pb2.IdentifyResponse)
        _expect(answer.node_id > 0, "no node id")
        _expect(len(answer.instance) == 16, f"an instance of {len(answer.instance)} bytes")
        return f"node {answer.node_id}, Ferrite {answer.version}, HTTP {answer.http_addr}"

    async def _get_metrics(self) -> str:
        metrics = await self._call(
            f"{MANAGEMENT}/GetMetrics",
            management_pb2.GetMetricsRequest(),
            management_pb2.GetMetricsResponse,
        )
        self._metrics = metrics
        _expect(metrics.node_id > 0, "no node id")
        _expect(
            metrics.applied_index <= metrics.last_log_index or not metrics.initialized,
            f"applied {metrics.applied_index} of a log that ends at {metrics.last_log_index}",
        )
        return f"{metrics.role} in term {metrics.term}, voters {list(metrics.voters)}, applied {metrics.applied_index}"

    async def _health_check(self) -> str:
        health = await self._call(
            f"{MANAGEMENT}/HealthCheck",
            management_pb2.HealthCheckRequest(),
            management_pb2.HealthCheckResponse,
        )
        _expect(health.initialized, "not initialized: call Initialize, or POST /init over HTTP, once")
        _expect(health.healthy, "not healthy: " + ("; ".join(health.problems) or "no leader is known"))
        return "healthy" + "".join(f"; warning: {warning}" for warning in health.warnings)

    async def _get_leader(self) -> str:
        leader = await self._call(
            f"{MANAGEMENT}/GetLeader", management_pb2.GetLeaderRequest(), management_pb2.GetLeaderResponse
        )
        _expect(leader.leader_id, "no leader is known")
        _expect(leader.grpc_addr, f"node {leader.leader_id} leads, but its address is not known")
        return f"node {leader.leader_id} at {leader.grpc_addr}" + (" (this one)" if leader.is_leader else "")

    # ------------------------------------------------------------------------------------------------ keys

    async def _set(self) -> str:
        request = kv_pb2.SetRequest(
            key=self._key("a"), value=b"\x00\xff one", client_id=self._prefix[-33:-1], request_id=1
        )
        first = await self._call(f"{KV}/Set", request, kv_pb2.SetResponse)
        again = await self._call(f"{KV}/Set", request, kv_pb2.SetResponse)
        _expect(
            again.revision == first.revision,
            f"the same request again happened at {again.revision}, not {first.revision}",
        )
        return f"revision {first.revision}; the retry of its session did nothing"

    async def _get(self) -> str:
        got = await self._call(f"{KV}/Get", kv_pb2.GetRequest(key=self._key("a")), kv_pb2.GetResponse)
        _expect(got.found and got.value == b"\x00\xff one", f"found {got.found} with {got.value!r:.40}")
        absent = await self._call(f"{KV}/Get", kv_pb2.GetRequest(key=self._key("none")), kv_pb2.GetResponse)
        _expect(not absent.found, "found a key that was never set")
        return f"the value that was set, version {got.version}"

    async def _exists(self) -> str:
        for name, expected in (("a", True), ("none", False)):
            answer = await self._call(
                f"{KV}/Exists", kv_pb2.ExistsRequest(key=self._key(name)), kv_pb2.ExistsResponse
            )
            _expect(answer.exists is expected, f"{name!r} exists: {answer.exists}")
        return "true and false where they belong"

    async def _batch_set(self) -> str:
        pairs = [kv_pb2.KeyValuePair(key=self._key(name), value=name.encode()) for name in "ab"]
        answer = await self._call(
            f"{KV}/BatchSet", kv_pb2.BatchSetRequest(pairs=pairs), kv_pb2.BatchSetResponse
        )
        _expect(list(answer.existed) == [True, False], f"existed: {list(answer.existed)}")
        return f"2 keys at revision {answer.revision}"

    async def _list_keys(self) -> str:
        request = kv_pb2.ListKeysRequest(prefix=self._prefix, with_values=True)
        page = await self._call(f"{KV}/ListKeys", request, kv_pb2.ListKeysResponse)
        found = [(entry.key, entry.value) for entry in page.entries]
        expected = [(self._key("a"), b"a"), (self._key("b"), b"b")]
        _expect(found == expected and not page.more, f"{len(found)} keys, more: {page.more}")
        return "2 keys in order"

    async def _delete(self) -> str:
        for expected in (True, False):
            request = kv_pb2.DeleteRequest(key=self._key("a"))
            answer = await self._call(f"{KV}/Delete", request, kv_pb2.DeleteResponse)
            _expect(answer.existed is expected, f"existed: {answer.existed}")
        got = await self._call(f"{KV}/Get", kv_pb2.GetRequest(key=self._key("a")), kv_pb2.GetResponse)
        _expect(not got.found, "the key is still there")
        return "once, and not twice"

    # ------------------------------------------------------------------------------------------------ levers

    async def _initialize(self) -> str:
        request = management_pb2.InitializeRequest()
        if self._metrics is not None and self._metrics.initialized:
            return await self._refused(f"{MANAGEMENT}/Initialize", request, "already_initialized")
        if self._allow_changes:
            answer = await self._call(f"{MANAGEMENT}/Initialize", request, management_pb2.InitializeResponse)
            return f"a new cluster {answer.cluster_id}, led by node {answer.leader_id}"
        request.members.add(node_id=_NOT_A_NODE_ID)
        return await self._refused(f"{MANAGEMENT}/Initialize", request, "invalid")

    async def _add_learner(self) -> str:
        request = management_pb2.AddLearnerRequest(node_id=_NOT_A_NODE_ID)
        return await self._refused(f"{MANAGEMENT}/AddLearner", request, "invalid")

    async def _change_membership(self) -> str:
        if not self._allow_changes:
            request = management_pb2.ChangeMembershipRequest()
            return await self._refused(f"{MANAGEMENT}/ChangeMembership", request, "invalid")
        voters = list(self._metrics.voters) if self._metrics is not None else []
        answer = await self._call_leader(
            f"{MANAGEMENT}/ChangeMembership",
            management_pb2.ChangeMembershipRequest(member_ids=voters),
            management_pb2.ChangeMembershipResponse,
        )
        return f"to the same voters {voters}, at log index {answer.index}"

    async def _transfer_leader(self) -> str:
        if not self._allow_changes:
            request = management_pb2.TransferLeaderRequest(target_id=_NOT_A_NODE_ID)
            return await self._refused(f"{MANAGEMENT}/TransferLeader", request, "invalid")
        if self._metrics is not None and len(self._metrics.voters) == 1:
            request = management_pb2.TransferLeaderRequest()
            return await self._refused(f"{MANAGEMENT}/TransferLeader", request, "transfer_failed")
        answer = await self._call_leader(
            f"{MANAGEMENT}/TransferLeader",
            management_pb2.TransferLeaderRequest(),
            management_pb2.TransferLeaderResponse,
        )
        return f"node {answer.leader_id} leads now"

    async def _connect(self) -> str:
        connect: Any = self._channel.stream_unary(f"/{RAFT}/Connect")
        frame = raft_pb2.Frame(data=b"no frame").SerializeToString()
        try:
            await connect(iter((frame,)), timeout=self._timeout_s)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                return "refused what is no frame, as it should"
            raise
        raise Failed("took bytes that are no frame")

    # ------------------------------------------------------------------------------------------------ calling

    def _key(self, name: str) -> bytes:
        key = self._prefix + name.encode()
        self._written.add(key)
        return key

    async def _refused(self, rpc: str, request: ProtoMessage, reason: str) -> str:
        try:
            await self._call(rpc, request, management_pb2.GetLeaderResponse)
        except aio.AioRpcError as error:
            if reason_of(error) == reason:
                return f"refused as it should: {reason}"
            raise
        raise Failed(f"was carried out, where {reason} was expected")

    async def _call(self, rpc: str, request: ProtoMessage, answer: type[_Answer]) -> _Answer:
        return await self._call_on(self._channel, rpc, request, answer)

    async def _call_leader(self, rpc: str, request: ProtoMessage, answer: type[_Answer]) -> _Answer:
        """Only the leader changes the cluster: ask this node who that is, and go there."""
        leader = await self._call(
            f"{MANAGEMENT}/GetLeader", management_pb2.GetLeaderRequest(), management_pb2.GetLeaderResponse
        )
        _expect(leader.grpc_addr, "no leader is known")
        if leader.is_leader:
            return await self._call(rpc, request, answer)
        async with aio.insecure_channel(
            leader.grpc_addr, options=(("grpc.enable_http_proxy", 0),)
        ) as channel:
            return await self._call_on(channel, rpc, request, answer)

    async def _call_on(
        self, channel: aio.Channel, rpc: str, request: ProtoMessage, answer: type[_Answer]
    ) -> _Answer:
        call: Any = channel.unary_unary(f"/{rpc}")
        data: bytes = await call(request.SerializeToString(), timeout=self._timeout_s)
        return answer.FromString(data)
