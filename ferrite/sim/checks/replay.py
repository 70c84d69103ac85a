"""The committed log, replayed once on the real machine and on the plain model side by side: every answer and every change of
every revision is compared, and what the nodes' states were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    Identity,
    Index,
    payload_kind,
    payload_time_us,
)
from ferrite.core.kv import (
    AppliedBatch,
    Command,
    CommandErrorCode,
    CommandFailed,
    CommandInvalid,
    CommandResult,
    LeaseGrant,
    LeaseKeepAlive,
    Operation,
    Range,
    SessionLimits,
    StateMachine,
    Tick,
    decode_command,
)
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.checks.model import FIRST_REVISION, KvModel
from ferrite.sim.checks.sessions import SessionEnds
from ferrite.sim.store import StateImage
from ferrite.sim.violation import Violation

OF_SESSIONS = frozenset(
    (
        CommandErrorCode.SESSION_EXPIRED,
        CommandErrorCode.REQUEST_FORGOTTEN,
        CommandErrorCode.REQUEST_MISMATCH,
        CommandErrorCode.REPLY_TOO_LARGE,
    )
)
"""Said of a request, not of what it asks for. None of them changes anything."""
EVERYTHING = Range(key=b"\x00", range_end=b"\x00")
Request = tuple[bytes, int]
"""A session and a request of it."""


@dataclass(slots=True, kw_only=True)
class Executed:
    """The one time that a request of a session was carried out."""

    index: int
    result: CommandResult


@dataclass(slots=True, kw_only=True)
class LeaseEnd:
    """A lease that a Tick ended: of which grant or keep-alive it ran out."""

    lease_id: int
    renewed_index: int
    ended_index: int


@dataclass(slots=True)
class Model:
    """What the committed log says."""

    kv: KvModel = field(default_factory=KvModel)
    effects: dict[Request, int] = field(default_factory=dict)
    """-> the revision of its effect; requests that changed nothing are not in it."""
    executed: dict[Request, Executed] = field(default_factory=dict)
    index_of: dict[int, int] = field(default_factory=dict)
    """Revision -> the entry that made it."""
    compactions: list[tuple[int, int]] = field(default_factory=list)
    """(entry, compacted to), ascending in both."""
    lease_ends: list[LeaseEnd] = field(default_factory=list)
    renewed_index: dict[int, int] = field(default_factory=dict)
    """Lease -> the entry that granted it or last kept it alive."""

    @property
    def revision(self) -> int:
        """The store's, at the end of the log."""
        return self.kv.revision

    def value_at(self, key: bytes, revision: int) -> tuple[int, bytes | None]:
        """The (revision, value) of a key as of a revision; (0, None) before its first write."""
        found: tuple[int, bytes | None] = (0, None)
        for at, entry in self.kv.versions.get(key, ()):
            if at > revision:
                break
            found = at, entry.value if entry else None
        return found


@dataclass(slots=True)
class _Whoever:
    """An identity that is that of each entry's origin in turn: so the machine gives the answer of every command."""

    node_id: int = 0
    boot: int = 0


def replay(ghost: Ghost, limits: SessionLimits | None = None) -> Model:
    """Apply the committed log, entry by entry, on an empty state. Raises Violation S16, S17, S20, S26, S27, S30."""
    state, whoever, model = StateImage(), _Whoever(), Model()
    ends = SessionEnds(limits)
    machine = StateMachine(state.pairs, cast(Identity, whoever), session_limits=limits)
    for index in range(1, len(ghost.committed)):
        entry = ghost.committed_entry(index)
        assert entry is not None, "the committed log has no holes"
        command = _command(entry)
        if command is not None:
            whoever.node_id, whoever.boot = command.origin.node_id, command.origin.boot
        applied = machine.apply(Index(index), [entry])
        state.write(applied.batch)
        machine.advance(applied)
        if payload_kind(entry.payload) in tuple(EntryKind):
            model.kv.time_us = max(model.kv.time_us, payload_time_us(entry.payload))
        if command is not None and command.session is not None and applied.outcomes:
            ends.answered(command.session, applied.outcomes[0][1], model.kv.time_us, index)
        _step(model, command, applied, index)
        _compare_state(ghost, machine, state, index)
    _compare_history(machine, model)
    return model


def _command(entry: Entry) -> Command | None:
    if payload_kind(entry.payload) != EntryKind.COMMAND:
        return None
    try:
        return decode_command(entry.payload[PAYLOAD_HEADER_BYTES:])
    except CommandInvalid:
        return None


def _compare_state(ghost: Ghost, machine: StateMachine, state: StateImage, index: int) -> None:
    known, fingerprint = ghost.state_hashes.get(index), ghost.fingerprints.get(index)
    # S16, F3: every node's state at an index is that of replaying the committed log to there.
    if fingerprint not in (None, state.fingerprint) or (known is not None and known != machine.state_hash()):
        raise Violation(
            "S16",
            "A state equals the replay of the committed log.",
            f"at index {index} the nodes' state is another",
        )


def _step(model: Model, command: Command | None, applied: AppliedBatch, index: int) -> None:
    """One entry: the machine did it, now the model does, and they must agree."""
    before = model.kv.revision
    answer = applied.outcomes[0][1] if applied.outcomes else None
    if command is not None:
        _execute(model, command, answer, index)
    # S20: the revision moves by one with each group of changes, and with nothing else.
    made = [group.revision for group in applied.changes]
    if applied.meta.revision != model.kv.revision or made != list(range(before + 1, model.kv.revision + 1)):
        raise Violation(
            "S20",
            "Exactly what changes a key moves the revision, by one.",
            f"entry {index}, {command and command.operation}: {before} to {applied.meta.revision}, changes at {made}; "
            f"expected {model.kv.revision}",
        )
    for revision in made:
        model.index_of[revision] = index
    _compare_changes(model, applied, index)


def _execute(model: Model, command: Command, answer: CommandResult | None, index: int) -> None:
    session, operation = command.session, command.operation
    request = (session.client_id, session.request_id) if session else None
    about_session = isinstance(answer, CommandFailed) and answer.code in OF_SESSIONS
    first = model.executed.get(request) if request else None
    if first is not None:
        # S17 ExactlyOnce: a request of a session has one effect, and one answer.
        if not about_session and answer != first.result:
            raise Violation(
                "S17",
                "A request of a session has one effect, and each attempt the same answer.",
                f"{request} at entry {first.index}: {first.result}; again at entry {index}: {answer}",
            )
        return
    if about_session:
        return
    before, leases = model.kv.revision, set(model.kv.leases)
    result = model.kv.execute(operation)
    if not same_answer(result, answer):
        raise Violation(
            "S26",
            "A command does and answers what the data model says.",
            f"entry {index}, {operation}: {answer}; by the model {result}",
        )
    assert answer is not None, "the model has an answer, and the machine the same"
    _note_leases(model, operation, leases, index)
    if model.kv.compacted and (not model.compactions or model.compactions[-1][1] < model.kv.compacted):
        model.compactions.append((index, model.kv.compacted))
    if request is not None:
        model.executed[request] = Executed(index=index, result=answer)
        if model.kv.revision != before:
            model.effects[request] = model.kv.revision


def _note_leases(model: Model, operation: Operation, before: set[int], index: int) -> None:
    """The model ends leases by a Tick or by revoking them, and in no other way; the machine was found to do the same."""
    ended = sorted(before - set(model.kv.leases))
    for lease_id in ended:
        renewed_index = model.renewed_index.pop(lease_id)
        if isinstance(operation, Tick):
            model.lease_ends.append(
                LeaseEnd(lease_id=lease_id, renewed_index=renewed_index, ended_index=index)
            )
    match operation:
        case LeaseGrant(lease_id=lease_id):
            renewed: tuple[int, ...] = (lease_id,)
        case LeaseKeepAlive(lease_ids=renewed):
            pass
        case _:
            return
    model.renewed_index.update((lease_id, index) for lease_id in renewed if lease_id in model.kv.leases)


def same_answer(expected: object, found: object) -> bool:
    """Are two answers the same? Of failures the code counts."""
    if isinstance(expected, CommandFailed) and isinstance(found, CommandFailed):
        return expected.code == found.code
    return expected == found


def _compare_changes(model: Model, applied: AppliedBatch, index: int) -> None:
    """S26: what a revision changed, and what it says was there before (watches are made of that)."""
    for group in applied.changes:
        expected = [
            (
                each.key,
                None
                if each.now is None
                else (each.now.value, each.now.create_revision, each.now.version, each.now.lease),
                each.before.mod_revision if each.before else 0,
            )
            for each in model.kv.changes[group.revision]
        ]
        found = [
            (
                each.key,
                None if each.deleted else (each.value, each.create_revision, each.version, each.lease),
                each.prev_revision,
            )
            for each in group.changes
        ]
        if expected != found:
            raise Violation(
                "S26",
                "A revision holds exactly the changes that the data model says.",
                f"entry {index}, revision {group.revision}: {found}; by the model {expected}",
            )


def _compare_history(machine: StateMachine, model: Model) -> None:
    """S24: what compaction left can still be read, at the mark and above; below the mark nothing can."""
    kv = model.kv
    lowest = max(kv.compacted, FIRST_REVISION)
    for revision in sorted({lowest, min(lowest + 1, kv.revision), (lowest + kv.revision) // 2, kv.revision}):
        query = Range(key=EVERYTHING.key, range_end=EVERYTHING.range_end, revision=revision)
        found, expected = machine.read(query), kv.answer_range(query, kv.revision)
        if found != expected:
            raise Violation(
                "S27",
                "Every revision from the compacted one on can be read as it was.",
                f"at revision {revision} of {kv.revision}, compacted to {kv.compacted}: {found}; by the model {expected}",
            )
    if kv.compacted > FIRST_REVISION:
        query = Range(key=b"\x00", range_end=b"\x00", revision=kv.compacted - 1)
        answer = machine.read(query)
        if not isinstance(answer, CommandFailed) or answer.code != CommandErrorCode.COMPACTED:
            raise Violation(
                "S27",
                "What is compacted cannot be read.",
                f"revision {kv.compacted - 1} was compacted to {kv.compacted}: {answer}",
            )
