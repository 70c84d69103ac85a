"""Cluster and membership in JSON: requests to the request path's words, a node's status to answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.config import NODE_ID_MAX, PEERS_MAX
from ferrite.io.http.fields import JsonObject, describe
from ferrite.io.http.options import parse_timeout
from ferrite.io.request_path import MemberAddress, MemberStatus, NodeStatus
from ferrite.io.validation import Invalid, check_address, check_node_id, check_voters

_ADDRESS_FIELDS: Final = ("rpc_addr", "api_addr", "peer_addr", "http_addr", "grpc_addr")
_MEMBER_FIELDS: Final = ("node_id", *_ADDRESS_FIELDS, "voting")
_MEMBER_EXAMPLE: Final = '{"node_id":1,"rpc_addr":"127.0.0.1:9001","api_addr":"127.0.0.1:8001"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLearnerRequest:
    """What /add-learner asks for."""

    member: MemberAddress
    timeout_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMembershipRequest:
    """What /change-membership asks for: exactly these voters."""

    voters: tuple[int, ...]
    timeout_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """What /transfer-leader (target 0: the best voter) and /remove-member ask for."""

    target: int
    timeout_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this node is, for whoever asks before it is a member. Ids in hex; `cluster_id` is empty before /init."""

    node_id: int
    instance: str
    cluster_id: str
    http_addr: str
    grpc_addr: str
    peer_addr: str
    version: str


def parse_init(given: Any) -> tuple[MemberAddress, ...] | None:
    """The first members; None (nothing, or null): the configured ones. Raises `Invalid`."""
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        what = describe(given) if not isinstance(given, list) else "an array of something else"
        raise Invalid("body", what, f"nothing, null, or an array of member objects such as {_MEMBER_EXAMPLE}")
    if not 1 <= len(given) <= PEERS_MAX:
        raise Invalid(
            "body", f"{len(given)} members", f"1 to {PEERS_MAX} members, or nothing for the configured ones"
        )
    members = tuple(
        _parse_member(JsonObject(item, f"[{position}]", _MEMBER_FIELDS), needs_address=False)
        for position, item in enumerate(given)
    )
    check_voters([member.node_id for member in members], "node_id")
    if not any(member.voting for member in members):
        raise Invalid("voting", "no member votes", "one voter at least")
    return members


def parse_add_learner(given: Any) -> AddLearnerRequest:
    """The new member and one address of it at least. Raises `Invalid`."""
    fields = ("node_id", *_ADDRESS_FIELDS, "timeout_ms")
    request = JsonObject(given, "", fields)
    return AddLearnerRequest(
        member=_parse_member(request, needs_address=True), timeout_ms=parse_timeout(request)
    )


def parse_change_membership(given: Any) -> ChangeMembershipRequest:
    """A plain array of ids, or {"members":[...]}. Raises `Invalid`."""
    timeout_ms = None
    ids, field = given, "members"
    if isinstance(given, dict):
        request = JsonObject(given, "", ("members", "timeout_ms"))
        ids, timeout_ms = request.raw("members"), parse_timeout(request)
    if not isinstance(ids, list):
        raise Invalid(field, describe(ids), "an array of node ids such as [1,2,3]")
    for position, node_id in enumerate(ids):
        if type(node_id) is not int:
            raise Invalid(f"{field}[{position}]", describe(node_id), f"an integer from 1 to {NODE_ID_MAX}")
    return ChangeMembershipRequest(voters=check_voters(ids, field), timeout_ms=timeout_ms)


def parse_transfer_leader(given: Any) -> NodeRequest:
    """Nothing, null, {} or {"node_id":0}: the best voter; else that one. Raises `Invalid`."""
    request = JsonObject({} if given is None else given, "", ("node_id", "timeout_ms"))
    return NodeRequest(
        target=request.integer("node_id", 0, NODE_ID_MAX, 0), timeout_ms=parse_timeout(request)
    )


def parse_remove_member(given: Any) -> NodeRequest:
    """{"node_id":3}. Raises `Invalid`."""
    request = JsonObject(given, "", ("node_id", "timeout_ms"))
    return NodeRequest(target=request.integer("node_id", 1, NODE_ID_MAX), timeout_ms=parse_timeout(request))


def _parse_member(request: JsonObject, *, needs_address: bool) -> MemberAddress:
    node_id = check_node_id(request.integer("node_id", 1, NODE_ID_MAX), request.join(request.path, "node_id"))
    member = MemberAddress(
        node_id=node_id,
        peer_addr=_address(request, "rpc_addr", "peer_addr"),
        http_addr=_address(request, "api_addr", "http_addr"),
        grpc_addr=_address(request, "grpc_addr"),
        voting=request.boolean("voting", default=True),
    )
    if needs_address and not (member.peer_addr or member.http_addr or member.grpc_addr):
        raise Invalid(
            request.join(request.path, "rpc_addr"),
            "missing",
            "one address of the node at least, as host:port",
        )
    return member


def _address(request: JsonObject, *names: str) -> str:
    """The address under one of its spellings; "" when it is not given."""
    given = [name for name in names if name in request]
    if len(given) > 1:
        raise Invalid(
            request.join(request.path, given[1]),
            f"given beside {given[0]}",
            "one of the two: they mean the same",
        )
    return check_address(request.text(given[0]), request.join(request.path, given[0])) if given else ""


def leader_answer(status: NodeStatus) -> dict[str, Any]:
    """The answer of /leader; `leader` is null when none is known."""
    known = status.leader_id != 0
    return {
        "leader": status.leader_id if known else None,
        "http_addr": status.leader_http_addr if known else None,
        "grpc_addr": status.leader_grpc_addr if known else None,
        "term": status.term,
    }


def identity_answer(identity: Identity) -> dict[str, Any]:
    """The answer of /identity."""
    return {
        "node_id": identity.node_id,
        "instance": identity.instance,
        "cluster_id": identity.cluster_id,
        "http_addr": identity.http_addr,
        "grpc_addr": identity.grpc_addr,
        "peer_addr": identity.peer_addr,
        "version": identity.version,
    }


def init_answer(status: NodeStatus) -> dict[str, Any]:
    """The answer of /init."""
    return {
        "initialized": status.initialized,
        "cluster_id": status.cluster_id,
        "leader": status.leader_id or None,
        "term": status.term,
        "membership": membership_json(status),
    }


def metrics_answer(status: NodeStatus) -> dict[str, Any]:
    """The answer of /metrics in JSON. `replication` is null on a node that does not lead: only the leader knows it."""
    return {
        "id": status.node_id,
        "name": status.node_name,
        "cluster": status.cluster_name,
        "cluster_id": status.cluster_id,
        "instance": status.instance,
        "boot": status.boot,
        "version": status.version,
        "state": status.role,
        "current_leader": status.leader_id or None,
        "term": status.term,
        "initialized": status.initialized,
        "shutting_down": status.shutting_down,
        "last_log_index": status.last_log_index,
        "first_log_index": status.first_log_index,
        "persisted_index": status.persisted_index,
        "commit_index": status.commit_index,
        "last_applied": status.applied_index,
        "flushed_index": status.flushed_index,
        "revision": status.revision,
        **store_json(status),
        "pending_requests": status.pending_requests,
        "leader_last_heard_ms": status.leader_last_heard_ms,
        "membership": membership_json(status),
        "replication": _replication(status),
        "problems": list(status.problems),
        "warnings": list(status.warnings),
        "counters": dict(status.counters),
    }


def store_json(status: NodeStatus) -> dict[str, Any]:
    """What there is beside the keys: history, space, leases, watches."""
    return {
        "compacted_revision": status.compacted_revision,
        "size_bytes": status.size_bytes,
        "no_space": status.no_space,
        "lease_count": status.lease_count,
        "watchers": status.watchers,
    }


def membership_json(status: NodeStatus) -> dict[str, Any]:
    """Who votes and where the members are; `outgoing` is empty unless a change is under way."""
    return {
        "voters": list(status.voters),
        "outgoing": list(status.outgoing),
        "learners": list(status.learners),
        "members": {str(member.node_id): _member(member) for member in status.members},
    }


def _member(member: MemberStatus) -> dict[str, Any]:
    return {
        "http_addr": member.http_addr,
        "grpc_addr": member.grpc_addr,
        "peer_addr": member.peer_addr,
        "instance": member.instance,
        "voter": member.voter,
    }


def _replication(status: NodeStatus) -> dict[str, Any] | None:
    if status.role != "leader":
        return None
    return {
        str(member.node_id): {
            "match_index": member.match_index,
            "lag": member.lag,
            "state": member.state,
            "reachable": member.reachable,
        }
        for member in status.members
        if member.node_id != status.node_id
    }
