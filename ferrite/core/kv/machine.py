"""The replicated state machine: log entries in, one atomic batch and the clients' results out."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Final

from ferrite.core.kv.commands import CommandInvalid, decode_command
from ferrite.core.kv.execute import execute
from ferrite.core.kv.layout import Layout
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Query
from ferrite.core.kv.queries import answer
from ferrite.core.kv.ranges import ReadLimits, View
from ferrite.core.kv.records import Change, StateCorrupt, decode_change, decode_meta, encode_meta
from ferrite.core.kv.results import CommandFailed, CommandResult, KeyValue, QueryResult
from ferrite.core.kv.revisions import RevisionChanges, changes_from, previous
from ferrite.core.kv.sessions import SessionLimits, Sessions
from ferrite.core.kv.store import Overlay, Pair, ReadableStore, Write
from ferrite.core.kv.workspace import Workspace
from ferrite.core.kv.writer import Writer
from ferrite.core.membership import Membership, decode_membership
from ferrite.core.recovered import RecoveredState
from ferrite.core.values import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    Identity,
    Index,
    RequestId,
    Term,
    must,
    payload_kind,
    payload_time_us,
    value,
)

TIME_US_MAX: Final = 2**62
"""A cluster time above it (146,000 years) is not believed: sums with it would not fit the records."""

# Plain numbers: looking an enum's member up costs more than the comparison, and this runs for every entry.
_COMMAND: Final = int(EntryKind.COMMAND)
_MEMBERSHIP: Final = int(EntryKind.MEMBERSHIP)
_KINDS: Final = frozenset(int(kind) for kind in EntryKind)
_LENGTHS: Final = struct.Struct(">II")
_INSTALLED: Final = struct.Struct(">Q")


@value
class AppliedBatch:
    """What `StateMachine.apply` made of some entries. Nothing has happened until the host wrote `batch`.

    `outcomes`: results of the commands that this boot of this node originated, in the order of the log.
    """

    batch: list[Write]
    applied_index: Index
    applied_term: Term
    outcomes: tuple[tuple[RequestId, CommandResult], ...]
    meta: Meta = field(repr=False)
    revisions: tuple[tuple[int, list[bytes]], ...] = field(repr=False)
    """The revisions that it makes, with their records as they lie in the batch: `changes` reads them."""

    @property
    def changes(self) -> tuple[RevisionChanges, ...]:
        """What the batch changes, in order, for watches. Decoded at each call, so that it costs nothing without one."""
        return tuple(
            RevisionChanges(
                revision=revision, changes=tuple(decode_change(record, revision) for record in records)
            )
            for revision, records in self.revisions
        )


class StateMachine:
    """The key-value machine of one group on a store.

    The rule: `applied = machine.apply(...)`, write `applied.batch` to the store atomically, then `machine.advance(applied)`. When
    the write did not happen, forget `applied`: the machine is what it was.
    """

    __slots__ = ("_identity", "_layout", "_meta", "_read_limits", "_session_limits", "_store")

    def __init__(
        self,
        store: ReadableStore,
        identity: Identity,
        *,
        group_id: int = 0,
        read_limits: ReadLimits | None = None,
        session_limits: SessionLimits | None = None,
    ) -> None:
        """Take up the state that the store holds. `session_limits` must be the same on all members. Raises StateCorrupt."""
        self._store = store
        self._identity = identity
        self._layout = Layout(group_id)
        self._read_limits = read_limits or ReadLimits()
        self._session_limits = session_limits or SessionLimits()
        self._meta = load_meta(store, group_id)

    @property
    def revision(self) -> int:
        """The store's revision."""
        return self._meta.revision

    @property
    def applied_index(self) -> Index:
        """The last entry whose batch was written."""
        return self._meta.applied_index

    @property
    def session_count(self) -> int:
        """Live sessions."""
        return self._meta.session_count

    @property
    def time_us(self) -> int:
        """Cluster time, of the last entry."""
        return self._meta.time_us

    @property
    def lease_count(self) -> int:
        """Leases that have not ended."""
        return self._meta.lease_count

    @property
    def next_deadline_us(self) -> int:
        """No lease ends before this cluster time; 0 without leases."""
        return self._meta.lease_deadline_us

    @property
    def compacted_revision(self) -> int:
        """The oldest revision that can be read; 0: nothing was compacted."""
        return self._meta.compacted_revision

    @property
    def compaction_pending(self) -> bool:
        """Does compaction leave something for the next Tick?"""
        return self._meta.swept_revision != self._meta.compacted_revision

    @property
    def no_space(self) -> bool:
        """Are commands that add refused?"""
        return bool(self._meta.no_space)

    @property
    def size_bytes(self) -> int:
        """Bytes of the keys' records, history included."""
        return self._meta.size_bytes

    def apply(self, first_index: Index, entries: Sequence[Entry]) -> AppliedBatch:
        """Work out what these committed entries do. `first_index` is one past the applied index.

        Total: whatever stands in the payloads, every member gets the same batch. Raises StateCorrupt when the store
        does not hold what the machine wrote, and InvariantViolated for entries out of order.
        """
        must(
            first_index == self._meta.applied_index + 1,
            f"apply at {first_index} after {self._meta.applied_index}",
        )
        must(entries, "apply of no entries")
        must(entries[0].term >= self._meta.applied_term, "terms of applied entries never decrease")
        step = _Step(self._layout, Overlay(self._store), self._meta.copy(), self._session_limits)
        outcomes = []
        for entry in entries:
            outcome = step.apply_entry(entry, self._identity)
            if outcome is not None:
                outcomes.append(outcome)
        step.sessions.flush()
        step.overlay.put(self._layout.applied, encode_meta(step.meta))
        return AppliedBatch(
            batch=step.overlay.batch(),
            applied_index=step.meta.applied_index,
            applied_term=step.meta.applied_term,
            outcomes=tuple(outcomes),
            meta=step.meta,
            revisions=tuple(step.work.writer.revisions),
        )

    def advance(self, applied: AppliedBatch) -> None:
        """Note that the batch was written."""
        must(applied.applied_index > self._meta.applied_index, "a batch is written once, and in order")
        self._meta = applied.meta

    def read(self, query: Query) -> QueryResult:
        """Answer a query from the state as it is now. Raises StateCorrupt."""
        return answer(self._view(), self._meta, query, self._read_limits)

    def changes_from(self, first_revision: int, *, bytes_max: int) -> tuple[RevisionChanges, ...]:
        """Return the changes from a revision on, whole revisions of about `bytes_max` bytes, at least one; empty: there are none.

        `first_revision` is at least `compacted_revision`: below it the changes are not complete. Raises StateCorrupt.
        """
        must(first_revision >= self._meta.compacted_revision, "a watch reads no revision that was compacted")
        return changes_from(self._view(), first_revision, bytes_max)

    def previous(self, change: Change) -> KeyValue | None:
        """Return what the key was before a change; None when it was not there, or when that is compacted.

        The batch that made the change must have been written. Raises StateCorrupt.
        """
        if change.mod_revision <= self._meta.compacted_revision:
            return None
        return previous(self._view(), change)

    def _view(self) -> View:
        return View(self._layout, self._store, self._meta.revision)

    def recovered_state(self) -> RecoveredState:
        """Return what a replica needs to know of the state. Raises StateCorrupt."""
        return load_state(self._store, self._layout.group_id)

    def state_hash(self) -> bytes:
        """Return the SHA-256 of everything replicated: equal on all members at an equal applied index."""
        return state_hash(self._store, self._layout.group_id)


class _Step:
    """One apply at work: the overlay, its copy of the meta record, and what the entries do to them."""

    __slots__ = ("layout", "meta", "overlay", "sessions", "work")

    def __init__(self, layout: Layout, overlay: Overlay, meta: Meta, limits: SessionLimits) -> None:
        self.layout = layout
        self.overlay = overlay
        self.meta = meta
        self.sessions = Sessions(layout, overlay, meta, limits)
        self.work = Workspace(layout, overlay, meta, Writer(layout, overlay, meta))

    def apply_entry(self, entry: Entry, identity: Identity) -> tuple[RequestId, CommandResult] | None:
        """Apply one entry; return the outcome if this boot of this node took the request."""
        meta, payload = self.meta, entry.payload
        meta.applied_index = Index(meta.applied_index + 1)
        meta.applied_term = entry.term
        kind = payload_kind(payload)
        # An unknown kind, or a payload cut short, is the same nothing on every member.
        if kind not in _KINDS or len(payload) < PAYLOAD_HEADER_BYTES:
            return None
        time_us = payload_time_us(payload)
        if meta.time_us < time_us <= TIME_US_MAX:
            meta.time_us = time_us
        if meta.session_count:
            self.sessions.expire()
        if kind == _COMMAND:
            return self._command(payload[PAYLOAD_HEADER_BYTES:], identity)
        if kind == _MEMBERSHIP:
            self._membership(payload[PAYLOAD_HEADER_BYTES:])
        return None

    def _command(self, body: bytes, identity: Identity) -> tuple[RequestId, CommandResult] | None:
        result: CommandResult
        try:
            command = decode_command(body)
            origin = command.origin
        except CommandInvalid as error:
            if error.origin is None:
                return None
            origin = error.origin
            result = CommandFailed(code=error.code, detail=error.detail, revision=self.meta.revision)
        else:
            if command.session is None:
                result = execute(self.work, command.operation)
            else:
                operation = command.operation
                result = self.sessions.run_once(
                    command.session, command.operation_crc32, lambda: execute(self.work, operation)
                )
        if origin.node_id == identity.node_id and origin.boot == identity.boot:
            return origin.request, result
        return None

    def _membership(self, body: bytes) -> None:
        try:
            decode_membership(body)
        except ValueError:
            return  # the same nothing on every member; the core never appends such an entry
        self.overlay.put(self.layout.membership, body)
        self.meta.membership_index = self.meta.applied_index


def load_meta(store: ReadableStore, group_id: int) -> Meta:
    """Return the position and counters that the store holds, those of the empty state for none. Raises StateCorrupt."""
    data = store.get(Layout(group_id).applied)
    return Meta() if data is None else decode_meta(data)


def load_state(store: ReadableStore, group_id: int) -> RecoveredState:
    """Return what the store (or a pinned view of it) says of itself. Raises StateCorrupt."""
    layout = Layout(group_id)
    meta = load_meta(store, group_id)
    installed = store.get(layout.local(b"installed"))
    payload = store.get(layout.membership)
    try:
        return RecoveredState(
            applied_index=meta.applied_index,
            applied_term=meta.applied_term,
            membership=Membership() if payload is None else decode_membership(payload),
            time_us=meta.time_us,
            installed_index=Index(0 if installed is None else _INSTALLED.unpack(installed)[0]),
        )
    except (ValueError, struct.error) as error:
        raise StateCorrupt(f"the state's membership or installed index cannot be read: {error}") from error


def membership_payload(store: ReadableStore, group_id: int) -> bytes:
    """Return the encoded membership that was applied last, empty for none: for a snapshot's header."""
    return store.get(Layout(group_id).membership) or b""


def installed_record(group_id: int, index: Index) -> Pair:
    """Return the node's own record that says which snapshot its state came from."""
    return Layout(group_id).local(b"installed"), _INSTALLED.pack(index)


def local_key(group_id: int, name: bytes) -> bytes:
    """Return the key of a record that the host keeps beside the state: in no snapshot, in no hash."""
    return Layout(group_id).local(name)


def replicated_pairs(store: ReadableStore, group_id: int) -> Iterator[Pair]:
    """Yield everything that is the same on all members, in key order: what a snapshot holds."""
    return store.scan(*Layout(group_id).replicated_range)


def state_hash(store: ReadableStore, group_id: int) -> bytes:
    """Return the SHA-256 of the replicated pairs, each with its lengths."""
    digest = hashlib.sha256()
    for key, data in replicated_pairs(store, group_id):
        digest.update(_LENGTHS.pack(len(key), len(data)))
        digest.update(key)
        digest.update(data)
    return digest.digest()
