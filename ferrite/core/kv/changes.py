"""Single changes within a revision: a put with everything that it may ask for, and deleting a range.

Checking and doing are apart: a transaction checks everything first, then runs.
"""

from __future__ import annotations

from ferrite.core.kv.operations import DeleteRange, Put
from ferrite.core.kv.ranges import Budget, ReadLimits, key_value, latest, pointers, value_of
from ferrite.core.kv.records import decode_pointer
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import CommandErrorCode, DeleteRangeResult, PutResult
from ferrite.core.kv.workspace import Workspace


def is_plain(put: Put) -> bool:
    """Is it just a key and a value? Most are, and need no more than that."""
    return not (put.lease or put.prev_kv or put.ignore_value or put.ignore_lease)


def prev_budget() -> Budget:
    """Return the bounds of what one command may answer of what it replaced or deleted."""
    return Budget(ReadLimits())


def check_put_state(work: Workspace, put: Put, prev: Budget | None = None) -> None:
    """Is the key there that it needs? With `prev`, does the answer fit, too? Raises Refused."""
    keeps = put.ignore_value or put.ignore_lease
    bounded = put.prev_kv and prev is not None
    if keeps or bounded:
        data = work.overlay.get(work.layout.key(put.key))
        if data is None and keeps:
            raise Refused(
                CommandErrorCode.KEY_NOT_FOUND,
                f"key {put.key!r} is not there; ignore_value and ignore_lease keep what a key has",
            )
        if data is not None and put.prev_kv and prev is not None:
            _take(prev, decode_pointer(data).size_bytes)


def _take(prev: Budget, size_bytes: int) -> None:
    if not prev.take(size_bytes):
        raise Refused(
            CommandErrorCode.INVALID,
            "what prev_kv asks for is larger than one answer; ask without it, or change fewer keys at once",
        )


def check_delete_state(work: Workspace, operation: DeleteRange, prev: Budget) -> None:
    """Does what `prev_kv` asks for fit into an answer? Raises Refused."""
    if operation.prev_kv and operation.range_end:
        for _, pointer in latest(work.view, operation.key, operation.range_end):
            _take(prev, pointer.size_bytes)


def put(work: Workspace, operation: Put) -> PutResult:
    """Set a key; everything was checked."""
    key, data, lease = operation.key, operation.value, operation.lease
    if operation.ignore_value or operation.ignore_lease:
        before = work.overlay.get(work.layout.key(key))
        assert before is not None, "a put that keeps something was checked"
        kept = decode_pointer(before)
        if operation.ignore_value:
            data = value_of(work.view, key, kept)
        if operation.ignore_lease:
            lease = kept.lease
    before = work.writer.put(key, data, lease)
    prev = None
    if operation.prev_kv and before is not None:
        prev = key_value(work.view, key, decode_pointer(before))
    return PutResult(revision=work.writer.revision, prev=prev)


def delete_range(work: Workspace, operation: DeleteRange) -> DeleteRangeResult:
    """Delete the keys of a range; everything was checked."""
    found = list(pointers(work.view, operation.key, operation.range_end))
    removed = [(key, work.writer.remove(key, before)) for key, before in found]
    return DeleteRangeResult(
        revision=work.writer.revision,
        deleted=len(removed),
        prev=tuple(key_value(work.view, *each) for each in removed) if operation.prev_kv else (),
    )
