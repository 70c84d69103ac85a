"""Every route as the OpenAPI document describes it: the table from which `openapi` makes the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.http.checks import LIVENESS_CHECKS, READINESS_CHECKS

DOOR: Final = (
    "malformed_http", "wrong_host", "headers_too_large", "request_timeout", "internal", "too_many_connections",
)  # fmt: skip
_BODY: Final = ("invalid", "cross_origin", "too_large", "unsupported_media_type", "expectation_failed")
_CLUSTER: Final = ("not_leader", "overloaded", "shutting_down", "not_initialized", "storage_failed")
_WRITE: Final = (
    "unknown_outcome", "malformed", "unsupported_version", "session_expired", "request_forgotten", "request_mismatch",
    "reply_too_large",
)  # fmt: skip
_HISTORY: Final = ("compacted", "future_revision")
_READ: Final = ("no_quorum", "too_stale")
_CHANGE: Final = (
    "unknown_outcome", "change_in_progress", "would_lose_quorum", "unknown_member", "not_caught_up", "invalid_change",
    "retired_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One documented route. `problems` come on top of what every route may answer; `name` is "" for the path's own."""

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
    name: str = ""


_SET_EXAMPLE: Final = {"Set": {"key": "mykey", "value": "myvalue"}}
_LEARNER_EXAMPLE: Final = {"node_id": 2, "rpc_addr": "127.0.0.1:9002", "api_addr": "127.0.0.1:8002"}
_TXN_EXAMPLE: Final = {
    "compares": [{"key": "k", "target": "version", "result": "equal", "operand": 0}],
    "success": [{"put": {"key": "k", "value": "first"}}],
    "failure": [{"range": {"key": "k"}}],
}
_PROBE_QUERY: Final = ("verbose", "exclude")
TEXT: Final = "text"
PROMETHEUS: Final = "prometheus"
STREAM: Final = "stream"
FILE: Final = "file"

OPERATIONS: Final = (
    Documented(
        method="post", path="/write", summary="Set, delete, or several of them at one revision.", request="WriteRequest",
        answer="WriteAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE, "no_space"), example=_SET_EXAMPLE,
    ),
    Documented(
        method="post", path="/read", summary="Read a key; linearizable unless asked otherwise.", request="ReadRequest",
        answer="ReadAnswer", problems=(*_BODY, *_CLUSTER, *_READ), example={"key": "mykey"},
    ),
    Documented(
        method="post", path="/list", summary="List keys with a prefix, page by page.", request="ListRequest",
        body_required=False, answer="ListAnswer", problems=(*_BODY, *_CLUSTER, *_READ),
        example={"prefix": "my", "limit": 100},
    ),
    Documented(
        method="post", path="/kv/put", summary="Set a key, with everything that etcd's put has.", request="PutRequest",
        answer="PutAnswer", example={"key": "k", "value": "v", "lease": "7587", "prev_kv": True},
        problems=(*_BODY, *_CLUSTER, *_WRITE, "no_space", "key_not_found", "lease_not_found"),
    ),
    Documented(
        method="post", path="/kv/range", summary="Read a range of keys, now or at a revision.", request="RangeRequest",
        answer="RangeAnswer", problems=(*_BODY, *_CLUSTER, *_READ, *_HISTORY),
        example={"prefix": "user/", "limit": 100, "sort_target": "mod", "sort_order": "descend"},
    ),
    Documented(
        method="post", path="/kv/delete", summary="Delete a range of keys at one revision.", request="DeleteRangeRequest",
        answer="DeleteRangeAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE), example={"prefix": "user/", "prev_kv": True},
    ),
    Documented(
        method="post", path="/kv/txn", summary="If all compares hold, one list of operations, else the other; atomically.",
        request="TxnRequest", answer="TxnAnswer", example=_TXN_EXAMPLE,
        problems=(
            *_BODY, *_CLUSTER, *_WRITE, *_READ, *_HISTORY, "no_space", "key_not_found", "lease_not_found", "duplicate_key",
        ),
    ),
    Documented(
        method="post", path="/kv/compact", summary="Forget the history below a revision.", request="CompactRequest",
        answer="CompactAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE, *_HISTORY), example={"revision": 12},
    ),
    Documented(
        method="post", path="/lease/grant", summary="Make a lease.", request="LeaseGrantRequest", answer="LeaseGrantAnswer",
        problems=(*_BODY, *_CLUSTER, *_WRITE, "lease_exists", "no_space"), example={"ttl_s": 60},
    ),
    Documented(
        method="post", path="/lease/revoke", summary="End a lease; its keys vanish at one revision.",
        request="LeaseRevokeRequest", answer="LeaseRevokeAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE, "lease_not_found"),
        example={"lease_id": "7587"},
    ),
    Documented(
        method="post", path="/lease/keep-alive", summary="Give leases their whole time again; the TTL of one that is gone is 0.",
        request="LeaseKeepAliveRequest", answer="LeaseKeepAliveAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE),
        example={"lease_ids": ["7587"]},
    ),
    Documented(
        method="post", path="/lease/time-to-live", summary="A lease's remaining time, and its keys.",
        request="LeaseTimeToLiveRequest", answer="LeaseTimeToLiveAnswer", problems=(*_BODY, *_CLUSTER, *_WRITE),
        example={"lease_id": "7587", "with_keys": True},
    ),
    Documented(
        method="get", path="/lease/list", summary="All leases, page by page.", answer="LeaseListAnswer",
        problems=(*_CLUSTER, *_READ), query=("after", "consistency", "max_staleness_ms", "timeout_ms"),
    ),
    Documented(
        method="post", path="/watch", summary="The changes of a range from a revision on, as JSON lines or server-sent events.",
        request="WatchRequest", answer=STREAM, problems=(*_BODY, *_CLUSTER, "compacted"),
        example={"prefix": "user/", "start_revision": 8, "prev_kv": True},
    ),
    Documented(
        method="get", path="/watch", name="watch_by_url", answer=STREAM, problems=(*_CLUSTER, "compacted"),
        summary="The same for browsers: EventSource resumes it by itself, with Last-Event-ID.",
        query=(
            "key", "range_end", "prefix", "from_key", "start_revision", "prev_kv", "no_puts", "no_deletes", "progress",
            "encoding",
        ),
    ),
    Documented(
        method="post", path="/init", summary="Make a new cluster, once. Without a body: of the configured peers.",
        request="InitRequest", body_required=False, answer="InitAnswer",
        problems=(*_BODY, *_CLUSTER, *_CHANGE, "already_initialized"), example=None,
    ),
    Documented(
        method="post", path="/add-learner", summary="Add a node that follows without a vote, and wait until it does.",
        request="AddLearnerRequest", answer="AddLearnerAnswer", problems=(*_BODY, *_CLUSTER, *_CHANGE),
        example=_LEARNER_EXAMPLE,
    ),
    Documented(
        method="post", path="/change-membership", summary="Make exactly these the voters (joint consensus).",
        request="ChangeMembershipRequest", answer="ChangeMembershipAnswer", problems=(*_BODY, *_CLUSTER, *_CHANGE),
        example=[1, 2, 3],
    ),
    Documented(
        method="post", path="/remove-member", summary="Take a node out of the cluster. Its id is never used again.",
        request="RemoveMemberRequest", answer="AddLearnerAnswer", problems=(*_BODY, *_CLUSTER, *_CHANGE),
        example={"node_id": 3},
    ),
    Documented(
        method="post", path="/transfer-leader", summary="Hand leadership to a voter (0: the best one).",
        request="TransferLeaderRequest", body_required=False, answer="TransferLeaderAnswer",
        problems=(*_BODY, *_CLUSTER, *_CHANGE, "transfer_failed"), example={"node_id": 0},
    ),
    Documented(
        method="get", path="/backup", summary="A copy of the store as of one moment: a file that verifies itself.",
        answer=FILE, problems=(*_CLUSTER, *_READ), query=("consistency", "timeout_ms"),
    ),
    Documented(method="get", path="/", summary="What is served here.", answer="Index"),
    Documented(
        method="get", path="/health", summary="The node's real state; 503 when anything is wrong.", answer="Health",
        also_unhealthy=True,
    ),
    Documented(
        method="get", path="/livez", summary="Is the process alive? Depends on nothing else.", answer=TEXT,
        also_unhealthy=True, query=_PROBE_QUERY,
    ),
    Documented(
        method="get", path="/livez/{check}", summary="One check of /livez.", answer=TEXT, also_unhealthy=True,
        checks=LIVENESS_CHECKS, query=("verbose",),
    ),
    Documented(
        method="get", path="/readyz", summary="May clients be sent here?", answer=TEXT, also_unhealthy=True,
        query=_PROBE_QUERY,
    ),
    Documented(
        method="get", path="/readyz/{check}", summary="One check of /readyz.", answer=TEXT, also_unhealthy=True,
        checks=READINESS_CHECKS, query=("verbose",),
    ),
    Documented(
        method="get", path="/metrics", answer="Metrics",
        summary="Everything the node knows of itself; in Prometheus' format when Accept asks for it.",
    ),
    Documented(method="get", path="/metrics/prometheus", summary="Metrics in Prometheus' format.", answer=PROMETHEUS),
    Documented(method="get", path="/is-leader", summary="Does this node lead?", answer="IsLeader"),
    Documented(method="get", path="/leader", summary="Who leads, and where; null when unknown.", answer="Leader"),
    Documented(method="get", path="/identity", summary="Who this node is.", answer="Identity"),
    Documented(method="get", path="/openapi.json", summary="This document.", answer="object"),
)  # fmt: skip
