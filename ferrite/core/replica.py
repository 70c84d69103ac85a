"""The replica: one step from facts to orders. Everything else in the core hangs below this file.

`step` hands each event to its topic, lets due timers fire, and then *settles*: consequences are drawn once per batch, to a fixed
point, so that no path can forget one. See `docs/contract.md` for what every event and action means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ferrite.core import events as e
from ferrite.core import messages as m
from ferrite.core.actions import Action
from ferrite.core.appending import on_append_entries, on_heartbeat
from ferrite.core.changes import advance_changes, expire_change, on_bootstrap, on_change_requested
from ferrite.core.disk.errors import REPLACE_NODE
from ferrite.core.election import (
    count_votes,
    on_election_timeout,
    on_pre_vote,
    on_pre_vote_response,
    on_request_vote,
    on_request_vote_response,
    on_timeout_now,
)
from ferrite.core.headers import check_header, note_boot
from ferrite.core.proposals import (
    cluster_time_us,
    expire,
    on_forward,
    on_forward_refused,
    on_proposal,
    send_waiting,
)
from ferrite.core.raft import NEVER_US, Raft
from ferrite.core.reads import advance_reads, on_read, on_read_index, on_read_index_response, read_deadline_us
from ferrite.core.recovered import Recovered, ReplicaConfig, check_replica_config
from ferrite.core.replication import (
    advance_commit_by_quorum,
    check_quorum_us,
    follow_membership,
    on_append_entries_response,
    on_heartbeat_due,
    on_heartbeat_response,
    replicate,
)
from ferrite.core.roles import Follower
from ferrite.core.snapshots import (
    install_when_quiet,
    on_install_snapshot,
    on_install_snapshot_response,
    on_snapshot_installed,
    on_snapshot_lost,
    on_snapshot_saved,
    send_snapshots,
)
from ferrite.core.status import Glance, PeerNumbers, ReplicaStatus
from ferrite.core.status_of import status_of
from ferrite.core.transfer import (
    advance_shutdown,
    advance_transfer,
    answer_transfers,
    on_shutdown_requested,
    on_transfer_requested,
)
from ferrite.core.upkeep import (
    flush_deadline_us,
    on_applied,
    on_apply_stalled,
    on_entries_loaded,
    on_state_flushed,
    order_apply,
    order_flush,
    order_load_if_wanted,
    trim_cache,
)
from ferrite.core.values import Index, NodeId, StopCode, must

TERM_MAX: Final = 1 << 62
TERM_JUMP_MAX: Final = 1 << 32
"""No honest cluster comes near; a message beyond is a confused peer's, and to believe it could wedge every election."""
SETTLE_PASSES_MAX: Final = 16
"""Two or three are normal; more is a consequence that never rests, which is a bug."""


class Replica:
    """A member of one Raft group, as a function of what it is told (contract, section 1)."""

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        """Start from what the host read from disk. Orders nothing yet: the first `step` does."""
        check_replica_config(config)
        self._raft = raft = Raft(config, recovered, now_us)
        raft.reset_election_timer()
        self._unfit = _reconcile(raft, recovered)
        # As of the last step, once they were asked for: nothing but a step changes a replica.
        self._status: ReplicaStatus | None = None
        self._deadline_us = -1
        """-1: not known yet."""
        self._glance: Glance | None = None
        self._glance_standing = -1

    @property
    def deadline_us(self) -> int:
        """Call `step([], now_us)` at this time at the latest."""
        if self._deadline_us < 0:
            self._deadline_us = self._next_deadline_us()
        return self._deadline_us

    def _next_deadline_us(self) -> int:
        raft = self._raft
        if raft.stopped:
            return NEVER_US
        if self._unfit:
            return raft.now_us
        office, pending = raft.office, raft.pending
        # A comparison, not `min`, where every step comes by: the call costs several times as much.
        deadline_us = office.heartbeat_due_us if office else raft.election_deadline_us
        deadline_us = min(deadline_us, pending.sweep_us)
        if raft.flush_due_us < deadline_us:
            deadline_us = min(deadline_us, flush_deadline_us(raft))
        if pending.contexts or pending.reads_waiting:
            deadline_us = min(deadline_us, read_deadline_us(raft))
        if office:
            if office.quorum_due_us < deadline_us:
                deadline_us = min(deadline_us, check_quorum_us(raft, office))
            if office.change:
                deadline_us = min(deadline_us, office.change.deadline_us)
            if office.transfer:
                deadline_us = min(deadline_us, office.transfer.deadline_us)
        if raft.now_us < raft.apply_retry_us < deadline_us:
            deadline_us = raft.apply_retry_us
        if raft.shutdown_deadline_us is not None:
            deadline_us = min(deadline_us, raft.shutdown_deadline_us)
        for _, transfer_deadline_us in raft.transfer_requests:
            deadline_us = min(deadline_us, transfer_deadline_us)
        return deadline_us

    def step(self, events: Sequence[e.Event], now_us: int) -> list[Action]:
        """Take facts, return orders. Raises InvariantViolated only for a bug of Ferrite's own."""
        raft = self._raft
        if now_us < raft.now_us:
            must(False, "time never goes back")
        raft.now_us = now_us
        self._status = None
        self._deadline_us = -1
        stopped = raft.stopped
        if stopped:
            return []
        if self._unfit:
            raft.stop(*self._unfit)
            events = ()
        for event in events:
            _ON_EVENT[type(event)](raft, event)
            if raft.stopped:
                break
        else:
            if not self._unfit:
                _fire_timers(raft)
                _settle(raft)
        actions, raft.actions = raft.actions, []
        return actions

    def header_for(self, peer: NodeId) -> m.Header:
        """Return the header for a frame to this peer, as things stand now."""
        return self._raft.header_for(peer)

    def check_header(self, header: m.Header) -> str | None:
        """Return why frames with this header are refused, or None."""
        return check_header(self._raft, header)

    def status(self) -> ReplicaStatus:
        """Return the replica's numbers."""
        if self._status is None:
            self._status = status_of(self._raft)
        return self._status

    def cluster_time_us(self, now_us: int) -> int | None:
        """Return the time that an entry appended now would bear; None when this node does not lead."""
        office = self._raft.office
        return cluster_time_us(self._raft, office, now_us) if office else None

    def glance(self) -> Glance:
        """Return the few numbers that a look after every step needs: the same object while they are the same."""
        raft, last = self._raft, self._glance
        if (
            last is not None
            and self._glance_standing == raft.standing
            and last.commit_index == raft.commit_index
            and last.applied_index == raft.applied_index
            and last.last_log_index == raft.log.last_index
        ):
            return last
        self._glance_standing, office = raft.standing, raft.office
        role, peers = raft.role.role, office.progress if office else _NO_PEERS
        if (
            last is None
            or last.commit_index != raft.commit_index
            or last.applied_index != raft.applied_index
            or last.last_log_index != raft.log.last_index
            or last.term != raft.term
            or last.role is not role
            or last.peers is not peers
            or last.memberships is not raft.memberships
        ):
            last = self._glance = Glance(
                node_id=raft.node_id,
                role=role,
                term=raft.term,
                commit_index=raft.commit_index,
                applied_index=raft.applied_index,
                last_log_index=raft.log.last_index,
                membership=raft.membership,
                membership_index=raft.membership_index,
                memberships=raft.memberships,
                peers=peers,
            )
        return last


_NO_PEERS: Final[Mapping[NodeId, PeerNumbers]] = MappingProxyType({})


def _reconcile(raft: Raft, recovered: Recovered) -> tuple[StopCode, str] | None:
    """Hold log and state side by side; return why this node cannot serve, if it cannot (contract, section 9)."""
    log, state = raft.log, recovered.state
    applied = state.applied_index
    if applied < log.base_index:
        detail = f"the log begins after index {log.base_index}, but the state holds only index {applied}"
        return _corrupt(f"{detail}: entries between them are missing")
    if applied and log.term_at(applied) != state.applied_term:
        # Only a node that had joined its cluster durably, in the snapshot's term or later, ever installs one.
        joined = raft.initialized and raft.term >= state.applied_term
        if state.installed_index != applied or not joined:
            detail = f"the state has applied index {applied} (term {state.applied_term}), but the log ends at"
            return _corrupt(f"{detail} {log.last_index} or differs there: the log lost acknowledged entries")
        # A snapshot was installed, and the crash came before the log was told.
        raft.set_memberships([(Index(0), state.membership)])
        raft.reset_log(applied, state.applied_term)
        raft.flushed_index = applied
    if raft.lost_tail and raft.membership.voters == (raft.node_id,):
        lost = raft.lost_tail
        detail = f"the log ends at index {log.last_index}, but index {lost.last_index} was once durable here"
        return _corrupt(f"{detail}: acknowledged entries are lost, and there is no other voter to ask")
    return None


def _corrupt(detail: str) -> tuple[StopCode, str]:
    return StopCode.CORRUPTION, f"{detail}; {REPLACE_NODE}"


# -- events ---------------------------------------------------------------------------------------------------


def _on_message(raft: Raft, event: e.MessageReceived) -> None:
    header, message = event.header, event.message
    known = raft.accepted.get(header.source) is header
    if not known and check_header(raft, header):
        raft.counters["messages_dropped_identity"] += 1
        return
    # A fresh node answers a pre-vote in term 0; nothing else is ever said there.
    if (
        message.term > raft.term + TERM_JUMP_MAX
        or message.term > TERM_MAX
        or (message.term == 0 and not isinstance(message, m.PreVoteResponse))
    ):
        raft.counters["messages_dropped_malformed"] += 1
        return
    if not known:
        note_boot(raft, header)
    if not raft.initialized:
        raft.adopt_cluster(header.cluster_id)
    if message.term > raft.term:
        if not _follow_term(raft, header, message):
            return
    elif message.term < raft.term and type(message) not in _TAKEN_FROM_EARLIER_TERMS:
        _answer_earlier_term(raft, header, message)
        return
    _ON_MESSAGE[type(message)](raft, header, message)


def _follow_term(raft: Raft, header: m.Header, message: m.Message) -> bool:
    """Enter the sender's later term (Raft 5.1); False when the message is to be ignored instead."""
    if isinstance(message, m.PreVote) or (isinstance(message, m.PreVoteResponse) and message.vote_granted):
        return True
    if isinstance(message, m.RequestVote) and not message.disrupt and raft.sticks_to_leader():
        raft.counters["messages_dropped_sticky"] += 1
        return False
    leads = isinstance(message, m.AppendEntries | m.Heartbeat | m.InstallSnapshot)
    raft.become_follower(message.term, leader=header.source if leads else NodeId(0))
    return True


def _answer_earlier_term(raft: Raft, header: m.Header, message: m.Message) -> None:
    """Tell a sender that is behind which term it is, where it waits for an answer; drop the rest."""
    raft.counters["messages_dropped_earlier_term"] += 1
    if isinstance(message, m.AppendEntries | m.Heartbeat | m.InstallSnapshot):
        raft.send(header.source, m.AppendEntriesResponse(term=raft.term, success=False))
    elif isinstance(message, m.RequestVote):
        raft.send(header.source, m.RequestVoteResponse(term=raft.term, vote_granted=False))
    elif isinstance(message, m.ReadIndex):
        response = m.ReadIndexResponse(
            term=raft.term, context=message.context, read_index=Index(0), ready=False
        )
        raft.send(header.source, response)


def _on_peer_unreachable(raft: Raft, event: e.PeerUnreachable) -> None:
    office = raft.office
    progress = office.progress.get(event.peer) if office else None
    if progress:
        progress.to_probe()
        progress.probe_outstanding = True  # Again at the next heartbeat, not at once.
    if event.peer == raft.leader:
        raft.leader_connected = False
        raft.pending.ask_reads_anew()
        raft.pending.resend_us = raft.now_us


def _on_persisted(raft: Raft, event: e.Persisted) -> None:
    raft.disk.completed(event.write_seq)
    if raft.bootstrap_request is not None and raft.disk.persisted_index:
        raft.reply(raft.bootstrap_request, Index(1))
        raft.bootstrap_request = None


def _on_persist_failed(raft: Raft, event: e.PersistFailed) -> None:
    raft.stop(StopCode.DISK_FULL if event.disk_full else StopCode.DISK_ERROR, event.detail)


def _on_storage_failed(raft: Raft, event: e.StorageFailed) -> None:
    code = (
        StopCode.CORRUPTION
        if event.corrupt
        else StopCode.DISK_FULL
        if event.disk_full
        else StopCode.DISK_ERROR
    )
    raft.stop(code, event.detail)


_ON_EVENT: Final[dict[type[Any], Callable[[Raft, Any], None]]] = {
    e.MessageReceived: _on_message,
    e.PeerUnreachable: _on_peer_unreachable,
    e.Persisted: _on_persisted,
    e.PersistFailed: _on_persist_failed,
    e.StorageFailed: _on_storage_failed,
    e.Applied: on_applied,
    e.ApplyStalled: on_apply_stalled,
    e.StateFlushed: on_state_flushed,
    e.EntriesLoaded: on_entries_loaded,
    e.SnapshotSaved: on_snapshot_saved,
    e.SnapshotLost: on_snapshot_lost,
    e.SnapshotInstalled: on_snapshot_installed,
    e.ProposalReceived: on_proposal,
    e.ReadRequested: on_read,
    e.MembershipChangeRequested: on_change_requested,
    e.TransferRequested: on_transfer_requested,
    e.BootstrapRequested: on_bootstrap,
    e.ShutdownRequested: on_shutdown_requested,
}

_ON_MESSAGE: Final[dict[type[Any], Callable[[Raft, m.Header, Any], None]]] = {
    m.PreVote: on_pre_vote,
    m.PreVoteResponse: on_pre_vote_response,
    m.RequestVote: on_request_vote,
    m.RequestVoteResponse: on_request_vote_response,
    m.AppendEntries: on_append_entries,
    m.AppendEntriesResponse: on_append_entries_response,
    m.Heartbeat: on_heartbeat,
    m.HeartbeatResponse: on_heartbeat_response,
    m.InstallSnapshot: on_install_snapshot,
    m.InstallSnapshotResponse: on_install_snapshot_response,
    m.ReadIndex: on_read_index,
    m.ReadIndexResponse: on_read_index_response,
    m.TimeoutNow: on_timeout_now,
    m.Forward: on_forward,
    m.ForwardRefused: on_forward_refused,
}

_TAKEN_FROM_EARLIER_TERMS: Final = frozenset({m.PreVote, m.PreVoteResponse, m.Forward, m.ForwardRefused})
"""They say for themselves which term they speak of."""


# -- time and consequences ------------------------------------------------------------------------------------


def _fire_timers(raft: Raft) -> None:
    office = raft.office
    if office:
        if raft.now_us >= office.quorum_due_us and raft.now_us >= check_quorum_us(raft, office):
            raft.counters["quorum_lost"] += 1
            raft.become_follower(raft.term)
        else:
            if raft.now_us >= office.heartbeat_due_us:
                on_heartbeat_due(raft, office)
            if office.change:
                expire_change(raft, office)
    elif raft.now_us >= raft.election_deadline_us:
        on_election_timeout(raft)
    if raft.now_us >= raft.pending.sweep_us:
        expire(raft)


def _settle(raft: Raft) -> None:
    """Draw every consequence of what this step recorded; then order writes, and let go what may leave.

    Most steps change little: what stands before a rule is a condition without which it would do nothing.
    """
    log, pending = raft.log, raft.pending
    for _ in range(SETTLE_PASSES_MAX):
        role, term, commit_index, last_index = raft.role, raft.term, raft.commit_index, log.last_index
        if raft.office is None and type(raft.role) is not Follower:
            count_votes(raft)
        office = raft.office
        if office:
            if office.memberships is not raft.memberships:
                follow_membership(raft, office)
            if raft.commit_index < log.last_index:
                advance_commit_by_quorum(raft, office)
            if office.change or raft.membership_unsettled:
                advance_changes(raft, office)
            if office.transfer:
                advance_transfer(raft, office)
            asked = bool(office.held_forwards or office.waiting_contexts or office.read_batches)
        else:
            asked = bool(pending.resend_us or pending.contexts)
        if asked or pending.proposals_waiting or pending.reads_waiting or pending.reads_confirmed:
            send_waiting(raft)
            advance_reads(raft)
        if (
            raft.commit_index == commit_index
            and log.last_index == last_index
            and raft.role is role
            and raft.term == term
        ):
            break
    else:
        must(False, "consequences come to rest")
    office = raft.office
    if office:
        if office.memberships is not raft.memberships:
            follow_membership(raft, office)
        if replicate(raft, office):
            send_snapshots(raft, office)
    if raft.stepping_down:
        raft.stepping_down = False
        raft.become_follower(raft.term)
    if len(raft.memberships) > 1:
        raft.forget_old_memberships()
    if raft.snapshots.complete:
        install_when_quiet(raft)
    if raft.applied_index < raft.commit_index:
        order_apply(raft)
    if raft.load_wanted:
        order_load_if_wanted(raft)
    if raft.flushed_index < raft.applied_index and not raft.flush_outstanding:
        order_flush(raft)
    if raft.transfer_requests:
        answer_transfers(raft)
    if log.cache_bytes > log.cache_bytes_max:
        trim_cache(raft)
    persist = raft.disk.stage(log, raft.hard_state)
    if persist:
        raft.actions.append(persist)
    raft.release_messages()
    raft.announce()
    if raft.shutdown_deadline_us is not None:
        advance_shutdown(raft)
