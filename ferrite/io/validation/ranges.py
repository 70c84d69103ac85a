"""Checks of etcd's operations on keys: put, range, delete range, transaction, compaction, watch.

What a door decoded is an operation of `ferrite.core.kv` already; it comes back unchanged or is refused. Enumerations are the
door's: an operation has no unknown ones. Revisions that are compacted or in the future are the machine's business.
"""

from __future__ import annotations

from typing import Final, assert_never

from ferrite.core.kv import FROM_KEY, Compact, Compare, DeleteRange, Put, Range, Txn, TxnOperation, WatchSpec
from ferrite.io.config.model import LimitsConfig
from ferrite.io.validation.basics import INT_MAX, Invalid, check_int, check_key, check_size, check_value

TXN_DEPTH_MAX: Final = 8
"""The outermost transaction is the first. Each level multiplies what one request can ask for."""

TXN_PARTS_MAX: Final = 10_000
"""Compares and operations of a transaction, nested ones included: what the loop can read in a few hundredths of a second."""


class TxnParts:
    """Counts the parts of one transaction; a door may do so before it makes values of them."""

    __slots__ = ("_list_max", "_room")

    def __init__(self, limits: LimitsConfig) -> None:
        self._list_max = limits.batch_operations_max
        self._room = TXN_PARTS_MAX

    def count(self, field: str, parts: int) -> None:
        """One more list, of so many parts. Raises `Invalid`."""
        if parts > self._list_max:
            raise Invalid(field, f"{parts} of them", f"at most {self._list_max} in one list")
        self._room -= parts
        if self._room < 0:
            raise Invalid(
                field,
                f"more than {TXN_PARTS_MAX} compares and operations so far",
                f"at most {TXN_PARTS_MAX} in all transactions of a request together",
            )


def check_put(  # fields of the request, one each
    key: bytes,
    value: bytes,
    limits: LimitsConfig,
    *,
    lease: int = 0,
    prev_kv: bool = False,
    ignore_value: bool = False,
    ignore_lease: bool = False,
) -> Put:
    """One key to set."""
    return check_put_operation(
        Put(
            key=key,
            value=value,
            lease=lease,
            prev_kv=prev_kv,
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
        ),
        limits,
    )


def check_put_operation(put: Put, limits: LimitsConfig, field: str = "") -> Put:
    """A put as an operation. `field` is what stands before the names of its fields: `success[0].put.`, or nothing."""
    check_key(put.key, limits, f"{field}key")
    check_value(put.value, limits, f"{field}value")
    check_int(f"{field}lease", put.lease, 0, INT_MAX)
    if put.ignore_value and put.value:
        raise Invalid(f"{field}value", f"{len(put.value)} bytes", "nothing: ignore_value keeps the key's own")
    if put.ignore_lease and put.lease:
        raise Invalid(f"{field}lease", str(put.lease), "0: ignore_lease keeps the key's own")
    return put


def check_range(query: Range, limits: LimitsConfig, field: str = "") -> Range:
    """A range to read. `limit` may be larger than the server's maximum: the answer then says that there is more."""
    _check_keys(query.key, query.range_end, limits, field)
    for name in (
        "limit",
        "revision",
        "min_mod_revision",
        "max_mod_revision",
        "min_create_revision",
        "max_create_revision",
    ):
        check_int(f"{field}{name}", getattr(query, name), 0, INT_MAX)
    return query


def check_delete_range(
    key: bytes, range_end: bytes, limits: LimitsConfig, *, prev_kv: bool = False
) -> DeleteRange:
    """A range of keys to delete."""
    _check_keys(key, range_end, limits, "")
    return DeleteRange(key=key, range_end=range_end, prev_kv=prev_kv)


def check_txn(txn: Txn, limits: LimitsConfig, field: str = "") -> Txn:
    """A transaction: its lists, their parts, and all of it within a request's size.

    A key that is changed twice is the machine's business: it knows which branches exclude each other.
    """
    bytes_total = _check_txn(txn, limits, TxnParts(limits), field, 1)
    if bytes_total > limits.request_bytes_max:
        raise Invalid(
            field.rstrip(".") or "txn",
            f"keys and values of {bytes_total} bytes",
            f"at most {limits.request_bytes_max} bytes in one request",
            code="too_large",
        )
    return txn


def check_compact(revision: int) -> Compact:
    """A revision to compact at."""
    return Compact(revision=check_int("revision", revision, 1, INT_MAX))


def check_watch(spec: WatchSpec, limits: LimitsConfig) -> WatchSpec:
    """A range to watch, which is not empty. A start in the future is none of the door's business: the watch waits for it."""
    _check_keys(spec.key, spec.range_end, limits, "")
    if spec.range_end not in {b"", FROM_KEY} and spec.range_end <= spec.key:
        raise Invalid(
            "range_end", "not above key", "a range that can hold keys: a watch of none would wait for ever"
        )
    check_int("start_revision", spec.start_revision, 0, INT_MAX)
    if spec.no_puts and spec.no_deletes:
        raise Invalid("no_deletes", "both kinds of changes left out", "at most one of no_puts and no_deletes")
    return spec


def _check_keys(key: bytes, range_end: bytes, limits: LimitsConfig, field: str) -> int:
    """Return the bytes of both. A `range_end` may be the successor of the longest key. A reversed range is an empty one."""
    check_key(key, limits, f"{field}key")
    check_size(f"{field}range_end", range_end, limits.key_bytes_max + 1)
    return len(key) + len(range_end)


def _check_txn(txn: Txn, limits: LimitsConfig, parts: TxnParts, field: str, depth: int) -> int:
    if depth > TXN_DEPTH_MAX:
        raise Invalid(
            field.rstrip("."), f"a transaction at depth {depth}", f"at most {TXN_DEPTH_MAX} levels, the outermost included"
        )  # fmt: skip
    for name in ("compares", "success", "failure"):
        parts.count(f"{field}{name}", len(getattr(txn, name)))
    bytes_total = 0
    for position, compare in enumerate(txn.compares):
        bytes_total += _check_compare(compare, limits, f"{field}compares[{position}].")
    for name, operations in (("success", txn.success), ("failure", txn.failure)):
        for position, operation in enumerate(operations):
            bytes_total += _check_operation(operation, limits, parts, f"{field}{name}[{position}].", depth)
    return bytes_total


def _check_compare(compare: Compare, limits: LimitsConfig, field: str) -> int:
    size = _check_keys(compare.key, compare.range_end, limits, field)
    if isinstance(compare.operand, bytes):
        return size + len(check_value(compare.operand, limits, f"{field}value"))
    check_int(f"{field}{compare.target.name.lower()}", compare.operand, 0, INT_MAX)
    return size


def _check_operation(
    operation: TxnOperation, limits: LimitsConfig, parts: TxnParts, field: str, depth: int
) -> int:
    match operation:
        case Put():
            check_put_operation(operation, limits, f"{field}put.")
            return len(operation.key) + len(operation.value)
        case DeleteRange(key=key, range_end=range_end):
            return _check_keys(key, range_end, limits, f"{field}delete_range.")
        case Range():
            check_range(operation, limits, f"{field}range.")
            return len(operation.key) + len(operation.range_end)
        case Txn():
            return _check_txn(operation, limits, parts, f"{field}txn.", depth + 1)
        case _:
            assert_never(operation)
