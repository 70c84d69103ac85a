"""The OpenAPI 3.1 document of /openapi.json. A test holds it against the running server."""

from __future__ import annotations

from typing import Any, Final

from ferrite.io.config import LimitsConfig
from ferrite.io.http.backup_stream import OCTET_STREAM
from ferrite.io.http.exchange import JSON, PROBLEM_JSON
from ferrite.io.http.openapi_kv_schemas import LEASE_ID, kv_schemas
from ferrite.io.http.openapi_operations import DOOR, FILE, OPERATIONS, PROMETHEUS, STREAM, TEXT, Documented
from ferrite.io.http.openapi_schemas import BOOLEAN, COUNT, ENCODING, STRING, TIMEOUT_MS, Schema, ref, schemas
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.io.http.watch_json import EVENT_STREAM, NDJSON

_QUERY_SCHEMAS: Final[dict[str, Schema]] = {
    "after": {**LEASE_ID, "description": "Only ids greater than this one: the last one of the page before."},
    "consistency": {"enum": ["linearizable", "serializable"], "default": "linearizable"},
    "encoding": ENCODING,
    "exclude": {"type": "array", "items": STRING},
    "from_key": BOOLEAN,
    "max_staleness_ms": COUNT,
    "no_deletes": BOOLEAN,
    "no_puts": BOOLEAN,
    "prev_kv": BOOLEAN,
    "progress": BOOLEAN,
    "start_revision": COUNT,
    "timeout_ms": TIMEOUT_MS,
}  # the others are strings
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": STRING,
    "description": "The id of the last event seen: the watch goes on behind it, whatever start_revision says.",
}
_QUERY_TEXTS: Final = {"verbose": "Show each check.", "exclude": "Leave out these checks."}


def openapi_document(version: str, limits: LimitsConfig) -> dict[str, Any]:
    """Return the document for a node of this version with these limits."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ferrite",
            "version": version,
            "description": "A distributed, strongly consistent key-value store. Errors are application/problem+json: a time-out "
            "(`unknown_outcome`) means unknown, a refusal means certainly not applied. GET also answers HEAD. "
            "A lease's id is a string of decimal digits in answers; requests take that or a number. A `range_end` means what "
            "it means in etcd; `prefix` instead of `key`, or `from_key` beside it, says the same more easily.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths,
        "components": {"schemas": {**schemas(limits), **kv_schemas(limits)}},
    }


def _operation(operation: Documented) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name or _name_of(operation.path),
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if operation.request:
        content: dict[str, Any] = {"schema": ref(operation.request)}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": operation.body_required, "content": {JSON: content}}
    parameters = [_query_parameter(name) for name in operation.query]
    if operation.answer == STREAM:
        parameters.append(_LAST_EVENT_ID)
    if operation.checks:
        schema = {"type": "string", "enum": list(operation.checks)}
        parameters.insert(0, {"name": "check", "in": "path", "required": True, "schema": schema})
    if parameters:
        described["parameters"] = parameters
    return described


def _name_of(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("-", "_").replace("{check}", "check") or "index"


def _query_parameter(name: str) -> dict[str, Any]:
    schema = _QUERY_SCHEMAS.get(name, STRING)
    described: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    if schema.get("type") == "array":
        described["explode"] = True
    if name == "verbose" or schema is BOOLEAN:
        described["allowEmptyValue"] = True
    if name in _QUERY_TEXTS:
        described["description"] = _QUERY_TEXTS[name]
    return described


def _responses(operation: Documented) -> dict[str, Any]:
    content = _content(operation.answer)
    if operation.path == "/metrics":
        content.update(_content(PROMETHEUS))
    responses: dict[str, Any] = {
        "200": {"description": "Done" if operation.request else "Here", "content": content}
    }
    for status, codes in sorted(_codes_by_status(operation).items()):
        described = "; ".join(f"`{code}`: {PROBLEM_KINDS[code].title}" for code in codes)
        responses[str(status)] = {
            "description": described,
            "content": {PROBLEM_JSON: {"schema": ref("Problem")}},
        }
        if any(PROBLEM_KINDS[code].retry_after_s for code in codes):
            responses[str(status)]["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds, where waiting helps."}
            }
    if operation.also_unhealthy:
        responses["503"]["description"] += "; or: the checks failed"
        responses["503"]["content"].update(_content(operation.answer))
    return responses


def _codes_by_status(operation: Documented) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    methods = ("method_not_allowed", "invalid")
    paths = ("not_found",) if operation.checks else ()
    for code in dict.fromkeys((*operation.problems, *DOOR, *methods, *paths)):
        found.setdefault(PROBLEM_KINDS[code].status, []).append(code)
    return found


def _content(answer: str) -> dict[str, Any]:
    if answer == TEXT:
        return {"text/plain": {"schema": STRING}}
    if answer == PROMETHEUS:
        return {"text/plain": {"schema": STRING}, "application/openmetrics-text": {"schema": STRING}}
    if answer == STREAM:
        return {NDJSON: {"schema": ref("WatchLine")}, EVENT_STREAM: {"schema": STRING}}
    if answer == FILE:
        return {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}}
    schema: Schema = {"type": "object"} if answer == "object" else ref(answer)
    return {JSON: {"schema": schema}}
