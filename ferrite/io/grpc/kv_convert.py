"""Between etcd's operations on keys and their messages. Sizes and ranges of numbers are the checks' business, not ours."""

from __future__ import annotations

import enum
from typing import Final, TypeVar, assert_never

from ferrite.core.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    DeleteRangeResult,
    KeyValue,
    Put,
    PutResult,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
    Txn,
    TxnOperation,
    TxnOperationResult,
    TxnResult,
)
from ferrite.io.config.model import LimitsConfig
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import Invalid, TxnParts

ENTRY_OVERHEAD_BYTES: Final = 64  # field tags, lengths and four varints of a KeyValue

_Enum = TypeVar("_Enum", bound=enum.IntEnum)

_TARGETS: Final = {
    "version": CompareTarget.VERSION,
    "create_revision": CompareTarget.CREATE,
    "mod_revision": CompareTarget.MOD,
    "value": CompareTarget.VALUE,
    "lease": CompareTarget.LEASE,
}


# ------------------------------------------------------------------------------------------------ requests


def put_of(request: kv_pb2.PutRequest) -> Put:
    """The operation, unchecked."""
    return Put(
        key=request.key,
        value=request.value,
        lease=request.lease,
        prev_kv=request.prev_kv,
        ignore_value=request.ignore_value,
        ignore_lease=request.ignore_lease,
    )


def range_of(request: kv_pb2.RangeRequest, field: str = "") -> Range:
    """The query, unchecked but for its enumerations. `field` is what stands before the names of its fields."""
    return Range(
        key=request.key,
        range_end=request.range_end,
        limit=request.limit,
        revision=request.revision,
        sort_target=_enum(SortTarget, request.sort_target, f"{field}sort_target"),
        sort_order=_enum(SortOrder, request.sort_order, f"{field}sort_order"),
        keys_only=request.keys_only,
        count_only=request.count_only,
        with_count=request.with_count,
        min_mod_revision=request.min_mod_revision,
        max_mod_revision=request.max_mod_revision,
        min_create_revision=request.min_create_revision,
        max_create_revision=request.max_create_revision,
    )


def txn_of(request: kv_pb2.TxnRequest, limits: LimitsConfig) -> Txn:
    """The transaction, unchecked but for its shape and enumerations."""
    return _TxnReader(limits).txn(request, "")


class _TxnReader:
    """Reads one transaction. Lists are counted before they become values."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._parts = TxnParts(limits)

    def txn(self, request: kv_pb2.TxnRequest, field: str) -> Txn:
        for name in ("compares", "success", "failure"):
            self._parts.count(f"{field}{name}", len(getattr(request, name)))
        return Txn(
            compares=tuple(
                _compare_of(compare, f"{field}compares[{position}].")
                for position, compare in enumerate(request.compares)
            ),
            success=tuple(
                self._operation(operation, f"{field}success[{position}].")
                for position, operation in enumerate(request.success)
            ),
            failure=tuple(
                self._operation(operation, f"{field}failure[{position}].")
                for position, operation in enumerate(request.failure)
            ),
        )

    def _operation(self, request: kv_pb2.TxnOperation, field: str) -> TxnOperation:
        match request.WhichOneof("operation"):
            case "put":
                _refuse_session(request.put, f"{field}put.")
                return put_of(request.put)
            case "range":
                _refuse_consistency(request.range, f"{field}range.")
                return range_of(request.range, f"{field}range.")
            case "delete_range":
                part = request.delete_range
                _refuse_session(part, f"{field}delete_range.")
                return DeleteRange(key=part.key, range_end=part.range_end, prev_kv=part.prev_kv)
            case "txn":
                _refuse_session(request.txn, f"{field}txn.")
                _refuse_consistency(request.txn, f"{field}txn.")
                return self.txn(request.txn, f"{field}txn.")
            case _:
                raise Invalid(f"{field}operation", "not set", "one of put, range, delete_range, txn")


def _refuse_session(
    part: kv_pb2.PutRequest | kv_pb2.DeleteRangeRequest | kv_pb2.TxnRequest, field: str
) -> None:
    if part.HasField("session"):
        raise Invalid(f"{field}session", "set", "nothing: the session is the whole transaction's")


def _refuse_consistency(part: kv_pb2.RangeRequest | kv_pb2.TxnRequest, field: str) -> None:
    for name in ("consistency", "max_staleness_ms"):
        if getattr(part, name):
            raise Invalid(f"{field}{name}", "set", "nothing: it is the whole transaction's")


def _compare_of(request: kv_pb2.Compare, field: str) -> Compare:
    name = request.WhichOneof("target")
    if name is None:
        raise Invalid(f"{field}target", "not set", "one of " + ", ".join(_TARGETS))
    operand: int | bytes = getattr(request, name)
    return Compare(
        target=_TARGETS[name],
        result=_enum(CompareResult, request.result, f"{field}result"),
        key=request.key,
        operand=operand,
        range_end=request.range_end,
    )


def _enum(kind: type[_Enum], number: int, field: str) -> _Enum:
    try:
        return kind(number)
    except ValueError:
        names = ", ".join(f"{member.value} ({member.name})" for member in kind)
        raise Invalid(field, str(number), names) from None


# ------------------------------------------------------------------------------------------------ answers


def key_value(entry: KeyValue) -> kv_pb2.KeyValue:
    """A key with its bookkeeping."""
    return kv_pb2.KeyValue(
        key=entry.key,
        value=entry.value,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
        lease=entry.lease,
    )


def put_response(result: PutResult, leader: kv_pb2.Leader | None = None) -> kv_pb2.PutResponse:
    """Of a put, on its own or in a transaction (which names no leader of its own)."""
    prev = None if result.prev is None else key_value(result.prev)
    return kv_pb2.PutResponse(revision=result.revision, prev_kv=prev, leader=leader)


def range_response(
    result: RangeResult, leader: kv_pb2.Leader | None = None, *, bytes_max: int | None = None
) -> kv_pb2.RangeResponse:
    """Of a range. What is over `bytes_max` is left out, and `more` says so."""
    response = kv_pb2.RangeResponse(
        more=result.more,
        count=result.count if result.count >= 0 else None,
        revision=result.revision,
        leader=leader,
    )
    room_bytes = bytes_max
    for entry in result.entries:
        if room_bytes is not None:
            room_bytes -= len(entry.key) + len(entry.value) + ENTRY_OVERHEAD_BYTES
            if room_bytes < 0 and response.kvs:
                response.more = True
                break
        response.kvs.append(key_value(entry))
    return response


def delete_range_response(
    result: DeleteRangeResult, leader: kv_pb2.Leader | None = None
) -> kv_pb2.DeleteRangeResponse:
    """Of a deletion."""
    return kv_pb2.DeleteRangeResponse(
        deleted=result.deleted,
        prev_kvs=[key_value(entry) for entry in result.prev],
        revision=result.revision,
        leader=leader,
    )


def txn_response(result: TxnResult, leader: kv_pb2.Leader | None = None) -> kv_pb2.TxnResponse:
    """Of a transaction, with those of its parts."""
    return kv_pb2.TxnResponse(
        succeeded=result.succeeded,
        responses=[_part_response(part) for part in result.results],
        revision=result.revision,
        leader=leader,
    )


def _part_response(result: TxnOperationResult) -> kv_pb2.TxnOperationResponse:
    match result:
        case PutResult():
            return kv_pb2.TxnOperationResponse(put=put_response(result))
        case RangeResult():
            return kv_pb2.TxnOperationResponse(range=range_response(result))
        case DeleteRangeResult():
            return kv_pb2.TxnOperationResponse(delete_range=delete_range_response(result))
        case TxnResult():
            return kv_pb2.TxnOperationResponse(txn=txn_response(result))
        case _:
            assert_never(result)
