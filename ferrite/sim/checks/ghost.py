"""What the harness knows and no node does: every log as a hash chain, what is durable where, what is committed.

A chain value stands for an entry and everything before it, so that "same prefix" is one comparison (Raft's Log Matching).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from ferrite.core import PAYLOAD_HEADER_BYTES as HEADER_BYTES
from ferrite.core import (
    Entry,
    EntryKind,
    HardState,
    Membership,
    NodeId,
    actions,
    decode_membership,
    payload_kind,
)

START_CHAIN: Final = bytes(16)
"""The chain value before the first entry."""


@dataclass(slots=True)
class GhostLog:
    """One log: entries `base_index + 1` to `last_index`, as terms and chain values."""

    base_index: int = 0
    base_term: int = 0
    base_chain: bytes = START_CHAIN
    terms: list[int] = field(default_factory=list)
    chains: list[bytes] = field(default_factory=list)
    memberships: list[tuple[int, bytes]] = field(default_factory=list)
    """`(index, payload)` of the membership entries, ascending."""

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.terms)

    def chain_at(self, index: int) -> bytes | None:
        """The chain value at an index; None when it is below the base or above the end."""
        if index == self.base_index:
            return self.base_chain
        place = index - self.base_index - 1
        return self.chains[place] if 0 <= place < len(self.chains) else None

    def term_at(self, index: int) -> int | None:
        if index == self.base_index:
            return self.base_term
        place = index - self.base_index - 1
        return self.terms[place] if 0 <= place < len(self.terms) else None

    def cut_from(self, first_index: int) -> None:
        """Drop everything from `first_index` on."""
        place = max(0, first_index - self.base_index - 1)
        del self.terms[place:]
        del self.chains[place:]
        while self.memberships and self.memberships[-1][0] >= first_index:
            self.memberships.pop()

    def rebase(self, index: int, term: int, chain: bytes) -> None:
        """The log is empty now and begins after `index`."""
        self.base_index, self.base_term, self.base_chain = index, term, chain
        self.terms.clear()
        self.chains.clear()
        self.memberships.clear()

    def copy(self) -> GhostLog:
        return GhostLog(
            self.base_index,
            self.base_term,
            self.base_chain,
            self.terms.copy(),
            self.chains.copy(),
            self.memberships.copy(),
        )


@dataclass(slots=True)
class Ordered:
    """One `Persist` with the chain values of its entries, waiting to become durable."""

    persist: actions.Persist
    chains: list[bytes]
    base_chain: bytes


@dataclass(slots=True)
class GhostDisk:
    """What a node's log holds: `log` as ordered by the replica, `durable` as far as syncs have finished.

    `waiting` are the `Persist`s between the two, in order; `performed_seq` is the last one that the host has begun.
    """

    log: GhostLog = field(default_factory=GhostLog)
    durable: GhostLog = field(default_factory=GhostLog)
    hard_state: HardState = field(default_factory=HardState)
    ordered_hard_state: HardState = field(default_factory=HardState)
    durable_seq: int = 0
    ordered_seq: int = 0
    performed_seq: int = 0
    waiting: list[Ordered] = field(default_factory=list)
    installed_index: int = 0
    """The last snapshot that is durably the state: it holds every entry up to here as well as the log would."""
    flushed_index: int = 0
    tail_taken: bool = False
    """A fault has taken the end of the log away since the last start."""
    promised_index: int = 0
    """How far the log reached that a fault cut: answers that say so may still be under way. The node is bound by them, for it
    neither votes nor campaigns until a leader of a later term has made the loss good.
    """
    opens: int = 0
    """How often the log was opened since the node last ran: each may have left a write of its own, finished or not."""
    tail_was_taken: bool = False
    """The same before an earlier start: the node may still say so."""


def apply_to(log: GhostLog, persist: actions.Persist, chains: list[bytes], base_chain: bytes) -> None:
    """Change a ghost log as the order says: base, truncation, entries."""
    if persist.base is not None:
        log.rebase(persist.base[0], persist.base[1], base_chain)
    if persist.truncate:
        log.cut_from(persist.first_index)
    for place, (entry, chain) in enumerate(zip(persist.entries, chains, strict=True)):
        if payload_kind(entry.payload) == EntryKind.MEMBERSHIP:
            log.memberships.append((persist.first_index + place, entry.payload))
        log.terms.append(entry.term)
        log.chains.append(chain)


@dataclass(slots=True)
class Ghost:
    """The facts about the whole cluster that invariants compare against."""

    chain_of: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(index, term) -> chain value: by Log Matching there is only one."""
    entry_of: dict[bytes, Entry] = field(default_factory=dict)
    """Chain value -> its last entry."""
    committed: list[bytes] = field(default_factory=lambda: [START_CHAIN])
    """Chain values by index: the one committed log. Index 0 is the start."""
    committed_terms: list[int] = field(default_factory=lambda: [0])
    committed_memberships: list[tuple[int, bytes]] = field(default_factory=list)
    commits_by_term: dict[int, int] = field(default_factory=dict)
    """Leader's term -> the highest index committed in it."""
    leaders: dict[int, tuple[NodeId, int]] = field(default_factory=dict)
    """Term -> (node, boot) that led it."""
    votes: dict[int, dict[NodeId, NodeId]] = field(default_factory=dict)
    """Term -> voter -> candidate, as durable on disks."""
    pre_votes: dict[tuple[NodeId, int], set[NodeId]] = field(default_factory=dict)
    """(pre-candidate, the term it asked for) -> who has said that it would vote for it."""
    disks: dict[NodeId, GhostDisk] = field(default_factory=dict)
    taken: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Origin of a command (node, boot, request) -> its committed index."""
    snapshots: dict[bytes, int] = field(default_factory=dict)
    """Snapshot id -> its last index, of every snapshot ever saved."""
    state_hashes: dict[int, bytes] = field(default_factory=dict)
    """Applied index -> hash of the state there, of whoever was there first."""
    fingerprints: dict[int, int] = field(default_factory=dict)
    """The same with the fingerprint of the state's store, which costs no pass over it."""
    _decoded: dict[bytes, Membership] = field(default_factory=dict)

    @property
    def commit_index(self) -> int:
        return len(self.committed) - 1

    def disk(self, node: NodeId) -> GhostDisk:
        found = self.disks.get(node)
        if found is None:
            found = self.disks[node] = GhostDisk()
        return found

    def committed_entry(self, index: int) -> Entry | None:
        """The committed entry at an index; None when nothing is committed there."""
        return self.entry_of[self.committed[index]] if 0 < index < len(self.committed) else None

    def committed_before_term(self, term: int) -> int:
        """The highest index committed by leaders of lower terms."""
        return max((index for of, index in self.commits_by_term.items() if of < term), default=0)

    def holds_durably(self, node: NodeId, index: int, chain: bytes) -> bool:
        """Has this node's disk the entry and all before it, in the log or as part of a snapshot that is its state?"""
        disk = self.disks.get(node) or self.disk(node)
        if index <= disk.promised_index:
            return True
        if index <= max(disk.durable.base_index, disk.installed_index) and index <= self.commit_index:
            # Below a base stands committed state only (checked when the base is set).
            return self.committed[index] == chain
        return disk.durable.chain_at(index) == chain

    def state_contradicts_log(self, disk: GhostDisk, applied_index: int) -> bool:
        """Is a state ahead of its log, or made of other entries than those that came back when a repair was lost?"""
        if applied_index <= disk.installed_index:
            return False
        if applied_index > disk.log.last_index:
            return True
        return disk.tail_was_taken and disk.log.chain_at(applied_index) not in (
            None,
            self.committed[applied_index],
        )

    def membership(self, payload: bytes) -> Membership:
        """Decode the payload of a membership entry, once."""
        found = self._decoded.get(payload)
        if found is None:
            found = self._decoded[payload] = decode_membership(payload[HEADER_BYTES:])
        return found

    def membership_of(self, disk: GhostDisk) -> tuple[int, Membership]:
        """The latest membership of a log, or the committed one that its base or snapshot covers; (0, empty) when there is
        none.
        """
        log = disk.log
        # After an install the log may end below the snapshot until its base is written: the snapshot is in force.
        below = max(log.base_index, disk.installed_index if disk.installed_index > log.last_index else 0)
        if log.memberships and log.memberships[-1][0] > below:
            index, payload = log.memberships[-1]
            return index, self.membership(payload)
        return self.committed_membership(below)

    def committed_membership(self, index: int) -> tuple[int, Membership]:
        """The membership in force when everything up to an index was committed, and where it stands; (0, empty): none yet."""
        place = bisect_right(self.committed_memberships, index, key=lambda item: item[0])
        if place == 0:
            return 0, Membership()
        found, payload = self.committed_memberships[place - 1]
        return found, self.membership(payload)


def is_quorum(membership: Membership, agreeing: Collection[NodeId]) -> bool:
    """A majority of the voters, and of the outgoing ones while joint. Written anew here: a check must not lean on what it
    checks.
    """
    halves = [membership.voters, *([membership.outgoing] if membership.outgoing else [])]
    return all(len([voter for voter in half if voter in agreeing]) > len(half) // 2 for half in halves)


def next_chain(chain: bytes, entry: Entry) -> bytes:
    """The chain value after one more entry."""
    hashed = hashlib.blake2b(chain, digest_size=16)
    hashed.update(entry.term.to_bytes(8, "big"))
    hashed.update(entry.payload)
    return hashed.digest()
