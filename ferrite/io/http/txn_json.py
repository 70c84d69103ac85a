"""Transactions in JSON: requests to the machine's words, results to answers. Pure. The shape stands in docs/http.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, assert_never

from ferrite.core.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeResult,
    PutResult,
    RangeResult,
    Txn,
    TxnOperation,
    TxnOperationResult,
    TxnResult,
    is_read_only,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http.fields import Encoding, JsonObject, describe
from ferrite.io.http.options import (
    RANGE_FIELDS,
    READ_FIELDS,
    WRITE_FIELDS,
    ReadOptions,
    WriteOptions,
    leader_json,
    parse_key_range,
    parse_read_options,
    parse_write_options,
    the_one,
)
from ferrite.io.http.range_json import (
    DELETE_FIELDS,
    PUT_FIELDS,
    RANGE_READ_FIELDS,
    delete_range_of,
    delete_range_result_json,
    put_of,
    put_result_json,
    range_of,
    range_result_json,
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import Invalid, check_txn, check_value

COMPARE_TARGETS: Final = tuple(target.name.lower() for target in CompareTarget)
COMPARE_RESULTS: Final = tuple(result.name.lower() for result in CompareResult)
TXN_FIELDS: Final = ("compares", "success", "failure")
_COMPARE_FIELDS: Final = (*RANGE_FIELDS, "target", "result", "operand")
_OPERATIONS: Final = ("put", "range", "delete_range", "txn")


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnRequest:
    """What /kv/txn asks for. One that only reads is a query, for which only `read` counts; `write` is for the others."""

    txn: Txn
    encoding: Encoding
    write: WriteOptions
    read: ReadOptions

    @property
    def is_query(self) -> bool:
        """Does it only read, on every path?"""
        return is_read_only(self.txn)


def parse_txn(given: Any, limits: LimitsConfig) -> TxnRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", tuple(dict.fromkeys((*TXN_FIELDS, *WRITE_FIELDS, *READ_FIELDS))))
    encoding = request.encoding()
    txn = check_txn(_txn_of(request, encoding, limits), limits)
    if not is_read_only(txn):
        for name in ("consistency", "max_staleness_ms"):
            if name in request:
                raise Invalid(name, "given with a transaction that can change keys", "it with reads only")
    return TxnRequest(
        txn=txn, encoding=encoding, write=parse_write_options(request), read=parse_read_options(request)
    )


def txn_answer(request: TxnRequest, answered: Answered) -> dict[str, Any]:
    """The answer of /kv/txn."""
    result = answered.result
    if not isinstance(result, TxnResult):
        raise TypeError(f"the request path answered a transaction with {type(result).__name__}")
    return {**_txn_result_json(result, request.encoding), **leader_json(answered)}


def _txn_of(fields: JsonObject, encoding: Encoding, limits: LimitsConfig) -> Txn:
    return Txn(
        compares=tuple(
            _compare_of(one, encoding, limits) for one in _items(fields, "compares", _COMPARE_FIELDS)
        ),
        success=tuple(_operation_of(one, encoding, limits) for one in _items(fields, "success", _OPERATIONS)),
        failure=tuple(_operation_of(one, encoding, limits) for one in _items(fields, "failure", _OPERATIONS)),
    )


def _items(fields: JsonObject, name: str, known: tuple[str, ...]) -> list[JsonObject]:
    """The objects of a list; none when it is left out."""
    if name not in fields:
        return []
    given = fields.raw(name)
    path = fields.join(fields.path, name)
    if not isinstance(given, list):
        raise Invalid(path, describe(given), "an array of objects")
    return [JsonObject(item, f"{path}[{position}]", known) for position, item in enumerate(given)]


def _compare_of(fields: JsonObject, encoding: Encoding, limits: LimitsConfig) -> Compare:
    key, range_end = parse_key_range(fields, encoding, limits)
    target = CompareTarget[fields.choice("target", COMPARE_TARGETS).upper()]
    operand: int | bytes
    match target:
        case CompareTarget.VALUE:
            place = fields.join(fields.path, "operand")
            operand = check_value(fields.data("operand", encoding), limits, place)
        case CompareTarget.LEASE:
            operand = fields.lease("operand")
        case CompareTarget.VERSION | CompareTarget.CREATE | CompareTarget.MOD:
            operand = fields.integer("operand", 0)
    return Compare(
        target=target,
        result=CompareResult[fields.choice("result", COMPARE_RESULTS).upper()],
        key=key,
        range_end=range_end,
        operand=operand,
    )


def _operation_of(fields: JsonObject, encoding: Encoding, limits: LimitsConfig) -> TxnOperation:
    name = the_one(fields, _OPERATIONS)
    path = fields.join(fields.path, name)
    match name:
        case "put":
            return put_of(JsonObject(fields.raw(name), path, PUT_FIELDS), encoding)
        case "range":
            return range_of(JsonObject(fields.raw(name), path, RANGE_READ_FIELDS), encoding, limits)
        case "delete_range":
            return delete_range_of(JsonObject(fields.raw(name), path, DELETE_FIELDS), encoding, limits)
        case _:
            return _txn_of(JsonObject(fields.raw(name), path, TXN_FIELDS), encoding, limits)


def _txn_result_json(result: TxnResult, encoding: Encoding) -> dict[str, Any]:
    return {
        "revision": result.revision,
        "succeeded": result.succeeded,
        "responses": [_operation_result_json(one, encoding) for one in result.results],
    }


def _operation_result_json(result: TxnOperationResult, encoding: Encoding) -> dict[str, Any]:
    match result:
        case PutResult():
            return {"put": put_result_json(result, encoding)}
        case RangeResult():
            return {"range": range_result_json(result, encoding)}
        case DeleteRangeResult():
            return {"delete_range": delete_range_result_json(result, encoding)}
        case TxnResult():
            return {"txn": _txn_result_json(result, encoding)}
        case _:
            assert_never(result)
