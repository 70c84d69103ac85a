"""Between the machine's words and the messages of proto/kv.proto, from the client's side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage

from ferrite.core import Consistency, kv
from ferrite.io.client.answers import Event, key_value
from ferrite.io.client.connection import Leader
from ferrite.io.client.request import ReadOptions, Request, WatchSpec
from ferrite.io.grpc.pb import kv_pb2

_CONSISTENCY: Final = {
    Consistency.LINEARIZABLE: kv_pb2.CONSISTENCY_LINEARIZABLE,
    Consistency.SERIALIZABLE: kv_pb2.CONSISTENCY_SERIALIZABLE,
}
_OPERANDS: Final = {
    kv.CompareTarget.VERSION: "version",
    kv.CompareTarget.CREATE: "create_revision",
    kv.CompareTarget.MOD: "mod_revision",
    kv.CompareTarget.VALUE: "value",
    kv.CompareTarget.LEASE: "lease",
}

# ------------------------------------------------------------------------------------------------ requests


def message_of(request: Request, session: kv.Session | None) -> tuple[str, ProtoMessage]:
    """The operation's name in a `PipelineRequest` (or "lease_list", which a pipeline has not), and its message."""
    said = _session(session)
    match request.operation:
        case kv.Put() as put:
            return "put", _put(put, said)
        case kv.DeleteRange() as delete:
            return "delete_range", _delete_range(delete, said)
        case kv.Range() as query:
            return "range", _range(query, request.reading)
        case kv.Txn() as txn:
            return "txn", _txn(txn, said, request.reading)
        case kv.Compact(revision=revision):
            return "compact", kv_pb2.CompactRequest(revision=revision, session=said)
        case kv.LeaseGrant(lease_id=lease_id, ttl_s=ttl_s):
            # The message has no sign; what is below the least TTL is raised to it.
            message = kv_pb2.LeaseGrantRequest(ttl_s=max(ttl_s, 0), lease_id=lease_id, session=said)
            return "lease_grant", message
        case kv.LeaseRevoke(lease_id=lease_id):
            return "lease_revoke", kv_pb2.LeaseRevokeRequest(lease_id=lease_id, session=said)
        case kv.LeaseKeepAlive(lease_ids=lease_ids):
            return "lease_keep_alive", kv_pb2.LeaseKeepAliveRequest(lease_ids=lease_ids)
        case kv.LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys):
            return "lease_time_to_live", kv_pb2.LeaseTimeToLiveRequest(lease_id=lease_id, with_keys=with_keys)
        case kv.ListLeases(after=after):
            options = _reading(request.reading)
            return "lease_list", kv_pb2.LeaseListRequest(after=after, **options)
        case other:
            raise TypeError(f"{type(other).__name__} is no operation of the client")


def _session(session: kv.Session | None) -> kv_pb2.Session | None:
    if session is None:
        return None
    return kv_pb2.Session(
        client_id=session.client_id,
        request_id=session.request_id,
        lowest_unacknowledged=session.lowest_unacknowledged,
    )


def _reading(options: ReadOptions) -> dict[str, Any]:
    return {
        "consistency": _CONSISTENCY[options.consistency],
        "max_staleness_ms": options.max_staleness_ms,
    }


def _put(put: kv.Put, session: kv_pb2.Session | None) -> kv_pb2.PutRequest:
    return kv_pb2.PutRequest(
        key=put.key,
        value=put.value,
        lease=put.lease,
        prev_kv=put.prev_kv,
        ignore_value=put.ignore_value,
        ignore_lease=put.ignore_lease,
        session=session,
    )


def _delete_range(delete: kv.DeleteRange, session: kv_pb2.Session | None) -> kv_pb2.DeleteRangeRequest:
    return kv_pb2.DeleteRangeRequest(
        key=delete.key, range_end=delete.range_end, prev_kv=delete.prev_kv, session=session
    )


def _range(query: kv.Range, options: ReadOptions | None) -> kv_pb2.RangeRequest:
    # The generated types ask for their own enumerations; the numbers are etcd's in both.
    sorting: dict[str, Any] = {"sort_order": query.sort_order, "sort_target": query.sort_target}
    return kv_pb2.RangeRequest(
        key=query.key,
        range_end=query.range_end,
        limit=query.limit,
        revision=query.revision,
        keys_only=query.keys_only,
        count_only=query.count_only,
        with_count=query.with_count,
        min_mod_revision=query.min_mod_revision,
        max_mod_revision=query.max_mod_revision,
        min_create_revision=query.min_create_revision,
        max_create_revision=query.max_create_revision,
        **sorting,
        **(_reading(options) if options else {}),
    )


def _txn(txn: kv.Txn, session: kv_pb2.Session | None, options: ReadOptions | None) -> kv_pb2.TxnRequest:
    return kv_pb2.TxnRequest(
        compares=[_compare(compare) for compare in txn.compares],
        success=[_txn_operation(operation) for operation in txn.success],
        failure=[_txn_operation(operation) for operation in txn.failure],
        session=session,
        **(_reading(options) if options and session is None else {}),
    )


def _compare(compare: kv.Compare) -> kv_pb2.Compare:
    comparing: dict[str, Any] = {_OPERANDS[compare.target]: compare.operand, "result": compare.result}
    return kv_pb2.Compare(
        key=compare.key,
        range_end=compare.range_end,
        **comparing,
    )


def _txn_operation(operation: kv.TxnOperation) -> kv_pb2.TxnOperation:
    match operation:
        case kv.Put():
            return kv_pb2.TxnOperation(put=_put(operation, None))
        case kv.Range():
            return kv_pb2.TxnOperation(range=_range(operation, None))
        case kv.DeleteRange():
            return kv_pb2.TxnOperation(delete_range=_delete_range(operation, None))
        case kv.Txn():
            return kv_pb2.TxnOperation(txn=_txn(operation, None, None))


def watch_message(spec: WatchSpec, watch_id: int) -> kv_pb2.WatchRequest:
    """The request that creates the watch."""
    return kv_pb2.WatchRequest(
        create=kv_pb2.WatchCreateRequest(
            watch_id=watch_id,
            key=spec.key,
            range_end=spec.range_end,
            start_revision=spec.start_revision,
            prev_kv=spec.prev_kv,
            no_puts=not spec.puts,
            no_deletes=not spec.deletes,
            progress=spec.progress,
        )
    )


# ------------------------------------------------------------------------------------------------ answers


def leader_of(message: Any) -> Leader | None:
    """Who led, as any answer says."""
    if not message.HasField("leader"):
        return None
    found = message.leader
    return Leader(node_id=found.node_id, http_addr=found.http_addr, grpc_addr=found.grpc_addr)


def entry_of(message: kv_pb2.KeyValue) -> kv.KeyValue:
    """A key with its bookkeeping."""
    return kv.KeyValue(
        key=message.key,
        value=message.value,
        create_revision=message.create_revision,
        mod_revision=message.mod_revision,
        version=message.version,
        lease=message.lease,
    )


def _put_result(message: kv_pb2.PutResponse) -> kv.PutResult:
    prev = entry_of(message.prev_kv) if message.HasField("prev_kv") else None
    return kv.PutResult(revision=message.revision, prev=prev)


def _range_result(message: kv_pb2.RangeResponse) -> kv.RangeResult:
    return kv.RangeResult(
        revision=message.revision,
        entries=tuple(entry_of(entry) for entry in message.kvs),
        more=message.more,
        count=message.count if message.HasField("count") else -1,
    )


def _delete_range_result(message: kv_pb2.DeleteRangeResponse) -> kv.DeleteRangeResult:
    return kv.DeleteRangeResult(
        revision=message.revision,
        deleted=message.deleted,
        prev=tuple(entry_of(entry) for entry in message.prev_kvs),
    )


def _txn_result(message: kv_pb2.TxnResponse) -> kv.TxnResult:
    return kv.TxnResult(
        revision=message.revision,
        succeeded=message.succeeded,
        results=tuple(_txn_operation_result(response) for response in message.responses),
    )


def _txn_operation_result(message: kv_pb2.TxnOperationResponse) -> kv.TxnOperationResult:
    match message.WhichOneof("response"):
        case "put":
            return _put_result(message.put)
        case "range":
            return _range_result(message.range)
        case "delete_range":
            return _delete_range_result(message.delete_range)
        case "txn":
            return _txn_result(message.txn)
        case other:
            raise ValueError(f"an operation of the transaction is answered with {other}")


def _compact_result(message: kv_pb2.CompactResponse) -> kv.CompactResult:
    return kv.CompactResult(revision=message.revision, compacted=message.compacted_revision)


def _grant_result(message: kv_pb2.LeaseGrantResponse) -> kv.LeaseGrantResult:
    return kv.LeaseGrantResult(revision=message.revision, lease_id=message.lease_id, ttl_s=message.ttl_s)


def _revoke_result(message: kv_pb2.LeaseRevokeResponse) -> kv.LeaseRevokeResult:
    return kv.LeaseRevokeResult(revision=message.revision, deleted=message.deleted)


def _keep_alive_result(message: kv_pb2.LeaseKeepAliveResponse) -> kv.LeaseKeepAliveResult:
    return kv.LeaseKeepAliveResult(revision=message.revision, ttls_s=tuple(message.ttls_s))


def _time_to_live_result(message: kv_pb2.LeaseTimeToLiveResponse) -> kv.LeaseTimeToLiveResult:
    return kv.LeaseTimeToLiveResult(
        revision=message.revision,
        remaining_us=message.remaining_ms * 1000 if message.found else -1,
        granted_ttl_s=message.granted_ttl_s,
        keys=tuple(message.keys),
    )


def _list_result(message: kv_pb2.LeaseListResponse) -> kv.ListLeasesResult:
    return kv.ListLeasesResult(
        revision=message.revision, lease_ids=tuple(message.lease_ids), more=message.more
    )


RESULTS: Final[dict[str, Callable[[Any], kv.CommandResult | kv.QueryResult]]] = {
    "put": _put_result,
    "range": _range_result,
    "delete_range": _delete_range_result,
    "txn": _txn_result,
    "compact": _compact_result,
    "lease_grant": _grant_result,
    "lease_revoke": _revoke_result,
    "lease_keep_alive": _keep_alive_result,
    "lease_time_to_live": _time_to_live_result,
    "lease_list": _list_result,
}
"""By the operation's name: how its answer is read."""


def event_of(message: kv_pb2.Event) -> Event:
    """One change of a watch."""
    return Event(
        kind="delete" if message.type == kv_pb2.Event.DELETE else "put",
        kv=key_value(entry_of(message.kv)),
        prev_kv=key_value(entry_of(message.prev_kv)) if message.HasField("prev_kv") else None,
    )
