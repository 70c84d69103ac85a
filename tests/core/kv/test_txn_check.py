"""A key changes at most once on any path through a transaction."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.kv import (
    CommandErrorCode,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    Put,
    Range,
    Txn,
    TxnOperation,
)
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.txn_check import _Intervals, can_put, check_txn


def put(key: bytes) -> Put:
    return Put(key=key)


def delete(key: bytes, range_end: bytes = b"") -> DeleteRange:
    return DeleteRange(key=key, range_end=range_end)


def either(*success: TxnOperation, otherwise: tuple[TxnOperation, ...] = ()) -> Txn:
    return Txn(success=success, failure=otherwise)


@pytest.mark.parametrize(
    "operations",
    [
        (put(b"a"), put(b"b")),
        (delete(b"a"), delete(b"a"), delete(b"a", b"c")),
        (put(b"b"), delete(b"a"), delete(b"c", b"d"), delete(b"b\x00", b"\x00")),
        (put(b"b"), delete(b"c", b"a")),
        (either(put(b"a"), otherwise=(put(b"a"),)), put(b"b")),
        (either(put(b"a"), otherwise=(delete(b"a"),)),),
        (either(delete(b"a", b"c")), put(b"c")),
        (Range(key=b"a"), put(b"a"), Range(key=b"a")),
    ],
)
def test_a_key_that_changes_once_on_every_path_is_right(operations: tuple[TxnOperation, ...]) -> None:
    check_txn(Txn(success=operations))
    check_txn(Txn(failure=operations))


@pytest.mark.parametrize(
    "operations",
    [
        (put(b"a"), put(b"a")),
        (put(b"a"), delete(b"a")),
        (delete(b"a"), put(b"a")),
        (delete(b"a", b"\x00"), put(b"z")),
        (put(b"z"), delete(b"a", b"\x00")),
        (delete(b"a", b"c"), delete(b"b", b"e"), put(b"d")),
        (delete(b"d", b"e"), delete(b"a", b"\x00"), put(b"x")),
        (either(put(b"a")), put(b"a")),
        (either(otherwise=(put(b"a"),)), put(b"a")),
        (either(put(b"a")), either(otherwise=(put(b"a"),))),
        (either(put(b"a")), either(otherwise=(delete(b"a"),))),
        (either(delete(b"a", b"\x00")), either(either(put(b"b")))),
        (put(b"a"), either(either(either(delete(b"A", b"b"))))),
    ],
)
def test_a_key_that_changes_twice_on_a_path_is_a_duplicate(operations: tuple[TxnOperation, ...]) -> None:
    for txn in (
        Txn(success=operations),
        Txn(failure=operations),
        Txn(success=operations[::-1]),
        either(either(*operations)),
    ):
        with pytest.raises(Refused) as caught:
            check_txn(txn)
        assert caught.value.code == CommandErrorCode.DUPLICATE_KEY


@pytest.mark.parametrize(
    "txn",
    [
        Txn(success=(put(b""),)),
        Txn(failure=(delete(b"", b"b"),)),
        Txn(success=(Txn(success=(Range(key=b""),)),)),
        Txn(compares=(Compare(target=CompareTarget.MOD, result=CompareResult.LESS, key=b"", operand=1),)),
        Txn(success=(Put(key=b"a", value=b"v", ignore_value=True),)),
        Txn(failure=(Put(key=b"a", lease=1, ignore_lease=True),)),
    ],
)
def test_what_no_state_can_carry_out_is_invalid_on_any_branch(txn: Txn) -> None:
    with pytest.raises(Refused) as caught:
        check_txn(txn)
    assert caught.value.code == CommandErrorCode.INVALID


def test_a_transaction_can_put_when_any_branch_can() -> None:
    assert can_put(either(otherwise=(either(put(b"a")),)))
    assert not can_put(either(delete(b"a"), Range(key=b"a")))


ends = st.binary(max_size=2) | st.none()


@given(st.lists(st.tuples(st.binary(max_size=2), ends), max_size=12), st.binary(max_size=3))
def test_joined_intervals_cover_what_the_single_ones_cover(
    intervals: list[tuple[bytes, bytes | None]], key: bytes
) -> None:
    joined = _Intervals()
    for first, end in intervals:
        joined.add(first, end)
    assert (key in joined) == any(first <= key and (end is None or key < end) for first, end in intervals)
    flat = joined.all()
    assert flat == sorted(flat, key=lambda interval: interval[0])
    assert all(one[1] is not None and one[1] < other[0] for one, other in pairwise(flat))
