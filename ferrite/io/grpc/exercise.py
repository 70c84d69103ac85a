"""Calls every RPC of a running node once and judges the answers: what `ferrite-grpc-client-test` does.

Keys are written under a prefix of their own and deleted at the end. RPCs that would change the cluster are called in a form that
every node refuses, unless `allow_changes`; even then the voters stay who they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2

from ferrite.io.grpc.exercise_calls import HEALTH, MANAGEMENT, RAFT, Caller, Failed, expect, explain
from ferrite.io.grpc.exercise_kv import KvSteps
from ferrite.io.grpc.pb import management_pb2, raft_pb2

_BACKUP_BYTES_MAX: Final = 16 << 20  # a visit is no download of the whole store
_NOT_A_NODE_ID: Final = 2**64 - 1


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
        caller = Caller(channel, timeout_ms / 1000)
        run = _Run(caller, allow_changes=allow_changes)
        try:
            return [await _judge(rpc, step) for rpc, step in run.steps()]
        finally:
            await caller.clean_up()


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


class _Run:
    """One pass over all RPCs. Each step returns a line for people, or raises."""

    def __init__(self, caller: Caller, *, allow_changes: bool) -> None:
        self._caller = caller
        self._allow_changes = allow_changes
        self._metrics: management_pb2.GetMetricsResponse | None = None

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Every RPC in the order of a visit: look around, use it, try the levers."""
        return [
            (f"{HEALTH}/Check", self._standard_health),
            (f"{RAFT}/Identify", self._identify),
            (f"{MANAGEMENT}/GetMetrics", self._get_metrics),
            (f"{MANAGEMENT}/HealthCheck", self._health_check),
            (f"{MANAGEMENT}/GetLeader", self._get_leader),
            *KvSteps(self._caller).steps(),
            (f"{MANAGEMENT}/Initialize", self._initialize),
            (f"{MANAGEMENT}/AddLearner", self._add_learner),
            (f"{MANAGEMENT}/ChangeMembership", self._change_membership),
            (f"{MANAGEMENT}/RemoveMember", self._remove_member),
            (f"{MANAGEMENT}/TransferLeader", self._transfer_leader),
            (f"{MANAGEMENT}/Backup", self._backup),
            (f"{RAFT}/Connect", self._connect),
        ]

    # ------------------------------------------------------------------------------------------------ looking around

    async def _standard_health(self) -> str:
        answer = await self._caller.call(
            f"{HEALTH}/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        )
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        expect(name == "SERVING", f"the server says {name}")
        return name

    async def _identify(self) -> str:
        answer = await self._caller.call(
            f"{RAFT}/Identify", raft_pb2.IdentifyRequest(), raft_pb2.IdentifyResponse
        )
        expect(answer.node_id > 0, "no node id")
        expect(len(answer.instance) == 16, f"an instance of {len(answer.instance)} bytes")
        return f"node {answer.node_id}, Ferrite {answer.version}, HTTP {answer.http_addr}"

    async def _get_metrics(self) -> str:
        metrics = await self._caller.call(
            f"{MANAGEMENT}/GetMetrics",
            management_pb2.GetMetricsRequest(),
            management_pb2.GetMetricsResponse,
        )
        self._metrics = metrics
        expect(metrics.node_id > 0, "no node id")
        expect(
            metrics.applied_index <= metrics.last_log_index or not metrics.initialized,
            f"applied {metrics.applied_index} of a log that ends at {metrics.last_log_index}",
        )
        return f"{metrics.role} in term {metrics.term}, voters {list(metrics.voters)}, applied {metrics.applied_index}"

    async def _health_check(self) -> str:
        health = await self._caller.call(
            f"{MANAGEMENT}/HealthCheck",
            management_pb2.HealthCheckRequest(),
            management_pb2.HealthCheckResponse,
        )
        expect(health.initialized, "not initialized: call Initialize, or POST /init over HTTP, once")
        expect(health.healthy, "not healthy: " + ("; ".join(health.problems) or "no leader is known"))
        return "healthy" + "".join(f"; warning: {warning}" for warning in health.warnings)

    async def _get_leader(self) -> str:
        leader = await self._caller.call(
            f"{MANAGEMENT}/GetLeader", management_pb2.GetLeaderRequest(), management_pb2.GetLeaderResponse
        )
        expect(leader.leader_id, "no leader is known")
        expect(leader.grpc_addr, f"node {leader.leader_id} leads, but its address is not known")
        return f"node {leader.leader_id} at {leader.grpc_addr}" + (" (this one)" if leader.is_leader else "")

    # ------------------------------------------------------------------------------------------------ levers

    async def _initialize(self) -> str:
        request = management_pb2.InitializeRequest()
        if self._metrics is not None and self._metrics.initialized:
            return await self._caller.refused(f"{MANAGEMENT}/Initialize", request, "already_initialized")
        if self._allow_changes:
            answer = await self._caller.call(
                f"{MANAGEMENT}/Initialize", request, management_pb2.InitializeResponse
            )
            return f"a new cluster {answer.cluster_id}, led by node {answer.leader_id}"
        request.members.add(node_id=_NOT_A_NODE_ID)
        return await self._caller.refused(f"{MANAGEMENT}/Initialize", request, "invalid")

    async def _add_learner(self) -> str:
        request = management_pb2.AddLearnerRequest(node_id=_NOT_A_NODE_ID)
        return await self._caller.refused(f"{MANAGEMENT}/AddLearner", request, "invalid")

    async def _change_membership(self) -> str:
        if not self._allow_changes:
            request = management_pb2.ChangeMembershipRequest()
            return await self._caller.refused(f"{MANAGEMENT}/ChangeMembership", request, "invalid")
        voters = list(self._metrics.voters) if self._metrics is not None else []
        answer = await self._caller.call_leader(
            f"{MANAGEMENT}/ChangeMembership",
            management_pb2.ChangeMembershipRequest(member_ids=voters),
            management_pb2.ChangeMembershipResponse,
        )
        return f"to the same voters {voters}, at log index {answer.index}"

    async def _remove_member(self) -> str:
        request = management_pb2.RemoveMemberRequest(node_id=_NOT_A_NODE_ID)
        return await self._caller.refused(f"{MANAGEMENT}/RemoveMember", request, "invalid")

    async def _backup(self) -> str:
        open_stream: Any = self._caller.channel.unary_stream(
            f"/{MANAGEMENT}/Backup",
            request_serializer=management_pb2.BackupRequest.SerializeToString,
            response_deserializer=management_pb2.BackupChunk.FromString,
        )
        backup = open_stream(management_pb2.BackupRequest(), timeout=self._caller.timeout_s)
        name, size, last = "", 0, management_pb2.BackupChunk()
        digest = hashlib.sha256()
        async for chunk in backup:
            name, last = name or chunk.name, chunk
            size += len(chunk.data)
            digest.update(chunk.data)
            if size > _BACKUP_BYTES_MAX:
                backup.cancel()
                return f"{name}; the first {size} bytes were read, the rest was left"
        expect(last.sha256 == digest.digest(), "what came has not the SHA-256 that the last message names")
        expect(last.size_bytes == size, f"{size} bytes came, the last message says {last.size_bytes}")
        return f"{name}, {size} bytes with the right SHA-256"

    async def _transfer_leader(self) -> str:
        if not self._allow_changes:
            request = management_pb2.TransferLeaderRequest(target_id=_NOT_A_NODE_ID)
            return await self._caller.refused(f"{MANAGEMENT}/TransferLeader", request, "invalid")
        if self._metrics is not None and len(self._metrics.voters) == 1:
            request = management_pb2.TransferLeaderRequest()
            return await self._caller.refused(f"{MANAGEMENT}/TransferLeader", request, "transfer_failed")
        answer = await self._caller.call_leader(
            f"{MANAGEMENT}/TransferLeader",
            management_pb2.TransferLeaderRequest(),
            management_pb2.TransferLeaderResponse,
        )
        return f"node {answer.leader_id} leads now"

    async def _connect(self) -> str:
        connect: Any = self._caller.channel.stream_unary(f"/{RAFT}/Connect")
        frame = raft_pb2.Frame(data=b"no frame").SerializeToString()
        try:
            await connect(iter((frame,)), timeout=self._caller.timeout_s)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                return "refused what is no frame, as it should"
            raise
        raise Failed("took bytes that are no frame")
