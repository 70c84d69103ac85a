"""What is wrong with a command whatever the state is. Everything is checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sortedcontainers import SortedDict, SortedList

from ferrite.core.kv.operations import Batch, Delete, DeleteRange, Put, Range, Txn, TxnOperation
from ferrite.core.kv.ranges import end_of_range
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import CommandErrorCode

Interval = tuple[bytes, bytes | None]
"""Keys from the first to below the second; None: to the last key."""

_EMPTY_KEY: Final = "the key is empty; a key has at least one byte"


def check_key(key: bytes) -> None:
    """Raise Refused for the empty key."""
    if not key:
        raise Refused(CommandErrorCode.INVALID, _EMPTY_KEY)


def check_put(put: Put) -> None:
    """Raise Refused for an empty key, and for something given that is to be ignored."""
    check_key(put.key)
    if put.ignore_value and put.value:
        raise Refused(CommandErrorCode.INVALID, "ignore_value keeps the key's value, but a value was given")
    if put.ignore_lease and put.lease:
        raise Refused(CommandErrorCode.INVALID, "ignore_lease keeps the key's lease, but a lease was given")


def check_batch(batch: Batch) -> None:
    """Raise Refused for an empty key and for one that occurs twice."""
    keys = [single.key for single in batch.operations]
    if len(set(keys)) < len(keys):
        raise Refused(
            CommandErrorCode.INVALID,
            "a key occurs twice in the batch; all of it happens at one revision, so name it once",
        )
    for key in keys:
        check_key(key)


def check_txn(txn: Txn) -> None:
    """Raise Refused for an empty key, for bad puts, and for a key that some path through it changes twice."""
    _touched(txn)


def can_put(operation: Put | Delete | Batch | DeleteRange | Range | Txn) -> bool:
    """Can it add something on some path?"""
    match operation:
        case Put():
            return True
        case Batch(operations=inner):
            return any(isinstance(single, Put) for single in inner)
        case Txn(success=success, failure=failure):
            return any(can_put(each) for each in (*success, *failure))
        case _:
            return False


class _Touched:
    """The keys that a list of operations puts, and the intervals that it deletes."""

    __slots__ = ("deletes", "puts")

    def __init__(self, puts: Iterable[bytes] = (), deletes: Iterable[Interval] = ()) -> None:
        self.puts: set[bytes] = set(puts)
        self.deletes: list[Interval] = list(deletes)


def _touched(txn: Txn) -> _Touched:
    """Check a transaction; return what it may change. Its two branches exclude each other, so they are not compared."""
    for compare in txn.compares:
        check_key(compare.key)
    success, failure = _touched_by_all(txn.success), _touched_by_all(txn.failure)
    return _Touched(success.puts | failure.puts, success.deletes + failure.deletes)


def _touched_by(operation: TxnOperation) -> _Touched:
    match operation:
        case Put(key=key):
            check_put(operation)
            return _Touched(puts=(key,))
        case DeleteRange(key=key, range_end=range_end):
            check_key(key)
            return _Touched(deletes=((key, end_of_range(key, range_end)),))
        case Range(key=key):
            check_key(key)
            return _Touched()
        case Txn():
            return _touched(operation)


def _touched_by_all(operations: Sequence[TxnOperation]) -> _Touched:
    """Check operations that all run; return what they may change."""
    each = [_touched_by(operation) for operation in operations]
    if len(each) == 1:
        return each[0]
    if any(one.deletes for one in each):
        return _joined(each)
    puts: set[bytes] = set()
    for one in each:
        if not puts.isdisjoint(one.puts):
            raise _duplicate(f"key {min(puts & one.puts)!r} is put twice")
        puts |= one.puts
    return _Touched(puts)


def _joined(each: Sequence[_Touched]) -> _Touched:
    """Compare each with those before it, in both directions; sorted, so that many cost little more than few."""
    puts: set[bytes] = set()
    puts_in_order: SortedList[bytes] = SortedList()
    deleted = _Intervals()
    for one in each:
        for key in one.puts:
            if key in puts:
                raise _duplicate(f"key {key!r} is put twice")
            if key in deleted:
                raise _duplicate(f"key {key!r} is put, and deleted by a range")
        for first, end in one.deletes:
            position = puts_in_order.bisect_left(first)
            if position < len(puts_in_order) and (end is None or puts_in_order[position] < end):
                raise _duplicate(f"key {puts_in_order[position]!r} is put, and deleted by a range")
        puts |= one.puts
        puts_in_order.update(one.puts)
        for interval in one.deletes:
            deleted.add(*interval)
    return _Touched(puts, deleted.all())


def _duplicate(detail: str) -> Refused:
    return Refused(
        CommandErrorCode.DUPLICATE_KEY,
        f"{detail} in one transaction; all of it happens at one revision, so a key changes once",
    )


class _Intervals:
    """A set of keys as disjoint intervals."""

    __slots__ = ("_end_of",)

    def __init__(self) -> None:
        self._end_of: SortedDict[bytes, bytes | None] = SortedDict()

    def __contains__(self, key: bytes) -> bool:
        position = self._end_of.bisect_right(key) - 1
        if position < 0:
            return False
        _, end = self._end_of.peekitem(position)
        return end is None or key < end

    def all(self) -> list[Interval]:
        return list(self._end_of.items())

    def add(self, first: bytes, end: bytes | None) -> None:
        """Add an interval, joining what it meets."""
        ends = self._end_of
        if end is not None and end <= first:
            return
        position = ends.bisect_right(first) - 1
        if position >= 0:
            start, before = ends.peekitem(position)
            if before is None:
                return
            if before >= first:
                first = start
                end = None if end is None else max(end, before)
        while (position := ends.bisect_left(first)) < len(ends):
            start, other = ends.peekitem(position)
            if end is not None and start > end:
                break
            del ends[start]
            end = None if end is None or other is None else max(end, other)
        ends[first] = end
