"""`ManagementService` from the client's side."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

from grpc import aio

from ferrite.core.client import Failure
from ferrite.io.client.answers import EndpointStatus, Health, Member
from ferrite.io.client.connection import Lost, Refusal, StreamBroken
from ferrite.io.client.errors import error_of
from ferrite.io.client.grpc_errors import outcome_of_rpc
from ferrite.io.client.request import (
    AddLearner,
    AskHealth,
    AskStatus,
    ChangeVoters,
    RemoveMember,
    TransferLeader,
)
from ferrite.io.grpc.pb import management_pb2 as pb

CLUSTER_OPERATIONS: Final = (AddLearner, AskHealth, AskStatus, ChangeVoters, RemoveMember, TransferLeader)
_SERVICE: Final = "/ferrite.management.ManagementService/"


async def management_call(
    channel: aio.Channel, operation: object, address: str, timeout_s: float
) -> EndpointStatus | Health | int:
    """Carry one out. Raises AioRpcError."""

    async def call(rpc: str, request: Any, response_type: Any) -> Any:
        method: Any = channel.unary_unary(
            _SERVICE + rpc,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_type.FromString,
        )
        return await method(request, timeout=timeout_s)

    answer: Any
    match operation:
        case AddLearner(node_id=node_id, addr=addr):
            request = pb.AddLearnerRequest(node_id=node_id, rpc_addr=addr)
            answer = await call("AddLearner", request, pb.AddLearnerResponse)
            return int(answer.index)
        case ChangeVoters(voters=voters):
            change = pb.ChangeMembershipRequest(member_ids=voters)
            answer = await call("ChangeMembership", change, pb.ChangeMembershipResponse)
            return int(answer.index)
        case RemoveMember(node_id=node_id):
            removal = pb.RemoveMemberRequest(node_id=node_id)
            answer = await call("RemoveMember", removal, pb.RemoveMemberResponse)
            return int(answer.index)
        case TransferLeader(target=target):
            transfer = pb.TransferLeaderRequest(target_id=target)
            answer = await call("TransferLeader", transfer, pb.TransferLeaderResponse)
            return int(answer.leader_id)
        case AskHealth():
            answer = await call("HealthCheck", pb.HealthCheckRequest(), pb.HealthCheckResponse)
            return Health(
                endpoint=f"grpc://{address}",
                healthy=answer.healthy,
                problems=tuple(answer.problems),
                warnings=tuple(answer.warnings),
            )
        case AskStatus():
            return _status(
                f"grpc://{address}",
                await call("GetMetrics", pb.GetMetricsRequest(), pb.GetMetricsResponse),
            )
        case other:
            raise TypeError(f"{type(other).__name__} is no operation on the cluster")


def _status(endpoint: str, found: pb.GetMetricsResponse) -> EndpointStatus:
    return EndpointStatus(
        endpoint=endpoint,
        node_id=found.node_id,
        node_name=found.node_name,
        cluster_name=found.cluster_name,
        cluster_id=found.cluster_id,
        version=found.version,
        role=found.role,
        term=found.term,
        leader_id=found.leader_id,
        initialized=found.initialized,
        last_log_index=found.last_log_index,
        commit_index=found.commit_index,
        applied_index=found.applied_index,
        revision=found.revision,
        compacted_revision=found.compacted_revision,
        size_bytes=found.size_bytes,
        no_space=found.no_space,
        members=tuple(_member(member, found.leader_id) for member in found.members),
        counters=dict(found.counters),
    )


def _member(member: pb.Member, leader_id: int) -> Member:
    return Member(
        node_id=member.node_id,
        http_addr=member.http_addr,
        grpc_addr=member.grpc_addr,
        peer_addr=member.peer_addr,
        instance=member.instance,
        voter=member.voter,
        leader=member.node_id == leader_id,
        lag=member.lag,
        reachable=member.reachable,
    )


async def backup_chunks(channel: aio.Channel, *, serializable: bool) -> AsyncIterator[bytes]:
    """The data of a backup. Raises `StreamBroken` when it is not complete, or not what the server read."""
    open_stream: Any = channel.unary_stream(
        _SERVICE + "Backup",
        request_serializer=pb.BackupRequest.SerializeToString,
        response_deserializer=pb.BackupChunk.FromString,
    )
    call = open_stream(pb.BackupRequest(serializable=serializable))
    digest, size, expected, seal = hashlib.sha256(), 0, 0, b""
    try:
        async for chunk in call:
            expected = expected or chunk.size_bytes
            seal = seal or chunk.sha256
            if chunk.data:
                digest.update(chunk.data)
                size += len(chunk.data)
                yield chunk.data
    except aio.AioRpcError as error:
        _refused(outcome_of_rpc(error))
    finally:
        call.cancel()
    if seal != digest.digest() or size != expected:
        raise StreamBroken(
            f"the backup is not whole: {size} bytes of {expected}, or not the bytes that were sent"
        )


def _refused(outcome: object) -> None:
    match outcome:
        case Refusal(code=code, detail=detail):
            raise error_of(Failure(code=code, detail=detail, certainly_not_applied=True))
        case Lost(detail=detail):
            raise StreamBroken(detail)
        case other:
            raise TypeError(f"{other} is no refusal")
