"""The plain forms mean what the strict parser says, byte for byte, or nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.kv import DeleteResult, Get, GetResult, KeyValue, PutResult
from ferrite.io.http.exchange import json_answer
from ferrite.io.http.json_body import parse_json
from ferrite.io.http.kv_json import (
    ReadRequest,
    WriteRequest,
    parse_read,
    parse_write,
    read_answer,
    write_answer,
)
from ferrite.io.http.plain_forms import plain_read, plain_read_answer, plain_write, plain_write_answer
from ferrite.io.request_path import Answered
from ferrite.io.validation import Invalid
from tests.io.http.helpers import LIMITS

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc"]),
    min_size=1,
    max_size=20,
)
NUMBERS = st.integers(0, 2**63 - 1)


def strictly_write(body: bytes) -> WriteRequest | None:
    try:
        return parse_write(parse_json(body), LIMITS)
    except Invalid:
        return None


def strictly_read(body: bytes) -> ReadRequest | None:
    try:
        return parse_read(parse_json(body), LIMITS)
    except Invalid:
        return None


def spoiled(body: bytes, at: int, byte: int) -> bytes:
    at %= len(body)
    return body[:at] + bytes((byte,)) + body[at + 1 :]


@given(key=PLAIN, text=PLAIN, spaces=st.booleans())
def test_what_usual_encoders_write_is_plain(key: str, text: str, spaces: bool) -> None:
    separators = (", ", ": ") if spaces else (",", ":")
    write = json.dumps(
        {"Set": {"key": key, "value": text}}, separators=separators, ensure_ascii=False
    ).encode()
    assert plain_write(write, LIMITS) == strictly_write(write) != None  # noqa: E711 - three at once
    read = json.dumps({"key": key}, separators=separators, ensure_ascii=False).encode()
    assert plain_read(read, LIMITS) == strictly_read(read) != None  # noqa: E711 - three at once


@given(key=TEXT, text=TEXT, ascii_only=st.booleans(), at=st.integers(0, 1000), byte=st.integers(0, 255))
def test_what_is_plain_is_what_the_strict_parser_says(
    key: str, text: str, ascii_only: bool, at: int, byte: int
) -> None:
    for content, plain, strictly in (
        ({"Set": {"key": key, "value": text}}, plain_write, strictly_write),
        ({"key": key}, plain_read, strictly_read),
    ):
        whole = json.dumps(content, ensure_ascii=ascii_only).encode()
        for body in (whole, spoiled(whole, at, byte), whole[: at % len(whole)], whole + bytes((byte,))):
            found = plain(body, LIMITS)
            assert found is None or found == strictly(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"Set":{"key":"","value":"v"}}',
        b'{"Set":{"key":"k","value":"v"},"timeout_ms":5}',
        b'{"Set":{"value":"v","key":"k"}}',
        b'{"Set":{"key":"\\u0041","value":"v"}}',
        b'{"Set":{"key":"k\xff","value":"v"}}',
        b'{"Set":{"key":"k\xed\xa0\x80","value":"v"}}',
        b'{"Set":{"key":"k","value":"a\tb"}}',
        b'{"Set":{"key":"%b","value":"v"}}' % (b"k" * (LIMITS.key_bytes_max + 1)),
        b'{"Set":{"key":"k","value":"%b"}}' % (b"v" * (LIMITS.value_bytes_max + 1)),
        b'{"Delete":{"key":"k"}}',
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(body: bytes) -> None:
    assert plain_write(body, LIMITS) is None


@given(
    key=TEXT, data=st.binary(max_size=20) | TEXT.map(str.encode), numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    leader=st.integers(0, 5), there=st.booleans(),
)  # fmt: skip
def test_a_plain_answer_is_the_same_bytes(
    key: str, data: bytes, numbers: tuple[int, int, int, int], leader: int, there: bool
) -> None:
    revision, created, modified, version = numbers
    put = Answered(result=PutResult(revision=revision), leader_id=leader)
    assert plain_write_answer(put) == json_answer(write_answer(put)).body
    entry = KeyValue(
        key=key.encode(), value=data, create_revision=created, mod_revision=modified, version=version
    )
    request = ReadRequest(
        query=Get(key=key.encode()),
        encoding="utf-8",
        options=None,  # type: ignore[arg-type]  # the answer's form does not ask for them
        key_as_sent=key,
    )
    found = Answered(result=GetResult(revision=revision, entry=entry if there else None), leader_id=leader)
    plain = plain_read_answer(request, found)
    assert plain is None or plain == json_answer(read_answer(request, found)).body


def test_other_answers_are_left_to_the_encoder() -> None:
    assert plain_write_answer(Answered(result=DeleteResult(revision=1, existed=True), leader_id=1)) is None
