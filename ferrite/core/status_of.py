"""A replica's status, put together."""

from __future__ import annotations

from types import MappingProxyType

from ferrite.core.raft import Raft
from ferrite.core.status import PeerStatus, ReplicaStatus
from ferrite.core.values import NodeId


def status_of(raft: Raft) -> ReplicaStatus:
    """Return all numbers of a replica as they are now."""
    office = raft.office
    peers = {
        peer: PeerStatus(
            match_index=progress.match_index,
            next_index=progress.next_index,
            state=progress.state._value_,  # `value` without the detour over a property
            inflight_messages=progress.inflight_messages,
            inflight_bytes=progress.inflight_bytes,
            last_heard_us=progress.last_heard_us,
        )
        for peer, progress in (office.progress.items() if office else ())
    }
    log, pending, hard_state = raft.log, raft.pending, raft.hard_state
    return ReplicaStatus(
        node_id=raft.node_id,
        cluster_id=hard_state.cluster_id,
        role=raft.role.role,
        term=raft.term,
        voted_for=hard_state.voted_for,
        leader=raft.leader,
        commit_index=raft.commit_index,
        applied_index=raft.applied_index,
        persisted_index=raft.disk.persisted_index,
        flushed_index=raft.flushed_index,
        last_log_index=log.last_index,
        last_log_term=log.last_term,
        first_log_index=log.first_index,
        membership=raft.membership,
        membership_index=raft.membership_index,
        membership_committed=raft.membership_index <= raft.commit_index,
        memberships=raft.memberships,
        peers=MappingProxyType(peers),
        leader_last_heard_us=raft.now_us
        if office
        else -1
        if raft.leader_heard_us is None
        else raft.leader_heard_us,
        pending_proposals=len(pending.proposals),
        pending_reads=len(pending.reads),
        pending_bytes=pending.bytes,
        log_bytes=log.bytes,
        lost_tail=raft.lost_tail is not None,
        shutting_down=raft.shutting_down,
        stopped=raft.stopped,
        transfer_target=office.transfer.target if office and office.transfer else NodeId(0),
        counters=MappingProxyType(dict(raft.counters)),
    )
