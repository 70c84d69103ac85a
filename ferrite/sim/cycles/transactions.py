"""Transactions of the model list-append, from operations whose value is a list of micro-operations.

`["append", key, element]` and `["r", key, null]`, with the list that was read instead of null where the transaction is `ok`:
the form of Jepsen and Elle. A list that nobody appended to is empty, which `null` says as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ferrite.sim.linearizability.history import OK, HistoryInvalid, Operation
from ferrite.sim.linearizability.values import show

TRANSACTION: Final = "txn"
APPEND: Final = "append"
READ: Final = "r"

Key = Hashable
Elements = tuple[Hashable, ...]


@dataclass(slots=True, kw_only=True)
class Transaction:
    """One transaction. `steps` are its micro-operations: (True, key, element) appends, (False, key, elements) reads.

    `elements` is None where the transaction is not `ok`: nobody knows what it read. `reads` is what it found of each key
    before its own appends, once `internal.py` has looked at it.
    """

    number: int
    operation: Operation
    steps: list[tuple[bool, Key, Hashable | Elements | None]]
    appends: dict[Key, list[Hashable]]
    reads: dict[Key, Elements] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Did it certainly take effect?"""
        return self.operation.outcome == OK

    @property
    def timed(self) -> bool:
        """Does real time say anything of it? Not of a read that may be old."""
        return self.operation.linearizable

    @property
    def name(self) -> str:
        """What the text calls it: `T` and the line of its invocation."""
        return f"T{self.operation.invoke}"


def transactions_of(operations: Iterable[Operation]) -> list[Transaction]:
    """Read the micro-operations; raises HistoryInvalid."""
    return [_transaction(number, operation) for number, operation in enumerate(operations)]


def _transaction(number: int, operation: Operation) -> Transaction:
    if operation.f != TRANSACTION:
        raise HistoryInvalid(
            operation.invoke, f"{operation.f!r} is no operation of list-append; expected {TRANSACTION!r}"
        )
    ok = operation.outcome == OK
    asked = _micro_operations(operation.invoke, operation.argument)
    rows = _micro_operations(operation.ret, operation.result) if ok else asked
    if ok and not _same(asked, rows):
        raise HistoryInvalid(
            operation.ret,
            f"the transaction of line {operation.invoke} returned with other micro-operations; "
            "expected the same ones, with what was read filled in",
        )
    transaction = Transaction(number=number, operation=operation, steps=[], appends={})
    for f, key, value in rows:
        if f == APPEND:
            transaction.steps.append((True, key, value))
            transaction.appends.setdefault(key, []).append(value)
        else:
            transaction.steps.append((False, key, _elements(operation.ret, value) if ok else None))
    return transaction


def _micro_operations(line: int, value: Hashable) -> list[tuple[Hashable, Key, Hashable]]:
    """Undo the freezing of the outer two lists."""
    rows: list[tuple[Hashable, Key, Hashable]] = []
    for item in _items(value, line):
        row = _items(item, line)
        if len(row) != 3 or row[0] not in (APPEND, READ):
            raise HistoryInvalid(
                line,
                f'{show(item)} is no micro-operation; expected ["append", key, element] or ["r", key, list]',
            )
        rows.append((row[0], row[1], row[2]))
    return rows


def _items(value: Hashable, line: int) -> Elements:
    match value:
        case ("[]", tuple() as items):
            return items
        case _:
            raise HistoryInvalid(line, f"{show(value)} is no list; expected a list of micro-operations")


def _elements(line: int, value: Hashable) -> Elements:
    match value:
        case None:
            return ()
        case ("[]", tuple() as items):
            return items
        case _:
            raise HistoryInvalid(
                line, f"a read returned {show(value)}; expected the list of its key, or null"
            )


def _same(asked: list[tuple[Hashable, Key, Hashable]], rows: list[tuple[Hashable, Key, Hashable]]) -> bool:
    """Is what returned what was asked for?"""
    return len(asked) == len(rows) and all(
        one[0] == other[0] and one[1] == other[1] and (one[0] == READ or one[2] == other[2])
        for one, other in zip(asked, rows, strict=True)
    )
