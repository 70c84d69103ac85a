"""Members of JSON objects: right type, or path, given and expected."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite.io.http.fields import JsonObject, describe, suggestion
from ferrite.io.validation import Invalid


def object_of(**members: Any) -> JsonObject:
    return JsonObject(members, "At[0]", tuple(members) or ("x",))


@pytest.mark.parametrize("given", [None, [], "x", 1, 1.5, True])
def test_what_is_no_object_is_refused(given: Any) -> None:
    with pytest.raises(Invalid, match="an object with key, value") as caught:
        JsonObject(given, "", ("key", "value"))
    assert caught.value.field == "body"
    assert caught.value.given == describe(given)


def test_an_unknown_member_is_refused_with_a_suggestion() -> None:
    with pytest.raises(Invalid, match=r'did you mean "timeout_ms"\?') as caught:
        JsonObject({"timeout": 1}, "", ("key", "timeout_ms"))
    assert caught.value.field == "timeout"


def test_a_suggestion_ignores_case_and_stays_silent_without_a_likeness() -> None:
    assert suggestion("set", ("Set", "Delete")) == ' (did you mean "Set"?)'
    assert suggestion("zzzzzz", ("Set", "Delete")) == ""
    assert suggestion("x" * 100_000, ("Set",)) == ""


def test_errors_name_the_path_of_the_member() -> None:
    with pytest.raises(Invalid) as caught:
        object_of(key=1).text("key")
    assert (caught.value.field, caught.value.given, caught.value.expected) == (
        "At[0].key",
        "an integer, 1",
        "a string",
    )


@pytest.mark.parametrize("given", [True, False, 1.0, "1", None, [], 2**63, -1])
def test_an_integer_is_no_boolean_no_float_and_in_range(given: Any) -> None:
    with pytest.raises(Invalid, match="an integer from 0 to 9223372036854775807"):
        object_of(n=given).integer("n", 0)


@pytest.mark.parametrize("given", [1, 0, "true", None])
def test_a_boolean_is_nothing_else(given: Any) -> None:
    with pytest.raises(Invalid, match="true or false"):
        object_of(b=given).boolean("b", default=True)


@pytest.mark.parametrize("given", ["a", "YWI", "YW I=", "YWI=\n", "YW_-", "é", "====", "YWI=YWI=", "YR=="])
def test_base64_is_strict(given: str) -> None:
    with pytest.raises(Invalid, match="base64 with padding"):
        object_of(key=given).data("key", "base64")


def test_data_is_text_or_base64() -> None:
    assert object_of(key="é\x00").data("key", "utf-8") == b"\xc3\xa9\x00"
    assert object_of(key="/wA=").data("key", "base64") == b"\xff\x00"
    assert object_of(key="").data("key", "base64") == b""


def test_a_missing_member_has_its_default_or_is_refused() -> None:
    empty = JsonObject({}, "", ("key",))
    assert empty.text("key", "d") == "d"
    assert empty.integer("key", 0, 9, 5) == 5
    with pytest.raises(Invalid, match="missing"):
        empty.text("key")


def test_an_encoding_is_one_of_two() -> None:
    assert object_of(encoding="base64").encoding() == "base64"
    with pytest.raises(Invalid, match="did you mean"):
        object_of(encoding="Base-64").encoding()


def test_values_are_shown_short_and_printable() -> None:
    assert describe("x" * 10_000).endswith("...")
    assert len(describe("x" * 10_000)) < 100
    assert describe("\x1b\u202e\n").isprintable()
    assert describe({"a": "secret"}) == "an object"
