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
TIMEOUT_MS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MS_MAX}
READ_OPTIONS: Final[Schema] = {
    "consistency": {"enum": ["linearizable", "serializable"], "default": "linearizable"},
    "max_staleness_ms": {
        "type": "integer",
        "minimum": 0,
        "maximum": STALENESS_MS_MAX,
        "description": "Refuse the read when the last word of a leader is older; 0: no bound. Serializable only.",
    },
    "timeout_ms": TIMEOUT_MS,
}
SESSION: Final[Schema] = {
    "client_id": {
        "type": "string",
        "minLength": 1,
        "description": f"With request_id: exactly-once retries. At most {CLIENT_ID_BYTES_MAX} bytes.",
    },
    "request_id": {"type": "integer", "minimum": 1, "maximum": INT_MAX, "description": "Grows by client."},
    "lowest_unacknowledged": {
        **COUNT,
        "description": "The lowest request_id still without an answer; 0: unknown.",
    },
}
SESSION_NEEDS: Final[Schema] = {
    "client_id": ["request_id"],
    "request_id": ["client_id"],
    "lowest_unacknowledged": ["client_id"],
}
_STORE: Final[Schema] = {
    **dict.fromkeys(("compacted_revision", "size_bytes", "lease_count", "watchers"), COUNT),
    "no_space": {
        **BOOLEAN,
        "description": "The space quota is exceeded: nothing is added until space is free.",
    },
}
_OPTIONAL_ADDRESS: Final[Schema] = {"type": ["string", "null"]}
ANSWER_ENCODING: Final[Schema] = {"const": "base64", "description": "There only when base64 is used."}
BOOKKEEPING: Final[Schema] = {"create_revision": COUNT, "mod_revision": COUNT, "version": COUNT}


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


def array(items: Schema, **more: Any) -> Schema:
    """An array of these."""
    return {"type": "array", "items": items, **more}


def _map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def _requests(limits: LimitsConfig) -> dict[str, Schema]:
    key = {"type": "string", "minLength": 1, "description": f"1 to {limits.key_bytes_max} bytes once decoded"}
    data = {"type": "string", "description": f"at most {limits.value_bytes_max} bytes once decoded"}
    read_options = {"encoding": ENCODING, **READ_OPTIONS}
    one = [{"required": ["Set"]}, {"required": ["Delete"]}]
    operations = {"Set": ref("Set"), "Delete": ref("Delete")}
    batch = array(ref("BatchOperation"), minItems=1, maxItems=limits.batch_operations_max)
    write = {**operations, "Batch": batch, "encoding": ENCODING, **SESSION, "timeout_ms": TIMEOUT_MS}
    return {
        "Set": closed({"key": key, "value": data}),
        "Delete": closed({"key": key}),
        "BatchOperation": closed(operations, (), oneOf=one),
        "WriteRequest": closed(
            write,
            (),
            oneOf=[*one, {"required": ["Batch"]}],
            dependentRequired=SESSION_NEEDS,
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
    ids = array(NODE_ID, minItems=1, maxItems=PEERS_MAX, uniqueItems=True)
    member = closed({"node_id": NODE_ID, **addresses, "voting": {**BOOLEAN, "default": True}}, ("node_id",))
    return {
        "MemberAddress": member,
        "InitRequest": {
            "oneOf": [{"type": "null"}, array(ref("MemberAddress"), minItems=1, maxItems=PEERS_MAX)]
        },
        "AddLearnerRequest": closed(
            {"node_id": NODE_ID, **addresses, "timeout_ms": TIMEOUT_MS},
            ("node_id",),
            anyOf=[{"required": [name]} for name in addresses],
        ),
        "ChangeMembershipRequest": {
            "oneOf": [ids, closed({"members": ids, "timeout_ms": TIMEOUT_MS}, ("members",))]
        },
        "RemoveMemberRequest": closed({"node_id": NODE_ID, "timeout_ms": TIMEOUT_MS}, ("node_id",)),
        "TransferLeaderRequest": {
            "oneOf": [
                {"type": "null"},
                closed({"node_id": {**NODE_ID, "minimum": 0}, "timeout_ms": TIMEOUT_MS}, ()),
            ]
        },
    }


def _answers() -> dict[str, Schema]:
    entry = {"key": STRING, "value": STRING, "encoding": ANSWER_ENCODING, **BOOKKEEPING}
    existed = {
        "oneOf": [BOOLEAN, array(BOOLEAN)],
        "description": "Delete: one flag; Batch: one per operation.",
    }
    read = {
        "key": {**STRING, "description": "As it was sent."},
        "value": {"type": ["string", "null"], "description": "null: there is no such key."},
        "encoding": {"const": "base64", "description": "There when value is written in base64."},
        "revision": COUNT,
        **BOOKKEEPING,
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
        "ListEntry": closed(entry, ("key", *BOOKKEEPING)),
        "ListAnswer": closed(
            {"entries": array(ref("ListEntry")), "more": BOOLEAN, "revision": COUNT, "leader": LEADER}
        ),
        "Membership": closed(
            {
                "voters": array(NODE_ID),
                "outgoing": array(NODE_ID),
                "learners": array(NODE_ID),
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
        "ChangeMembershipAnswer": closed({"voters": array(NODE_ID), "log_index": COUNT}),
        "TransferLeaderAnswer": closed({"leader": LEADER}),
    }


def _status_answers() -> dict[str, Schema]:
    texts = array(STRING)
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
                **_STORE,
                "disk": verdict,
                "checks": closed(dict.fromkeys(READINESS_CHECKS, verdict)),
            }
        ),
        "Metrics": closed(
            {
                **who,
                **lists,
                **dict.fromkeys(numbers, COUNT),
                **_STORE,
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
            "revision": {**COUNT, "description": "The store's, where the machine said no."},
            "oldest_revision": {**COUNT, "description": "Of compacted: the oldest that can be read."},
            "field": STRING,
            "given": STRING,
            "expected": STRING,
        },
        "required": ["type", "title", "status", "detail", "code", "certainly_not_applied"],
        "additionalProperties": False,
    }
