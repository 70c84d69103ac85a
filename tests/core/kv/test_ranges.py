"""Ranges: what filters, limits, sorting and counting do to each other, and what they cost."""

import pytest

from ferrite.core import Index
from ferrite.core.kv import (
    CommandFailed,
    DeleteRange,
    DeleteRangeResult,
    LeaseGrant,
    Operation,
    Put,
    Range,
    RangeResult,
    ReadLimits,
    SortOrder,
    SortTarget,
    StateMachine,
    Txn,
    TxnResult,
    changes,
)
from tests.core.kv.helpers import IDENTITY, Machine, command, put
from tests.core.kv.test_mvcc import CountingStore


def ranged(machine: StateMachine, query: Range) -> RangeResult:
    found = machine.read(query)
    assert isinstance(found, RangeResult)
    return found


def keys(result: RangeResult) -> bytes:
    return b"".join(entry.key for entry in result.entries)


def letters() -> Machine:
    """a is at revision 5 of version 2, b, c and d are of version 1."""
    host = Machine()
    host.apply(*(put(key, b"x") for key in (b"a", b"b", b"c")), put(b"a", b"y"), put(b"d", b"w"))
    return host


def test_filters_do_not_touch_the_count() -> None:
    host = letters()
    for query in (
        Range(key=b"\x00", range_end=b"\x00", min_mod_revision=4, with_count=True),
        Range(key=b"\x00", range_end=b"\x00", min_mod_revision=4, with_count=True, limit=1),
        Range(key=b"\x00", range_end=b"\x00", min_mod_revision=4, count_only=True),
    ):
        assert ranged(host.machine, query).count == 4
    assert ranged(host.machine, Range(key=b"\x00", range_end=b"\x00")).count == -1


@pytest.mark.parametrize(
    "bounds, found",
    [
        ({"min_mod_revision": 4}, b"acd"),
        ({"max_mod_revision": 4}, b"bc"),
        ({"min_create_revision": 3}, b"bcd"),
        ({"max_create_revision": 3}, b"ab"),
        ({"min_mod_revision": 4, "max_create_revision": 4}, b"ac"),
    ],
)
def test_bounds_are_inclusive(bounds: dict[str, int], found: bytes) -> None:
    query = Range(key=b"\x00", range_end=b"\x00", **bounds)  # type: ignore[arg-type]  # the bounds are integers
    assert keys(ranged(letters().machine, query)) == found


@pytest.mark.parametrize(
    "target, ascending, descending",
    [
        (SortTarget.KEY, b"abcd", b"dcba"),
        (SortTarget.VERSION, b"bcda", b"abcd"),
        (SortTarget.CREATE, b"abcd", b"dcba"),
        (SortTarget.MOD, b"bcad", b"dacb"),
        (SortTarget.VALUE, b"dbca", b"abcd"),
    ],
)
def test_equal_ones_come_in_key_order_and_a_limit_cuts_after_sorting(
    target: SortTarget, ascending: bytes, descending: bytes
) -> None:
    host = letters()
    for order, wanted in (
        (SortOrder.NONE, ascending),
        (SortOrder.ASCEND, ascending),
        (SortOrder.DESCEND, descending),
    ):
        for limit in (0, 1, 3, 4, 5):
            query = Range(key=b"a", range_end=b"z", sort_target=target, sort_order=order, limit=limit)
            found = ranged(host.machine, query)
            assert keys(found) == (wanted[:limit] if limit else wanted)
            assert found.more == (0 < limit < 4)


@pytest.mark.parametrize("first, end", [(b"c", b"b"), (b"b", b"b"), (b"\xff", b"\x01")])
def test_a_reversed_range_is_empty(first: bytes, end: bytes) -> None:
    host = letters()
    for revision in (0, 3):
        query = Range(key=first, range_end=end, revision=revision, with_count=True)
        assert ranged(host.machine, query) == RangeResult(revision=6, entries=(), more=False, count=0)
    gone = host.result(command(DeleteRange(key=first, range_end=end)))
    assert gone == DeleteRangeResult(revision=6, deleted=0)


def test_a_page_of_a_query_is_bounded_by_the_members_limits() -> None:
    host = letters()
    machine = StateMachine(host.store, IDENTITY, read_limits=ReadLimits(list_keys_max=3, list_bytes_max=100))
    for limit in (0, 4, 100):
        found = ranged(machine, Range(key=b"\x00", range_end=b"\x00", limit=limit, with_count=True))
        assert (keys(found), found.more, found.count) == (b"abc", True, 4)
    machine = StateMachine(host.store, IDENTITY, read_limits=ReadLimits(list_bytes_max=1))
    for query in (Range(key=b"\x00", range_end=b"\x00"), Range(key=b"a", range_end=b"b")):
        assert keys(ranged(machine, query)) == b"a", "one comes in any case"


def test_the_ranges_of_a_transaction_share_one_answers_bounds() -> None:
    host = Machine()
    host.apply(put(b"a", bytes(3 << 20)), put(b"b", bytes(2 << 20)), put(b"c", b"small"))
    txn = Txn(success=(Range(key=b"a"), Range(key=b"b"), Txn(success=(Range(key=b"c"),)), Put(key=b"d")))
    result = host.result(command(txn))
    assert isinstance(result, TxnResult)
    first, second, inner, _ = result.results
    assert isinstance(first, RangeResult)
    assert isinstance(second, RangeResult)
    assert isinstance(inner, TxnResult)
    assert (keys(first), first.more, keys(second), second.more) == (b"a", False, b"", True)
    (third,) = inner.results
    assert isinstance(third, RangeResult)
    assert (keys(third), third.more) == (b"c", False), "what still fits comes"


def test_what_prev_kv_asks_for_is_bounded_and_checked_before_anything_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = letters()
    whole = DeleteRange(key=b"\x00", range_end=b"\x00", prev_kv=True)
    monkeypatch.setattr(changes, "ReadLimits", lambda: ReadLimits(list_keys_max=3))
    put_back = tuple(Put(key=key, prev_kv=True) for key in (b"a", b"b", b"c", b"d"))
    for operation in (whole, Txn(success=(whole,)), Txn(success=put_back)):
        assert isinstance(host.result(command(operation)), CommandFailed)
        assert host.machine.revision == 6
    gone = host.result(command(DeleteRange(key=b"\x00", range_end=b"\x00")))
    assert gone == DeleteRangeResult(revision=7, deleted=4)


@pytest.mark.parametrize(
    "operation, gets, records",
    [
        (Put(key=b"new", lease=1), 2, 3),
        (Put(key=b"old", value=b"v", lease=1), 2, 4),
        (Put(key=b"leased", value=b"v"), 1, 4),
        (Put(key=b"leased", value=b"v", lease=1), 2, 3),
        (Put(key=b"old", prev_kv=True), 2, 3),
        (Put(key=b"new", prev_kv=True), 1, 2),
        (DeleteRange(key=b"old"), 1, 4),
        (DeleteRange(key=b"leased"), 1, 5),
        (DeleteRange(key=b"a", range_end=b"z"), 0, 9),
        (DeleteRange(key=b"a", range_end=b"z", prev_kv=True), 2, 9),
        (Txn(success=(Put(key=b"old"),)), 1, 3),
    ],
)
def test_an_operation_costs_what_the_layout_says(operation: Operation, gets: int, records: int) -> None:
    store = CountingStore()
    host = Machine(store)
    host.apply(command(LeaseGrant(lease_id=1, ttl_s=9)))
    host.apply(put(b"old"), command(Put(key=b"leased", lease=1)))
    store.gets = 0
    applied = host.machine.apply(Index(host.machine.applied_index + 1), [command(operation)])
    assert (store.gets, len(applied.batch)) == (gets, records + 1), "one more record: the applied index"


@pytest.mark.parametrize(
    "query, gets",
    [
        (Range(key=b"a"), 2),
        (Range(key=b"a", keys_only=True), 1),
        (Range(key=b"a", count_only=True), 1),
        (Range(key=b"a", revision=2), 2),
        (Range(key=b"\x00", range_end=b"\x00", keys_only=True, sort_target=SortTarget.MOD), 0),
        (Range(key=b"\x00", range_end=b"\x00", revision=4, keys_only=True, with_count=True), 0),
        (Range(key=b"\x00", range_end=b"\x00", limit=2), 2),
        (Range(key=b"\x00", range_end=b"\x00", limit=1, sort_order=SortOrder.DESCEND), 1),
    ],
)
def test_a_read_gets_the_values_that_it_returns_and_no_more(query: Range, gets: int) -> None:
    store = CountingStore()
    host = Machine(store)
    host.apply(*(put(key) for key in (b"a", b"b", b"c", b"a")))
    store.gets = 0
    ranged(host.machine, query)
    assert store.gets == gets
