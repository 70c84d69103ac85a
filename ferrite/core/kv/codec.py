"""The operations' fields in a command (docs/kv.md has the table): what is written here is read here, and nothing else.

The limits here are part of the replicated machine: they are the same on every member, whatever its configuration says,
and not below the largest values that `[limits]` accepts. The doors check the configured ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ferrite.core.kv.operations import (
    Batch,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    Operation,
    Put,
    Range,
    SetNoSpace,
    SortOrder,
    SortTarget,
    Tick,
    Txn,
    TxnOperation,
)
from ferrite.core.kv.results import CommandErrorCode

KEY_BYTES_MAX: Final = 64 << 10
VALUE_BYTES_MAX: Final = 16 << 20
BATCH_OPERATIONS_MAX: Final = 10_000
"""Also of compares, of a transaction's branch, and of leases in one list."""
TXN_DEPTH_MAX: Final = 8
NUMBER_MAX: Final = 2**63 - 1
"""Largest id, revision, boot and request number: fits a signed 64-bit integer of every language."""

_PUT: Final = 1
_DELETE: Final = 2
_BATCH: Final = 3
_DELETE_RANGE: Final = 4
_TXN: Final = 5
_RANGE: Final = 6
_COMPACT: Final = 7
_LEASE_GRANT: Final = 8
_LEASE_REVOKE: Final = 9
_LEASE_KEEP_ALIVE: Final = 10
_LEASE_TIME_TO_LIVE: Final = 11
_TICK: Final = 12
_SET_NO_SPACE: Final = 13
_CODE_MAX: Final = _SET_NO_SPACE


class FieldsInvalid(Exception):
    """The fields are no operation of this version."""

    def __init__(self, code: CommandErrorCode, detail: str) -> None:
        """Carry what the machine answers."""
        super().__init__(detail)
        self.code = code
        self.detail = detail


# ------------------------------------------------------------------------------------------------ writing


def operation_fields(operation: Operation | Range) -> list[Any]:
    """Return the operation as msgpack carries it. Sizes are the door's business."""
    match operation:
        case Put(key=key, value=data):
            flags = operation.prev_kv + 2 * operation.ignore_value + 4 * operation.ignore_lease
            plain = [_PUT, key, data]
            return [*plain, operation.lease, flags] if operation.lease or flags else plain
        case Delete(key=key):
            return [_DELETE, key]
        case Batch(operations=singles):
            return [_BATCH, [operation_fields(single) for single in singles]]
        case DeleteRange(key=key, range_end=range_end, prev_kv=prev_kv):
            return [_DELETE_RANGE, key, range_end, prev_kv]
        case Txn(compares=compares, success=success, failure=failure):
            return [
                _TXN,
                [_compare_fields(compare) for compare in compares],
                [operation_fields(each) for each in success],
                [operation_fields(each) for each in failure],
            ]
        case Range():
            return _range_fields(operation)
        case Compact(revision=revision):
            return [_COMPACT, revision]
        case LeaseGrant(lease_id=lease_id, ttl_s=ttl_s):
            return [_LEASE_GRANT, lease_id, ttl_s]
        case LeaseRevoke(lease_id=lease_id):
            return [_LEASE_REVOKE, lease_id]
        case LeaseKeepAlive(lease_ids=lease_ids):
            return [_LEASE_KEEP_ALIVE, list(lease_ids)]
        case LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys):
            return [_LEASE_TIME_TO_LIVE, lease_id, with_keys]
        case Tick():
            return [_TICK]
        case SetNoSpace(on=on):
            return [_SET_NO_SPACE, on]


def _compare_fields(compare: Compare) -> list[Any]:
    return [int(compare.target), int(compare.result), compare.key, compare.range_end, compare.operand]


def _range_fields(query: Range) -> list[Any]:
    flags = query.keys_only + 2 * query.count_only + 4 * query.with_count
    return [
        _RANGE, query.key, query.range_end, query.limit, query.revision, int(query.sort_target), int(query.sort_order), flags,
        query.min_mod_revision, query.max_mod_revision, query.min_create_revision, query.max_create_revision,
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ reading


def read_operation(fields: Any) -> Operation:
    """Return the operation. Raises FieldsInvalid for everything that `operation_fields` would not make, or that is too large.

    Plain comparisons, the put first: this runs for every change, and class patterns cost four times as much.
    """
    if type(fields) is not list or not fields or type(fields[0]) is not int:
        raise _malformed("an operation is an array that begins with its code")
    code = fields[0]
    if code == _PUT:
        return _read_put(fields)
    reader = _READERS.get(code)
    if reader is not None:
        return reader(fields)
    if code == _RANGE:
        raise _malformed("a range is a command only within a transaction")
    raise _unknown(code)


def _malformed(detail: str) -> FieldsInvalid:
    return FieldsInvalid(CommandErrorCode.MALFORMED, detail)


def _unknown(code: int) -> FieldsInvalid:
    return FieldsInvalid(
        CommandErrorCode.UNSUPPORTED_VERSION,
        f"operation code {code}; this version of Ferrite knows codes 1 to {_CODE_MAX}",
    )


def _is_key(key: Any) -> bool:
    return type(key) is bytes and len(key) <= KEY_BYTES_MAX


def is_number(number: Any, least: int = 0) -> bool:
    """Whether it is an integer (true is none) from `least` to `NUMBER_MAX`."""
    return type(number) is int and least <= number <= NUMBER_MAX


def _are_flags(flags: Any, count: int) -> bool:
    return type(flags) is int and 0 <= flags < 1 << count


def _read_put(fields: list[Any]) -> Put:
    if len(fields) == 3 and _is_key(fields[1]) and type(fields[2]) is bytes:
        return Put(key=fields[1], value=fields[2])
    if len(fields) == 5 and _is_key(fields[1]) and type(fields[2]) is bytes:
        _, key, data, lease, flags = fields
        if is_number(lease) and _are_flags(flags, 3) and (lease or flags):
            return Put(
                key=key,
                value=data,
                lease=lease,
                prev_kv=bool(flags & 1),
                ignore_value=bool(flags & 2),
                ignore_lease=bool(flags & 4),
            )
    raise _malformed(
        f"a put is [1, key, value], or [1, key, value, lease, flags] where one of these is not 0; a key has at most "
        f"{KEY_BYTES_MAX} bytes"
    )


def _read_delete(fields: list[Any]) -> Delete:
    if len(fields) == 2 and _is_key(fields[1]):
        return Delete(key=fields[1])
    raise _malformed(f"a delete is [2, key], and a key has at most {KEY_BYTES_MAX} bytes")


def _read_batch(fields: list[Any]) -> Batch:
    if len(fields) != 2 or type(fields[1]) is not list:
        raise _malformed("a batch is [3, [operations]]")
    return Batch(operations=tuple(_read_single(single) for single in fields[1]))


def _read_single(fields: Any) -> Put | Delete:
    if type(fields) is list and fields and type(fields[0]) is int:
        if fields[0] == _PUT and len(fields) == 3:
            return _read_put(fields)
        if fields[0] == _DELETE:
            return _read_delete(fields)
        if not 0 < fields[0] <= _CODE_MAX:
            raise _unknown(fields[0])
    raise _malformed("an operation of a batch is [1, key, value] or [2, key]")


def _read_delete_range(fields: list[Any]) -> DeleteRange:
    if len(fields) == 4 and _is_key(fields[1]) and _is_key(fields[2]) and type(fields[3]) is bool:
        return DeleteRange(key=fields[1], range_end=fields[2], prev_kv=fields[3])
    raise _malformed("a range to delete is [4, key, range_end, prev_kv]")


def _read_range(fields: list[Any]) -> Range:
    if (
        len(fields) == 12
        and _is_key(fields[1])
        and _is_key(fields[2])
        and all(is_number(number) for number in fields[3:])
        and fields[5] in _SORT_TARGETS
        and fields[6] in _SORT_ORDERS
        and _are_flags(fields[7], 3)
    ):
        flags = fields[7]
        return Range(
            key=fields[1],
            range_end=fields[2],
            limit=fields[3],
            revision=fields[4],
            sort_target=_SORT_TARGETS[fields[5]],
            sort_order=_SORT_ORDERS[fields[6]],
            keys_only=bool(flags & 1),
            count_only=bool(flags & 2),
            with_count=bool(flags & 4),
            min_mod_revision=fields[8],
            max_mod_revision=fields[9],
            min_create_revision=fields[10],
            max_create_revision=fields[11],
        )
    raise _malformed("a range is [6, key, range_end] and nine numbers within their bounds")


_SORT_TARGETS: Final = {int(each): each for each in SortTarget}
_SORT_ORDERS: Final = {int(each): each for each in SortOrder}
_COMPARE_TARGETS: Final = {int(each): each for each in CompareTarget}
_COMPARE_RESULTS: Final = {int(each): each for each in CompareResult}


def _read_txn(fields: list[Any], depth: int = 1) -> Txn:
    if depth > TXN_DEPTH_MAX:
        raise _malformed(f"transactions are nested more than {TXN_DEPTH_MAX} deep")
    if len(fields) != 4 or not all(type(each) is list for each in fields[1:]):
        raise _malformed("a transaction is [5, [compares], [success], [failure]]")
    _, compares, success, failure = fields
    return Txn(
        compares=tuple(_read_compare(compare) for compare in compares),
        success=tuple(_read_txn_operation(each, depth) for each in success),
        failure=tuple(_read_txn_operation(each, depth) for each in failure),
    )


def _read_txn_operation(fields: Any, depth: int) -> TxnOperation:
    if type(fields) is list and fields and type(fields[0]) is int:
        code = fields[0]
        if code == _PUT:
            return _read_put(fields)
        if code == _RANGE:
            return _read_range(fields)
        if code == _DELETE_RANGE:
            return _read_delete_range(fields)
        if code == _TXN:
            return _read_txn(fields, depth + 1)
        if not 0 < fields[0] <= _CODE_MAX:
            raise _unknown(fields[0])
    raise _malformed(
        "an operation of a transaction is a put (1), a range to delete (4), a transaction (5) or a range (6)"
    )


def _read_compare(fields: Any) -> Compare:
    if type(fields) is list and len(fields) == 5 and all(type(number) is int for number in fields[:2]):
        target, result = _COMPARE_TARGETS.get(fields[0]), _COMPARE_RESULTS.get(fields[1])
        _, _, key, range_end, operand = fields
        if target is not None and result is not None and _is_key(key) and _is_key(range_end):
            if (
                type(operand) is bytes
                if target == CompareTarget.VALUE
                else is_number(operand, -NUMBER_MAX - 1)
            ):
                return Compare(target=target, result=result, key=key, range_end=range_end, operand=operand)
    raise _malformed(
        "a compare is [target, result, key, range_end, operand], the operand bytes for a value and else an integer"
    )


def _read_compact(fields: list[Any]) -> Compact:
    if len(fields) == 2 and is_number(fields[1]):
        return Compact(revision=fields[1])
    raise _malformed("a compaction is [7, revision]")


def _read_lease_grant(fields: list[Any]) -> LeaseGrant:
    if len(fields) == 3 and is_number(fields[1]) and is_number(fields[2], -NUMBER_MAX - 1):
        return LeaseGrant(lease_id=fields[1], ttl_s=fields[2])
    raise _malformed("a lease to grant is [8, lease_id, ttl_s]")


def _read_lease_revoke(fields: list[Any]) -> LeaseRevoke:
    if len(fields) == 2 and is_number(fields[1]):
        return LeaseRevoke(lease_id=fields[1])
    raise _malformed("a lease to revoke is [9, lease_id]")


def _read_lease_keep_alive(fields: list[Any]) -> LeaseKeepAlive:
    if len(fields) == 2 and type(fields[1]) is list and all(is_number(lease_id) for lease_id in fields[1]):
        return LeaseKeepAlive(lease_ids=tuple(fields[1]))
    raise _malformed("leases to keep alive are [10, [lease_ids]]")


def _read_lease_time_to_live(fields: list[Any]) -> LeaseTimeToLive:
    if len(fields) == 3 and is_number(fields[1]) and type(fields[2]) is bool:
        return LeaseTimeToLive(lease_id=fields[1], with_keys=fields[2])
    raise _malformed("a lease's time to live is [11, lease_id, with_keys]")


def _read_tick(fields: list[Any]) -> Tick:
    if len(fields) == 1:
        return Tick()
    raise _malformed("a tick is [12]")


def _read_set_no_space(fields: list[Any]) -> SetNoSpace:
    if len(fields) == 2 and type(fields[1]) is bool:
        return SetNoSpace(on=fields[1])
    raise _malformed("the space mode is [13, on]")


_READERS: Final[dict[int, Callable[[list[Any]], Operation]]] = {
    _DELETE: _read_delete,
    _BATCH: _read_batch,
    _DELETE_RANGE: _read_delete_range,
    _TXN: _read_txn,
    _COMPACT: _read_compact,
    _LEASE_GRANT: _read_lease_grant,
    _LEASE_REVOKE: _read_lease_revoke,
    _LEASE_KEEP_ALIVE: _read_lease_keep_alive,
    _LEASE_TIME_TO_LIVE: _read_lease_time_to_live,
    _TICK: _read_tick,
    _SET_NO_SPACE: _read_set_no_space,
}
