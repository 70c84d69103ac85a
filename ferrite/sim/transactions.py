"""What clients did and saw of several keys at once, as transactions for the cycle check.

The list of a key is that of its versions: a put appends the version `VALUE@REVISION`, and whoever read a version read the list
up to it. Revisions only say which version follows which of the same key; that transactions agree on all keys is the check's own
finding. Left out is what names no version: deletions, keys that were not found, unknown writes that nobody saw. That makes the
check miss things, never invent them: who found a version comes before the next known one, whatever stood between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ferrite.core.kv import (
    Batch,
    DeleteRangeResult,
    KeyValue,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)
from ferrite.sim.history import FAIL, INFO, OK, PENDING, READS, Operation

Step = tuple[bool, bytes, int, bytes | None]
"""(is it a put, key, revision of the version, its value or None where only the key was asked for)."""
_UNKNOWN: Final = (INFO, PENDING, FAIL)


def to_transactions(operations: Sequence[Operation]) -> str:
    """Return the history as `ferrite-sim check --model list-append` reads it: one line per begin and end, in real-time order."""
    steps = {one.number: list(_steps(one)) for one in operations if one.outcome == OK}
    versions = _Versions(steps, operations)
    lines: list[tuple[int, bool, int, dict[str, Any]]] = []
    for operation in operations:
        number = operation.number
        if operation.outcome == OK:
            ended = versions.micro_operations(number, steps[number])
        else:
            ended = versions.of_unknown.get(number, [])
        if not ended:
            continue
        row: dict[str, Any] = {"process": number, "client": operation.client, "f": "txn"}
        begin = row | {
            "type": "invoke",
            "value": [[f, key, None if f == "r" else value] for f, key, value in ended],
        }
        if not operation.linearizable or (isinstance(operation.query, Range) and operation.query.revision):
            begin["linearizable"] = False
        lines.append((operation.invoke_us, False, number, begin))
        if operation.outcome != PENDING:
            end = row | {"type": operation.outcome, "value": ended}
            lines.append((operation.complete_us, True, number, end))
    # Of two things at one moment, an end comes after a begin: they may have overlapped.
    lines.sort(key=lambda line: line[:3])
    return "".join(json.dumps({"time_us": at, **row}, sort_keys=True) + "\n" for at, _, _, row in lines)


class _Versions:
    """All versions that are known, each with its name."""

    def __init__(self, steps: dict[int, list[Step]], operations: Sequence[Operation]) -> None:
        self._names: dict[bytes, dict[int, str]] = {}
        """key -> revision -> name."""
        self.of_unknown: dict[int, list[list[Any]]] = {}
        """Number of an operation that is not `ok` -> what it appended for certain, for somebody saw it."""
        self._puts: dict[tuple[int, int], str] = {}
        for number, each in steps.items():
            for place, (is_put, key, revision, value) in enumerate(each):
                if is_put:
                    names = self._names.setdefault(key, {})
                    name = _named(value, revision)
                    # Two writes that were given one version: that is for the witness check to say.
                    self._puts[number, place] = f"{name} of {number}" if revision in names else name
                    names.setdefault(revision, name)
        self._ambiguous: set[tuple[bytes, int]] = set()
        self._attribute(steps, operations)

    def _attribute(self, steps: dict[int, list[Step]], operations: Iterable[Operation]) -> None:
        """Whose are the versions that no acknowledged write has? A value that only one other operation put says it."""
        wanted: dict[tuple[bytes, bytes], dict[int, Operation]] = {}
        for operation in operations:
            if operation.outcome in _UNKNOWN:
                for put in _puts_of(operation.command):
                    wanted.setdefault((put.key, put.value), {})[operation.number] = operation
        for each in steps.values():
            for is_put, key, revision, value in each:
                if is_put or value is None or revision in self._names.get(key, {}):
                    continue
                writers = wanted.get((key, value), {})
                if len(writers) == 1:
                    (number,) = writers
                    name = self._names.setdefault(key, {})[revision] = _named(value, revision)
                    self.of_unknown.setdefault(number, []).append(["append", key.decode(), name])
                    del wanted[key, value]
                elif writers:
                    self._ambiguous.add((key, revision))

    def micro_operations(self, number: int, steps: Iterable[Step]) -> list[list[Any]]:
        """What an acknowledged operation did. A read whose version nobody can be named for is one of the versions before it."""
        done: list[list[Any]] = []
        for place, (is_put, key, revision, value) in enumerate(steps):
            if is_put:
                done.append(["append", key.decode(), self._puts[number, place]])
                continue
            names = self._names.get(key, {})
            found = [names[each] for each in sorted(names) if each <= revision]
            name = _named(value, revision)
            known = names.get(revision)
            if value is not None and known != name and (key, revision) not in self._ambiguous:
                found = [*found[: len(found) - (known is not None)], name]
            done.append(["r", key.decode(), found])
        return done


def _named(value: bytes | None, revision: int) -> str:
    """Without the padding that the workload's values end by: lists repeat names."""
    return f"{(value or b'').decode().rstrip('x')}@{revision}"


def _steps(operation: Operation) -> Iterator[Step]:
    """The reads and puts of an acknowledged operation, in order. In a transaction, what it read of the past is left out."""
    command, result = operation.command, operation.result
    if operation.kind in READS:
        keys_only = isinstance(operation.query, Range) and operation.query.keys_only
        yield from _found(operation.entries, keys_only=keys_only)
    elif operation.changes:
        if isinstance(result, PutResult) and result.prev is not None:
            yield from _found((result.prev,))
        for change in operation.changes:
            if isinstance(change, Put):
                yield True, change.key, operation.revision, change.value
    elif isinstance(command, Txn) and isinstance(result, TxnResult):
        yield from _transaction(command, result)
    elif isinstance(result, DeleteRangeResult):
        yield from _found(result.prev)


def _transaction(command: Txn, result: TxnResult) -> Iterator[Step]:
    branch = command.success if result.succeeded else command.failure
    # That there is a result for each is the witness check's to say, which comes first.
    for asked, answer in zip(branch, result.results, strict=False):
        match asked, answer:
            case Put(), PutResult():
                if answer.prev is not None:
                    yield from _found((answer.prev,))
                yield True, asked.key, answer.revision, asked.value
            case Txn(), TxnResult():
                yield from _transaction(asked, answer)
            case Range(revision=0, keys_only=keys_only), RangeResult():
                yield from _found(answer.entries, keys_only=keys_only)
            case _, DeleteRangeResult():
                yield from _found(answer.prev)
            case _:
                pass


def _found(entries: Iterable[KeyValue], *, keys_only: bool = False) -> Iterator[Step]:
    for entry in entries:
        yield False, entry.key, entry.mod_revision, None if keys_only else entry.value


def _puts_of(command: object) -> Iterator[Put]:
    """Every put that a command may carry out, whichever branch runs."""
    match command:
        case Put():
            yield command
        case Batch(operations=operations):
            yield from (change for change in operations if isinstance(change, Put))
        case Txn(success=success, failure=failure):
            for each in (*success, *failure):
                yield from _puts_of(each)
        case _:
            pass
