"""Transactions: compares on the state before, the chosen path checked as a whole, then its operations in order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ferrite.core.kv.changes import check_delete_state, check_put_state, delete_range, prev_budget, put
from ferrite.core.kv.leases import check_lease
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Compare, CompareResult, CompareTarget, DeleteRange, Put, Range, Txn
from ferrite.core.kv.ranges import Budget, ReadLimits, View, check_revision, latest, read_range, value_of
from ferrite.core.kv.records import Pointer
from ferrite.core.kv.results import RangeResult, TxnOperationResult, TxnResult
from ferrite.core.kv.workspace import Workspace


class Path(NamedTuple):
    """A transaction whose compares are decided: which branch runs, and those of the transactions in it."""

    succeeded: bool
    operations: tuple[Put | DeleteRange | Range | Path, ...]


def run_txn(work: Workspace, txn: Txn) -> TxnResult:
    """Carry out a transaction whose shape was checked; the caller ends the revision. Raises Refused, with nothing changed."""
    path = _choose(work.view, txn)
    _check_writes(work, path)
    _check_reads(work.meta, path)
    return _run(work, path, Budget(ReadLimits()))


def read_txn(view: View, meta: Meta, txn: Txn, limits: ReadLimits) -> TxnResult:
    """Answer a transaction that only reads. Raises Refused."""
    path = _choose(view, txn)
    _check_reads(meta, path)
    return _read(view, path, Budget(limits))


# ------------------------------------------------------------------------------------------------ compares


def _choose(view: View, txn: Txn) -> Path:
    """Evaluate the compares, also those of the nested transactions that will run."""
    succeeded = all(_holds(view, compare) for compare in txn.compares)
    return Path(
        succeeded,
        tuple(
            _choose(view, operation) if isinstance(operation, Txn) else operation
            for operation in (txn.success if succeeded else txn.failure)
        ),
    )


_RELATIONS: Final[dict[CompareResult, Callable[[Any, Any], bool]]] = {
    CompareResult.EQUAL: operator.eq,
    CompareResult.GREATER: operator.gt,
    CompareResult.LESS: operator.lt,
    CompareResult.NOT_EQUAL: operator.ne,
}
_FIELDS: Final[dict[CompareTarget, Callable[[Pointer], int]]] = {
    CompareTarget.VERSION: lambda pointer: pointer.version,
    CompareTarget.CREATE: lambda pointer: pointer.create_revision,
    CompareTarget.MOD: lambda pointer: pointer.mod_revision,
    CompareTarget.LEASE: lambda pointer: pointer.lease,
}


def _holds(view: View, compare: Compare) -> bool:
    relation = _RELATIONS[compare.result]
    empty = True
    for key, pointer in latest(view, compare.key, compare.range_end):
        empty = False
        if compare.target == CompareTarget.VALUE:
            found: int | bytes = value_of(view, key, pointer)
        else:
            found = _FIELDS[compare.target](pointer)
        if not relation(found, compare.operand):
            return False
    if empty:
        return compare.target != CompareTarget.VALUE and relation(0, compare.operand)
    return True


# ------------------------------------------------------------------------------------------------ checks


def _leaves(path: Path) -> Iterator[Put | DeleteRange | Range]:
    for operation in path.operations:
        if isinstance(operation, Path):
            yield from _leaves(operation)
        else:
            yield operation


def _check_writes(work: Workspace, path: Path) -> None:
    """What the writes need must be there *before* the transaction: within it no key changes twice."""
    prev = prev_budget()
    for operation in _leaves(path):
        if isinstance(operation, Put):
            check_put_state(work, operation, prev)
            check_lease(work, operation.lease)
        elif isinstance(operation, DeleteRange):
            check_delete_state(work, operation, prev)


def _check_reads(meta: Meta, path: Path) -> None:
    for operation in _leaves(path):
        if isinstance(operation, Range):
            check_revision(meta, operation.revision)


# ------------------------------------------------------------------------------------------------ running


def _run(work: Workspace, path: Path, budget: Budget) -> TxnResult:
    results: list[TxnOperationResult] = []
    for operation in path.operations:
        match operation:
            case Put():
                results.append(put(work, operation))
            case DeleteRange():
                results.append(delete_range(work, operation))
            case Range():
                results.append(read_range(work.view, operation, budget))
            case Path():
                results.append(_run(work, operation, budget))
    return TxnResult(revision=work.writer.revision, succeeded=path.succeeded, results=tuple(results))


def _read(view: View, path: Path, budget: Budget) -> TxnResult:
    results: list[RangeResult | TxnResult] = []
    for operation in path.operations:
        assert isinstance(operation, Range | Path), "a transaction that may change something is a command"
        if isinstance(operation, Range):
            results.append(read_range(view, operation, budget))
        else:
            results.append(_read(view, operation, budget))
    return TxnResult(revision=view.revision, succeeded=path.succeeded, results=tuple(results))
