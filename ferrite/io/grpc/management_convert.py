"""Between the request path's values and protobuf's messages. No decisions, but the checks of what an operator names."""

from __future__ import annotations

from collections.abc import Sequence

from ferrite.io.config.keys import PEERS_MAX
from ferrite.io.grpc.pb import management_pb2
from ferrite.io.request_path import MemberAddress, MemberStatus, NodeStatus
from ferrite.io.validation import Invalid, check_address, check_node_id


def members_of(members: Sequence[management_pb2.MemberAddress]) -> list[MemberAddress]:
    """The members of a new cluster, checked: each id once, each with an address, one voter at least."""
    if len(members) > PEERS_MAX:
        raise Invalid("members", f"{len(members)} members", f"at most {PEERS_MAX}")
    checked: dict[int, MemberAddress] = {}
    for position, member in enumerate(members):
        field = f"members[{position}]."
        address = member_address(
            member.node_id, member.rpc_addr, member.api_addr, field=field, voting=not member.learner
        )
        if address.node_id in checked:
            raise Invalid(f"{field}node_id", f"{address.node_id} again", "each node once")
        checked[address.node_id] = address
    if not any(address.voting for address in checked.values()):
        raise Invalid("members", "learners only", "at least one voter")
    return list(checked.values())


def member_address(node_id: int, rpc_addr: str, api_addr: str, *, field: str, voting: bool) -> MemberAddress:
    """A node that joins, checked. `field` is what stands before the names of its fields."""
    check_node_id(node_id, f"{field}node_id")
    peer_addr = check_address(rpc_addr, f"{field}rpc_addr")
    http_addr = check_address(api_addr, f"{field}api_addr")
    if not peer_addr and not http_addr:
        raise Invalid(
            f"{field}rpc_addr", "empty", "host:port, here or in api_addr: the node is asked who it is"
        )
    return MemberAddress(
        node_id=node_id, peer_addr=peer_addr or http_addr, http_addr=http_addr, voting=voting
    )


def metrics_message(status: NodeStatus) -> management_pb2.GetMetricsResponse:
    """All of a node's status but its health."""
    return management_pb2.GetMetricsResponse(
        node_id=status.node_id,
        node_name=status.node_name,
        cluster_name=status.cluster_name,
        cluster_id=status.cluster_id,
        instance=status.instance,
        boot=status.boot,
        version=status.version,
        role=status.role,
        term=status.term,
        leader_id=status.leader_id,
        initialized=status.initialized,
        shutting_down=status.shutting_down,
        first_log_index=status.first_log_index,
        last_log_index=status.last_log_index,
        persisted_index=status.persisted_index,
        commit_index=status.commit_index,
        applied_index=status.applied_index,
        flushed_index=status.flushed_index,
        revision=status.revision,
        pending_requests=status.pending_requests,
        leader_last_heard_ms=status.leader_last_heard_ms,
        voters=status.voters,
        outgoing=status.outgoing,
        learners=status.learners,
        members=[_member_message(member) for member in status.members],
        counters=status.counters,
        compacted_revision=status.compacted_revision,
        size_bytes=status.size_bytes,
        no_space=status.no_space,
        lease_count=status.lease_count,
        watchers=status.watchers,
    )


def health_message(status: NodeStatus) -> management_pb2.HealthCheckResponse:
    """Whether the node is well: it has a cluster, hears a leader, has no problems and is not on its way out."""
    leader_known = status.leader_id != 0
    return management_pb2.HealthCheckResponse(
        healthy=status.initialized and leader_known and not status.problems and not status.shutting_down,
        initialized=status.initialized,
        leader_known=leader_known,
        shutting_down=status.shutting_down,
        role=status.role,
        term=status.term,
        applied_lag=max(0, status.commit_index - status.applied_index),
        problems=status.problems,
        warnings=status.warnings,
    )


def _member_message(member: MemberStatus) -> management_pb2.Member:
    return management_pb2.Member(
        node_id=member.node_id,
        http_addr=member.http_addr,
        grpc_addr=member.grpc_addr,
        peer_addr=member.peer_addr,
        instance=member.instance,
        voter=member.voter,
        match_index=member.match_index,
        lag=member.lag,
        state=member.state,
        reachable=member.reachable,
    )
