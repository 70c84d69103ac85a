"""Keys and values in JSON: requests of /write, /read and /list to the machine's words, results to answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.core.kv import (
    Batch,
    BatchResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    ListKeys,
    ListKeysResult,
    Operation,
    Put,
    PutResult,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http.entries import as_base64, as_text, bookkeeping, entry_json
from ferrite.io.http.fields import Encoding, JsonObject, describe
from ferrite.io.http.options import (
    READ_FIELDS,
    WRITE_FIELDS,
    ReadOptions,
    WriteOptions,
    parse_read_options,
    parse_write_options,
    the_one,
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import (
    Invalid,
    check_batch,
    check_key,
    check_list,
    check_value,
)

_OPERATIONS: Final = ("Set", "Delete", "Batch")
_WRITE_FIELDS: Final = (*_OPERATIONS, *WRITE_FIELDS)
_READ_FIELDS: Final = ("key", *READ_FIELDS)
_LIST_FIELDS: Final = ("prefix", "limit", "after", "keys_only", *READ_FIELDS)
_ENTRY_OVERHEAD_BYTES: Final = 128  # names and numbers of an entry in a page, about


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each request
class WriteRequest:
    """What /write asks for."""

    operation: Operation
    options: WriteOptions


@dataclass(slots=True, kw_only=True)  # likewise
class ReadRequest:
    """What /read and /list ask for. `key_as_sent` is echoed by /read."""

    query: Get | ListKeys
    encoding: Encoding
    options: ReadOptions
    key_as_sent: str = ""


def parse_write(given: Any, limits: LimitsConfig) -> WriteRequest:
    """One of Set, Delete and Batch, with what goes with it. Raises `Invalid`."""
    request = JsonObject(given, "", _WRITE_FIELDS)
    encoding = request.encoding()
    operation: Operation
    match the_one(request, _OPERATIONS):
        case "Set":
            operation = _parse_put(request.raw("Set"), "Set", encoding, limits)
        case "Delete":
            operation = _parse_delete(request.raw("Delete"), "Delete", encoding, limits)
        case _:
            operation = _parse_batch(request.raw("Batch"), encoding, limits)
    return WriteRequest(operation=operation, options=parse_write_options(request))


def parse_read(given: Any, limits: LimitsConfig) -> ReadRequest:
    """One key. Raises `Invalid`."""
    request = JsonObject(given, "", _READ_FIELDS)
    encoding = request.encoding()
    key = check_key(request.data("key", encoding), limits)
    return ReadRequest(
        query=Get(key=key),
        encoding=encoding,
        options=parse_read_options(request),
        key_as_sent=request.text("key"),
    )


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
    return ReadRequest(query=query, encoding=encoding, options=parse_read_options(request))


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
        if the_one(one, ("Set", "Delete")) == "Set":
            operations.append(_parse_put(one.raw("Set"), f"{path}.Set", encoding, limits))
        else:
            operations.append(_parse_delete(one.raw("Delete"), f"{path}.Delete", encoding, limits))
    return check_batch(operations, limits, "Batch")


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
        text = None if request.encoding == "base64" else as_text(entry.value)
        if text is None:
            answer["encoding"] = "base64"
        answer["value"] = as_base64(entry.value) if text is None else text
    answer["revision"] = result.revision
    answer.update(bookkeeping(entry))
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
        entries.append(entry_json(entry, request.encoding, keys_only=query.keys_only))
    return {
        "entries": entries,
        "more": result.more or len(entries) < len(result.entries),
        "revision": result.revision,
        "leader": answered.leader_id or None,
    }
