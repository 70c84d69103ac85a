"""The status of a node, for /health, /metrics and their gRPC twins: derived from `replica.status()` whenever it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ferrite
from ferrite.core import NO_CLUSTER, Identity, Member, NodeId, ReplicaStatus, Role
from ferrite.core.kv import MachineFacts
from ferrite.io.config import Config
from ferrite.io.node import Node, now_us
from ferrite.io.request_path import MemberStatus, NodeStatus

APPLY_LAG_PROBLEM = 5000
"""Committed entries not yet applied, above which the core refuses proposals: from then on health says so too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the replica does not know. `counters` come from transport, log and store, by name.

    `problems` make this node unhealthy; `warnings` are for the operator, the node itself is well.
    """

    facts: Callable[[], MachineFacts]
    watchers: Callable[[], int]
    counters: Callable[[], Mapping[str, int]]
    problems: Callable[[], Sequence[str]] = tuple
    warnings: Callable[[], Sequence[str]] = tuple


class NodeView:
    """Makes `NodeStatus` values."""

    def __init__(self, node: Node, *, config: Config, identity: Identity, sources: Sources) -> None:
        """Nothing is kept but where to look."""
        self._node = node
        self._config = config
        self._identity = identity
        self._sources = sources
        self._warnings = tuple(config.warnings())
        self._version = ferrite.__version__  # read from the installed metadata: not once per status
        self.leaving = False
        """Set at the first SIGTERM: readiness ends before the core has heard of it."""

    def status(self) -> NodeStatus:
        """Return the present status; never blocks."""
        status = self._node.replica.status()
        at_us = now_us()
        leader = status.membership.members.get(status.leader)
        facts = self._sources.facts()
        return NodeStatus(
            node_id=self._identity.node_id,
            node_name=self._config.node.name,
            node_description=self._config.node.description,
            cluster_name=self._config.cluster.name,
            cluster_id="" if status.cluster_id == NO_CLUSTER else status.cluster_id.hex(),
            instance=self._identity.instance.hex(),
            boot=self._identity.boot,
            version=self._version,
            role=_role(status),
            term=status.term,
            leader_id=status.leader,
            leader_http_addr=leader.http_addr if leader else "",
            leader_grpc_addr=leader.grpc_addr if leader else "",
            initialized=_initialized(status),
            commit_index=status.commit_index,
            applied_index=status.applied_index,
            persisted_index=status.persisted_index,
            last_log_index=status.last_log_index,
            first_log_index=status.first_log_index,
            flushed_index=status.flushed_index,
            revision=facts.revision,
            pending_requests=status.pending_proposals + status.pending_reads,
            leader_last_heard_ms=_leader_silence_ms(status, at_us),
            voters=status.membership.voters,
            outgoing=status.membership.outgoing,
            learners=status.membership.learners,
            members=tuple(
                self._member(member, status, at_us) for _, member in sorted(status.membership.members.items())
            ),
            problems=(*self._problems(status), *self._sources.problems()),
            warnings=(*self._warnings, *_space_warnings(facts), *self._sources.warnings()),
            counters={**status.counters, **self._sources.counters()},
            shutting_down=self.leaving or status.shutting_down or self._node.stopped,
            compacted_revision=facts.compacted_revision,
            size_bytes=facts.size_bytes,
            no_space=facts.no_space,
            lease_count=facts.lease_count,
            watchers=self._sources.watchers(),
        )

    def _member(self, member: Member, status: ReplicaStatus, at_us: int) -> MemberStatus:
        match_index, state, reachable = self._progress(member.node_id, status, at_us)
        return MemberStatus(
            node_id=member.node_id,
            http_addr=member.http_addr,
            grpc_addr=member.grpc_addr,
            peer_addr=member.peer_addr,
            instance=member.instance.hex(),
            voter=status.membership.is_voter(member.node_id),
            match_index=match_index,
            lag=max(0, status.last_log_index - match_index) if match_index >= 0 else -1,
            state=state,
            reachable=reachable,
        )

    def _progress(self, node_id: NodeId, status: ReplicaStatus, at_us: int) -> tuple[int, str, bool]:
        """Return match index, state and reachability: known to the leader; a follower knows of itself alone."""
        if node_id == self._identity.node_id:
            return status.persisted_index, status.role.value, True
        peer = status.peers.get(node_id)
        if status.role is not Role.LEADER or peer is None:
            return -1, "", True
        silent_us = at_us - peer.last_heard_us
        return peer.match_index, peer.state, silent_us < self._config.raft.election_timeout_max * 1000

    def _problems(self, status: ReplicaStatus) -> list[str]:
        found = []
        if self._node.stopped:
            found.append("the node has stopped")
        if not _initialized(status):
            found.append(
                "no cluster yet: send /init to one node, or add this one with /add-learner at the leader"
            )
        elif status.membership.members and self._identity.node_id not in status.membership.members:
            found.append("this node was removed from the cluster")
        elif not status.leader:
            found.append("no leader is known")
        if status.lost_tail:
            found.append(
                "the log lost its end: this node does not vote until a leader has brought it up to date"
            )
        lag = status.commit_index - status.applied_index
        if lag > APPLY_LAG_PROBLEM:
            found.append(f"{lag} committed entries are not applied yet")
        return found


def _space_warnings(facts: MachineFacts) -> tuple[str, ...]:
    """Of a store that is full: reads and deletes go on, so the node itself is well."""
    if not facts.no_space:
        return ()
    warning = (
        f"the space quota is exceeded: keys and their history have {facts.size_bytes} bytes, and puts are refused. Delete keys "
        "and compact, or raise storage.quota_bytes on every node"
    )
    return (warning,)


def _leader_silence_ms(status: ReplicaStatus, at_us: int) -> int:
    """How long the leader has been silent; 0 on the leader itself, -1 when none was heard since the start."""
    if status.role is Role.LEADER:
        return 0
    heard_us = status.leader_last_heard_us
    return -1 if heard_us < 0 else max(0, at_us - heard_us) // 1000


def _initialized(status: ReplicaStatus) -> bool:
    return bool(status.membership.members) or status.cluster_id != NO_CLUSTER


def _role(status: ReplicaStatus) -> str:
    """A member without a vote is called a learner, which is no role of Raft's but what people look for."""
    if status.role is Role.FOLLOWER and status.node_id in status.membership.learners:
        return "learner"
    return status.role.value
