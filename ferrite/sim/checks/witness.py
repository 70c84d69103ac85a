"""The witness check: the committed log is replayed once, and every answer that a client got is compared with it.

Linear in the length of log and history. The revision in each answer is the witness: it says where in the one order the
operation claims to stand.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ferrite.core import PAYLOAD_HEADER_BYTES, EntryKind, Identity, Index, NodeId, payload_kind
from ferrite.core.kv import (
    Batch,
    CommandInvalid,
    Delete,
    Put,
    StateMachine,
    decode_command,
)
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.history import FAIL, OK, READS, History, Operation
from ferrite.sim.store import StateImage
from ferrite.sim.violation import Violation

_NOBODY = Identity(node_id=NodeId(0), instance=bytes(16), boot=0)


@dataclass(slots=True)
class Model:
    """What the committed log says: versions of every key, and the one effect of every session request."""

    versions: dict[bytes, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    """key -> (revision, value), ascending; None is a deletion."""
    effects: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """(client, request) -> the revision of its effect."""
    index_of: dict[int, int] = field(default_factory=dict)
    """Revision -> the entry that made it."""
    revision: int = 0
    state_hashes: dict[int, bytes] = field(default_factory=dict)

    def value_at(self, key: bytes, revision: int) -> tuple[int, bytes | None]:
        """The (revision, value) of a key as of a revision; (0, None) before its first write."""
        versions = self.versions.get(key, [])
        place = bisect_right(versions, revision, key=lambda version: version[0])
        return versions[place - 1] if place else (0, None)


def replay(ghost: Ghost) -> Model:
    """Apply the committed log, entry by entry, on an empty state. Raises Violation S16, S17, S20."""
    state = StateImage()
    machine = StateMachine(state.pairs, _NOBODY)
    model = Model(revision=machine.revision)
    for index in range(1, len(ghost.committed)):
        entry = ghost.committed_entry(index)
        assert entry is not None, "the committed log has no holes"
        applied = machine.apply(Index(index), [entry])
        state.write(applied.batch)
        machine.advance(applied)
        if payload_kind(entry.payload) == EntryKind.COMMAND and machine.revision != model.revision:
            _effect(model, entry.payload[PAYLOAD_HEADER_BYTES:], machine.revision, index)
        known, fingerprint = ghost.state_hashes.get(index), ghost.fingerprints.get(index)
        # S16, F3: every node's state at an index is that of replaying the committed log to there.
        if fingerprint not in (None, state.fingerprint) or (
            known is not None and known != machine.state_hash()
        ):
            raise Violation(
                "S16",
                "A state equals the replay of the committed log.",
                f"at index {index} the nodes' state is another",
            )
    return model


def _effect(model: Model, body: bytes, revision: int, index: int) -> None:
    try:
        command = decode_command(body)
    except CommandInvalid as error:
        raise Violation("S17", "Only a valid command has an effect.", f"entry {index}: {error}") from error
    # S20: one effect moves the revision by one.
    if revision != model.revision + 1:
        raise Violation(
            "S20", "Each change moves the revision by one.", f"entry {index}: {model.revision} to {revision}"
        )
    model.revision = revision
    if command.session is not None:
        name = (command.session.client_id, command.session.request_id)
        first = model.effects.setdefault(name, revision)
        # S17 ExactlyOnce: a request of a session has one effect.
        if first != revision:
            raise Violation(
                "S17",
                "A request of a session has one effect.",
                f"{name} changed revisions {first} and {revision}",
            )
    model.index_of[revision] = index
    operation = command.operation
    assert isinstance(operation, Put | Delete | Batch), "the workload knows no other commands"
    for change in operation.operations if isinstance(operation, Batch) else (operation,):
        value = change.value if isinstance(change, Put) else None
        model.versions.setdefault(change.key, []).append((revision, value))


def check_history(history: History, ghost: Ghost) -> Model:
    """Compare every answer with the replay. Raises Violation S16, S17, S18, S20, S22, F2."""
    model = replay(ghost)
    for operation in history.operations:
        if operation.kind not in READS:
            _check_write(model, operation)
        elif operation.outcome == OK:
            _check_read(model, operation)
    return model


def _check_read(model: Model, operation: Operation) -> None:
    seen = {entry.key: entry for entry in operation.entries}
    asked = [operation.key] if operation.kind == "get" else sorted({*model.versions, *seen})
    for key in asked:
        revision, value = model.value_at(key, operation.revision)
        entry = seen.get(key)
        # S22 NoPhantom: what was read is what the committed log says at the revision that the answer names.
        if (
            operation.revision > model.revision
            or value != (entry.value if entry else None)
            or (entry is not None and revision != entry.mod_revision)
        ):
            raise Violation(
                "S22",
                "A read returns what the committed log holds at the revision it names.",
                f"{operation}; of {key!r} the log holds {value!r} of revision {revision}",
                time_us=operation.complete_us,
            )
    check_fresh(operation)


def check_fresh(operation: Operation) -> None:
    """S18 ReadFresh: a linearizable read sees everything acknowledged to anybody before it began. Raises Violation."""
    if operation.linearizable and operation.revision < operation.floor_revision:
        raise Violation(
            "S18",
            "A linearizable read sees everything that was acknowledged before it began.",
            f"{operation}: revision {operation.floor_revision} was acknowledged before",
            time_us=operation.complete_us,
        )


def _check_write(model: Model, operation: Operation) -> None:
    effect = model.effects.get((operation.client.encode(), operation.request_id))
    if operation.outcome == OK:
        _check_acknowledged(model, operation, effect)
    # S22 NoPhantom: what was refused for certain never shows.
    if operation.outcome == FAIL and effect is not None:
        raise Violation(
            "S22",
            "A refused write is never carried out.",
            f"{operation}; the log has its effect at {effect}",
            time_us=operation.complete_us,
        )


def _check_acknowledged(model: Model, operation: Operation, effect: int | None) -> None:
    puts = any(isinstance(change, Put) for change in operation.changes)
    changed = puts or any(operation.existed)
    # F2: an acknowledged write stands in the committed log, at the revision that was acknowledged.
    if changed and effect != operation.revision:
        raise Violation(
            "F2",
            "An acknowledged write is in the committed log at the revision it was given.",
            f"{operation}; the log has its effect at {effect}",
            time_us=operation.complete_us,
        )
    # S22: what it says it found is what was there before it.
    before = operation.revision - 1 if changed else operation.revision
    truth = tuple(model.value_at(change.key, before)[1] is not None for change in operation.changes)
    if (operation.existed and operation.existed != truth) or (not changed and effect is not None):
        raise Violation(
            "S22",
            "A write finds what the committed log held before it, and one that found nothing to delete changed nothing.",
            f"{operation}; before it: {truth}; the log has its effect at {effect}",
            time_us=operation.complete_us,
        )
    # S18 for writes: their place in the order is after everything acknowledged before they began.
    if operation.revision < operation.floor_revision or (
        changed and operation.revision == operation.floor_revision
    ):
        raise Violation(
            "S18",
            "A write takes its place after everything that was acknowledged before it began.",
            f"{operation}: revision {operation.floor_revision} was acknowledged before",
            time_us=operation.complete_us,
        )
