"""The follower's side of replication: AppendEntries and Heartbeat (Raft 5.3, figure 2)."""

from __future__ import annotations

from typing import Final

from ferrite.core.membership import decode_membership
from ferrite.core.messages import AppendEntries, AppendEntriesResponse, Header, Heartbeat, HeartbeatResponse
from ferrite.core.proposals import on_heartbeat_heard
from ferrite.core.raft import Raft
from ferrite.core.values import (
    INDEX_MAX,
    NO_NODE,
    PAYLOAD_HEADER_BYTES,
    TIME_US_MAX,
    Entry,
    EntryKind,
    Index,
    NodeId,
    StopCode,
    Term,
    payload_kind,
    payload_time_us,
)

_MEMBERSHIP: Final = int(EntryKind.MEMBERSHIP)
"""A plain number: looking an enum's member up costs more than the comparison, and this runs for every entry."""


def leader_speaks(raft: Raft, source: NodeId) -> bool:
    """Acknowledge the leader of this term; False when the message cannot be from it and is dropped."""
    if raft.office or raft.leader not in (source, NO_NODE):
        raft.counters["messages_dropped_second_leader"] += 1
        return False
    if raft.leader != source:
        raft.become_follower(raft.term, leader=source)
    raft.heard_leader()
    return True


def on_append_entries(raft: Raft, header: Header, message: AppendEntries) -> None:
    """Make the log like the leader's as far as this message proves, and acknowledge that much once it is durable."""
    if not leader_speaks(raft, header.source):
        return
    if not _is_sound(message):
        raft.counters["messages_dropped_malformed"] += 1
        return
    prev_index, entries = message.prev_log_index, message.entries
    if prev_index < raft.log.base_index:
        # What is below our base is committed here, so it is the same there (Leader Completeness).
        skipped = min(raft.log.base_index - prev_index, len(entries))
        prev_index = Index(prev_index + skipped)
        if prev_index < raft.log.base_index:
            _acknowledge(raft, header.source, prev_index)
            return
        if entries[skipped - 1].term != raft.log.base_term:
            raft.counters["messages_dropped_malformed"] += 1
            return
        entries = entries[skipped:]
    elif raft.log.term_at(prev_index) != message.prev_log_term:
        _refuse(raft, header.source, prev_index)
        return
    if not _merge(raft, prev_index, entries):
        return
    end = Index(prev_index + len(entries))
    raft.verify(end)
    # Only what this message proved to be the leader's may become committed (figure 2: index of last *new* entry).
    advance_commit(raft, min(message.leader_commit, end))
    _acknowledge(raft, header.source, end)
    _lost_tail_found(raft, message.term)


def _is_sound(message: AppendEntries) -> bool:
    """Could a leader have sent this? Terms never decrease nor exceed its own, payloads are whole."""
    term = message.prev_log_term
    if (message.prev_log_index == 0) != (term == 0):
        return False
    for entry in message.entries:
        if not term <= entry.term <= message.term or len(entry.payload) < PAYLOAD_HEADER_BYTES:
            return False
        if payload_time_us(entry.payload) > TIME_US_MAX:
            return False
        if payload_kind(entry.payload) == _MEMBERSHIP:
            try:
                decode_membership(entry.payload[PAYLOAD_HEADER_BYTES:])
            except ValueError:
                return False
        term = entry.term
    return term <= message.term and message.prev_log_index <= INDEX_MAX


def _merge(raft: Raft, prev_index: Index, entries: tuple[Entry, ...]) -> bool:
    """Append what is new; cut only at a real conflict: an early, late or empty message takes nothing away."""
    log = raft.log
    for at, entry in enumerate(entries):
        index = Index(prev_index + 1 + at)
        if index > log.last_index:
            raft.append(entries[at:])
            return True
        if log.term_at(index) != entry.term:
            if index <= raft.commit_index:
                raft.stop(
                    StopCode.CORRUPTION,
                    f"leader {raft.leader} of term {raft.term} has term {entry.term} at index {index}, which is "
                    f"committed here with term {log.term_at(index)}: one of the two lost committed entries",
                )
                return False
            raft.truncate(index)
            raft.append(entries[at:])
            return True
    return True


def _acknowledge(raft: Raft, leader: NodeId, match_index: Index) -> None:
    response = AppendEntriesResponse(term=raft.term, success=True, match_index=match_index)
    raft.send(leader, response, promise=True)


def _refuse(raft: Raft, leader: NodeId, prev_index: Index) -> None:
    log = raft.log
    if prev_index > log.last_index:
        conflict_index, conflict_term = Index(log.last_index + 1), Term(0)
    else:
        found = log.term_at(prev_index)
        conflict_term = Term(found or 0)
        conflict_index = log.first_index_of_term_at(prev_index) if prev_index > log.base_index else prev_index
    raft.send(
        leader,
        AppendEntriesResponse(
            term=raft.term,
            success=False,
            prev_log_index=prev_index,
            conflict_term=conflict_term,
            conflict_index=conflict_index,
        ),
    )


def on_heartbeat(raft: Raft, header: Header, message: Heartbeat) -> None:
    """The leader is there. Its `leader_commit` counts as far as it has proved our log to be its own.

    What it believes us to hold is not enough: we may have held it in an earlier boot, and lost it.
    """
    if not leader_speaks(raft, header.source):
        return
    advance_commit(raft, min(message.leader_commit, raft.verified_index))
    if message.round:
        on_heartbeat_heard(raft)
        raft.send(
            header.source,
            HeartbeatResponse(term=raft.term, round=message.round, last_log_index=raft.log.last_index),
        )


def advance_commit(raft: Raft, commit_index: int) -> None:
    """The commit index never decreases."""
    if commit_index > raft.commit_index:
        raft.commit_index = Index(commit_index)


def _lost_tail_found(raft: Raft, term: Term) -> None:
    """A log that lost its tail is whole again once a later leader has brought it past the mark (DR5)."""
    lost = raft.lost_tail
    if (
        lost
        and term > lost.term
        and raft.log.last_index >= lost.last_index
        and raft.commit_index >= lost.last_index
    ):
        raft.lost_tail = None
        raft.counters["lost_tail_refilled"] += 1
