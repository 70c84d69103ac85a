"""The operations' fields: what is encoded is decoded, and nothing else is."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.kv import (
    TXN_DEPTH_MAX,
    CommandErrorCode,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseTimeToLive,
    Operation,
    Put,
    Range,
    SetNoSpace,
    SortOrder,
    SortTarget,
    Tick,
    Txn,
)
from ferrite.core.kv.codec import FieldsInvalid, operation_fields, read_operation
from tests.core.kv.test_etcd_model import Author


def through_msgpack(operation: Operation) -> Any:
    return msgpack.unpackb(msgpack.packb(operation_fields(operation)))


@given(st.integers(0, 2**32))
def test_what_was_encoded_is_decoded(seed: int) -> None:
    operation = Author(seed).operation()
    assert read_operation(through_msgpack(operation)) == operation


RANGE = Range(
    key=b"a",
    range_end=b"b",
    limit=1,
    revision=2,
    sort_target=SortTarget.MOD,
    sort_order=SortOrder.DESCEND,
    keys_only=True,
    with_count=True,
    min_mod_revision=3,
    max_mod_revision=4,
    min_create_revision=5,
    max_create_revision=6,
)
COMPARE = Compare(target=CompareTarget.VALUE, result=CompareResult.LESS, key=b"k", operand=b"v")


@pytest.mark.parametrize(
    "operation, golden",
    [
        (Put(key=b"k", value=b"v"), [1, b"k", b"v"]),
        (Put(key=b"k", value=b"v", lease=7), [1, b"k", b"v", 7, 0]),
        (Put(key=b"k", prev_kv=True, ignore_value=True, ignore_lease=True), [1, b"k", b"", 0, 7]),
        (DeleteRange(key=b"a", range_end=b"b", prev_kv=True), [4, b"a", b"b", True]),
        (
            Txn(compares=(COMPARE,), success=(RANGE,), failure=(Txn(),)),
            [
                5,
                [[3, 2, b"k", b"", b"v"]],
                [[6, b"a", b"b", 1, 2, 3, 2, 5, 3, 4, 5, 6]],
                [[5, [], [], []]],
            ],
        ),
        (LeaseGrant(lease_id=1, ttl_s=-1), [8, 1, -1]),
        (LeaseKeepAlive(lease_ids=(1, 2)), [10, [1, 2]]),
        (LeaseTimeToLive(lease_id=1, with_keys=True), [11, 1, True]),
        (Tick(), [12]),
        (SetNoSpace(on=True), [13, True]),
    ],
)
def test_the_fields_of_an_operation_stay_what_they_are(operation: Operation, golden: list[object]) -> None:
    assert through_msgpack(operation) == golden
    assert read_operation(golden) == operation


def in_txn(*operations: object) -> list[object]:
    return [5, [], list(operations), []]


def nested(depth: int) -> list[object]:
    return in_txn() if depth == 1 else in_txn(nested(depth - 1))


BAD_RANGES = [
    [6, b"a", b"", *fields]
    for fields in (
        [0] * 8,
        [0] * 10,
        [-1, *[0] * 8],
        [0, 0, 5, *[0] * 6],
        [0, 0, 0, 3, *[0] * 5],
        [0, 0, 0, 0, 8, *[0] * 4],
        [True, *[0] * 8],
        [*[0] * 8, 2**63],
    )
]


@pytest.mark.parametrize(
    "fields",
    [
        [1, b"k", b"v", 0, 0],
        [1, b"k", b"v", 0, 8],
        [1, b"k", b"v", -1, 0],
        [1, b"k", b"v", True, 0],
        [1, b"k", b"v", 1],
        [3, [[1, b"k", b"v", 1, 0]]],
        [3, [[2, b"k", b""]]],
        [4, b"a", b"b", 1],
        [4, b"a", "b", True],
        [5, [], []],
        [5, [], [], b""],
        [5, [[0, 0, b"k", b"", b"v"]], [], []],
        [5, [[3, 0, b"k", b"", 1]], [], []],
        [5, [[5, 0, b"k", b"", 1]], [], []],
        [5, [[0, 4, b"k", b"", 1]], [], []],
        [5, [[True, 0, b"k", b"", 1]], [], []],
        [5, [[0, 0, b"k", b"", True]], [], []],
        [5, [[0, 0, b"k", b""]], [], []],
        in_txn([2, b"k"]),
        in_txn([3, []]),
        in_txn([12]),
        in_txn([]),
        in_txn(b"x"),
        *(in_txn(bad) for bad in BAD_RANGES),
        nested(TXN_DEPTH_MAX + 1),
        [6, b"a", b"", *[0] * 9],
        [7],
        [7, -1],
        [8, 1],
        [8, -1, 5],
        [8, 1, 2**63],
        [9, b"1"],
        [10, 1],
        [10, [True]],
        [11, 1, 1],
        [12, 0],
        [13, 1],
        [2, b"k" * 65537],
        [4, b"k", b"k" * 65537, False],
    ],
)
def test_what_encode_would_not_make_is_malformed(fields: list[object]) -> None:
    with pytest.raises(FieldsInvalid) as caught:
        read_operation(fields)
    assert caught.value.code == CommandErrorCode.MALFORMED


@pytest.mark.parametrize("fields", [[0], [14, 1], [-1], [3, [[14]]], in_txn([99])])
def test_an_unknown_code_is_that_of_another_version(fields: list[object]) -> None:
    with pytest.raises(FieldsInvalid) as caught:
        read_operation(fields)
    assert caught.value.code == CommandErrorCode.UNSUPPORTED_VERSION


def test_transactions_nest_as_deep_as_the_limit_says() -> None:
    assert read_operation(nested(TXN_DEPTH_MAX)) is not None


scalars = st.none() | st.booleans() | st.integers(-2, 14) | st.binary(max_size=2) | st.text(max_size=1)


@given(st.integers(0, 2**32), st.data())
def test_any_fields_are_an_operation_that_encodes_to_them_or_invalid(seed: int, data: st.DataObject) -> None:
    """One field of a real operation, however deep, is something else."""
    fields = through_msgpack(Author(seed).operation())
    place: Any = fields
    while True:
        position = data.draw(st.integers(0, len(place) - 1))
        if type(place[position]) is not list or not place[position]:
            place[position] = data.draw(scalars)
            break
        place = place[position]
    with suppress(FieldsInvalid):
        assert through_msgpack(read_operation(fields)) == fields
