"""Requests and answers of /write, /read and /list."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import Consistency
from ferrite.core.kv import (
    Batch,
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    KeyValue,
    ListKeys,
    ListKeysResult,
    Put,
    PutResult,
    Session,
)
from ferrite.io.http.kv_json import (
    list_answer,
    parse_list,
    parse_read,
    parse_write,
    read_answer,
    write_answer,
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import Invalid
from tests.io.http.helpers import LIMITS, MIB

SET = {"Set": {"key": "k", "value": "v"}}
SESSION = {"client_id": "c", "request_id": 5}


def test_set_delete_and_batch_become_operations() -> None:
    assert parse_write(SET, LIMITS).operation == Put(key=b"k", value=b"v")
    assert parse_write({"Delete": {"key": "k"}}, LIMITS).operation == Delete(key=b"k")
    batch = parse_write({"Batch": [SET, {"Delete": {"key": "x"}}]}, LIMITS).operation
    assert batch == Batch(operations=(Put(key=b"k", value=b"v"), Delete(key=b"x")))


def test_base64_carries_any_bytes_in_every_operation() -> None:
    content = {"Batch": [{"Set": {"key": "/w==", "value": "AAE="}}], "encoding": "base64"}
    assert parse_write(content, LIMITS).operation == Batch(operations=(Put(key=b"\xff", value=b"\x00\x01"),))


def test_text_stands_for_its_utf_8_and_normal_forms_stay_distinct() -> None:
    composed = parse_write({"Set": {"key": "\u00e9", "value": ""}}, LIMITS).operation
    decomposed = parse_write({"Set": {"key": "e\u0301", "value": ""}}, LIMITS).operation
    assert composed == Put(key=b"\xc3\xa9", value=b"")
    assert composed != decomposed


def test_a_session_and_a_time_limit_go_along() -> None:
    request = parse_write({**SET, **SESSION, "lowest_unacknowledged": 3, "timeout_ms": 700}, LIMITS)
    assert request.options.session == Session(client_id=b"c", request_id=5, lowest_unacknowledged=3)
    assert request.options.timeout_ms == 700
    assert parse_write(SET, LIMITS).options.session is None
    assert parse_write(SET, LIMITS).options.timeout_ms is None


BAD_WRITES: dict[str, tuple[Any, str]] = {
    "an array": ([SET], "body"),
    "null": (None, "body"),
    "a string": ("Set", "body"),
    "no operation": ({}, "body"),
    "two operations": ({**SET, "Delete": {"key": "k"}}, "body"),
    "a wrong case": ({"set": {"key": "k", "value": "v"}}, "set"),
    "an unknown field": ({**SET, "ttl": 5}, "ttl"),
    "an unknown field inside": ({"Set": {"key": "k", "value": "v", "ttl": 1}}, "Set.ttl"),
    "no key": ({"Set": {"value": "v"}}, "Set.key"),
    "no value": ({"Set": {"key": "k"}}, "Set.value"),
    "a number as key": ({"Set": {"key": 1, "value": "v"}}, "Set.key"),
    "a number as value": ({"Set": {"key": "k", "value": 1}}, "Set.value"),
    "null as value": ({"Set": {"key": "k", "value": None}}, "Set.value"),
    "an object as value": ({"Set": {"key": "k", "value": {}}}, "Set.value"),
    "an empty key": ({"Set": {"key": "", "value": "v"}}, "Set.key"),
    "an empty key to delete": ({"Delete": {"key": ""}}, "Delete.key"),
    "a key too long": ({"Set": {"key": "k" * 4097, "value": ""}}, "Set.key"),
    "a key too long in bytes": ({"Set": {"key": "é" * 2049, "value": ""}}, "Set.key"),
    "a value too long": ({"Set": {"key": "k", "value": "v" * (MIB + 1)}}, "Set.value"),
    "a batch that is no array": ({"Batch": SET}, "Batch"),
    "an empty batch": ({"Batch": []}, "Batch"),
    "a batch of 129": ({"Batch": [{"Delete": {"key": str(n)}} for n in range(129)]}, "Batch"),
    "a batch in a batch": ({"Batch": [{"Batch": [SET]}]}, "Batch[0].Batch"),
    "a batch of nothing": ({"Batch": [{}]}, "Batch[0]"),
    "a batch item of two": ({"Batch": [{**SET, "Delete": {"key": "k"}}]}, "Batch[0]"),
    "a bad item": ({"Batch": [SET, {"Set": {"key": "x", "value": True}}]}, "Batch[1].Set.value"),
    "a key twice in a batch": ({"Batch": [SET, {"Delete": {"key": "k"}}]}, "Batch[1].key"),
    "a bad encoding": ({**SET, "encoding": "hex"}, "encoding"),
    "an encoding of another type": ({**SET, "encoding": 64}, "encoding"),
    "bad base64": ({**SET, "encoding": "base64"}, "Set.key"),
    "a request without client": ({**SET, "request_id": 1}, "client_id"),
    "a lowest without client": ({**SET, "lowest_unacknowledged": 1}, "client_id"),
    "a client without request": ({**SET, "client_id": "c"}, "request_id"),
    "an empty client": ({**SET, "client_id": "", "request_id": 1}, "client_id"),
    "a long client": ({**SET, "client_id": "c" * 65, "request_id": 1}, "client_id"),
    "a client that is a number": ({**SET, "client_id": 1, "request_id": 1}, "client_id"),
    "request 0": ({**SET, "client_id": "c", "request_id": 0}, "request_id"),
    "request 2**63": ({**SET, "client_id": "c", "request_id": 2**63}, "request_id"),
    "request true": ({**SET, "client_id": "c", "request_id": True}, "request_id"),
    "request 1.0": ({**SET, "client_id": "c", "request_id": 1.0}, "request_id"),
    "lowest above request": ({**SET, **SESSION, "lowest_unacknowledged": 6}, "lowest_unacknowledged"),
    "a time limit of 0": ({**SET, "timeout_ms": 0}, "timeout_ms"),
    "a time limit of a year": ({**SET, "timeout_ms": 31_536_000_000}, "timeout_ms"),
    "a time limit of true": ({**SET, "timeout_ms": True}, "timeout_ms"),
}


@pytest.mark.parametrize("name", BAD_WRITES)
def test_a_bad_write_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_WRITES[name]
    with pytest.raises(Invalid) as caught:
        parse_write(content, LIMITS)
    assert caught.value.field == field
    assert caught.value.code == ("too_large" if "too long" in name or name == "a long client" else "invalid")


def test_the_longest_key_and_value_are_accepted() -> None:
    put = parse_write({"Set": {"key": "k" * 4096, "value": "v" * MIB}}, LIMITS).operation
    assert put == Put(key=b"k" * 4096, value=b"v" * MIB)


BAD_READS: dict[str, tuple[Any, str]] = {
    "no key": ({}, "key"),
    "an array": (["k"], "body"),
    "null as key": ({"key": None}, "key"),
    "a near name": ({"keys": "k"}, "keys"),
    "an unknown consistency": ({"key": "k", "consistency": "eventual"}, "consistency"),
    "staleness of a linearizable read": ({"key": "k", "max_staleness_ms": 5}, "max_staleness_ms"),
    "negative staleness": (
        {"key": "k", "consistency": "serializable", "max_staleness_ms": -1},
        "max_staleness_ms",
    ),
    "huge staleness": (
        {"key": "k", "consistency": "serializable", "max_staleness_ms": 2**63 - 1},
        "max_staleness_ms",
    ),
}


@pytest.mark.parametrize("name", BAD_READS)
def test_a_bad_read_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_READS[name]
    with pytest.raises(Invalid) as caught:
        parse_read(content, LIMITS)
    assert caught.value.field == field


def test_a_read_is_linearizable_unless_asked_otherwise() -> None:
    assert parse_read({"key": "k"}, LIMITS).options.consistency is Consistency.LINEARIZABLE
    stale = parse_read({"key": "k", "consistency": "serializable", "max_staleness_ms": 50}, LIMITS)
    assert (stale.options.consistency, stale.options.max_staleness_ms) == (Consistency.SERIALIZABLE, 50)
    assert stale.query == Get(key=b"k")


@pytest.mark.parametrize("limit", [-1, 10_001, 2**63, "5", 1.0, True])
def test_a_listing_has_a_limit_in_range(limit: Any) -> None:
    with pytest.raises(Invalid) as caught:
        parse_list({"limit": limit}, LIMITS)
    assert caught.value.field == "limit"


def test_a_listing_asks_for_prefix_after_and_limit() -> None:
    assert parse_list({}, LIMITS).query == ListKeys()
    request = parse_list({"prefix": "a", "after": "ab", "limit": 0, "keys_only": False}, LIMITS)
    assert request.query == ListKeys(prefix=b"a", after=b"ab", limit=0, keys_only=False)


def test_write_answers_say_revision_existence_and_leader() -> None:
    assert write_answer(Answered(result=PutResult(revision=4), leader_id=2)) == {"revision": 4, "leader": 2}
    deleted = Answered(result=DeleteResult(revision=5, existed=True), leader_id=0)
    assert write_answer(deleted) == {"revision": 5, "existed": True, "leader": None}
    batch = Answered(result=BatchResult(revision=6, existed=(True, False)), leader_id=1)
    assert write_answer(batch) == {"revision": 6, "existed": [True, False], "leader": 1}


def test_a_failure_is_never_an_answer() -> None:
    failed = CommandFailed(code=CommandErrorCode.INVALID, detail="")
    with pytest.raises(TypeError):
        write_answer(Answered(result=failed, leader_id=1))


def entry(data: bytes, key: bytes = b"k") -> KeyValue:
    return KeyValue(key=key, value=data, create_revision=2, mod_revision=4, version=3)


def answer_for(found: KeyValue | None, **request: Any) -> dict[str, Any]:
    parsed = parse_read({"key": "k", **request}, LIMITS)
    return read_answer(parsed, Answered(result=GetResult(revision=9, entry=found), leader_id=1))


def test_a_value_comes_back_as_text_with_its_numbers() -> None:
    assert answer_for(entry(b"v\xc3\xa9")) == {
        "key": "k", "value": "vé", "revision": 9, "create_revision": 2, "mod_revision": 4, "version": 3, "leader": 1,
    }  # fmt: skip


def test_an_absent_key_has_the_value_null_and_zeros() -> None:
    absent = answer_for(None)
    assert absent["value"] is None
    assert (absent["create_revision"], absent["mod_revision"], absent["version"]) == (0, 0, 0)
    assert "encoding" not in absent


def test_an_empty_value_is_not_an_absent_one() -> None:
    assert answer_for(entry(b""))["value"] == ""


def test_a_value_that_is_not_utf_8_comes_back_in_base64_and_says_so() -> None:
    answer = answer_for(entry(b"\xff\x00"))
    assert (answer["key"], answer["encoding"], base64.b64decode(answer["value"])) == (
        "k",
        "base64",
        b"\xff\x00",
    )


def test_who_asks_in_base64_is_answered_in_base64() -> None:
    answer = answer_for(entry(b"text"), key="aw==", encoding="base64")
    assert (answer["key"], answer["encoding"], answer["value"]) == ("aw==", "base64", "dGV4dA==")


def listing(*found: KeyValue, more: bool = False, limits: Any = LIMITS, **request: Any) -> dict[str, Any]:
    parsed = parse_list(request, LIMITS)
    result = ListKeysResult(revision=9, entries=found, more=more)
    return list_answer(parsed, Answered(result=result, leader_id=1), limits)


def test_a_listing_encodes_each_entry_by_its_own_need() -> None:
    answer = listing(entry(b"v", b"a"), entry(b"\xff", b"b"), entry(b"v", b"\xff"), keys_only=False)
    shown = [(one["key"], one["value"], one.get("encoding")) for one in answer["entries"]]
    assert shown == [("a", "v", None), ("Yg==", "/w==", "base64"), ("/w==", "dg==", "base64")]


def test_a_listing_of_keys_has_no_values() -> None:
    assert "value" not in listing(entry(b"", b"a"))["entries"][0]


def test_a_page_is_cut_by_bytes_but_never_empty() -> None:
    tight = replace(LIMITS, list_bytes_max=1000)
    found = [entry(b"v" * 600, bytes([65 + n])) for n in range(3)]
    answer = listing(*found, limits=tight, keys_only=False)
    assert [one["key"] for one in answer["entries"]] == ["A"]
    assert answer["more"] is True
    assert len(listing(entry(b"v" * 5000, b"a"), limits=tight, keys_only=False)["entries"]) == 1
