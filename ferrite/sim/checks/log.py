"""What a node orders to be written, read and discarded: S2, S3, S4, S6, S7, S14, S15 and the contract of `Persist`. One
English sentence above each check.
"""

from __future__ import annotations

from collections.abc import Sequence

from ferrite.core import (
    Entry,
    EntryKind,
    HardState,
    Index,
    Membership,
    NodeId,
    actions,
    payload_kind,
)
from ferrite.sim.checks.commands import appended
from ferrite.sim.checks.ghost import GhostDisk, Ordered, apply_to, is_quorum, next_chain
from ferrite.sim.checks.shared import LEADER, Checks, View


def ordered_persist(
    checks: Checks,
    node: NodeId,
    persist: actions.Persist,
    before: View | None,
    status: View,
) -> None:
    """A node orders a write of its log."""
    disk = checks.ghost.disk(node)
    # Contract 3: write_seq grows by one, and entries continue the log but for a base or a truncation.
    if persist.write_seq != disk.ordered_seq + 1:
        checks.fail(
            "PERSIST",
            "write_seq grows by one.",
            f"node {node}: {disk.ordered_seq} then {persist.write_seq}",
        )
    disk.ordered_seq = persist.write_seq
    if persist.hard_state is not None:
        _hard_state(checks, node, disk.ordered_hard_state, persist.hard_state)
        disk.ordered_hard_state = persist.hard_state
    was_leader = before is not None and before.role is LEADER and before.term == status.term
    # S2 Leader Append-Only: a leader never overwrites or deletes entries of its log.
    if was_leader and (persist.truncate or persist.base is not None):
        checks.fail(
            "S2",
            "A leader never overwrites or deletes entries of its log.",
            f"node {node} ordered {_text(persist)}",
        )
    base_chain = _base_chain(checks, node, disk, persist)
    if persist.truncate:
        _truncation(checks, node, disk, persist)
    log = disk.log
    end = log.last_index + 1 if persist.base is None else persist.base[0] + 1
    if (persist.entries or persist.truncate) and (
        persist.first_index > end or (persist.first_index < end and not persist.truncate)
    ):
        checks.fail(
            "PERSIST",
            "Entries continue the log where it ends.",
            f"node {node} ordered entries from {persist.first_index}; its log ends before {end}",
        )
    chains = _append(checks, node, disk, persist, base_chain)
    apply_to(log, persist, chains, base_chain)
    if was_leader or status.role is LEADER:
        _leader_memberships(checks, node, status, persist)
        facts = checks.seen[node].facts
        if facts is not None:
            appended(facts.commands, status.term, persist.entries)
    disk.waiting.append(Ordered(persist, chains, base_chain))


def ordered_load(checks: Checks, node: NodeId, order: actions.LoadEntries) -> None:
    """A node asks for entries of its own log."""
    last_index = checks.ghost.disk(node).log.last_index
    # Contract 3: a load asks for entries of the own log, as ordered before it.
    if not order.first_index < order.end_index <= last_index + 1:
        checks.fail(
            "LOAD",
            "A load asks for entries that the log holds at that place in the order.",
            f"node {node} loads [{order.first_index}, {order.end_index}); its log ends at {last_index}",
        )
    checks.marks.hit("entries_loaded")


def loaded(checks: Checks, node: NodeId, first_index: int, entries: Sequence[Entry]) -> None:
    """Entries were read from a node's log, after every write ordered before the load was finished."""
    ghost = checks.ghost
    for index, entry in enumerate(entries, first_index):
        chain = ghost.disk(node).durable.chain_at(index)
        # Contract 3: what is read is what was written there last.
        if chain is None or ghost.entry_of[chain] != entry:
            checks.fail(
                "LOAD",
                "A load returns the entries that were written last at their indexes.",
                f"node {node} read an entry of term {entry.term} at {index} that is not in its log",
            )


def _hard_state(checks: Checks, node: NodeId, old: HardState, new: HardState) -> None:
    # S6 MonotonicTerm: the durable term never decreases.
    if new.term < old.term:
        checks.fail(
            "S6", "The durable term never decreases.", f"node {node}: term {old.term} then {new.term}"
        )
    # S7 VoteOnce: in one term a node votes for one candidate at most.
    if new.term == old.term and old.voted_for not in (0, new.voted_for):
        checks.fail(
            "S7",
            "In one term a node votes for one candidate at most.",
            f"node {node}, term {new.term}: voted for {old.voted_for}, then {new.voted_for}",
        )


def _base_chain(checks: Checks, node: NodeId, disk: GhostDisk, persist: actions.Persist) -> bytes:
    if persist.base is None:
        return disk.log.base_chain
    index, term = persist.base
    # S15: a log begins after a snapshot of committed entries, at that entry's term.
    if index > checks.ghost.commit_index or (index and checks.ghost.committed_terms[index] != term):
        checks.fail(
            "S15",
            "A log begins after a snapshot of committed entries.",
            f"node {node} ordered base {persist.base}; committed is {checks.ghost.commit_index}",
        )
    # S15, DR1: the log is emptied only when the state that replaces it is durable.
    if disk.installed_index < index:
        checks.fail(
            "S15",
            "The log is emptied only when the snapshot that replaces it is durable.",
            f"node {node} ordered base {persist.base}, its durable snapshot is {disk.installed_index}",
        )
    return checks.ghost.committed[index]


def _truncation(checks: Checks, node: NodeId, disk: GhostDisk, persist: actions.Persist) -> None:
    # S4: no committed entry is ever removed from a log that holds it.
    index = persist.first_index
    if index <= checks.ghost.commit_index and disk.log.chain_at(index) == checks.ghost.committed[index]:
        checks.fail(
            "S4",
            "A committed entry is never removed from a log that holds it.",
            f"node {node} truncates from {index}, committed is {checks.ghost.commit_index}",
        )
    _mark_truncation(checks, disk, index)


def _mark_truncation(checks: Checks, disk: GhostDisk, index: int) -> None:
    ghost = checks.ghost
    if disk.log.last_index > index:
        checks.marks.hit("conflict_cut")
    if any(at >= index for at, _ in disk.log.memberships):
        checks.marks.hit("membership_cut")
    chain = disk.log.chain_at(index)
    holders = [node for node in ghost.disks if chain is not None and ghost.holds_durably(node, index, chain)]
    if is_quorum(ghost.membership_of(disk)[1], holders):
        checks.marks.hit("figure_8")


def _append(
    checks: Checks, node: NodeId, disk: GhostDisk, persist: actions.Persist, base_chain: bytes
) -> list[bytes]:
    ghost = checks.ghost
    if not persist.entries:
        return []
    chain = base_chain if persist.base is not None else disk.log.chain_at(persist.first_index - 1)
    assert chain is not None, "contiguity was checked"
    chains = []
    index = persist.first_index
    for entry in persist.entries:
        chain = next_chain(chain, entry)
        known = ghost.chain_of.setdefault((index, entry.term), chain)
        # S3 Log Matching: two entries of the same index and term are the same, and so is everything before them.
        if known != chain:
            checks.fail(
                "S3",
                "Entries of the same index and term are the same in all logs, and so is everything before them.",
                f"node {node} appends another entry {index} of term {entry.term}",
            )
        ghost.entry_of.setdefault(known, entry)
        chains.append(known)
        index = Index(index + 1)
    return chains


def _leader_memberships(checks: Checks, node: NodeId, status: View, persist: actions.Persist) -> None:
    for place, entry in enumerate(persist.entries):
        if payload_kind(entry.payload) != EntryKind.MEMBERSHIP or entry.term != status.term:
            continue
        index = persist.first_index + place
        found = checks.ghost.disk(node).log.memberships
        earlier = [item for item in found if item[0] < index]
        # S14: a leader appends a membership only when the one before is committed.
        if earlier and earlier[-1][0] > status.commit_index:
            checks.fail(
                "S14",
                "A leader appends a membership only when the one before it is committed.",
                f"node {node} appends one at {index}; the one at {earlier[-1][0]} is above commit {status.commit_index}",
            )
        # Contract 8: a leader changes nothing before it has committed an entry of its own term (Ongaro's bug of 2015).
        if earlier and checks.ghost.disk(node).log.term_at(status.commit_index) != status.term:
            checks.fail(
                "S14",
                "A leader changes the membership only after it has committed an entry of its own term.",
                f"node {node} of term {status.term} appends one at {index}",
            )
        if earlier:
            _membership_step(
                checks, node, checks.ghost.membership(earlier[-1][1]), checks.ghost.membership(entry.payload)
            )


def _membership_step(checks: Checks, node: NodeId, old: Membership, new: Membership) -> None:
    fine = (new.voters == old.voters and new.outgoing == old.outgoing) or (
        new.voters == old.voters and not new.outgoing if old.joint else new.outgoing == old.voters
    )
    # S14: voters change through a joint configuration only, so that consecutive quorums intersect.
    if not fine:
        checks.fail(
            "S14",
            "Voters change through a joint configuration only.",
            f"node {node}: {old.voters}/{old.outgoing} then {new.voters}/{new.outgoing}",
        )


def ordered_discard(checks: Checks, node: NodeId, order: actions.DiscardLog) -> None:
    """A node lets old entries go."""
    checks.marks.hit("log_discarded")
    disk = checks.ghost.disk(node)
    # Contract 3: DiscardLog never passes the last StateFlushed.
    if order.first_index > max(disk.flushed_index, disk.installed_index) + 1:
        checks.fail(
            "DISCARD",
            "The log is cut only below what a flushed state covers.",
            f"node {node} discards below {order.first_index}; flushed is {disk.flushed_index}",
        )


def voted(checks: Checks, node: NodeId, hard_state: HardState) -> None:
    """A hard state became durable: note the vote in it."""
    if not hard_state.voted_for:
        return
    known = checks.ghost.votes.setdefault(hard_state.term, {}).setdefault(node, hard_state.voted_for)
    # S7 VoteOnce, across restarts.
    if known != hard_state.voted_for:
        checks.fail(
            "S7",
            "In one term a node votes for one candidate at most, also across restarts.",
            f"node {node}, term {hard_state.term}: {known}, then {hard_state.voted_for}",
        )


def _text(persist: actions.Persist) -> str:
    return (
        f"Persist {persist.write_seq}: base {persist.base}, truncate {persist.truncate}, first {persist.first_index}, "
        f"{len(persist.entries)} entries"
    )
