"""The OpenAPI 3.1 document of /openapi.json. A test holds it against the running server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.config import LimitsConfig
from ferrite.io.http.checks import LIVENESS_CHECKS, READINESS_CHECKS
from ferrite.io.http.exchange import JSON, PROBLEM_JSON
from ferrite.io.http.openapi_schemas import STRING, Schema, ref, schemas
from ferrite.io.http.problems import PROBLEM_KINDS

_DOOR: Final = (
    "malformed_http", "wrong_host", "headers_too_large", "request_timeout", "internal", "too_many_connections",
)  # fmt: skip
_BODY: Final = ("invalid", "cross_origin", "too_large", "unsupported_media_type", "expectation_failed")
_CLUSTER: Final = ("not_leader", "overloaded", "shutting_down", "not_initialized", "storage_failed")
_WRITE: Final = (
    "unknown_outcome", "malformed", "unsupported_version", "session_expired", "request_forgotten", "request_mismatch",
)  # fmt: skip
_READ: Final = ("no_quorum", "too_stale")
_CHANGE: Final = (
    "unknown_outcome", "change_in_progress", "would_lose_quorum", "unknown_member", "not_caught_up", "invalid_change",
    "retired_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One documented route. `problems` come on top of what every route may answer."""

    method: str
    path: str
    summary: str
    answer: str
    request: str = ""
    body_required: bool = True
    problems: tuple[str, ...] = ()
    also_unhealthy: bool = False
    checks: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    example: Any = None


_SET_EXAMPLE: Final = {"Set": {"key": "mykey", "value": "myvalue"}}
_LEARNER_EXAMPLE: Final = {"node_id": 2, "rpc_addr": "127.0.0.1:9002", "api_addr": "127.0.0.1:8002"}
_PROBE_QUERY: Final = ("verbose", "exclude")
_TEXT: Final = "text"
_PROMETHEUS: Final = "prometheus"

_OPERATIONS: Final = (
    _Operation(
        method="post", path="/write", summary="Set, delete, or several of them at one revision.", request="WriteRequest",
        answer="WriteAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE), example=_SET_EXAMPLE,
    ),
    _Operation(
        method="post", path="/read", summary="Read a key; linearizable unless asked otherwise.", request="ReadRequest",
        answer="ReadAnswer", problems=(*_BODY, *_CLUSTER, *_READ), example={"key": "mykey"},
    ),
    _Operation(
        method="post", path="/list", summary="List keys with a prefix, page by page.", request="ListRequest",
        body_required=False, answer="ListAnswer", problems=(*_BODY, *_CLUSTER, *_READ),
        example={"prefix": "my", "limit": 100},
    ),
    _Operation(
        method="post", path="/init", summary="Make a new cluster, once. Without a body: of the configured peers.",
        request="InitRequest", body_required=False, answer="InitAnswer",
        problems=(*_BODY, *_CLUSTER, *_CHANGE, "already_initialized"), example=None,
    ),
    _Operation(
        method="post", path="/add-learner", summary="Add a node that follows without a vote, and wait until it does.",
        request="AddLearnerRequest", answer="AddLearnerAnswer", problems=(*_BODY, *_CLUSTER, *_CHANGE),
        example=_LEARNER_EXAMPLE,
    ),
    _Operation(
        method="post", path="/change-membership", summary="Make exactly these the voters (joint consensus).",
        request="ChangeMembershipRequest", answer="ChangeMembershipAnswer", problems=(*_BODY, *_CLUSTER, *_CHANGE),
        example=[1, 2, 3],
    ),
    _Operation(
        method="post", path="/transfer-leader", summary="Hand leadership to a voter (0: the best one).",
        request="TransferLeaderRequest", body_required=False, answer="TransferLeaderAnswer",
        problems=(*_BODY, *_CLUSTER, *_CHANGE, "transfer_failed"), example={"node_id": 0},
    ),
    _Operation(method="get", path="/", summary="What is served here.", answer="Index"),
    _Operation(
        method="get", path="/health", summary="The node's real state; 503 when anything is wrong.", answer="Health",
        also_unhealthy=True,
    ),
    _Operation(
        method="get", path="/livez", summary="Is the process alive? Depends on nothing else.", answer=_TEXT,
        also_unhealthy=True, query=_PROBE_QUERY,
    ),
    _Operation(
        method="get", path="/livez/{check}", summary="One check of /livez.", answer=_TEXT, also_unhealthy=True,
        checks=LIVENESS_CHECKS, query=("verbose",),
    ),
    _Operation(
        method="get", path="/readyz", summary="May clients be sent here?", answer=_TEXT, also_unhealthy=True,
        query=_PROBE_QUERY,
    ),
    _Operation(
        method="get", path="/readyz/{check}", summary="One check of /readyz.", answer=_TEXT, also_unhealthy=True,
        checks=READINESS_CHECKS, query=("verbose",),
    ),
    _Operation(
        method="get", path="/metrics", answer="Metrics",
        summary="Everything the node knows of itself; in Prometheus' format when Accept asks for it.",
    ),
    _Operation(method="get", path="/metrics/prometheus", summary="Metrics in Prometheus' format.", answer=_PROMETHEUS),
    _Operation(method="get", path="/is-leader", summary="Does this node lead?", answer="IsLeader"),
    _Operation(method="get", path="/leader", summary="Who leads, and where; null when unknown.", answer="Leader"),
    _Operation(method="get", path="/identity", summary="Who this node is.", answer="Identity"),
    _Operation(method="get", path="/openapi.json", summary="This document.", answer="object"),
)  # fmt: skip


def openapi_document(version: str, limits: LimitsConfig) -> dict[str, Any]:
    """Return the document for a node of this version with these limits."""
    paths: dict[str, Any] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ferrite",
            "version": version,
            "description": "A distributed, strongly consistent key-value store. Errors are application/problem+json: a time-out "
            "(`unknown_outcome`) means unknown, a refusal means certainly not applied. GET also answers HEAD.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths,
        "components": {"schemas": schemas(limits)},
    }


def _operation(operation: _Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.path.strip("/")
        .replace("/", "_")
        .replace("-", "_")
        .replace("{check}", "check")
        or "index",
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if operation.request:
        content: dict[str, Any] = {"schema": ref(operation.request)}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": operation.body_required, "content": {JSON: content}}
    parameters = [_query_parameter(name) for name in operation.query]
    if operation.checks:
        schema = {"type": "string", "enum": list(operation.checks)}
        parameters.insert(0, {"name": "check", "in": "path", "required": True, "schema": schema})
    if parameters:
        described["parameters"] = parameters
    return described


def _query_parameter(name: str) -> dict[str, Any]:
    if name == "verbose":
        return {
            "name": name,
            "in": "query",
            "allowEmptyValue": True,
            "schema": STRING,
            "description": "Show each check.",
        }
    schema = {"type": "array", "items": STRING}
    return {
        "name": name,
        "in": "query",
        "schema": schema,
        "explode": True,
        "description": "Leave out these checks.",
    }


def _responses(operation: _Operation) -> dict[str, Any]:
    content = _content(operation.answer)
    if operation.path == "/metrics":
        content.update(_content(_PROMETHEUS))
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


def _codes_by_status(operation: _Operation) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    methods = ("method_not_allowed", "invalid")
    paths = ("not_found",) if operation.checks else ()
    for code in dict.fromkeys((*operation.problems, *_DOOR, *methods, *paths)):
        found.setdefault(PROBLEM_KINDS[code].status, []).append(code)
    return found


def _content(answer: str) -> dict[str, Any]:
    if answer == _TEXT:
        return {"text/plain": {"schema": STRING}}
    if answer == _PROMETHEUS:
        return {"text/plain": {"schema": STRING}, "application/openmetrics-text": {"schema": STRING}}
    schema: Schema = {"type": "object"} if answer == "object" else ref(answer)
    return {JSON: {"schema": schema}}
