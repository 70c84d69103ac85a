"""From a command to its answer: checked, then carried out, at one revision."""

from __future__ import annotations

from typing import assert_never

from ferrite.core.kv.changes import (
    check_delete_state,
    check_put_state,
    delete_range,
    is_plain,
    prev_budget,
    put,
)
from ferrite.core.kv.compaction import compact, sweep
from ferrite.core.kv.leases import check_lease, end_due, grant, keep_alive, revoke, time_to_live
from ferrite.core.kv.operations import (
    Batch,
    Compact,
    Delete,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    Operation,
    Put,
    SetNoSpace,
    Tick,
    Txn,
)
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import (
    BatchResult,
    CommandErrorCode,
    CommandResult,
    DeleteRangeResult,
    DeleteResult,
    Done,
    PutResult,
    TxnResult,
)
from ferrite.core.kv.txn import run_txn
from ferrite.core.kv.txn_check import can_put, check_batch, check_key, check_put, check_txn
from ferrite.core.kv.workspace import Workspace
from ferrite.core.values import must


def execute(work: Workspace, operation: Operation) -> CommandResult:
    """Carry out a command, or change nothing and say why."""
    try:
        return _carry_out(work, operation)
    except Refused as refused:
        must(work.writer.revision == work.meta.revision, "a refused command changed nothing")
        return refused.answer(work.meta.revision)


def _carry_out(work: Workspace, operation: Operation) -> CommandResult:
    match operation:
        case Put():
            return _put(work, operation)
        case Delete():
            return _delete(work, operation)
        case Batch():
            return _batch(work, operation)
        case DeleteRange():
            return _delete_range(work, operation)
        case Txn():
            return _txn(work, operation)
        case Compact():
            return compact(work.meta, operation)
        case LeaseGrant():
            _check_space(work)
            return grant(work, operation)
        case LeaseRevoke(lease_id=lease_id):
            return revoke(work, lease_id)
        case LeaseKeepAlive():
            return keep_alive(work, operation)
        case LeaseTimeToLive():
            return time_to_live(work, operation)
        case Tick():
            end_due(work)
            sweep(work)
            return Done(revision=work.meta.revision)
        case SetNoSpace(on=on):
            work.meta.no_space = int(on)
            return Done(revision=work.meta.revision)
    assert_never(operation)


def _check_space(work: Workspace) -> None:
    if work.meta.no_space:
        raise Refused(
            CommandErrorCode.NO_SPACE,
            "the space quota is exceeded; delete keys and compact, then it goes on",
        )


def _put(work: Workspace, operation: Put) -> PutResult:
    check_put(operation)
    _check_space(work)
    if is_plain(operation):
        work.writer.put(operation.key, operation.value)
        return PutResult(revision=work.writer.finish())
    check_lease(
        work, operation.lease
    )  # before the key, as etcd does; within a transaction it is the other way round
    check_put_state(work, operation)
    result = put(work, operation)
    work.writer.finish()
    return result


def _delete(work: Workspace, operation: Delete) -> DeleteResult:
    check_key(operation.key)
    existed = work.writer.delete(operation.key) is not None
    return DeleteResult(revision=work.writer.finish(), existed=existed)


def _batch(work: Workspace, operation: Batch) -> BatchResult:
    check_batch(operation)
    if can_put(operation):
        _check_space(work)
    writer = work.writer
    existed = tuple(
        (writer.put(single.key, single.value) if isinstance(single, Put) else writer.delete(single.key))
        is not None
        for single in operation.operations
    )
    return BatchResult(revision=writer.finish(), existed=existed)


def _delete_range(work: Workspace, operation: DeleteRange) -> DeleteRangeResult:
    check_key(operation.key)
    check_delete_state(work, operation, prev_budget())
    result = delete_range(work, operation)
    work.writer.finish()
    return result


def _txn(work: Workspace, operation: Txn) -> TxnResult:
    check_txn(operation)
    if can_put(operation):
        _check_space(work)
    result = run_txn(work, operation)
    work.writer.finish()
    return result
