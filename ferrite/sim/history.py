"""What clients did and saw: one record per operation, in the order of invocation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ferrite.core.kv import Batch, CompactResult, Delete, KeyValue, Put, Query, TxnResult
from ferrite.core.kv import Operation as Command

OK: Final = "ok"
FAIL: Final = "fail"
"""Certainly not carried out, now or later."""
INFO: Final = "info"
"""Unknown: it may have happened, or still happen."""
PENDING: Final = "pending"

READS: Final = ("get", "list", "range")
"""Kinds of operations that change nothing. Every other kind is a command's: "put", "delete", "batch", "txn", ..."""
COUNTER: Final = "increment"
"""A transaction that adds one to its key if that is what the client last saw."""
PLAIN: Final = b"key"
"""What keys begin with that plain operations use and nothing else does: those of a history that goes outside."""
_OUTSIDE: Final = ("get", "list", "put", "delete", "batch")


@dataclass(slots=True)
class Operation:
    """One operation of one client. `command` is what a write asked for; `entries` is what a read returned.

    `floor_revision` is the highest revision acknowledged to anybody when the operation began. Times are simulated microseconds.
    """

    number: int
    client: str
    kind: str
    key: bytes
    """Empty for a batch and a list."""
    command: Command | None
    request_id: int
    invoke_us: int
    floor_revision: int
    linearizable: bool = True
    outcome: str = PENDING
    complete_us: int = -1
    revision: int = 0
    entries: tuple[KeyValue, ...] = ()
    existed: tuple[bool, ...] = ()
    """Of a delete or batch: was each key there before?"""
    attempts: int = 0
    leaders_seen: int = 0
    """How many terms found a leader while it was under way."""
    detail: str = ""
    row: int = 0
    """The row of its invocation in the recording."""
    query: Query | None = None
    """What a range asked for."""
    result: object = None
    """The answer as it came, when there is one."""
    floor_compacted: int = 0
    """How far history was compacted, as far as any client knew when the operation began."""
    tried_as: list[tuple[bytes, int]] = field(default_factory=list)
    """(session, request) of its attempts, where the client's library chose them."""

    def __str__(self) -> str:
        """One line for people."""
        asked = f"{self.kind} {self.key.decode()}" if self.kind in READS else self.asked
        when = f"from {self.invoke_us} to {self.complete_us} us, {self.attempts} attempts, floor revision {self.floor_revision}"
        seen = ", ".join(
            f"{e.key.decode()}={e.value.decode()} of revision {e.mod_revision}" for e in self.entries
        )
        end = (
            f"{self.outcome} at revision {self.revision}"
            if self.outcome == OK
            else f"{self.outcome} {self.detail}"
        )
        return (
            f"operation {self.number} of {self.client}: {asked} ({when}): {end}{' ' + seen if seen else ''}"
        )

    @property
    def requests(self) -> list[tuple[bytes, int]]:
        """(session, request) of all its attempts."""
        return self.tried_as or [(self.client.encode(), self.request_id)]

    @property
    def succeeded(self) -> bool:
        """Of a transaction: did its compares hold?"""
        return isinstance(self.result, TxnResult) and self.result.succeeded

    @property
    def asked(self) -> str:
        """What a write asked for, in words."""
        if self.command is not None and not self.changes:
            return str(self.command)
        return ", ".join(
            f"put {change.key.decode()}={change.value.decode()}"
            if isinstance(change, Put)
            else f"delete {change.key.decode()}"
            for change in self.changes
        )

    @property
    def changes(self) -> tuple[Put | Delete, ...]:
        """The single changes that a put, a delete or a batch asked for; the others name none beforehand."""
        match self.command:
            case Put() | Delete():
                return (self.command,)
            case Batch(operations=operations):
                return operations
            case _:
                return ()


class History:
    """All operations of a run."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.acknowledged_revision = 0
        """The highest revision that any client was told so far."""
        self.acknowledged_compaction = 0
        """The highest compaction that any client was told of."""

    def invoke(
        self,
        client: str,
        kind: str,
        key: bytes,
        command: Command | None,
        *,
        request_id: int,
        now_us: int,
        linearizable: bool = True,
    ) -> Operation:
        """Record that an operation begins."""
        operation = Operation(
            number=len(self.operations),
            client=client,
            kind=kind,
            key=key,
            command=command,
            request_id=request_id,
            invoke_us=now_us,
            floor_revision=self.acknowledged_revision,
            floor_compacted=self.acknowledged_compaction,
            linearizable=linearizable,
        )
        self.operations.append(operation)
        return operation

    def complete(self, operation: Operation, outcome: str, now_us: int, detail: str = "") -> None:
        """Record how it ended. An `ok` with a revision raises the floor of all later operations."""
        operation.outcome = outcome
        operation.complete_us = now_us
        operation.detail = detail
        if outcome == OK and operation.linearizable:
            self.acknowledged_revision = max(self.acknowledged_revision, operation.revision)
            if isinstance(operation.result, CompactResult):
                self.acknowledged_compaction = max(self.acknowledged_compaction, operation.result.compacted)

    def count(self, outcome: str) -> int:
        """How many operations ended so."""
        return sum(1 for operation in self.operations if operation.outcome == outcome)


def to_json_lines(operations: Sequence[Operation]) -> str:
    """Return the history as `ferrite-sim check --model ferrite` reads it: one line per begin and end, in real-time order.

    A batch becomes one write per key and a list one read per key, each by a process of its own: for one key at a time that is
    what they are. The writes of a batch go without their revision, for that model gives each revision to one write. Reads that
    may be stale are left out, and so is everything that uses other keys than the plain ones.
    """
    operations = [operation for operation in operations if operation.kind in _OUTSIDE]
    written = {change.key for operation in operations for change in operation.changes}
    names = sorted(written | {operation.key for operation in operations if operation.kind == "get"})
    lines: list[tuple[int, int, dict[str, Any]]] = []
    for operation in operations:
        for place, (begin, end) in enumerate(_parts(operation, names)):
            who = {"process": operation.number * 1000 + place, "client": operation.client}
            lines.append((operation.invoke_us, 2 * operation.number, {**who, "type": "invoke", **begin}))
            if operation.outcome != PENDING:
                ended = {**who, "type": operation.outcome, **begin, **end}
                lines.append((operation.complete_us, 2 * operation.number + 1, ended))
    # Of two things at one moment, an end comes after a begin: they may have overlapped.
    lines.sort(key=lambda line: (line[0], line[2]["type"] != "invoke", line[1]))
    return "".join(json.dumps({"time_us": at, **row}, sort_keys=True) + "\n" for at, _, row in lines)


def _parts(operation: Operation, keys: list[bytes]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(what its begin says, what its end adds) for each key."""
    ok = operation.outcome == OK
    end: dict[str, Any] = {"revision": operation.revision} if ok else {}
    if operation.kind in READS:
        if not operation.linearizable:
            return
        found = {entry.key: entry for entry in operation.entries}
        for key in keys if operation.kind == "list" else [operation.key]:
            entry = found.get(key)
            seen = {
                "value": entry and entry.value.decode(),
                "mod_revision": entry.mod_revision if entry else 0,
            }
            yield {"f": "get", "key": key.decode(), "value": None}, {**end, **(seen if ok else {})}
        return
    if len(operation.changes) > 1:
        end = {}
    for place, change in enumerate(operation.changes):
        existed = {"existed": operation.existed[place]} if ok and place < len(operation.existed) else {}
        if isinstance(change, Put):
            yield {"f": "put", "key": change.key.decode(), "value": change.value.decode()}, end
        else:
            yield {"f": "delete", "key": change.key.decode(), "value": None}, {**end, **existed}
