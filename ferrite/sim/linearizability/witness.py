"""Histories of Ferrite: the revision in every answer is a witness of the one order, compared with real time and the values.

The order is by revision, at equal ones writes before reads, and those by invocation. What is checked, in linear time but for
sorting: an operation's revision is not older than what was acknowledged to anybody before it began (a write's is newer);
revisions of writes are unique; a read returns value and mod_revision of the last write to its key up to its revision; a
version that no acknowledged write explains is that of an unknown put of the same key and value, one for each, which had begun
and whose place in the order is possible.

It raises no false alarm. When it finds nothing, its order is a linearization, but for the keys it returns as open: there an
unknown write that left no revision must have taken part. `by_revision` hands those to the search, in the order of revisions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Final

from ferrite.sim.linearizability.history import NEVER, OK, Operation
from ferrite.sim.linearizability.models import Call, Part
from ferrite.sim.linearizability.values import show

GONE: Final = ("gone",)
"""The value of a deleted version; a JSON value is never a tuple of this form."""


@dataclass(slots=True)
class Contradiction:
    """Why the history is impossible, and the operations that show it."""

    sentence: str
    operations: list[Operation]


@dataclass(slots=True)
class Witnessed:
    """What the witness check found."""

    contradiction: Contradiction | None = None
    keys: int = 0
    open_keys: list[Hashable] = field(default_factory=list)
    """Keys on which unknown writes without a revision are needed."""


@dataclass(slots=True)
class _Version:
    value: Hashable
    write: Operation | None
    """The acknowledged write; None when only reads prove the version."""
    proof: Operation
    """The write, or the read that returned first."""
    last_seen: int = 0
    """The highest revision at which a read saw it."""
    last_reader: Operation | None = None


@dataclass(slots=True)
class _Key:
    versions: dict[int, _Version] = field(default_factory=dict)
    reads: list[Operation] = field(default_factory=list)
    absences: list[Operation] = field(default_factory=list)
    """Gets and deletes that found nothing."""
    deletes: list[Operation] = field(default_factory=list)
    """Deletes that found something."""
    unknown_puts: dict[Hashable, list[Operation]] = field(default_factory=dict)
    unknown_deletes: list[Operation] = field(default_factory=list)


def applicable(operations: list[Operation]) -> bool:
    """Whether every operation is one of Ferrite's and every answer carries what the check needs."""
    for operation in operations:
        f = operation.f
        known = operation.outcome == OK
        if known and operation.revision is None:
            return False
        if f == "get":
            if known and operation.result is not None and operation.mod_revision is None:
                return False
        elif f == "put":
            if operation.argument is None or (known and operation.result not in (None, operation.argument)):
                return False
        elif f != "delete" or (known and operation.existed is None):
            return False
    return True


def check_witness(operations: list[Operation]) -> Witnessed:
    """Check a history for which `applicable` holds, on a store that was empty at first."""
    floors = _floors(operations)
    contradiction = _order_against_time(operations, floors)
    if contradiction is not None:
        return Witnessed(contradiction=contradiction)
    keys, contradiction = _collect(operations)
    result = Witnessed(contradiction=contradiction, keys=len(keys))
    if contradiction is not None:
        return result
    used = sorted(revision for key in keys.values() for revision in key.versions)
    for name, key in keys.items():
        result.contradiction, is_open = _check_key(key, floors, used)
        if result.contradiction is not None:
            return result
        if is_open:
            result.open_keys.append(name)
    return result


def by_revision(parts: list[Part], operations: list[Operation]) -> list[Part]:
    """Return the parts of open keys with known calls at their places in the order of revisions, one after another.

    What is left to find are the places of unknown writes: each after everything that had been acknowledged when it began.
    """
    floors = _floors(operations) if parts else []
    return [replace(part, calls=_in_order(part.calls, floors)) for part in parts]


def _in_order(calls: list[Call], floors: list[int]) -> list[Call]:
    places: list[tuple[int, int, int, int]] = []
    for number, call in enumerate(calls):
        operation = call.operation
        if call.ret == NEVER:
            places.append((floors[operation.invoke], 2, operation.invoke, number))
        else:
            assert operation.revision is not None, "asked for by `applicable`"
            places.append((operation.revision, 0 if _changes(operation) else 1, operation.invoke, number))
    ordered = []
    for place, (_, _, _, number) in enumerate(sorted(places)):
        ret = NEVER if calls[number].ret == NEVER else 2 * place + 1
        ordered.append(replace(calls[number], invoke=2 * place, ret=ret))
    return ordered


def _floors(operations: list[Operation]) -> list[int]:
    """Return for each line the highest revision acknowledged up to it."""
    returns = [operation.ret for operation in operations if operation.outcome == OK]
    acknowledged = [0] * (1 + max(operations[-1].invoke, max(returns, default=0)))
    for operation in operations:
        if operation.outcome == OK and operation.linearizable:
            assert operation.revision is not None, "asked for by `applicable`"
            acknowledged[operation.ret] = operation.revision
    return list(accumulate(acknowledged, max))


def _changes(operation: Operation) -> bool:
    return operation.f == "put" or (operation.f == "delete" and operation.existed is True)


def _order_against_time(operations: list[Operation], floors: list[int]) -> Contradiction | None:
    for operation in operations:
        if operation.outcome != OK or not operation.linearizable:
            continue
        assert operation.revision is not None, "asked for by `applicable`"
        floor = floors[operation.invoke]
        if operation.revision > floor or (operation.revision == floor and not _changes(operation)):
            continue
        earlier = next(
            other
            for other in operations
            if other.outcome == OK
            and other.linearizable
            and other.ret < operation.invoke
            and other.revision == floor
        )
        return Contradiction(
            f"revision {operation.revision} was answered to an operation that began after revision {floor} had been "
            + ("acknowledged" if operation.revision < floor else "given to another one"),
            [earlier, operation],
        )
    return None


def _collect(operations: list[Operation]) -> tuple[dict[Hashable, _Key], Contradiction | None]:
    keys: dict[Hashable, _Key] = {}
    writers: dict[int, Operation] = {}
    for operation in operations:
        key = keys.get(operation.key)
        if key is None:
            key = keys[operation.key] = _Key()
        f = operation.f
        if operation.outcome != OK:
            if f == "put":
                key.unknown_puts.setdefault(operation.argument, []).append(operation)
            elif f == "delete":
                key.unknown_deletes.append(operation)
        elif f == "get":
            (key.absences if operation.result is None else key.reads).append(operation)
        elif f == "delete" and not operation.existed:
            key.absences.append(operation)
        else:
            revision = operation.revision
            assert revision is not None, "asked for by `applicable`"
            other = writers.setdefault(revision, operation)
            if other is not operation:
                return keys, Contradiction(f"revision {revision} was given to two writes", [other, operation])
            if f == "delete":
                key.deletes.append(operation)
            value = operation.argument if f == "put" else GONE
            key.versions[revision] = _Version(value, operation, operation)
    return keys, _collect_reads(keys, writers)


def _collect_reads(keys: dict[Hashable, _Key], writers: dict[int, Operation]) -> Contradiction | None:
    """Note at each version who saw it last; a version without a known write is created from its first reader."""
    proven: dict[int, Operation] = {}
    for key in keys.values():
        for read in key.reads:
            revision, seen = read.mod_revision, read.revision
            assert revision is not None and seen is not None, "asked for by `applicable`"
            if revision > seen:
                return Contradiction(
                    f"a read at revision {seen} returned what was written at {revision}", [read]
                )
            version = key.versions.get(revision)
            if version is None:
                other = writers.get(revision) or proven.setdefault(revision, read)
                if other is not read:
                    return Contradiction(f"revision {revision} belongs to two keys", [other, read])
                version = key.versions[revision] = _Version(read.result, None, read)
            if version.value != read.result:
                found = "a deletion" if version.value == GONE else show(version.value)
                return Contradiction(
                    f"a read returned {show(read.result)} of revision {revision}, which is {found}",
                    [version.proof, read],
                )
            if seen > version.last_seen:
                version.last_seen, version.last_reader = seen, read
            if version.write is None and read.ret < version.proof.ret:
                version.proof = read
    return None


def _check_key(key: _Key, floors: list[int], used: list[int]) -> tuple[Contradiction | None, bool]:
    revisions = sorted(key.versions)
    for revision, after in pairwise(revisions):
        version = key.versions[revision]
        if version.last_seen >= after:
            assert version.last_reader is not None, "somebody saw it"
            return Contradiction(
                f"a read at revision {version.last_seen} returned what was written at {revision}, not at {after}",
                [*_once(version.proof, version.last_reader), key.versions[after].proof],
            ), False
    contradiction = _explain_versions(key, floors)
    if contradiction is None:
        contradiction = _resurrected(key, revisions)
    if contradiction is not None:
        return contradiction, False
    return _explain_absences(key, revisions, floors, used)


def _once(*operations: Operation | None) -> list[Operation]:
    return list({op.number: op for op in operations if op is not None}.values())


def _deadline(floors: list[int], revision: int, reader: Operation) -> int:
    """The line before which a write must have begun to take a revision that a reader saw.

    It began before the reader returned, and before anybody was told of this revision or a later one.
    """
    return min(reader.ret, bisect_left(floors, revision))


def _explain_versions(key: _Key, floors: list[int]) -> Contradiction | None:
    """Each version that only reads prove needs an unknown put of its value; the earliest deadlines take the earliest puts."""
    needed: dict[Hashable, list[tuple[int, int]]] = {}
    for revision, version in key.versions.items():
        if version.write is None:
            needed.setdefault(version.value, []).append(
                (_deadline(floors, revision, version.proof), revision)
            )
    for value, deadlines in needed.items():
        puts = key.unknown_puts.get(value, [])
        for place, (deadline, revision) in enumerate(sorted(deadlines)):
            if place >= len(puts) or puts[place].invoke >= deadline:
                version = key.versions[revision]
                return Contradiction(
                    f"a read returned {show(value)} of revision {revision}; no write of it can have that revision",
                    _once(version.proof, *puts[: place + 1]),
                )
    return None


def _resurrected(key: _Key, revisions: list[int]) -> Contradiction | None:
    """A version that was absent at one revision is not seen at a later one."""
    for absence in key.absences:
        assert absence.revision is not None, "asked for by `applicable`"
        place = bisect_left(revisions, absence.revision + 1) - 1
        if place >= 0:
            version = key.versions[revisions[place]]
            if version.value != GONE and version.last_seen >= absence.revision:
                return Contradiction(
                    f"the key was absent at revision {absence.revision}; what was written at {revisions[place]} was still "
                    f"seen at {version.last_seen}",
                    _once(version.proof, absence, version.last_reader),
                )
            own = version.write is not None and revisions[place] == absence.revision
            if own and version.value != GONE:
                return Contradiction(
                    f"the key was absent at revision {absence.revision}, which wrote it",
                    [version.proof, absence],
                )
    return None


def _explain_absences(
    key: _Key, revisions: list[int], floors: list[int], used: list[int]
) -> tuple[Contradiction | None, bool]:
    """Where a value vanished, or a delete found one that nobody put, an unknown write is needed; say so, or that none can be."""
    is_open = False
    deadlines: dict[int, tuple[int, Operation]] = {}
    for absence in key.absences:
        assert absence.revision is not None, "asked for by `applicable`"
        place = bisect_left(revisions, absence.revision + 1) - 1
        if place < 0 or key.versions[revisions[place]].value == GONE:
            continue
        lowest = max(revisions[place], key.versions[revisions[place]].last_seen)
        if not _free_revision(used, lowest, absence.revision):
            return Contradiction(
                f"the key was absent at revision {absence.revision}, and no revision is left for a delete after {lowest}",
                _once(key.versions[revisions[place]].proof, absence),
            ), False
        latest = (_deadline(floors, absence.revision, absence), absence)
        deadlines[revisions[place]] = min(
            deadlines.get(revisions[place], latest), latest, key=lambda one: one[0]
        )
    for place, (deadline, absence) in enumerate(sorted(deadlines.values(), key=lambda one: one[0])):
        if place >= len(key.unknown_deletes) or key.unknown_deletes[place].invoke >= deadline:
            return Contradiction(
                "a value vanished without a delete that can have removed it", [absence]
            ), False
        is_open = True
    absent_at = sorted(one.revision for one in key.absences if one.revision is not None)
    for delete in key.deletes:
        assert delete.revision is not None, "asked for by `applicable`"
        place = bisect_left(revisions, delete.revision) - 1
        if (
            place >= 0
            and key.versions[revisions[place]].value != GONE
            and not _absent_since(absent_at, revisions[place], delete)
        ):
            continue
        lowest = revisions[place] if place >= 0 else 0
        last_absence = bisect_left(absent_at, delete.revision) - 1
        if last_absence >= 0:
            lowest = max(lowest, absent_at[last_absence])
        deadline = _deadline(floors, delete.revision, delete)
        possible = any(puts[0].invoke < deadline for puts in key.unknown_puts.values())
        if not possible or not _free_revision(used, lowest, delete.revision - 1):
            return Contradiction("a delete found a value that nobody can have put there", [delete]), False
        is_open = True
    return None, is_open


def _absent_since(absent_at: list[int], revision: int, delete: Operation) -> bool:
    """Whether the key was absent somewhere between a version and the delete that found something."""
    assert delete.revision is not None, "asked for by `applicable`"
    return bisect_left(absent_at, revision) < bisect_left(absent_at, delete.revision)


def _free_revision(used: list[int], above: int, up_to: int) -> bool:
    """Whether a revision in (above, up_to] is not known to be somebody's."""
    return bisect_left(used, up_to + 1) - bisect_left(used, above + 1) < up_to - above
