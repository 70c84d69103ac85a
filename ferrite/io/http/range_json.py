"""Puts, ranges, range deletes and compaction in JSON: requests to the machine's words, results to answers. Pure.

The members have the names of `proto/kv.proto`. What reads an operation (`put_of`, ...) serves transactions as well and checks
types only; sizes and relations are checked on the finished operation, for every door alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.core.kv import (
    CompactResult,
    DeleteRange,
    DeleteRangeResult,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http.entries import key_value_json
from ferrite.io.http.fields import Encoding, JsonObject
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
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import check_compact, check_delete_range, check_put_operation, check_range

SORT_TARGETS: Final = tuple(target.name.lower() for target in SortTarget)
SORT_ORDERS: Final = tuple(order.name.lower() for order in SortOrder)
REVISION_BOUNDS: Final = (
    "min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision",
)  # fmt: skip
PUT_FIELDS: Final = ("key", "value", "lease", "prev_kv", "ignore_value", "ignore_lease")
RANGE_READ_FIELDS: Final = (
    *RANGE_FIELDS, "limit", "revision", "sort_order", "sort_target", "keys_only", "count_only", "with_count",
    *REVISION_BOUNDS,
)  # fmt: skip
DELETE_FIELDS: Final = (*RANGE_FIELDS, "prev_kv")
_ENTRY_OVERHEAD_BYTES: Final = 160  # names and numbers of an entry in an answer, about


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A command and how to carry it out; `encoding` is that of the answer."""

    operation: Operation
    encoding: Encoding
    options: WriteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRequest:
    """What /kv/range asks for."""

    query: Range
    encoding: Encoding
    options: ReadOptions


def parse_put(given: Any, limits: LimitsConfig) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", (*PUT_FIELDS, *WRITE_FIELDS))
    encoding = request.encoding()
    return ChangeRequest(
        operation=check_put_operation(put_of(request, encoding), limits),
        encoding=encoding,
        options=parse_write_options(request),
    )


def parse_range(given: Any, limits: LimitsConfig) -> RangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", (*RANGE_READ_FIELDS, *READ_FIELDS))
    encoding = request.encoding()
    return RangeRequest(
        query=check_range(range_of(request, encoding, limits), limits),
        encoding=encoding,
        options=parse_read_options(request),
    )


def parse_delete_range(given: Any, limits: LimitsConfig) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", (*DELETE_FIELDS, *WRITE_FIELDS))
    encoding = request.encoding()
    asked = delete_range_of(request, encoding, limits)
    return ChangeRequest(
        operation=check_delete_range(asked.key, asked.range_end, limits, prev_kv=asked.prev_kv),
        encoding=encoding,
        options=parse_write_options(request),
    )


def parse_compact(given: Any) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", ("revision", *WRITE_FIELDS))
    return ChangeRequest(
        operation=check_compact(request.integer("revision", 1)),
        encoding=request.encoding(),
        options=parse_write_options(request),
    )


def put_of(fields: JsonObject, encoding: Encoding) -> Put:
    """A put; its value may be left out where it is to be ignored."""
    ignore_value = fields.boolean("ignore_value", default=False)
    return Put(
        key=fields.data("key", encoding),
        value=fields.data("value", encoding, b"" if ignore_value else None),
        lease=fields.lease("lease", default=0),
        prev_kv=fields.boolean("prev_kv", default=False),
        ignore_value=ignore_value,
        ignore_lease=fields.boolean("ignore_lease", default=False),
    )


def range_of(fields: JsonObject, encoding: Encoding, limits: LimitsConfig) -> Range:
    """A range to read."""
    key, range_end = parse_key_range(fields, encoding, limits)
    bounds = {name: fields.integer(name, 0, default=0) for name in REVISION_BOUNDS}
    return Range(
        key=key,
        range_end=range_end,
        limit=fields.integer("limit", 0, default=0),
        revision=fields.integer("revision", 0, default=0),
        sort_target=SortTarget[fields.choice("sort_target", SORT_TARGETS, "key").upper()],
        sort_order=SortOrder[fields.choice("sort_order", SORT_ORDERS, "none").upper()],
        keys_only=fields.boolean("keys_only", default=False),
        count_only=fields.boolean("count_only", default=False),
        with_count=fields.boolean("with_count", default=False),
        **bounds,
    )


def delete_range_of(fields: JsonObject, encoding: Encoding, limits: LimitsConfig) -> DeleteRange:
    """A range to delete."""
    key, range_end = parse_key_range(fields, encoding, limits)
    return DeleteRange(key=key, range_end=range_end, prev_kv=fields.boolean("prev_kv", default=False))


def put_result_json(result: PutResult, encoding: Encoding) -> dict[str, Any]:
    """`prev_kv` is null when it was not asked for, and when there was none."""
    return {
        "revision": result.revision,
        "prev_kv": None if result.prev is None else key_value_json(result.prev, encoding),
    }


def delete_range_result_json(result: DeleteRangeResult, encoding: Encoding) -> dict[str, Any]:
    """`prev_kvs` is empty when it was not asked for."""
    return {
        "revision": result.revision,
        "deleted": result.deleted,
        "prev_kvs": [key_value_json(entry, encoding) for entry in result.prev],
    }


def range_result_json(result: RangeResult, encoding: Encoding, bytes_max: int = 0) -> dict[str, Any]:
    """`count` is null when it was not asked for. As many entries as fit into `bytes_max` (0: all), one at least."""
    kvs: list[dict[str, Any]] = []
    bytes_total = 0
    for entry in result.entries:
        bytes_total += len(entry.key) + len(entry.value) + _ENTRY_OVERHEAD_BYTES
        if bytes_max and kvs and bytes_total > bytes_max:
            break
        kvs.append(key_value_json(entry, encoding))
    return {
        "revision": result.revision,
        "kvs": kvs,
        "more": result.more or len(kvs) < len(result.entries),
        "count": None if result.count < 0 else result.count,
    }


def range_answer(request: RangeRequest, answered: Answered, limits: LimitsConfig) -> dict[str, Any]:
    """The answer of /kv/range."""
    result = answered.result
    if not isinstance(result, RangeResult):
        raise TypeError(f"the request path answered a range with {type(result).__name__}")
    return {**range_result_json(result, request.encoding, limits.list_bytes_max), **leader_json(answered)}


def change_answer(request: ChangeRequest, answered: Answered) -> dict[str, Any]:
    """The answer of /kv/put, /kv/delete and /kv/compact."""
    match answered.result:
        case PutResult() as result:
            content = put_result_json(result, request.encoding)
        case DeleteRangeResult() as result:
            content = delete_range_result_json(result, request.encoding)
        case CompactResult(revision=revision, compacted=compacted):
            content = {"revision": revision, "compacted_revision": compacted}
        case other:
            raise TypeError(f"the request path answered a change with {type(other).__name__}")
    return {**content, **leader_json(answered)}
