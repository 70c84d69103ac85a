"""The shapes of requests and answers, as JSON Schema 2020-12 (OpenAPI 3.1). The parsers enforce what stands here."""

from __future__ import annotations

from typing import Any, Final

from ferrite.io.config import NODE_ID_MAX, PEERS_MAX, LimitsConfig
from ferrite.io.http.checks import READINESS_CHECKS
from ferrite.io.http.options import TIMEOUT_MS_MAX
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.io.validation import CLIENT_ID_BYTES_MAX, INT_MAX, STALENESS_MS_MAX

Schema = dict[str, Any]
STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": INT_MAX}
NODE_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": NODE_ID_MAX}
LEADER: Final[Schema] = {"type": ["integer", "null"], "minimum": 1, "description": "Who led; null: unknown."}
ADDRESS: Final[Schema] = {"type": "string", "description": "host:port"}
ENCODING: Final[Schema] = {
    "type": "string",
    "enum": ["utf-8", "base64"],
    "default": "utf-8",
    "description": "How keys and values of the request are written. With base64 the answer is in base64, too.",
}
_OPTIONAL_ADDRESS: Final[Schema] = {"type": ["string", "null"]}
_ANSWER_ENCODING: Final[Schema] = {"const": "base64", "description": "There only when base64 is used."}
_BOOKKEEPING: Final[Schema] = {"create_revision": COUNT, "mod_revision": COUNT, "version": COUNT}


def ref(name: str) -> Schema:
    """Point to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(limits: LimitsConfig) -> dict[str, Schema]:
    """All named schemas of a node with these limits."""
    return {
        **_requests(limits),
        **_member_requests(),
        **_answers(),
        **_status_answers(),
        "Problem": _problem(),
    }


def closed(properties: Schema, required: tuple[str, ...] | None = None, **more: Any) -> Schema:
    """An object with these members only; all are required unless `required` names fewer."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
        "additionalProperties": False,
        **more,
    }


def _array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def _requests(limits: LimitsConfig) -> dict[str, Schema]:
    key = {"type": "string", "minLength": 1, "description": f"1 to {limits.key_bytes_max} bytes once decoded"}
    data = {"type": "string", "description": f"at most {limits.value_bytes_max} bytes once decoded"}
    timeout = {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MS_MAX}
    staleness = {
        "type": "integer",
        "minimum": 0,
        "maximum": STALENESS_MS_MAX,
        "description": "Refuse the read when the last word of a leader is older; 0: no bound. Serializable only.",
    }
    read_options = {
        "encoding": ENCODING,
        "consistency": {"enum": ["linearizable", "serializable"], "default": "linearizable"},
        "max_staleness_ms": staleness,
        "timeout_ms": timeout,
    }
    one = [{"required": ["Set"]}, {"required": ["Delete"]}]
    operations = {"Set": ref("Set"), "Delete": ref("Delete")}
    batch = _array(ref("BatchOperation"), minItems=1, maxItems=limits.batch_operations_max)
    session = {
        "client_id": {
            "type": "string",
            "minLength": 1,
            "description": f"With request_id: exactly-once retries. At most {CLIENT_ID_BYTES_MAX} bytes.",
        },
        "request_id": {
            "type": "integer",
            "minimum": 1,
            "maximum": INT_MAX,
            "description": "Grows by client.",
        },
        "lowest_unacknowledged": {
            **COUNT,
            "description": "The lowest request_id still without an answer; 0: unknown.",
        },
    }
    write = {**operations, "Batch": batch, "encoding": ENCODING, **session, "timeout_ms": timeout}
    return {
        "Set": closed({"key": key, "value": data}),
        "Delete": closed({"key": key}),
        "BatchOperation": closed(operations, (), oneOf=one),
        "WriteRequest": closed(
            write,
            (),
            oneOf=[*one, {"required": ["Batch"]}],
            dependentRequired={
                "client_id": ["request_id"],
                "request_id": ["client_id"],
                "lowest_unacknowledged": ["client_id"],
            },
        ),
        "ReadRequest": closed({"key": key, **read_options}, ("key",)),
        "ListRequest": closed(
            {
                "prefix": STRING,
                "limit": {"type": "integer", "minimum": 0, "maximum": limits.list_keys_max},
                "after": {**STRING, "description": "The last key of the page before; exclusive."},
                "keys_only": {**BOOLEAN, "default": True},
                **read_options,
            },
            (),
        ),
    }


def _member_requests() -> dict[str, Schema]:
    addresses = {
        "rpc_addr": {**ADDRESS, "description": "host:port for peers; any address of the node that answers."},
        "peer_addr": {**ADDRESS, "description": "Another name of rpc_addr."},
        "api_addr": {**ADDRESS, "description": "host:port of its HTTP face."},
        "http_addr": {**ADDRESS, "description": "Another name of api_addr."},
        "grpc_addr": ADDRESS,
    }
    timeout = {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MS_MAX}
    ids = _array(NODE_ID, minItems=1, maxItems=PEERS_MAX, uniqueItems=True)
    member = closed({"node_id": NODE_ID, **addresses, "voting": {**BOOLEAN, "default": True}}, ("node_id",))
    return {
        "MemberAddress": member,
        "InitRequest": {
            "oneOf": [{"type": "null"}, _array(ref("MemberAddress"), minItems=1, maxItems=PEERS_MAX)]
        },
        "AddLearnerRequest": closed(
            {"node_id": NODE_ID, **addresses, "timeout_ms": timeout},
            ("node_id",),
            anyOf=[{"required": [name]} for name in addresses],
        ),
        "ChangeMembershipRequest": {
            "oneOf": [ids, closed({"members": ids, "timeout_ms": timeout}, ("members",))]
        },
        "TransferLeaderRequest": {
            "oneOf": [
                {"type": "null"},
                closed({"node_id": {**NODE_ID, "minimum": 0}, "timeout_ms": timeout}, ()),
            ]
        },
    }


def _answers() -> dict[str, Schema]:
    entry = {"key": STRING, "value": STRING, "encoding": _ANSWER_ENCODING, **_BOOKKEEPING}
    existed = {
        "oneOf": [BOOLEAN, _array(BOOLEAN)],
        "description": "Delete: one flag; Batch: one per operation.",
    }
    read = {
        "key": {**STRING, "description": "As it was sent."},
        "value": {"type": ["string", "null"], "description": "null: there is no such key."},
        "encoding": {"const": "base64", "description": "There when value is written in base64."},
        "revision": COUNT,
        **_BOOKKEEPING,
        "leader": LEADER,
    }
    members = _map_of(
        closed(
            {
                "http_addr": STRING,
                "grpc_addr": STRING,
                "peer_addr": STRING,
                "instance": STRING,
                "voter": BOOLEAN,
            }
        )
    )
    return {
        "WriteAnswer": closed(
            {"revision": COUNT, "existed": existed, "leader": LEADER}, ("revision", "leader")
        ),
        "ReadAnswer": closed(read, tuple(name for name in read if name != "encoding")),
        "ListEntry": closed(entry, ("key", *_BOOKKEEPING)),
        "ListAnswer": closed(
            {"entries": _array(ref("ListEntry")), "more": BOOLEAN, "revision": COUNT, "leader": LEADER}
        ),
        "Membership": closed(
            {
                "voters": _array(NODE_ID),
                "outgoing": _array(NODE_ID),
                "learners": _array(NODE_ID),
                "members": members,
            }
        ),
        "InitAnswer": closed(
            {
                "initialized": BOOLEAN,
                "cluster_id": STRING,
                "leader": LEADER,
                "term": COUNT,
                "membership": ref("Membership"),
            }
        ),
        "AddLearnerAnswer": closed({"node_id": NODE_ID, "log_index": COUNT}),
        "ChangeMembershipAnswer": closed({"voters": _array(NODE_ID), "log_index": COUNT}),
        "TransferLeaderAnswer": closed({"leader": LEADER}),
    }


def _status_answers() -> dict[str, Schema]:
    texts = _array(STRING)
    verdict = {"enum": ["ok", "failed"]}
    peer = closed(
        {
            "match_index": {"type": "integer"},
            "lag": {"type": "integer"},
            "state": STRING,
            "reachable": BOOLEAN,
        }
    )
    who = {"name": STRING, "cluster": STRING, "version": STRING, "term": COUNT, "initialized": BOOLEAN}
    lists = {"problems": texts, "warnings": texts, "shutting_down": BOOLEAN}
    numbers = (
        "last_log_index", "first_log_index", "persisted_index", "commit_index", "last_applied", "flushed_index",
        "revision", "pending_requests", "boot",
    )  # fmt: skip
    return {
        "Health": closed(
            {
                **who,
                **lists,
                "status": {"enum": ["healthy", "unhealthy"]},
                "description": STRING,
                "node_id": NODE_ID,
                "role": STRING,
                "leader": LEADER,
                "commit_index": COUNT,
                "applied_index": COUNT,
                "applied_lag": COUNT,
                "revision": COUNT,
                "disk": verdict,
                "checks": closed(dict.fromkeys(READINESS_CHECKS, verdict)),
            }
        ),
        "Metrics": closed(
            {
                **who,
                **lists,
                **dict.fromkeys(numbers, COUNT),
                "id": NODE_ID,
                "cluster_id": STRING,
                "instance": STRING,
                "state": {**STRING, "description": "follower, pre-candidate, candidate, leader or learner"},
                "current_leader": LEADER,
                "leader_last_heard_ms": {"type": "integer"},
                "membership": ref("Membership"),
                "replication": {
                    "oneOf": [{"type": "null"}, _map_of(peer)],
                    "description": "null unless it leads.",
                },
                "counters": _map_of({"type": "integer"}),
            }
        ),
        "IsLeader": closed({"is_leader": BOOLEAN}),
        "Leader": closed(
            {"leader": LEADER, "http_addr": _OPTIONAL_ADDRESS, "grpc_addr": _OPTIONAL_ADDRESS, "term": COUNT}
        ),
        "Identity": closed(
            {
                "node_id": NODE_ID,
                **dict.fromkeys(
                    ("instance", "cluster_id", "http_addr", "grpc_addr", "peer_addr", "version"), STRING
                ),
            }
        ),
        "Index": closed({"name": STRING, "version": STRING, "paths": texts}),
    }


def _problem() -> Schema:
    """RFC 9457, with our members. Further members depend on the code."""
    leader = closed({"id": NODE_ID, "http_addr": STRING, "grpc_addr": STRING})
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": STRING,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": STRING,
            "code": {"enum": list(PROBLEM_KINDS), "description": "Stable."},
            "certainly_not_applied": {
                **BOOLEAN,
                "description": "true: nothing was or will be changed by it. false: unknown; read, or retry in the same session.",
            },
            "leader": {"oneOf": [{"type": "null"}, leader]},
            "field": STRING,
            "given": STRING,
            "expected": STRING,
        },
        "required": ["type", "title", "status", "detail", "code", "certainly_not_applied"],
        "additionalProperties": False,
    }
