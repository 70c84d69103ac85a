"""etcd's operations on keys as kinds: Put, Range, DeleteRange, Txn, Compact."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import (
    CompactResult,
    DeleteRange,
    DeleteRangeResult,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
    is_read_only,
)
from ferrite.io.grpc.kinds import HEAVY, LIGHT, Kind, Read, Settings, Write, read_of, session_of
from ferrite.io.grpc.kv_convert import (
    delete_range_response,
    put_of,
    put_response,
    range_of,
    range_response,
    txn_of,
    txn_response,
)
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import (
    Invalid,
    check_compact,
    check_delete_range,
    check_put_operation,
    check_range,
    check_txn,
)


def _decode_put(request: kv_pb2.PutRequest, settings: Settings) -> Write:
    put = check_put_operation(put_of(request), settings.limits)
    return Write(operation=put, session=session_of(request))


def _encode_put(result: PutResult, leader: kv_pb2.Leader | None, _settings: Settings) -> kv_pb2.PutResponse:
    return put_response(result, leader)


def _decode_range(request: kv_pb2.RangeRequest, settings: Settings) -> Read:
    query = check_range(range_of(request), settings.limits)
    return read_of(query, request, weight=_weight(query))


def _encode_range(
    result: RangeResult, leader: kv_pb2.Leader | None, settings: Settings
) -> kv_pb2.RangeResponse:
    return range_response(result, leader, bytes_max=settings.list_bytes_max)


def _decode_delete_range(request: kv_pb2.DeleteRangeRequest, settings: Settings) -> Write:
    operation = check_delete_range(request.key, request.range_end, settings.limits, prev_kv=request.prev_kv)
    return Write(operation=operation, session=session_of(request), weight=_weight(operation))


def _encode_delete_range(
    result: DeleteRangeResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.DeleteRangeResponse:
    return delete_range_response(result, leader)


def _decode_txn(request: kv_pb2.TxnRequest, settings: Settings) -> Write | Read:
    txn = check_txn(txn_of(request, settings.limits), settings.limits)
    session = session_of(request)
    if is_read_only(txn):  # it writes nothing that a session would have to protect
        return read_of(txn, request, weight=_weight(txn))
    for name in ("consistency", "max_staleness_ms"):
        if getattr(request, name):
            raise Invalid(name, "set", "nothing: the transaction can change something")
    return Write(operation=txn, session=session, weight=_weight(txn))


def _encode_txn(result: TxnResult, leader: kv_pb2.Leader | None, _settings: Settings) -> kv_pb2.TxnResponse:
    return txn_response(result, leader)


def _decode_compact(request: kv_pb2.CompactRequest, _settings: Settings) -> Write:
    return Write(operation=check_compact(request.revision), session=session_of(request))


def _encode_compact(
    result: CompactResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.CompactResponse:
    return kv_pb2.CompactResponse(
        compacted_revision=result.compacted, revision=result.revision, leader=leader
    )


def _weight(operation: object) -> int:
    """Heavy is what can answer with many keys."""
    match operation:
        case Range(range_end=range_end, count_only=count_only):
            return HEAVY if range_end and not count_only else LIGHT
        case DeleteRange(range_end=range_end, prev_kv=prev_kv):
            return HEAVY if range_end and prev_kv else LIGHT
        case Txn(success=success, failure=failure):
            return max((_weight(part) for part in (*success, *failure)), default=LIGHT)
        case _:
            return LIGHT


PUT: Final = Kind(rpc="Put", decode=_decode_put, result_type=PutResult, encode=_encode_put)
RANGE: Final = Kind(rpc="Range", decode=_decode_range, result_type=RangeResult, encode=_encode_range)
DELETE_RANGE: Final = Kind(
    rpc="DeleteRange",
    decode=_decode_delete_range,
    result_type=DeleteRangeResult,
    encode=_encode_delete_range,
)
TXN: Final = Kind(rpc="Txn", decode=_decode_txn, result_type=TxnResult, encode=_encode_txn)
COMPACT: Final = Kind(
    rpc="Compact", decode=_decode_compact, result_type=CompactResult, encode=_encode_compact
)

KV_KINDS: Final = (PUT, RANGE, DELETE_RANGE, TXN, COMPACT)
