"""Which keys a request means, in JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.io.http.fields import JsonObject
from ferrite.io.http.options import RANGE_FIELDS, parse_key_range, range_of_prefix
from ferrite.io.validation import Invalid
from tests.io.http.helpers import LIMITS


def keys(content: dict[str, Any]) -> tuple[bytes, bytes]:
    return parse_key_range(JsonObject(content, "", RANGE_FIELDS), "utf-8", LIMITS)


def test_a_key_alone_is_that_key() -> None:
    assert keys({"key": "a"}) == (b"a", b"")


def test_a_key_with_a_range_end_is_what_lies_between() -> None:
    assert keys({"key": "a", "range_end": "c", "from_key": False}) == (b"a", b"c")


def test_from_key_is_a_key_and_all_greater_ones() -> None:
    assert keys({"key": "a", "from_key": True}) == (b"a", b"\x00")


def test_an_empty_prefix_is_every_key() -> None:
    assert keys({"prefix": ""}) == (b"\x00", b"\x00")


@given(prefix=st.binary(max_size=4), key=st.binary(min_size=1, max_size=6))
def test_a_prefix_is_the_range_of_the_keys_that_begin_with_it(prefix: bytes, key: bytes) -> None:
    start, end = range_of_prefix(prefix)
    assert start
    inside = start <= key and (end == b"\x00" or key < end)
    assert inside == key.startswith(prefix)


BAD_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "key"),
    "both": ({"key": "a", "prefix": "a"}, "key"),
    "a prefix and an end": ({"prefix": "a", "range_end": "b"}, "range_end"),
    "a prefix and from_key": ({"prefix": "a", "from_key": True}, "from_key"),
    "an end and from_key": ({"key": "a", "range_end": "b", "from_key": True}, "range_end"),
    "a prefix that is true": ({"prefix": True}, "prefix"),
    "a from_key that is text": ({"key": "a", "from_key": "yes"}, "from_key"),
    "a prefix too long": ({"prefix": "p" * 4097}, "prefix"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_does_not_go_together_is_refused_and_the_field_named(name: str) -> None:
    content, field = BAD_KEYS[name]
    with pytest.raises(Invalid) as caught:
        keys(content)
    assert caught.value.field == field
