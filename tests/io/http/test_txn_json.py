"""Requests and answers of /kv/txn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ferrite.core import Consistency
from ferrite.core.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    DeleteRangeResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Session,
    Txn,
    TxnResult,
)
from ferrite.io.http.json_body import parse_json
from ferrite.io.http.txn_json import parse_txn, txn_answer
from ferrite.io.request_path import Answered
from ferrite.io.validation import TXN_DEPTH_MAX, Invalid
from tests.io.http.helpers import ENTRY, LIMITS, MIB
from tests.io.http.test_range_json import ENTRY_JSON

COMPARE = {"key": "k", "target": "version", "result": "equal", "operand": 1}
PUT = {"put": {"key": "k", "value": "v"}}
READ = {"range": {"key": "k"}}


def nested(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {"success": [PUT]}
    for _ in range(depth - 1):
        content = {"success": [{"txn": content}]}
    return content


def test_compares_and_operations_of_every_kind_become_a_transaction() -> None:
    request = parse_txn(
        {
            "compares": [
                COMPARE,
                {"key": "k", "target": "create", "result": "greater", "operand": 2},
                {"prefix": "a", "target": "mod", "result": "less", "operand": 3},
                {"key": "k", "target": "value", "result": "not_equal", "operand": "x"},
                {"key": "k", "from_key": True, "target": "lease", "result": "equal", "operand": "7"},
            ],
            "success": [PUT, READ, {"delete_range": {"prefix": "a"}}, {"txn": {"failure": [READ]}}],
            "client_id": "c", "request_id": 1,
        },
        LIMITS,
    )  # fmt: skip
    assert request.txn == Txn(
        compares=(
            Compare(target=CompareTarget.VERSION, result=CompareResult.EQUAL, key=b"k", operand=1),
            Compare(target=CompareTarget.CREATE, result=CompareResult.GREATER, key=b"k", operand=2),
            Compare(target=CompareTarget.MOD, result=CompareResult.LESS, key=b"a", range_end=b"b", operand=3),
            Compare(target=CompareTarget.VALUE, result=CompareResult.NOT_EQUAL, key=b"k", operand=b"x"),
            Compare(
                target=CompareTarget.LEASE, result=CompareResult.EQUAL, key=b"k", range_end=b"\x00", operand=7
            ),
        ),
        success=(
            Put(key=b"k", value=b"v"),
            Range(key=b"k"),
            DeleteRange(key=b"a", range_end=b"b"),
            Txn(failure=(Range(key=b"k"),)),
        ),
    )
    assert not request.is_query
    assert request.write.session == Session(client_id=b"c", request_id=1)


def test_the_encoding_at_the_top_counts_for_all_of_it() -> None:
    request = parse_txn(
        {"success": [{"put": {"key": "/w==", "value": "AA=="}}], "encoding": "base64"}, LIMITS
    )
    assert request.txn.success == (Put(key=b"\xff", value=b"\x00"),)


def test_one_that_only_reads_is_a_query_and_may_be_serializable() -> None:
    request = parse_txn({"compares": [COMPARE], "success": [READ], "consistency": "serializable"}, LIMITS)
    assert request.is_query
    assert request.read.consistency is Consistency.SERIALIZABLE
    assert parse_txn({}, LIMITS).is_query


BAD_TXNS: dict[str, tuple[Any, str]] = {
    "an array": ([PUT], "body"),
    "an unknown field": ({"then": [PUT]}, "then"),
    "a list that is an object": ({"success": PUT}, "success"),
    "a list that is null": ({"compares": None}, "compares"),
    "an operation that is text": ({"success": ["put"]}, "success[0]"),
    "an empty operation": ({"success": [PUT, {}]}, "success[1]"),
    "an operation of two kinds": ({"success": [{**PUT, **READ}]}, "success[0]"),
    "an unknown operation": ({"success": [{"get": {"key": "k"}}]}, "success[0].get"),
    "a number as key": ({"success": [PUT, READ, {"put": {"key": 1, "value": ""}}]}, "success[2].put.key"),
    "an empty key": ({"success": [PUT, READ, {"put": {"key": "", "value": ""}}]}, "success[2].put.key"),
    "a session inside": (
        {"success": [{"put": {"key": "k", "value": "", "client_id": "c"}}]},
        "success[0].put.client_id",
    ),
    "an encoding inside": ({"failure": [{"txn": {"encoding": "base64"}}]}, "failure[0].txn.encoding"),
    "a bad part deep inside": (
        {"failure": [{"txn": {"success": [{"delete_range": {"prefix": "a", "range_end": "b"}}]}}]},
        "failure[0].txn.success[0].delete_range.range_end",
    ),
    "a value too long": (
        {"success": [{"put": {"key": "k", "value": "v" * (MIB + 1)}}]},
        "success[0].put.value",
    ),
    "a compare without a target": (
        {"compares": [{"key": "k", "result": "equal", "operand": 1}]},
        "compares[0].target",
    ),
    "a compare without a result": (
        {"compares": [{"key": "k", "target": "mod", "operand": 1}]},
        "compares[0].result",
    ),
    "a compare without an operand": (
        {"compares": [{"key": "k", "target": "mod", "result": "equal"}]},
        "compares[0].operand",
    ),
    "an unknown target": ({"compares": [{**COMPARE, "target": "size"}]}, "compares[0].target"),
    "an unknown result": ({"compares": [{**COMPARE, "result": "=="}]}, "compares[0].result"),
    "a number compared with text": ({"compares": [{**COMPARE, "operand": "1"}]}, "compares[0].operand"),
    "a value compared with a number": ({"compares": [{**COMPARE, "target": "value"}]}, "compares[0].operand"),
    "an operand below 0": ({"compares": [{**COMPARE, "operand": -1}]}, "compares[0].operand"),
    "a compared value too long": (
        {"compares": [{**COMPARE, "target": "value", "operand": "v" * (MIB + 1)}]},
        "compares[0].operand",
    ),
    "129 operations": ({"success": [READ] * 129}, "success"),
    "129 compares": ({"compares": [COMPARE] * 129}, "compares"),
    "a consistency of one that changes": ({"success": [PUT], "consistency": "linearizable"}, "consistency"),
    "staleness of one that changes": ({"success": [PUT], "max_staleness_ms": 0}, "max_staleness_ms"),
    "staleness of a linearizable one": ({"success": [READ], "max_staleness_ms": 1}, "max_staleness_ms"),
    "one level too deep": (nested(TXN_DEPTH_MAX + 1), ".".join(["success[0].txn"] * TXN_DEPTH_MAX)),
}


@pytest.mark.parametrize("name", BAD_TXNS)
def test_a_bad_transaction_is_refused_and_the_place_named(name: str) -> None:
    content, field = BAD_TXNS[name]
    with pytest.raises(Invalid) as caught:
        parse_txn(content, LIMITS)
    assert caught.value.field == field
    assert caught.value.code == ("too_large" if "too long" in name else "invalid")


def test_the_deepest_transaction_passes_the_json_door_and_64_levels_do_not() -> None:
    deepest = parse_json(json.dumps(nested(TXN_DEPTH_MAX)).encode())
    assert not parse_txn(deepest, LIMITS).is_query
    with pytest.raises(Invalid, match="nested deeper"):
        parse_json(json.dumps(nested(64)).encode())


def test_a_transaction_answers_with_one_result_per_operation() -> None:
    result = TxnResult(
        revision=7,
        succeeded=False,
        results=(
            PutResult(revision=7, prev=ENTRY),
            RangeResult(revision=7, entries=(ENTRY,), more=True, count=2),
            DeleteRangeResult(revision=7, deleted=0),
            TxnResult(revision=7, succeeded=True, results=(PutResult(revision=7),)),
        ),
    )
    answer = txn_answer(parse_txn({"success": [PUT]}, LIMITS), Answered(result=result, leader_id=3))
    assert answer == {
        "revision": 7,
        "succeeded": False,
        "responses": [
            {"put": {"revision": 7, "prev_kv": ENTRY_JSON}},
            {"range": {"revision": 7, "kvs": [ENTRY_JSON], "more": True, "count": 2}},
            {"delete_range": {"revision": 7, "deleted": 0, "prev_kvs": []}},
            {
                "txn": {
                    "revision": 7,
                    "succeeded": True,
                    "responses": [{"put": {"revision": 7, "prev_kv": None}}],
                }
            },
        ],
        "leader": 3,
    }


def test_a_result_of_another_kind_is_a_bug_and_no_answer() -> None:
    with pytest.raises(TypeError):
        txn_answer(parse_txn({}, LIMITS), Answered(result=PutResult(revision=1), leader_id=1))
