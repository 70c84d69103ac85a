"""The services' handlers: a protobuf request in, the one request path, a protobuf answer out. No engine in sight.

Each handler validates (`Invalid`), asks the request path (`RequestError`) and translates. What becomes of those exceptions is
`service.Method`'s business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from ferrite.core import Consistency
from ferrite.core.kv import (
    BatchResult,
    DeleteResult,
    Exists,
    ExistsResult,
    GetResult,
    ListKeysResult,
    Put,
    PutResult,
    Query,
)
from ferrite.io.config import Config
from ferrite.io.grpc.convert import (
    health_message,
    key_entry,
    leader_message,
    member_address,
    members_of,
    metrics_message,
    session_of,
)
from ferrite.io.grpc.pb import kv_pb2, management_pb2, raft_pb2
from ferrite.io.grpc.service import CallContext, Method, methods_of, timeout_ms
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.request_path import Answered, RequestPath
from ferrite.io.validation import (
    MANAGEMENT_TIMEOUT_MS_MAX,
    Invalid,
    check_batch,
    check_delete,
    check_get,
    check_key,
    check_list,
    check_node_id,
    check_put,
    check_staleness_ms,
    check_voters,
)

PEER_ADDR_METADATA_KEY: Final = "ferrite-peer-addr"
ANSWER_ROOM_BYTES: Final = (
    64 * 1024
)  # of a message, kept free of list entries: leader's addresses, framing, to spare
ENTRY_OVERHEAD_BYTES: Final = 48  # field tags, lengths and three varints of a KeyEntry

_CONSISTENCY: Final[dict[int, Consistency]] = {
    kv_pb2.CONSISTENCY_LINEARIZABLE: Consistency.LINEARIZABLE,
    kv_pb2.CONSISTENCY_SERIALIZABLE: Consistency.SERIALIZABLE,
}
_ReadRequest = kv_pb2.GetRequest | kv_pb2.ListKeysRequest | kv_pb2.ExistsRequest


class KvHandlers:
    """ferrite.kv.KvService."""

    def __init__(self, path: RequestPath, config: Config) -> None:
        """Limits and the longest time for a request come from the configuration."""
        self._path = path
        self._limits = config.limits
        self._timeout_ms_max = config.network.request_timeout
        self._list_bytes_max = min(
            config.limits.list_bytes_max, config.network.max_message_size - ANSWER_ROOM_BYTES
        )

    async def set(self, request: kv_pb2.SetRequest, context: CallContext) -> kv_pb2.SetResponse:
        operation = check_put(request.key, request.value, self._limits)
        answered = await self._path.write(
            operation, session=session_of(request), timeout_ms=self._timeout_ms(context)
        )
        assert isinstance(answered.result, PutResult), answered
        return kv_pb2.SetResponse(revision=answered.result.revision, leader=leader_message(answered))

    async def delete(self, request: kv_pb2.DeleteRequest, context: CallContext) -> kv_pb2.DeleteResponse:
        operation = check_delete(request.key, self._limits)
        answered = await self._path.write(
            operation, session=session_of(request), timeout_ms=self._timeout_ms(context)
        )
        assert isinstance(answered.result, DeleteResult), answered
        result = answered.result
        return kv_pb2.DeleteResponse(
            existed=result.existed, revision=result.revision, leader=leader_message(answered)
        )

    async def batch_set(
        self, request: kv_pb2.BatchSetRequest, context: CallContext
    ) -> kv_pb2.BatchSetResponse:
        operations_max = self._limits.batch_operations_max
        if len(request.pairs) > operations_max:  # before a million pairs become a million values
            raise Invalid("pairs", f"{len(request.pairs)} pairs", f"1 to {operations_max}")
        puts = [Put(key=pair.key, value=pair.value) for pair in request.pairs]
        batch = check_batch(puts, self._limits, field="pairs")
        answered = await self._path.write(
            batch, session=session_of(request), timeout_ms=self._timeout_ms(context)
        )
        assert isinstance(answered.result, BatchResult), answered
        result = answered.result
        return kv_pb2.BatchSetResponse(
            revision=result.revision, existed=result.existed, leader=leader_message(answered)
        )

    async def get(self, request: kv_pb2.GetRequest, context: CallContext) -> kv_pb2.GetResponse:
        answered = await self._read(check_get(request.key, self._limits), request, context)
        assert isinstance(answered.result, GetResult), answered
        entry = answered.result.entry
        response = kv_pb2.GetResponse(
            found=entry is not None, revision=answered.result.revision, leader=leader_message(answered)
        )
        if entry is not None:
            response.value = entry.value
            response.create_revision = entry.create_revision
            response.mod_revision = entry.mod_revision
            response.version = entry.version
        return response

    async def exists(self, request: kv_pb2.ExistsRequest, context: CallContext) -> kv_pb2.ExistsResponse:
        query = Exists(key=check_key(request.key, self._limits))
        answered = await self._read(query, request, context)
        assert isinstance(answered.result, ExistsResult), answered
        result = answered.result
        return kv_pb2.ExistsResponse(
            exists=result.exists, revision=result.revision, leader=leader_message(answered)
        )

    async def list_keys(
        self, request: kv_pb2.ListKeysRequest, context: CallContext
    ) -> kv_pb2.ListKeysResponse:
        query = check_list(
            request.prefix, request.limit, request.after, self._limits, keys_only=not request.with_values
        )
        answered = await self._read(query, request, context)
        assert isinstance(answered.result, ListKeysResult), answered
        result = answered.result
        response = kv_pb2.ListKeysResponse(
            more=result.more, revision=result.revision, leader=leader_message(answered)
        )
        room_bytes = self._list_bytes_max
        for entry in result.entries:
            room_bytes -= len(entry.key) + len(entry.value) + ENTRY_OVERHEAD_BYTES
            if room_bytes < 0 and response.entries:
                response.more = True
                break
            response.entries.append(key_entry(entry))
        return response

    async def _read(self, query: Query, request: _ReadRequest, context: CallContext) -> Answered:
        consistency = _CONSISTENCY.get(request.consistency)
        if consistency is None:
            names = ", ".join(f"{number} ({found.value})" for number, found in _CONSISTENCY.items())
            raise Invalid("consistency", str(int(request.consistency)), names)
        staleness_ms = check_staleness_ms(request.max_staleness_ms)
        if staleness_ms and consistency is not Consistency.SERIALIZABLE:
            raise Invalid(
                "max_staleness_ms", str(staleness_ms), "0, or consistency = CONSISTENCY_SERIALIZABLE with it"
            )
        return await self._path.read(
            query,
            consistency=consistency,
            max_staleness_ms=staleness_ms,
            timeout_ms=self._timeout_ms(context),
        )

    def _timeout_ms(self, context: CallContext) -> int | None:
        return timeout_ms(context, self._timeout_ms_max)


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


class FrameReceiver(Protocol):
    """Where the frames of a peer's stream go: the transport."""

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        """Take frames until the stream ends. Raises `RpcError` for a frame that is refused."""
        ...


class RaftHandlers:
    """ferrite.raft.RaftService: what other nodes call."""

    def __init__(self, receiver: FrameReceiver, identify: Callable[[], NodeIdentity]) -> None:
        """`identify` says who this node is now."""
        self._receiver = receiver
        self._identify = identify

    async def connect(self, frames: AsyncIterator[raft_pb2.Frame], context: CallContext) -> raft_pb2.Farewell:
        await self._receiver.receive_stream(
            (frame.data async for frame in frames),
            peer_addr=context.metadata(PEER_ADDR_METADATA_KEY),
            caller=context.caller(),
        )
        return raft_pb2.Farewell()

    async def identify(
        self, request: raft_pb2.IdentifyRequest, context: CallContext
    ) -> raft_pb2.IdentifyResponse:
        who = self._identify()
        return raft_pb2.IdentifyResponse(
            node_id=who.node_id,
            instance=who.instance,
            cluster_id=who.cluster_id,
            http_addr=who.http_addr,
            grpc_addr=who.grpc_addr,
            peer_addr=who.peer_addr,
            version=who.version,
        )


def client_methods(path: RequestPath, config: Config) -> tuple[Method, ...]:
    """Everything that clients and operators may call."""
    return (
        *methods_of(kv_pb2.DESCRIPTOR, "KvService", KvHandlers(path, config)),
        *methods_of(management_pb2.DESCRIPTOR, "ManagementService", ManagementHandlers(path)),
    )


def peer_methods(raft: RaftHandlers) -> tuple[Method, ...]:
    """Everything that other nodes may call."""
    return methods_of(raft_pb2.DESCRIPTOR, "RaftService", raft)


def _management_timeout_ms(context: CallContext) -> int | None:
    return timeout_ms(context, MANAGEMENT_TIMEOUT_MS_MAX)
