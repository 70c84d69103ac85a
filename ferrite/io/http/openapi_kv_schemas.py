"""The shapes of ranges, transactions, leases and watches; the rest is in `openapi_schemas`."""

from __future__ import annotations

from typing import Any, Final

from ferrite.core.kv import WatchEnd
from ferrite.io.config import LimitsConfig
from ferrite.io.http.fields import LEASE_ID_PATTERN
from ferrite.io.http.lease_json import TTL_S_MIN
from ferrite.io.http.openapi_schemas import (
    ANSWER_ENCODING,
    BOOKKEEPING,
    BOOLEAN,
    COUNT,
    ENCODING,
    LEADER,
    READ_OPTIONS,
    SESSION,
    SESSION_NEEDS,
    STRING,
    TIMEOUT_MS,
    Schema,
    array,
    closed,
    ref,
)
from ferrite.io.http.range_json import REVISION_BOUNDS, SORT_ORDERS, SORT_TARGETS
from ferrite.io.http.txn_json import COMPARE_RESULTS, COMPARE_TARGETS, TXN_FIELDS
from ferrite.io.validation import INT_MAX, LEASE_TTL_S_MAX

_DIGITS: Final[Schema] = {"type": "string", "pattern": f"^({LEASE_ID_PATTERN})$"}
_LEASE_TEXT: Final = "Decimal digits; 0 for none."
_LEASE: Final[Schema] = {**_DIGITS, "description": _LEASE_TEXT}
LEASE_ID: Final[Schema] = {
    "oneOf": [{"type": "integer", "minimum": 0, "maximum": INT_MAX}, _DIGITS],
    "description": f"At most {INT_MAX}, as a number or as decimal digits; 0 for none.",
}
_LEASE_NEEDED: Final[Schema] = {
    "oneOf": [
        {"type": "integer", "minimum": 1, "maximum": INT_MAX},
        {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
    ],
    "description": f"1 to {INT_MAX}, as a number or as decimal digits.",
}
_WRITE_OPTIONS: Final[Schema] = {"encoding": ENCODING, **SESSION, "timeout_ms": TIMEOUT_MS}
_ANSWER: Final[Schema] = {"revision": COUNT, "leader": LEADER}
_PREV_KV: Final[Schema] = {
    "oneOf": [{"type": "null"}, ref("KeyValue")],
    "description": "null when it was not asked for, and when there was none.",
}
_TRUE: Final[Schema] = {"const": True}
_KEYS: Final[Schema] = {
    "anyOf": [{"required": ["key"]}, {"required": ["prefix"]}],
    "not": {
        "anyOf": [
            {"required": ["prefix", "key"]},
            {"required": ["prefix", "range_end"]},
            {"required": ["prefix", "from_key"], "properties": {"from_key": _TRUE}},
            {"required": ["range_end", "from_key"], "properties": {"from_key": _TRUE}},
        ]
    },
}
"""Which keys: one, a range, a prefix, or from a key on."""


def kv_schemas(limits: LimitsConfig) -> dict[str, Schema]:
    """All of them, for a node with these limits."""
    key = {"type": "string", "minLength": 1, "description": f"1 to {limits.key_bytes_max} bytes once decoded"}
    keys = {
        "key": key,
        "range_end": {**STRING, "description": "The first key behind the range; etcd's rules."},
        "prefix": {**STRING, "description": "All keys that begin so; empty: all keys."},
        "from_key": {**BOOLEAN, "default": False, "description": "This key and all greater ones."},
    }
    data = {"type": "string", "description": f"at most {limits.value_bytes_max} bytes once decoded"}
    return {
        "KeyValue": closed(
            {"key": STRING, "value": STRING, "encoding": ANSWER_ENCODING, **BOOKKEEPING, "lease": _LEASE},
            ("key", "value", *BOOKKEEPING, "lease"),
        ),
        **_changes(key, data, keys),
        **_ranges(keys),
        **_transactions(keys, limits),
        **_leases(limits),
        **_watches(keys),
    }


def _changes(key: Schema, data: Schema, keys: Schema) -> dict[str, Schema]:
    put = {
        "key": key,
        "value": data,
        "lease": LEASE_ID,
        "prev_kv": BOOLEAN,
        "ignore_value": {**BOOLEAN, "description": "Keep the key's value; it must exist."},
        "ignore_lease": {**BOOLEAN, "description": "Keep the key's lease; it must exist."},
    }
    valued = [
        {"required": ["value"]},
        {"required": ["ignore_value"], "properties": {"ignore_value": _TRUE}},
    ]
    delete = {**keys, "prev_kv": BOOLEAN}
    put_done = {"revision": COUNT, "prev_kv": _PREV_KV}
    deleted = {"revision": COUNT, "deleted": COUNT, "prev_kvs": array(ref("KeyValue"))}
    compact = {"revision": {**COUNT, "minimum": 1}, **_WRITE_OPTIONS}
    return {
        "Put": closed(put, ("key",), anyOf=valued),
        "PutRequest": _changing({**put, **_WRITE_OPTIONS}, ("key",), anyOf=valued),
        "PutResult": closed(put_done),
        "PutAnswer": closed({**put_done, "leader": LEADER}),
        "DeleteRange": closed(delete, (), **_KEYS),
        "DeleteRangeRequest": _changing({**delete, **_WRITE_OPTIONS}, (), **_KEYS),
        "DeleteRangeResult": closed(deleted),
        "DeleteRangeAnswer": closed({**deleted, "leader": LEADER}),
        "CompactRequest": _changing(compact, ("revision",)),
        "CompactAnswer": closed({**_ANSWER, "compacted_revision": COUNT}),
    }


def _ranges(keys: Schema) -> dict[str, Schema]:
    asked = {
        **keys,
        "limit": {**COUNT, "description": "0: the server's own; more than that is cut to it, see `more`."},
        "revision": {**COUNT, "description": "0: the latest."},
        "sort_target": {"enum": list(SORT_TARGETS), "default": "key"},
        "sort_order": {"enum": list(SORT_ORDERS), "default": "none"},
        "keys_only": {**BOOLEAN, "description": "Values come back empty."},
        "count_only": {**BOOLEAN, "description": "Nothing but `count`."},
        "with_count": {**BOOLEAN, "description": "Also count the whole range: the server walks all of it."},
        **dict.fromkeys(REVISION_BOUNDS, COUNT),
    }
    found = {
        "revision": COUNT,
        "kvs": array(ref("KeyValue")),
        "more": {**BOOLEAN, "description": "There are further keys."},
        "count": {"type": ["integer", "null"], "minimum": 0, "description": "null when not asked for."},
    }
    return {
        "Range": closed(asked, (), **_KEYS),
        "RangeRequest": closed({**asked, "encoding": ENCODING, **READ_OPTIONS}, (), **_KEYS),
        "RangeResult": closed(found),
        "RangeAnswer": closed({**found, "leader": LEADER}),
    }


def _transactions(keys: Schema, limits: LimitsConfig) -> dict[str, Schema]:
    compare = {
        **keys,
        "target": {"enum": list(COMPARE_TARGETS)},
        "result": {"enum": list(COMPARE_RESULTS)},
        "operand": {"description": "A string for value; a lease's id for lease; else an integer."},
    }
    operands: list[Schema] = [
        {"properties": {"target": {"const": "value"}, "operand": STRING}},
        {"properties": {"target": {"const": "lease"}, "operand": LEASE_ID}},
        {"properties": {"target": {"enum": ["version", "create", "mod"]}, "operand": COUNT}},
    ]
    kinds = {
        "put": ref("Put"),
        "range": ref("Range"),
        "delete_range": ref("DeleteRange"),
        "txn": ref("Txn"),
    }
    results = {name: ref(one["$ref"].rpartition("/")[2] + "Result") for name, one in kinds.items()}
    listed_max = limits.batch_operations_max
    lists = dict.fromkeys(TXN_FIELDS[1:], array(ref("TxnOperation"), maxItems=listed_max))
    txn = {"compares": array(ref("Compare"), maxItems=listed_max), **lists}
    done = {"revision": COUNT, "succeeded": BOOLEAN, "responses": array(ref("TxnOperationResult"))}
    return {
        "Compare": closed(compare, ("target", "result", "operand"), oneOf=operands, **_KEYS),
        "TxnOperation": closed(kinds, (), oneOf=[{"required": [name]} for name in kinds]),
        "Txn": closed(txn, ()),
        "TxnRequest": _changing({**txn, **_WRITE_OPTIONS, **READ_OPTIONS}, ()),
        "TxnOperationResult": closed(results, (), oneOf=[{"required": [name]} for name in results]),
        "TxnResult": closed(done),
        "TxnAnswer": closed({**done, "leader": LEADER}),
    }


def _leases(limits: LimitsConfig) -> dict[str, Schema]:
    one = {"lease_id": _LEASE_NEEDED}
    ttl = {
        "type": "integer",
        "minimum": TTL_S_MIN,
        "maximum": LEASE_TTL_S_MAX,
        "description": "Seconds; too few are raised to the least.",
    }
    ids = array(_LEASE_NEEDED, minItems=1, maxItems=limits.batch_operations_max)
    left = {
        "found": BOOLEAN,
        "remaining_ms": COUNT,
        "granted_ttl_s": COUNT,
        "keys": array(STRING),
        "encoding": ANSWER_ENCODING,
        **_ANSWER,
    }
    return {
        "LeaseGrantRequest": _changing({"ttl_s": ttl, "lease_id": LEASE_ID, **_WRITE_OPTIONS}, ("ttl_s",)),
        "LeaseGrantAnswer": closed({"lease_id": _LEASE, "ttl_s": COUNT, **_ANSWER}),
        "LeaseRevokeRequest": _changing({**one, **_WRITE_OPTIONS}, ("lease_id",)),
        "LeaseRevokeAnswer": closed({"deleted": COUNT, **_ANSWER}),
        "LeaseKeepAliveRequest": closed({"lease_ids": ids, "timeout_ms": TIMEOUT_MS}, ("lease_ids",)),
        "LeaseKeepAliveAnswer": closed({"ttls_s": array(COUNT), **_ANSWER}),
        "LeaseTimeToLiveRequest": closed(
            {**one, "with_keys": BOOLEAN, "encoding": ENCODING, "timeout_ms": TIMEOUT_MS}, ("lease_id",)
        ),
        "LeaseTimeToLiveAnswer": closed(left, tuple(name for name in left if name != "encoding")),
        "LeaseListAnswer": closed({"lease_ids": array(_LEASE), "more": BOOLEAN, **_ANSWER}),
    }


def _watches(keys: Schema) -> dict[str, Schema]:
    asked = {
        **keys,
        "start_revision": {**COUNT, "description": "The first revision to deliver; 0: from now on."},
        "prev_kv": BOOLEAN,
        "no_puts": BOOLEAN,
        "no_deletes": BOOLEAN,
        "progress": {**BOOLEAN, "description": "Say now and then how far the watch is when nothing happens."},
        "encoding": ENCODING,
    }
    lines = {
        "WatchCreated": closed({"created": _TRUE, "revision": COUNT}),
        "WatchEvents": closed({"revision": COUNT, "events": array(ref("WatchEvent"))}),
        "WatchCanceled": closed(
            {
                "canceled": _TRUE,
                "reason": {"enum": [reason.value for reason in WatchEnd]},
                "detail": STRING,
                "revision": COUNT,
            }
        ),
    }
    return {
        "WatchRequest": closed(asked, (), **_KEYS),
        "WatchEvent": closed(
            {"type": {"enum": ["put", "delete"]}, "kv": ref("KeyValue"), "prev_kv": _PREV_KV}
        ),
        **lines,
        "WatchLine": {
            "oneOf": [ref(name) for name in lines],
            "description": "Everything up to `revision` was delivered: a watch resumes at the next one, on any node.",
        },
    }


def _changing(properties: Schema, required: tuple[str, ...], **more: Any) -> Schema:
    """A request that may carry a session."""
    return closed(properties, required, dependentRequired=SESSION_NEEDS, **more)
