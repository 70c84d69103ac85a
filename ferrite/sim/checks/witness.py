"""The witness check: the committed log is replayed once, and every answer that a client got is compared with it.

Linear in the length of log and history. The revision in each answer is the witness: it says where in the one order the
operation claims to stand.
"""

from __future__ import annotations

from ferrite.core.kv import CommandErrorCode, CommandFailed, Put, Range, RangeResult, SessionLimits
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.checks.replay import Executed, Model, replay, same_answer
from ferrite.sim.history import COUNTER, FAIL, INFO, OK, PENDING, READS, History, Operation
from ferrite.sim.violation import Violation


def check_history(history: History, ghost: Ghost, limits: SessionLimits | None = None) -> Model:
    """Compare every answer with the replay. Raises Violation S16 to S18, S20, S22, S26, S27, F2."""
    model = replay(ghost, limits)
    for operation in history.operations:
        if operation.kind == "range":
            if operation.result is not None:
                _check_range(model, operation)
        elif operation.kind not in READS:
            _check_write(model, operation)
        elif operation.outcome == OK:
            _check_read(model, operation)
    _check_counters(model, history)
    return model


def _check_read(model: Model, operation: Operation) -> None:
    seen = {entry.key: entry for entry in operation.entries}
    prefix = operation.key
    asked = (
        [operation.key]
        if operation.kind == "get"
        else sorted({key for key in (*model.kv.versions, *seen) if key.startswith(prefix)})
    )
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


def _check_range(model: Model, operation: Operation) -> None:
    query, answer = operation.query, operation.result
    assert isinstance(query, Range), "a range asks for a range"
    truth: object = None
    match answer:
        case RangeResult(revision=revision) if max(revision, query.revision) <= model.revision:
            check_fresh(operation)
            truth = model.kv.answer_range(query, revision)
            # S27: once a client was told of a compaction, nobody reads below it.
            if operation.linearizable and 0 < query.revision < operation.floor_compacted:
                truth = f"compacted to {operation.floor_compacted} before it began"
        case CommandFailed(code=CommandErrorCode.COMPACTED, revision=oldest):
            marks = [mark for _, mark in model.compactions]
            truth = answer if oldest in marks and 0 < query.revision < oldest else f"compactions {marks}"
        case CommandFailed(code=CommandErrorCode.FUTURE_REVISION, revision=revision):
            truth = answer if query.revision > revision else f"the store at {revision}"
        case _:
            truth = "a range, or why there is none"
    if answer != truth:
        raise Violation(
            "S22",
            "A range returns what the committed log holds at the revision it names, or says that it is compacted.",
            f"{operation}: {query}: {answer}; expected {truth}",
            time_us=operation.complete_us,
        )


def _check_counters(model: Model, history: History) -> None:
    """S17, from end to end: what was counted is what clients were told was counted, and at most what they do not know of."""
    counted: dict[bytes, list[int]] = {}
    for operation in history.operations:
        if operation.kind == COUNTER:
            told = counted.setdefault(operation.key, [0, 0])
            told[0] += operation.outcome == OK and operation.succeeded
            told[1] += operation.outcome in (INFO, PENDING)
    for key, (sure, unknown) in counted.items():
        value = model.value_at(key, model.revision)[1]
        if not sure <= int(value or b"0") <= sure + unknown:
            raise Violation(
                "S17",
                "An increment counts once.",
                f"{key.decode()} is {value!r}; {sure} increments were acknowledged, {unknown} are unknown",
            )


def check_fresh(operation: Operation) -> None:
    """S18 ReadFresh: a linearizable read sees everything acknowledged to anybody before it began. Raises Violation."""
    if operation.linearizable and operation.revision < operation.floor_revision:
        raise Violation(
            "S18",
            "A linearizable read sees everything that was acknowledged before it began.",
            f"{operation}: revision {operation.floor_revision} was acknowledged before",
            time_us=operation.complete_us,
        )


def _executed(model: Model, operation: Operation) -> Executed | None:
    """The one time that an operation was carried out. Raises Violation S17 when there are more."""
    found = [model.executed[request] for request in operation.requests if request in model.executed]
    # S17 across sessions: a client that goes on in another session must know that the first attempt did nothing.
    if len(found) > 1:
        raise Violation(
            "S17",
            "An operation is carried out once, in however many sessions it was tried.",
            f"{operation}: {found}",
            time_us=operation.complete_us,
        )
    return found[0] if found else None


def _check_write(model: Model, operation: Operation) -> None:
    executed = _executed(model, operation)
    effect = next((model.effects[each] for each in operation.requests if each in model.effects), None)
    failed = isinstance(operation.result, CommandFailed)
    if operation.outcome == OK and not failed:
        _check_acknowledged(model, operation, effect)
    if operation.result is not None and not same_answer(executed and executed.result, operation.result):
        raise Violation(
            "F2",
            "What a client is told is what the committed log makes of its request.",
            f"{operation}: {operation.result}; by the log {executed}",
            time_us=operation.complete_us,
        )
    # S22 NoPhantom: what was refused for certain never shows.
    if operation.outcome == FAIL and (effect is not None or (executed is not None and not failed)):
        raise Violation(
            "S22",
            "A refused write is never carried out.",
            f"{operation}; the log has its effect at {effect}",
            time_us=operation.complete_us,
        )


def _check_acknowledged(model: Model, operation: Operation, effect: int | None) -> None:
    if operation.changes:
        changed = any(isinstance(change, Put) for change in operation.changes) or any(operation.existed)
    else:
        changed = effect is not None
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
