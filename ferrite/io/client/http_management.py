"""The cluster's paths of the HTTP face, from the client's side."""

from __future__ import annotations

from typing import Any, Final

from ferrite.io.client.answers import EndpointStatus, Health, Member
from ferrite.io.client.request import (
    AddLearner,
    AskHealth,
    AskStatus,
    ChangeVoters,
    RemoveMember,
    TransferLeader,
)

CLUSTER_OPERATIONS: Final = (AddLearner, AskHealth, AskStatus, ChangeVoters, RemoveMember, TransferLeader)


def cluster_request(operation: object, timeout_ms: int) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body."""
    match operation:
        case AddLearner(node_id=node_id, addr=addr):
            return "POST", "/add-learner", {"node_id": node_id, "rpc_addr": addr, "timeout_ms": timeout_ms}
        case ChangeVoters(voters=voters):
            return "POST", "/change-membership", {"members": list(voters), "timeout_ms": timeout_ms}
        case RemoveMember(node_id=node_id):
            return "POST", "/remove-member", {"node_id": node_id, "timeout_ms": timeout_ms}
        case TransferLeader(target=target):
            return "POST", "/transfer-leader", {"node_id": target, "timeout_ms": timeout_ms}
        case AskHealth():
            return "GET", "/health", None
        case AskStatus():
            return "GET", "/metrics", None
        case other:
            raise TypeError(f"{type(other).__name__} is no operation on the cluster")


def cluster_result(
    operation: object, found: dict[str, Any], status: int, address: str
) -> EndpointStatus | Health | int:
    """What the answer says. Raises KeyError, TypeError or ValueError for what is no answer to it."""
    match operation:
        case TransferLeader():
            return int(found["leader"] or 0)
        case AskHealth():
            return Health(
                endpoint=f"http://{address}",
                healthy=status == 200,
                problems=tuple(found["problems"]),
                warnings=tuple(found["warnings"]),
            )
        case AskStatus():
            return _status(found, f"http://{address}")
        case _:
            return int(found["log_index"])


def _status(found: dict[str, Any], endpoint: str) -> EndpointStatus:
    return EndpointStatus(
        endpoint=endpoint,
        node_id=found["id"],
        node_name=found["name"],
        cluster_name=found["cluster"],
        cluster_id=found["cluster_id"],
        version=found["version"],
        role=found["state"],
        term=found["term"],
        leader_id=found["current_leader"] or 0,
        initialized=found["initialized"],
        last_log_index=found["last_log_index"],
        commit_index=found["commit_index"],
        applied_index=found["last_applied"],
        revision=found["revision"],
        compacted_revision=found["compacted_revision"],
        size_bytes=found["size_bytes"],
        no_space=found["no_space"],
        members=_members(found),
        counters=dict(found["counters"]),
    )


def _members(found: dict[str, Any]) -> tuple[Member, ...]:
    known = found["membership"]["members"]
    replication = found["replication"] or {}
    return tuple(
        Member(
            node_id=int(node_id),
            http_addr=member["http_addr"],
            grpc_addr=member["grpc_addr"],
            peer_addr=member["peer_addr"],
            instance=member["instance"],
            voter=member["voter"],
            leader=int(node_id) == found["current_leader"],
            lag=replication.get(node_id, {}).get("lag", -1),
            reachable=replication.get(node_id, {}).get("reachable", True),
        )
        for node_id, member in sorted(known.items(), key=lambda item: int(item[0]))
    )
