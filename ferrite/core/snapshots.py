"""Snapshots in chunks, resumable, from either end (thesis, chapter 5)."""

from __future__ import annotations

from ferrite.core.actions import InstallSnapshot, SaveSnapshot, SendSnapshot, StoreChunk
from ferrite.core.appending import leader_speaks
from ferrite.core.events import SnapshotInstalled, SnapshotLost, SnapshotSaved
from ferrite.core.membership import Membership
from ferrite.core.messages import Header, InstallSnapshotResponse
from ferrite.core.messages import InstallSnapshot as InstallSnapshotMessage
from ferrite.core.progress import SNAPSHOT, Progress
from ferrite.core.proposals import abandon_skipped
from ferrite.core.raft import Raft
from ferrite.core.recovered import LostTail
from ferrite.core.roles import Leader
from ferrite.core.values import INDEX_MAX, Index, NodeId, SnapshotMeta, StopCode, Term, must

# -- sending --------------------------------------------------------------------------------------------------


def begin_snapshot(raft: Raft, progress: Progress) -> None:
    """The entries this peer needs are gone: it gets the state instead."""
    progress.to_snapshot()
    raft.counters["snapshots_begun"] += 1


def send_snapshots(raft: Raft, office: Leader) -> None:
    """Order the next chunk for each peer that waits for one, and a new snapshot when there is none to send."""
    snapshots = raft.snapshots
    for peer, progress in office.progress.items():
        if progress.state is not SNAPSHOT or progress.chunk_outstanding:
            continue
        snapshot = progress.snapshot or _usable(raft, snapshots.saved)
        if snapshot is None:
            _order_save(raft)
            continue
        if progress.snapshot is None:
            progress.snapshot, progress.snapshot_offset = snapshot, 0
        progress.chunk_outstanding = True
        progress.chunk_resend_us = raft.now_us + 3 * raft.config.heartbeat_interval_us
        raft.actions.append(
            SendSnapshot(
                to=peer,
                term=raft.term,
                snapshot=snapshot,
                offset=progress.snapshot_offset,
                length_max=raft.config.snapshot_chunk_bytes,
            )
        )


def _usable(raft: Raft, saved: SnapshotMeta | None) -> SnapshotMeta | None:
    """Return the saved one if the receiver can go on with our log after it: then it need not be the newest."""
    return saved if saved and raft.log.term_at(saved.last_index) is not None else None


def _order_save(raft: Raft) -> None:
    snapshots = raft.snapshots
    if not snapshots.save_outstanding and not snapshots.installing and raft.now_us >= snapshots.save_retry_us:
        snapshots.save_outstanding = True
        raft.actions.append(SaveSnapshot())


def on_snapshot_saved(raft: Raft, event: SnapshotSaved) -> None:
    """A snapshot can be sent."""
    raft.snapshots.save_outstanding = False
    raft.snapshots.saved = event.snapshot
    raft.counters["snapshots_saved"] += 1


def on_snapshot_lost(raft: Raft, event: SnapshotLost) -> None:
    """It could not be built or read: forget it, and begin anew where it was being sent."""
    snapshots = raft.snapshots
    raft.counters["snapshots_lost"] += 1
    if snapshots.saved and snapshots.saved.snapshot_id == event.snapshot_id:
        snapshots.saved = None
    if not event.snapshot_id:
        snapshots.save_outstanding = False
    snapshots.save_retry_us = raft.now_us + raft.config.heartbeat_interval_us
    office = raft.office
    for progress in office.progress.values() if office else ():
        if progress.snapshot and progress.snapshot.snapshot_id == event.snapshot_id:
            # At the next heartbeat, not at once: what cannot be read now is not asked for in a loop.
            progress.snapshot, progress.chunk_outstanding = None, True
            progress.chunk_resend_us = raft.now_us + raft.config.heartbeat_interval_us


def on_install_snapshot_response(raft: Raft, header: Header, message: InstallSnapshotResponse) -> None:
    """Go on at the byte that the receiver names, or with entries once it has installed."""
    office = raft.office
    progress = office.progress.get(header.source) if office else None
    if progress is None:
        return
    progress.last_heard_us = raft.now_us
    snapshot = progress.snapshot
    if progress.state is not SNAPSHOT or not snapshot or snapshot.snapshot_id != message.snapshot_id:
        return
    if message.installed:
        progress.to_probe()
        progress.matched(snapshot.last_index, header.source_boot)
        progress.match_round = office.round if office else 0
        progress.next_index = Index(progress.match_index + 1)
        raft.counters["snapshots_delivered"] += 1
    elif message.next_offset == snapshot.size_bytes:
        # All is there and being installed; should that answer get lost, the last chunk asks again.
        progress.chunk_outstanding = True
        progress.chunk_resend_us = raft.now_us + raft.config.election_timeout_max_us
    elif message.next_offset < snapshot.size_bytes and _moves_on(progress, message.next_offset):
        progress.snapshot_offset = message.next_offset
        progress.chunk_outstanding, progress.chunk_retried = False, False


def _moves_on(progress: Progress, next_offset: int) -> bool:
    """Only an answer that asks for more is followed at once; one that goes back (the receiver lost or refused what it had)
    only after the chunk was sent again. Else each duplicate of an answer would send a chunk, and each chunk an answer, ever
    more of them (TFTP's "sorcerer's apprentice"; found by the simulator).
    """
    return next_offset > progress.snapshot_offset or (
        next_offset < progress.snapshot_offset and progress.chunk_retried
    )


def log_needed_from(raft: Raft) -> Index:
    """Return the first entry that a peer needs once its snapshot is installed (dgraph #9793: no endless loop)."""
    office = raft.office
    needed = raft.log.last_index + 1
    for progress in office.progress.values() if office else ():
        if progress.state is SNAPSHOT and progress.snapshot:
            needed = min(needed, progress.snapshot.last_index + 1)
    return Index(needed)


# -- receiving ------------------------------------------------------------------------------------------------


def on_install_snapshot(raft: Raft, header: Header, message: InstallSnapshotMessage) -> None:
    """Store a chunk if it is the one wanted next; always say which one that is."""
    if not leader_speaks(raft, header.source):
        return
    snapshots, meta = raft.snapshots, message.snapshot
    if snapshots.installing:
        if snapshots.incoming and snapshots.incoming.snapshot_id == meta.snapshot_id:
            _answer(raft, header.source, meta.snapshot_id, meta.size_bytes)
        return
    if meta.last_index <= raft.commit_index:
        # What it would bring is here already: older state never replaces newer.
        _answer(raft, header.source, meta.snapshot_id, meta.size_bytes, installed=True)
        return
    if not _is_sound(message):
        raft.counters["messages_dropped_malformed"] += 1
        return
    if snapshots.incoming is None or snapshots.incoming.snapshot_id != meta.snapshot_id:
        if message.offset:
            _answer(raft, header.source, meta.snapshot_id, 0)
            return
        snapshots.incoming, snapshots.next_offset = meta, 0
    snapshots.sender = header.source
    if message.offset == snapshots.next_offset and meta == snapshots.incoming:
        raft.actions.append(StoreChunk(snapshot=meta, offset=message.offset, data=message.data))
        snapshots.next_offset += len(message.data)
        if snapshots.next_offset == meta.size_bytes:
            snapshots.complete = True
    _answer(raft, header.source, meta.snapshot_id, snapshots.next_offset)


def _is_sound(message: InstallSnapshotMessage) -> bool:
    end = message.offset + len(message.data)
    meta = message.snapshot
    whole = bool(message.data) and end <= meta.size_bytes and message.done == (end == meta.size_bytes)
    return whole and 0 < meta.last_term <= message.term and meta.last_index <= INDEX_MAX


def _answer(raft: Raft, to: NodeId, snapshot_id: bytes, next_offset: int, *, installed: bool = False) -> None:
    response = InstallSnapshotResponse(
        term=raft.term, snapshot_id=snapshot_id, next_offset=next_offset, installed=installed
    )
    raft.send(to, response, promise=installed)


def install_when_quiet(raft: Raft) -> None:
    """Order the installation once nothing else is at work on the state store."""
    snapshots = raft.snapshots
    busy = raft.apply_outstanding or raft.flush_outstanding or snapshots.save_outstanding
    # Cluster and term first: a state that came by snapshot is believed at a restart only in a log that knows both.
    busy = busy or not raft.disk.hard_state_durable
    if not snapshots.complete or busy or snapshots.install_outstanding or snapshots.incoming is None:
        return
    snapshots.complete = False
    if snapshots.incoming.last_index <= raft.commit_index:
        # Entries overtook it while it came.
        meta, snapshots.incoming = snapshots.incoming, None
        _answer(raft, snapshots.sender, meta.snapshot_id, meta.size_bytes, installed=True)
        return
    snapshots.install_outstanding = True
    raft.actions.append(InstallSnapshot(snapshot=snapshots.incoming))


def on_snapshot_installed(raft: Raft, event: SnapshotInstalled) -> None:
    """The state store is the snapshot now: move every index behind it, and keep what the log has after it."""
    snapshots = raft.snapshots
    meta = snapshots.incoming
    must(snapshots.install_outstanding and meta is not None, "an installation was ordered")
    snapshots.install_outstanding, snapshots.incoming = False, None
    if meta is None:
        return
    if not event.installed or event.state is None:
        raft.counters["snapshots_refused"] += 1
        _answer(raft, snapshots.sender, meta.snapshot_id, 0)
        return
    if event.state.applied_index != meta.last_index or event.state.applied_term != meta.last_term:
        raft.stop(StopCode.CORRUPTION, f"the installed snapshot is not the one announced ({meta.last_index})")
        return
    if raft.commit_index >= meta.last_index and raft.log.term_at(meta.last_index) not in {
        None,
        meta.last_term,
    }:
        detail = f"the snapshot of index {meta.last_index} contradicts what was committed here meanwhile"
        raft.stop(StopCode.CORRUPTION, f"{detail}: one of the two nodes lost committed entries")
        return
    raft.counters["snapshots_installed"] += 1
    abandon_skipped(raft, meta.last_term)
    _move_behind(raft, meta, event.state.membership)
    raft.last_time_us = max(raft.last_time_us, event.state.time_us)
    _answer(raft, snapshots.sender, meta.snapshot_id, meta.size_bytes, installed=True)


def _move_behind(raft: Raft, meta: SnapshotMeta, membership: Membership) -> None:
    # With the same entry at its end, what the log has after it stays; else it was never part of this history.
    keeps_suffix = raft.log.term_at(meta.last_index) == meta.last_term
    later = [(index, m) for index, m in raft.memberships if index > meta.last_index] if keeps_suffix else []
    raft.set_memberships([(meta.last_index, membership), *later])
    if not keeps_suffix:
        raft.reset_log(meta.last_index, meta.last_term)
    raft.applied_index = raft.flushed_index = meta.last_index
    raft.commit_index = Index(max(raft.commit_index, meta.last_index))
    raft.applied_term = Term(max(raft.applied_term, meta.last_term))
    raft.lost_tail = _still_lost(raft, meta)


def _still_lost(raft: Raft, meta: SnapshotMeta) -> LostTail | None:
    lost = raft.lost_tail
    return None if lost and meta.last_index >= lost.last_index and raft.term > lost.term else lost
