"""Requests and answers of /kv/put, /kv/range, /kv/delete and /kv/compact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import Consistency
from ferrite.core.kv import (
    Compact,
    CompactResult,
    DeleteRange,
    DeleteRangeResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Session,
    SortOrder,
    SortTarget,
)
from ferrite.io.http.range_json import (
    change_answer,
    parse_compact,
    parse_delete_range,
    parse_put,
    parse_range,
    range_answer,
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import Invalid
from tests.io.http.helpers import ENTRY, LIMITS, MIB

SESSION = {"client_id": "c", "request_id": 5}
ENTRY_JSON = {
    "key": "k", "value": "v", "create_revision": 2, "mod_revision": 3, "version": 1, "lease": "9223372036854775807",
}  # fmt: skip


def test_a_put_carries_everything_that_etcd_has() -> None:
    request = parse_put({"key": "k", "value": "v", "lease": 7, "prev_kv": True, **SESSION}, LIMITS)
    assert request.operation == Put(key=b"k", value=b"v", lease=7, prev_kv=True)
    assert request.options.session == Session(client_id=b"c", request_id=5)
    kept = parse_put({"key": "k", "ignore_value": True, "ignore_lease": True}, LIMITS)
    assert kept.operation == Put(key=b"k", ignore_value=True, ignore_lease=True)


def test_a_lease_is_a_number_or_its_digits() -> None:
    largest = 2**63 - 1
    for given in (largest, str(largest)):
        operation = parse_put({"key": "k", "value": "", "lease": given}, LIMITS).operation
        assert operation == Put(key=b"k", lease=largest)


BAD_PUTS: dict[str, tuple[Any, str]] = {
    "an array": ([], "body"),
    "no key": ({"value": "v"}, "key"),
    "an empty key": ({"key": "", "value": "v"}, "key"),
    "no value": ({"key": "k"}, "value"),
    "no value, and it is not ignored": ({"key": "k", "ignore_value": False}, "value"),
    "a value to ignore": ({"key": "k", "value": "v", "ignore_value": True}, "value"),
    "a lease to ignore": ({"key": "k", "value": "v", "lease": 1, "ignore_lease": True}, "lease"),
    "a value too long": ({"key": "k", "value": "v" * (MIB + 1)}, "value"),
    "a range": ({"key": "k", "value": "v", "range_end": "l"}, "range_end"),
    "a lease of -1": ({"key": "k", "value": "v", "lease": -1}, "lease"),
    "a lease of 2**63": ({"key": "k", "value": "v", "lease": 2**63}, "lease"),
    "a lease of 2**63 as text": ({"key": "k", "value": "v", "lease": str(2**63)}, "lease"),
    "a lease of 1.0": ({"key": "k", "value": "v", "lease": 1.0}, "lease"),
    "a lease of true": ({"key": "k", "value": "v", "lease": True}, "lease"),
    "a lease in hex": ({"key": "k", "value": "v", "lease": "1da3"}, "lease"),
    "a lease with a zero before it": ({"key": "k", "value": "v", "lease": "07"}, "lease"),
    "a lease in Arabic digits": ({"key": "k", "value": "v", "lease": "\u0661"}, "lease"),
    "an empty lease": ({"key": "k", "value": "v", "lease": ""}, "lease"),
    "prev_kv of 1": ({"key": "k", "value": "v", "prev_kv": 1}, "prev_kv"),
    "a request without client": ({"key": "k", "value": "v", "request_id": 1}, "client_id"),
}


@pytest.mark.parametrize("name", BAD_PUTS)
def test_a_bad_put_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_PUTS[name]
    with pytest.raises(Invalid) as caught:
        parse_put(content, LIMITS)
    assert caught.value.field == field


def test_a_range_asks_for_everything_that_etcd_has() -> None:
    request = parse_range(
        {
            "key": "a", "range_end": "c", "limit": 10**12, "revision": 4, "sort_target": "create", "sort_order": "descend",
            "keys_only": True, "count_only": True, "with_count": True, "min_mod_revision": 1, "max_mod_revision": 2,
            "min_create_revision": 3, "max_create_revision": 4, "consistency": "serializable", "max_staleness_ms": 5,
        },
        LIMITS,
    )  # fmt: skip
    assert request.query == Range(
        key=b"a", range_end=b"c", limit=10**12, revision=4, sort_target=SortTarget.CREATE, sort_order=SortOrder.DESCEND,
        keys_only=True, count_only=True, with_count=True, min_mod_revision=1, max_mod_revision=2, min_create_revision=3,
        max_create_revision=4,
    )  # fmt: skip
    assert (request.options.consistency, request.options.max_staleness_ms) == (Consistency.SERIALIZABLE, 5)


BAD_RANGES: dict[str, tuple[Any, str]] = {
    "no keys": ({}, "key"),
    "null": (None, "body"),
    "an empty key": ({"key": ""}, "key"),
    "an unknown target": ({"key": "k", "sort_target": "size"}, "sort_target"),
    "a target by number": ({"key": "k", "sort_target": 1}, "sort_target"),
    "a target in capitals": ({"key": "k", "sort_target": "KEY"}, "sort_target"),
    "an unknown order": ({"key": "k", "sort_order": "desc"}, "sort_order"),
    "limit -1": ({"key": "k", "limit": -1}, "limit"),
    "limit 2**63": ({"key": "k", "limit": 2**63}, "limit"),
    "revision -1": ({"key": "k", "revision": -1}, "revision"),
    "revision as text": ({"key": "k", "revision": "3"}, "revision"),
    "a bound below 0": ({"key": "k", "min_mod_revision": -1}, "min_mod_revision"),
    "staleness of a linearizable range": ({"key": "k", "max_staleness_ms": 5}, "max_staleness_ms"),
    "a session": ({"key": "k", **SESSION}, "client_id"),
}


@pytest.mark.parametrize("name", BAD_RANGES)
def test_a_bad_range_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_RANGES[name]
    with pytest.raises(Invalid) as caught:
        parse_range(content, LIMITS)
    assert caught.value.field == field


def test_a_reversed_range_is_an_empty_one_and_no_error() -> None:
    assert parse_range({"key": "b", "range_end": "a"}, LIMITS).query == Range(key=b"b", range_end=b"a")


def test_a_delete_takes_a_range_in_base64() -> None:
    request = parse_delete_range({"prefix": "/w==", "encoding": "base64", "prev_kv": True}, LIMITS)
    assert request.operation == DeleteRange(key=b"\xff", range_end=b"\x00", prev_kv=True)


@pytest.mark.parametrize("revision", [0, -1, 2**63, "5", None, True])
def test_a_compaction_has_a_revision(revision: Any) -> None:
    with pytest.raises(Invalid) as caught:
        parse_compact({"revision": revision})
    assert caught.value.field == "revision"
    assert parse_compact({"revision": 1, **SESSION}).operation == Compact(revision=1)


def answer_to_put(result: Any, **request: Any) -> dict[str, Any]:
    parsed = parse_put({"key": "aw==", "value": "", "encoding": "base64", **request}, LIMITS)
    return change_answer(parsed, Answered(result=result, leader_id=0))


def test_a_put_answers_with_what_was_there_before() -> None:
    assert answer_to_put(PutResult(revision=4), encoding="utf-8") == {
        "revision": 4,
        "prev_kv": None,
        "leader": None,
    }
    assert answer_to_put(PutResult(revision=4, prev=ENTRY), encoding="utf-8")["prev_kv"] == ENTRY_JSON
    in_base64 = answer_to_put(PutResult(revision=4, prev=ENTRY))["prev_kv"]
    assert in_base64 == {**ENTRY_JSON, "key": "aw==", "value": "dg==", "encoding": "base64"}


def test_what_is_no_text_comes_back_in_base64_and_says_so() -> None:
    binary = replace(ENTRY, value=b"\xff", lease=0)
    shown = answer_to_put(PutResult(revision=4, prev=binary), encoding="utf-8")["prev_kv"]
    assert (shown["key"], shown["value"], shown["encoding"], shown["lease"]) == (
        "aw==",
        "/w==",
        "base64",
        "0",
    )


def test_deletes_and_compactions_answer_with_their_numbers() -> None:
    request = parse_delete_range({"key": "k"}, LIMITS)
    done = Answered(result=DeleteRangeResult(revision=5, deleted=1, prev=(ENTRY,)), leader_id=1)
    assert change_answer(request, done) == {
        "revision": 5,
        "deleted": 1,
        "prev_kvs": [ENTRY_JSON],
        "leader": 1,
    }
    compacted = Answered(result=CompactResult(revision=5, compacted=3), leader_id=1)
    assert change_answer(parse_compact({"revision": 3}), compacted) == {
        "revision": 5, "compacted_revision": 3, "leader": 1,
    }  # fmt: skip


def test_a_result_of_another_kind_is_a_bug_and_no_answer() -> None:
    with pytest.raises(TypeError):
        answer_to_put(RangeResult(revision=1, entries=(), more=False))
    with pytest.raises(TypeError):
        range_answer(
            parse_range({"key": "k"}, LIMITS), Answered(result=PutResult(revision=1), leader_id=1), LIMITS
        )


def answer_to_range(
    *entries: Any, limits: Any = LIMITS, more: bool = False, count: int = -1
) -> dict[str, Any]:
    result = RangeResult(revision=9, entries=entries, more=more, count=count)
    return range_answer(parse_range({"prefix": ""}, LIMITS), Answered(result=result, leader_id=1), limits)


def test_a_range_answers_with_entries_and_with_a_count_when_asked() -> None:
    assert answer_to_range(ENTRY) == {
        "revision": 9, "kvs": [ENTRY_JSON], "more": False, "count": None, "leader": 1,
    }  # fmt: skip
    assert answer_to_range(count=0)["count"] == 0


def test_a_range_is_cut_by_bytes_but_never_empty() -> None:
    tight = replace(LIMITS, list_bytes_max=1000)
    large = replace(ENTRY, value=b"v" * 600)
    cut = answer_to_range(large, large, limits=tight)
    assert (len(cut["kvs"]), cut["more"]) == (1, True)
    assert len(answer_to_range(replace(ENTRY, value=b"v" * 5000), limits=tight)["kvs"]) == 1
