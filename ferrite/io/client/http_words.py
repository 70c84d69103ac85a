"""Between the machine's words and the JSON of the HTTP face, from the client's side. Keys and values travel as base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from ferrite.core import Consistency, kv
from ferrite.io.client.answers import Event, key_value
from ferrite.io.client.connection import Created, Delivered, Ended, WatchPiece
from ferrite.io.client.request import ReadOptions, Request, WatchSpec

Json = dict[str, Any]
Result = kv.CommandResult | kv.QueryResult

# ------------------------------------------------------------------------------------------------ requests


def body_of(request: Request, session: kv.Session | None, timeout_ms: int) -> tuple[str, Json]:
    """The path to POST to, and the JSON object."""
    path, body = _operation(request)
    body["timeout_ms"] = timeout_ms
    if session is not None:
        body["client_id"] = session.client_id.decode()
        body["request_id"] = session.request_id
        body["lowest_unacknowledged"] = session.lowest_unacknowledged
    return path, body


def _operation(request: Request) -> tuple[str, Json]:
    match request.operation:
        case kv.Put() as put:
            return "/kv/put", {"encoding": "base64", **_put(put)}
        case kv.DeleteRange() as delete:
            return "/kv/delete", {"encoding": "base64", **_delete_range(delete)}
        case kv.Range() as query:
            return "/kv/range", {"encoding": "base64", **_range(query), **_reading(request.reading)}
        case kv.Txn() as txn:
            reading = _reading(request.reading) if kv.is_read_only(txn) else {}
            return "/kv/txn", {"encoding": "base64", **_txn(txn), **reading}
        case kv.Compact(revision=revision):
            return "/kv/compact", {"revision": revision}
        case kv.LeaseGrant(lease_id=lease_id, ttl_s=ttl_s):
            return "/lease/grant", {"ttl_s": ttl_s, "lease_id": str(lease_id)}
        case kv.LeaseRevoke(lease_id=lease_id):
            return "/lease/revoke", {"lease_id": str(lease_id)}
        case kv.LeaseKeepAlive(lease_ids=lease_ids):
            return "/lease/keep-alive", {"lease_ids": [str(lease_id) for lease_id in lease_ids]}
        case kv.LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys):
            body = {"lease_id": str(lease_id), "with_keys": with_keys, "encoding": "base64"}
            return "/lease/time-to-live", body
        case other:
            raise TypeError(f"{type(other).__name__} is no operation of the client")


def _reading(options: ReadOptions) -> Json:
    if options.consistency is Consistency.LINEARIZABLE:
        return {}
    return {"consistency": options.consistency.value, "max_staleness_ms": options.max_staleness_ms}


def _asked(options: Json) -> Json:
    """Those that ask for anything: a wide transaction has thousands of operations, and a body a limit."""
    return {name: value for name, value in options.items() if value}


def _put(put: kv.Put) -> Json:
    value = {} if put.ignore_value and not put.value else {"value": _text(put.value)}
    options: Json = {
        "lease": str(put.lease or ""),
        "prev_kv": put.prev_kv,
        "ignore_value": put.ignore_value,
        "ignore_lease": put.ignore_lease,
    }
    return {"key": _text(put.key), **value, **_asked(options)}


def _keys(operation: kv.Range | kv.DeleteRange | kv.Compare) -> Json:
    return {"key": _text(operation.key), **_asked({"range_end": _text(operation.range_end)})}


def _range(query: kv.Range) -> Json:
    options: Json = {
        "limit": query.limit,
        "revision": query.revision,
        "sort_order": "" if query.sort_order is kv.SortOrder.NONE else query.sort_order.name.lower(),
        "sort_target": "" if query.sort_target is kv.SortTarget.KEY else query.sort_target.name.lower(),
        "keys_only": query.keys_only,
        "count_only": query.count_only,
        "with_count": query.with_count,
        "min_mod_revision": query.min_mod_revision,
        "max_mod_revision": query.max_mod_revision,
        "min_create_revision": query.min_create_revision,
        "max_create_revision": query.max_create_revision,
    }
    return {**_keys(query), **_asked(options)}


def _delete_range(delete: kv.DeleteRange) -> Json:
    return {**_keys(delete), **_asked({"prev_kv": delete.prev_kv})}


def _txn(txn: kv.Txn) -> Json:
    return {
        "compares": [_compare(compare) for compare in txn.compares],
        "success": [_txn_operation(operation) for operation in txn.success],
        "failure": [_txn_operation(operation) for operation in txn.failure],
    }


def _compare(compare: kv.Compare) -> Json:
    operand: str | int
    if isinstance(compare.operand, bytes):
        operand = _text(compare.operand)
    else:
        operand = str(compare.operand) if compare.target is kv.CompareTarget.LEASE else compare.operand
    return {
        **_keys(compare),
        "target": compare.target.name.lower(),
        "result": compare.result.name.lower(),
        "operand": operand,
    }


def _txn_operation(operation: kv.TxnOperation) -> Json:
    match operation:
        case kv.Put():
            return {"put": _put(operation)}
        case kv.Range():
            return {"range": _range(operation)}
        case kv.DeleteRange():
            return {"delete_range": _delete_range(operation)}
        case kv.Txn():
            return {"txn": _txn(operation)}


def watch_body(spec: WatchSpec) -> Json:
    """What POST /watch takes."""
    return {
        "encoding": "base64",
        "key": _text(spec.key),
        "range_end": _text(spec.range_end),
        "start_revision": spec.start_revision,
        "prev_kv": spec.prev_kv,
        "no_puts": not spec.puts,
        "no_deletes": not spec.deletes,
        "progress": spec.progress,
    }


# ------------------------------------------------------------------------------------------------ answers


def result_of(path: str, answer: Json) -> Result:
    """The machine's result. Raises KeyError, TypeError or ValueError for what is no answer to it."""
    return _RESULTS[path](answer)


def _entry(found: Json) -> kv.KeyValue:
    coded = found.get("encoding") == "base64"
    return kv.KeyValue(
        key=_data(found["key"], coded=coded),
        value=_data(found.get("value") or "", coded=coded),
        create_revision=found["create_revision"],
        mod_revision=found["mod_revision"],
        version=found["version"],
        lease=int(found["lease"]),
    )


def _put_result(found: Json) -> kv.PutResult:
    prev = found["prev_kv"]
    return kv.PutResult(revision=found["revision"], prev=None if prev is None else _entry(prev))


def _range_result(found: Json) -> kv.RangeResult:
    return kv.RangeResult(
        revision=found["revision"],
        entries=tuple(_entry(entry) for entry in found["kvs"]),
        more=found["more"],
        count=-1 if found["count"] is None else found["count"],
    )


def _delete_range_result(found: Json) -> kv.DeleteRangeResult:
    return kv.DeleteRangeResult(
        revision=found["revision"],
        deleted=found["deleted"],
        prev=tuple(_entry(entry) for entry in found["prev_kvs"]),
    )


def _txn_result(found: Json) -> kv.TxnResult:
    return kv.TxnResult(
        revision=found["revision"],
        succeeded=found["succeeded"],
        results=tuple(_txn_operation_result(response) for response in found["responses"]),
    )


def _txn_operation_result(found: Json) -> kv.TxnOperationResult:
    ((name, content),) = found.items()
    match name:
        case "put":
            return _put_result(content)
        case "range":
            return _range_result(content)
        case "delete_range":
            return _delete_range_result(content)
        case "txn":
            return _txn_result(content)
        case _:
            raise ValueError(f"an operation of the transaction is answered with {name}")


def _compact_result(found: Json) -> kv.CompactResult:
    return kv.CompactResult(revision=found["revision"], compacted=found["compacted_revision"])


def _grant_result(found: Json) -> kv.LeaseGrantResult:
    return kv.LeaseGrantResult(
        revision=found["revision"], lease_id=int(found["lease_id"]), ttl_s=found["ttl_s"]
    )


def _revoke_result(found: Json) -> kv.LeaseRevokeResult:
    return kv.LeaseRevokeResult(revision=found["revision"], deleted=found["deleted"])


def _keep_alive_result(found: Json) -> kv.LeaseKeepAliveResult:
    return kv.LeaseKeepAliveResult(revision=found["revision"], ttls_s=tuple(found["ttls_s"]))


def _time_to_live_result(found: Json) -> kv.LeaseTimeToLiveResult:
    coded = found.get("encoding") == "base64"
    return kv.LeaseTimeToLiveResult(
        revision=found["revision"],
        remaining_us=found["remaining_ms"] * 1000 if found["found"] else -1,
        granted_ttl_s=found["granted_ttl_s"],
        keys=tuple(_data(key, coded=coded) for key in found["keys"]),
    )


def leases_result(found: Json) -> kv.ListLeasesResult:
    """The answer of GET /lease/list."""
    return kv.ListLeasesResult(
        revision=found["revision"],
        lease_ids=tuple(int(lease_id) for lease_id in found["lease_ids"]),
        more=found["more"],
    )


_RESULTS: Final[dict[str, Callable[[Json], Result]]] = {
    "/kv/put": _put_result,
    "/kv/range": _range_result,
    "/kv/delete": _delete_range_result,
    "/kv/txn": _txn_result,
    "/kv/compact": _compact_result,
    "/lease/grant": _grant_result,
    "/lease/revoke": _revoke_result,
    "/lease/keep-alive": _keep_alive_result,
    "/lease/time-to-live": _time_to_live_result,
}


def watch_piece(line: bytes) -> WatchPiece:
    """One line of a watch. Raises KeyError, TypeError or ValueError for what is none."""
    found: Json = json.loads(line)
    if found.get("created"):
        return Created(revision=found["revision"])
    if found.get("canceled"):
        return Ended(reason=found["reason"], detail=found["detail"], revision=found["revision"])
    return Delivered(revision=found["revision"], events=tuple(_event(event) for event in found["events"]))


def _event(found: Json) -> Event:
    prev = found["prev_kv"]
    return Event(
        kind="delete" if found["type"] == "delete" else "put",
        kv=key_value(_entry(found["kv"])),
        prev_kv=None if prev is None else key_value(_entry(prev)),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _data(text: str, *, coded: bool) -> bytes:
    return base64.b64decode(text, validate=True) if coded else text.encode()
