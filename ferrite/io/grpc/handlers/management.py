"""ferrite.management.ManagementService: the cluster and its nodes."""

from __future__ import annotations

import asyncio
from typing import Final

from ferrite.core import Consistency
from ferrite.io.grpc.management_convert import health_message, member_address, members_of, metrics_message
from ferrite.io.grpc.pb import management_pb2
from ferrite.io.grpc.service import CallContext, Writer, timeout_ms
from ferrite.io.grpc.status import RpcError, StatusCode
from ferrite.io.request_path import RequestPath
from ferrite.io.validation import MANAGEMENT_TIMEOUT_MS_MAX, check_node_id, check_voters

BACKUP_READER_TIMEOUT_S: Final = 60.0
"""A reader that takes nothing for so long is cut: while it lives, the files of its moment stay on disk."""


class ManagementHandlers:
    """ferrite.management.ManagementService."""

    def __init__(self, path: RequestPath) -> None:
        """Everything comes from the request path."""
        self._path = path

    async def initialize(
        self, request: management_pb2.InitializeRequest, context: CallContext
    ) -> management_pb2.InitializeResponse:
        members = members_of(request.members) if request.members else None
        status = await self._path.initialize(members, timeout_ms=_management_timeout_ms(context))
        return management_pb2.InitializeResponse(
            cluster_id=status.cluster_id,
            leader_id=status.leader_id,
            voters=status.voters,
            learners=status.learners,
        )

    async def add_learner(
        self, request: management_pb2.AddLearnerRequest, context: CallContext
    ) -> management_pb2.AddLearnerResponse:
        member = member_address(request.node_id, request.rpc_addr, request.api_addr, field="", voting=False)
        index = await self._path.add_learner(member, timeout_ms=_management_timeout_ms(context))
        return management_pb2.AddLearnerResponse(index=index)

    async def change_membership(
        self, request: management_pb2.ChangeMembershipRequest, context: CallContext
    ) -> management_pb2.ChangeMembershipResponse:
        voters = check_voters(request.member_ids)
        index = await self._path.change_membership(voters, timeout_ms=_management_timeout_ms(context))
        return management_pb2.ChangeMembershipResponse(index=index)

    async def remove_member(
        self, request: management_pb2.RemoveMemberRequest, context: CallContext
    ) -> management_pb2.RemoveMemberResponse:
        node_id = check_node_id(request.node_id)
        index = await self._path.remove_member(node_id, timeout_ms=_management_timeout_ms(context))
        return management_pb2.RemoveMemberResponse(index=index)

    async def transfer_leader(
        self, request: management_pb2.TransferLeaderRequest, context: CallContext
    ) -> management_pb2.TransferLeaderResponse:
        target = check_node_id(request.target_id, "target_id") if request.target_id else 0
        leader_id = await self._path.transfer_leader(target, timeout_ms=_management_timeout_ms(context))
        return management_pb2.TransferLeaderResponse(leader_id=leader_id)

    async def get_metrics(
        self, request: management_pb2.GetMetricsRequest, context: CallContext
    ) -> management_pb2.GetMetricsResponse:
        return metrics_message(self._path.status())

    async def health_check(
        self, request: management_pb2.HealthCheckRequest, context: CallContext
    ) -> management_pb2.HealthCheckResponse:
        return health_message(self._path.status())

    async def get_leader(
        self, request: management_pb2.GetLeaderRequest, context: CallContext
    ) -> management_pb2.GetLeaderResponse:
        status = self._path.status()
        return management_pb2.GetLeaderResponse(
            leader_id=status.leader_id,
            http_addr=status.leader_http_addr,
            grpc_addr=status.leader_grpc_addr,
            is_leader=status.leader_id == status.node_id,
            term=status.term,
        )

    async def backup(
        self, request: management_pb2.BackupRequest, context: CallContext, writer: Writer
    ) -> None:
        consistency = Consistency.SERIALIZABLE if request.serializable else Consistency.LINEARIZABLE
        backup = await self._path.backup(consistency=consistency)
        try:
            await _send(writer, management_pb2.BackupChunk(name=backup.name))
            while piece := await backup.next_piece():
                await _send(writer, management_pb2.BackupChunk(data=piece))
            await _send(
                writer, management_pb2.BackupChunk(size_bytes=backup.size_bytes, sha256=backup.sha256)
            )
        finally:
            backup.close()


async def _send(writer: Writer, chunk: management_pb2.BackupChunk) -> None:
    try:
        async with asyncio.timeout(BACKUP_READER_TIMEOUT_S):
            await writer.send(chunk.SerializeToString())
    except TimeoutError:
        detail = f"nothing of the backup was read for {BACKUP_READER_TIMEOUT_S:g} s"
        raise RpcError(StatusCode.ABORTED, detail) from None


def _management_timeout_ms(context: CallContext) -> int | None:
    return timeout_ms(context, MANAGEMENT_TIMEOUT_MS_MAX)
