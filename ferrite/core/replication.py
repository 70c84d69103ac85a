"""The leader's side of replication: what each peer lacks, what it acknowledged, and what is committed by that."""

from __future__ import annotations

from ferrite.core.messages import AppendEntries, AppendEntriesResponse, Header, Heartbeat, HeartbeatResponse
from ferrite.core.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from ferrite.core.raft import Raft
from ferrite.core.roles import Leader
from ferrite.core.snapshots import begin_snapshot
from ferrite.core.values import Entry, Index, NodeId, must


def follow_membership(raft: Raft, office: Leader) -> None:
    """Replicate to the members, and until the change is committed to those that it removes: so they learn of it.

    A new one is probed from the end of the log.
    """
    office.memberships = raft.memberships
    peers = sorted({peer for _, each in raft.memberships for peer in each.peers_of(raft.node_id)})
    for gone in [peer for peer in office.progress if peer not in peers]:
        del office.progress[gone]
    for peer in peers:
        if peer not in office.progress:
            next_index = Index(raft.log.last_index + 1)
            office.progress[peer] = Progress(next_index=next_index, last_heard_us=raft.now_us)


def advance_commit_by_quorum(raft: Raft, office: Leader) -> None:
    """Commit what a quorum holds durably, counting itself by its persisted index."""
    progress = office.progress

    def match(node: NodeId) -> int:
        if node == raft.node_id:
            return raft.disk.persisted_index
        peer = progress.get(node)
        return peer.match_index if peer else 0

    index = raft.membership.committed(match)
    # Raft 5.4.2, figure 8: only entries of our own term commit by counting.
    if index > raft.commit_index and raft.log.term_at(index) == raft.term:
        must(index <= raft.log.last_index, "only what is in the log is committed")
        raft.commit_index = Index(index)


def replicate(raft: Raft, office: Leader) -> bool:
    """Send each peer what it lacks: entries, else the commit index; and heartbeats of a new round when one is due.

    Returns whether some peer needs a snapshot instead.
    """
    last_index, commit_index, round_due = raft.log.last_index, raft.commit_index, office.round_due
    snapshot_due = False
    for peer, progress in office.progress.items():
        state = progress.state
        if state is SNAPSHOT:
            snapshot_due = True
            continue
        # Most peers lack nothing, in most steps.
        if progress.next_index <= last_index or state is PROBE:
            sent = _send_entries(raft, peer, progress)
            snapshot_due = snapshot_due or progress.state is SNAPSHOT
            if sent:
                continue
        # With a round due, its heartbeat tells the commit index.
        if (
            not round_due
            and progress.commit_sent < commit_index
            and progress.commit_sent < progress.match_index
        ):
            _send_heartbeat(raft, peer, progress, 0)
    if round_due:
        office.round_due = False
        for peer, progress in office.progress.items():
            _send_heartbeat(raft, peer, progress, office.round)
    return snapshot_due


def _send_heartbeat(raft: Raft, peer: NodeId, progress: Progress, round_number: int) -> None:
    # Never more than the peer is known to hold: else it would commit what it does not have (etcd's sendHeartbeat).
    commit = Index(min(raft.commit_index, progress.match_index))
    progress.commit_sent = max(progress.commit_sent, commit)
    raft.send(peer, Heartbeat(term=raft.term, leader_commit=commit, round=round_number))


def _send_entries(raft: Raft, peer: NodeId, progress: Progress) -> bool:
    """Send appends until the window is full or nothing is left; False when not even one could be made."""
    sent = False
    while _may_send(raft, progress):
        prev_index = Index(progress.next_index - 1)
        prev_term = raft.log.term_at(prev_index)
        if prev_term is None:
            begin_snapshot(raft, progress)
            return sent
        end = min(raft.log.last_index + 1, progress.next_index + raft.config.append_entries_max)
        entries = raft.log.slice(progress.next_index, end, raft.config.append_bytes_max)
        if entries is None:
            order_load(raft, progress.next_index, end)
            return sent
        _send_append(raft, peer, progress, entries)
        sent = True
    return sent


def _may_send(raft: Raft, progress: Progress) -> bool:
    if progress.state is PROBE:
        return not progress.probe_outstanding
    if progress.next_index > raft.log.last_index:
        return False
    config = raft.config
    return (
        progress.state is REPLICATE
        and progress.inflight_messages < config.inflight_messages_max
        and progress.inflight_bytes < config.inflight_bytes_max
    )


def _send_append(raft: Raft, peer: NodeId, progress: Progress, entries: tuple[Entry, ...]) -> None:
    prev_index = Index(progress.next_index - 1)
    prev_term = raft.log.term_at(prev_index)
    must(prev_term is not None, "an append names the term before its first entry")
    end = Index(prev_index + len(entries))
    progress.commit_sent = max(progress.commit_sent, Index(min(raft.commit_index, end)))
    raft.send(
        peer,
        AppendEntries(
            term=raft.term,
            prev_log_index=prev_index,
            prev_log_term=prev_term or raft.log.base_term,
            entries=entries,
            leader_commit=raft.commit_index,
        ),
    )
    progress.sent(end, sum([len(entry.payload) for entry in entries]))


def order_load(raft: Raft, first_index: Index, end_index: int, *, urgent: bool = False) -> None:
    """Ask for entries whose payloads are no longer in memory; one load at a time, first what is urgent (apply)."""
    # What is in memory need not be loaded, and may not even be on disk yet.
    if urgent or raft.load_wanted is None:
        raft.load_wanted = (first_index, Index(min(end_index, raft.log.cached_from)))


def on_append_entries_response(raft: Raft, header: Header, message: AppendEntriesResponse) -> None:
    """Take an acknowledgement or a refusal. Late and duplicated ones change nothing."""
    found = _progress(raft, header)
    if not found:
        return
    office, progress = found
    if message.success:
        if message.match_index > raft.log.last_index:
            raft.counters["messages_dropped_malformed"] += 1
            return
        if progress.matched(message.match_index, header.source_boot):
            progress.match_round = office.round
        if progress.state is PROBE and progress.match_index == message.match_index:
            progress.to_replicate()
        elif progress.state is SNAPSHOT and raft.log.term_at(progress.match_index) is not None:
            progress.to_probe()
            progress.to_replicate()
    else:
        _on_refusal(raft, header, progress, message)


def _on_refusal(raft: Raft, header: Header, progress: Progress, message: AppendEntriesResponse) -> None:
    rejected = message.prev_log_index
    if rejected == 0:
        return  # Only told us its term: what begins at 0 is never refused.
    if rejected > raft.log.last_index:
        raft.counters["messages_dropped_malformed"] += 1
        return
    if rejected <= progress.match_index and header.source_boot > progress.match_boot > 0:
        progress.lost_tail()
        raft.counters["peer_lost_tail"] += 1
    elif progress.state is PROBE and rejected != progress.next_index - 1:
        return  # Of an earlier probe.
    elif progress.state is SNAPSHOT or rejected <= progress.match_index:
        return
    progress.to_probe()
    hint = message.conflict_index
    if message.conflict_term:
        # The end of that term in our log, if we have it: everything after it is certainly not there.
        ours = min(raft.log.last_index_of_term(message.conflict_term), rejected)
        hint = Index(ours + 1) if ours else hint
    progress.next_index = Index(max(progress.match_index + 1, min(hint, rejected)))


def on_heartbeat_response(raft: Raft, header: Header, message: HeartbeatResponse) -> None:
    """The peer still regards us as this term's leader, as of the round."""
    found = _progress(raft, header)
    if found:
        office, progress = found
        if message.round <= office.round:
            progress.round_confirmed = max(progress.round_confirmed, message.round)
        # Answered after it had acknowledged more: its disk went back in time (an older copy of the directory).
        if message.round > progress.match_round and message.last_log_index < progress.match_index:
            progress.lost_tail()
            raft.counters["peer_lost_tail"] += 1


def _progress(raft: Raft, header: Header) -> tuple[Leader, Progress] | None:
    office = raft.office
    progress = office.progress.get(header.source) if office else None
    if office is None or progress is None:
        return None
    progress.last_heard_us = raft.now_us
    return office, progress


def on_heartbeat_due(raft: Raft, office: Leader) -> None:
    """Begin a new round, and free whatever a lost message could have blocked for ever."""
    office.heartbeat_due_us = raft.now_us + raft.config.heartbeat_interval_us
    office.round += 1
    office.round_due = True
    for peer, progress in office.progress.items():
        if progress.chunk_outstanding and raft.now_us >= progress.chunk_resend_us:
            progress.chunk_outstanding, progress.chunk_retried = False, True
        if progress.state is PROBE:
            progress.probe_outstanding = False
        elif progress.state is REPLICATE and progress.match_index < progress.next_index - 1:
            if not progress.acknowledged:
                _probe_end(raft, peer, progress)
            progress.acknowledged = False


def _probe_end(raft: Raft, peer: NodeId, progress: Progress) -> None:
    """Nothing was acknowledged for an interval: an empty append at the end finds out what is missing, if anything is."""
    prev_index = Index(progress.next_index - 1)
    prev_term = raft.log.term_at(prev_index)
    if prev_term is None:
        progress.to_probe()
        return
    raft.send(
        peer,
        AppendEntries(
            term=raft.term,
            prev_log_index=prev_index,
            prev_log_term=prev_term,
            entries=(),
            leader_commit=raft.commit_index,
        ),
    )


def check_quorum_us(raft: Raft, office: Leader) -> int:
    """Return when a leader that hears no quorum must step down (CheckQuorum; thesis 6.2)."""
    office.quorum_due_us = quorum_heard_us(raft, office) + raft.config.election_timeout_min_us
    return office.quorum_due_us


def quorum_heard_us(raft: Raft, office: Leader) -> int:
    """Return when a leader last had heard, since then, of every node of some quorum."""
    progress = office.progress

    def heard_us(node: NodeId) -> int:
        if node == raft.node_id:
            return raft.now_us
        return progress[node].last_heard_us if node in progress else office.elected_us

    return raft.membership.committed(heard_us)
