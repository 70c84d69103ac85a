"""Keys and values in JSON: requests of /write, /read and /list to the machine's words, results to answers. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from ferrite.core import Consistency
from ferrite.core.kv import (
    Batch,
    BatchResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    KeyValue,
    ListKeys,
    ListKeysResult,
    Operation,
    Put,
    PutResult,
    Session,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http.fields import Encoding, JsonObject, describe
from ferrite.io.request_path import Answered
from ferrite.io.validation import (
    CLIENT_ID_BYTES_MAX,
    Invalid,
    check_batch,
    check_key,
    check_list,
    check_session,
    check_staleness_ms,
    check_value,
)

TIMEOUT_MS_MAX: Final = 600_000  # ten minutes: longer waits are the client's to repeat
_OPERATIONS: Final = ("Set", "Delete", "Batch")
_WRITE_FIELDS: Final = (
    *_OPERATIONS, "encoding", "client_id", "request_id", "lowest_unacknowledged", "timeout_ms",
)  # fmt: skip
_CONSISTENCY_FIELDS: Final = ("encoding", "consistency", "max_staleness_ms", "timeout_ms")
_READ_FIELDS: Final = ("key", *_CONSISTENCY_FIELDS)
_LIST_FIELDS: Final = ("prefix", "limit", "after", "keys_only", *_CONSISTENCY_FIELDS)
_ENTRY_OVERHEAD_BYTES: Final = 128  # names and numbers of an entry in a page, about


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """What /write asks for. `timeout_ms` None: the configured one."""

    operation: Operation
    session: Session | None
    timeout_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """What /read and /list ask for. `key_as_sent` is echoed by /read."""

    query: Get | ListKeys
    encoding: Encoding
    consistency: Consistency
    max_staleness_ms: int
    timeout_ms: int | None
    key_as_sent: str = ""


def parse_write(given: Any, limits: LimitsConfig) -> WriteRequest:
    """One of Set, Delete and Batch, with what goes with it. Raises `Invalid`."""
    request = JsonObject(given, "", _WRITE_FIELDS)
    encoding = request.encoding()
    operation: Operation
    match _the_one(request, _OPERATIONS):
        case "Set":
            operation = _parse_put(request.raw("Set"), "Set", encoding, limits)
        case "Delete":
            operation = _parse_delete(request.raw("Delete"), "Delete", encoding, limits)
        case _:
            operation = _parse_batch(request.raw("Batch"), encoding, limits)
    return WriteRequest(
        operation=operation, session=_parse_session(request), timeout_ms=parse_timeout(request)
    )


def parse_read(given: Any, limits: LimitsConfig) -> ReadRequest:
    """One key. Raises `Invalid`."""
    request = JsonObject(given, "", _READ_FIELDS)
    encoding = request.encoding()
    key = check_key(request.data("key", encoding), limits)
    return _read_request(request, Get(key=key), encoding, request.text("key"))


def parse_list(given: Any, limits: LimitsConfig) -> ReadRequest:
    """A page of keys. Raises `Invalid`."""
    request = JsonObject(given, "", _LIST_FIELDS)
    encoding = request.encoding()
    query = check_list(
        request.data("prefix", encoding, b""),
        request.integer("limit", 0, limits.list_keys_max, 0),
        request.data("after", encoding, b""),
        limits,
        keys_only=request.boolean("keys_only", default=True),
    )
    return _read_request(request, query, encoding, "")


def parse_timeout(request: JsonObject) -> int | None:
    """The client's own time limit in ms."""
    return request.integer("timeout_ms", 1, TIMEOUT_MS_MAX) if "timeout_ms" in request else None


def _the_one(request: JsonObject, names: tuple[str, ...]) -> str:
    found = [name for name in names if name in request]
    if len(found) != 1:
        given = " and ".join(found) if found else "no operation"
        raise Invalid(request.path or "body", given, f"exactly one of {', '.join(names)}")
    return found[0]


def _parse_put(given: Any, path: str, encoding: Encoding, limits: LimitsConfig) -> Put:
    fields = JsonObject(given, path, ("key", "value"))
    return Put(
        key=check_key(fields.data("key", encoding), limits, f"{path}.key"),
        value=check_value(fields.data("value", encoding), limits, f"{path}.value"),
    )


def _parse_delete(given: Any, path: str, encoding: Encoding, limits: LimitsConfig) -> Delete:
    fields = JsonObject(given, path, ("key",))
    return Delete(key=check_key(fields.data("key", encoding), limits, f"{path}.key"))


def _parse_batch(given: Any, encoding: Encoding, limits: LimitsConfig) -> Batch:
    if not isinstance(given, list):
        raise Invalid("Batch", describe(given), "an array of Set and Delete objects")
    if len(given) > limits.batch_operations_max:  # before the work of parsing them
        raise Invalid("Batch", f"{len(given)} operations", f"1 to {limits.batch_operations_max}")
    operations: list[Operation] = []
    for position, item in enumerate(given):
        path = f"Batch[{position}]"
        one = JsonObject(item, path, ("Set", "Delete"))
        if _the_one(one, ("Set", "Delete")) == "Set":
            operations.append(_parse_put(one.raw("Set"), f"{path}.Set", encoding, limits))
        else:
            operations.append(_parse_delete(one.raw("Delete"), f"{path}.Delete", encoding, limits))
    return check_batch(operations, limits, "Batch")


def _parse_session(request: JsonObject) -> Session | None:
    if "client_id" not in request:
        for name in ("request_id", "lowest_unacknowledged"):
            if name in request:
                raise Invalid(
                    "client_id", "missing", f"a client_id of 1 to {CLIENT_ID_BYTES_MAX} bytes with {name}"
                )
        return None
    client_id = request.text("client_id").encode("utf-8")
    if not client_id:
        raise Invalid("client_id", "empty", f"1 to {CLIENT_ID_BYTES_MAX} bytes, or leave the field out")
    request_id = request.integer("request_id", 1)
    lowest = request.integer("lowest_unacknowledged", 0, request_id, 0)
    return check_session(client_id, request_id, lowest)


def _read_request(
    request: JsonObject, query: Get | ListKeys, encoding: Encoding, key_as_sent: str
) -> ReadRequest:
    name = request.choice(
        "consistency", tuple(one.value for one in Consistency), Consistency.LINEARIZABLE.value
    )
    consistency = Consistency(name)
    max_staleness_ms = check_staleness_ms(request.integer("max_staleness_ms", 0, default=0))
    if max_staleness_ms and consistency is not Consistency.SERIALIZABLE:
        expected = '"consistency":"serializable" with it: a linearizable read is never stale'
        raise Invalid("max_staleness_ms", str(max_staleness_ms), expected)
    return ReadRequest(
        query=query,
        encoding=encoding,
        consistency=consistency,
        max_staleness_ms=max_staleness_ms,
        timeout_ms=parse_timeout(request),
        key_as_sent=key_as_sent,
    )


def write_answer(answered: Answered) -> dict[str, Any]:
    """The answer of /write: the revision, what existed before, and who leads (null: unknown)."""
    leader = answered.leader_id or None
    match answered.result:
        case PutResult(revision=revision):
            return {"revision": revision, "leader": leader}
        case DeleteResult(revision=revision, existed=existed):
            return {"revision": revision, "existed": existed, "leader": leader}
        case BatchResult(revision=revision, existed=flags):
            return {"revision": revision, "existed": list(flags), "leader": leader}
        case other:
            raise TypeError(f"the request path answered a write with {type(other).__name__}")


def read_answer(request: ReadRequest, answered: Answered) -> dict[str, Any]:
    """The answer of /read. `key` is as the client sent it; `encoding` says how `value` is written when not as text."""
    result = answered.result
    if not isinstance(result, GetResult):
        raise TypeError(f"the request path answered a read with {type(result).__name__}")
    entry = result.entry
    answer: dict[str, Any] = {"key": request.key_as_sent, "value": None}
    if request.encoding == "base64":
        answer["encoding"] = "base64"
    if entry is not None:
        text = None if request.encoding == "base64" else _as_text(entry.value)
        if text is None:
            answer["encoding"] = "base64"
        answer["value"] = _as_base64(entry.value) if text is None else text
    answer["revision"] = result.revision
    answer.update(_bookkeeping(entry))
    answer["leader"] = answered.leader_id or None
    return answer


def list_answer(request: ReadRequest, answered: Answered, limits: LimitsConfig) -> dict[str, Any]:
    """The answer of /list: as many entries as fit into `list_bytes_max`, one at least. `encoding` is an entry's own."""
    result, query = answered.result, request.query
    if not isinstance(result, ListKeysResult) or not isinstance(query, ListKeys):
        raise TypeError(f"the request path answered a listing with {type(result).__name__}")
    entries: list[dict[str, Any]] = []
    bytes_total = 0
    for entry in result.entries:
        bytes_total += len(entry.key) + len(entry.value) + _ENTRY_OVERHEAD_BYTES
        if entries and bytes_total > limits.list_bytes_max:
            break
        entries.append(_list_entry(entry, request.encoding, keys_only=query.keys_only))
    return {
        "entries": entries,
        "more": result.more or len(entries) < len(result.entries),
        "revision": result.revision,
        "leader": answered.leader_id or None,
    }


def _list_entry(entry: KeyValue, encoding: Encoding, *, keys_only: bool) -> dict[str, Any]:
    key = None if encoding == "base64" else _as_text(entry.key)
    value = None if encoding == "base64" else _as_text(entry.value)
    plain = key is not None and value is not None
    shown: dict[str, Any] = {"key": key if plain else _as_base64(entry.key)}
    if not keys_only:
        shown["value"] = value if plain else _as_base64(entry.value)
    if not plain:
        shown["encoding"] = "base64"
    shown.update(_bookkeeping(entry))
    return shown


def _bookkeeping(entry: KeyValue | None) -> dict[str, int]:
    """The numbers that etcd keeps by key; all 0 when it is absent."""
    if entry is None:
        return {"create_revision": 0, "mod_revision": 0, "version": 0}
    return {
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "version": entry.version,
    }


def _as_text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
