"""A URL's query as the object that a body would have been."""

from __future__ import annotations

import pytest

from ferrite.io.http.query import query_object
from ferrite.io.validation import Invalid


def test_parameters_become_integers_booleans_and_text() -> None:
    given = {"a": ("-5",), "b": ("",), "c": ("false",), "d": ("5",)}
    assert query_object(given, integers=("a",), booleans=("b", "c")) == {
        "a": -5,
        "b": True,
        "c": False,
        "d": "5",
    }


@pytest.mark.parametrize("text", ["", "x", "1.0", "1e3", " 1", "1_0", "\u0661", "9" * 5000])
def test_an_integer_is_written_in_plain_digits(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        query_object({"a": (text,)}, integers=("a",))
    assert caught.value.field == "a"


@pytest.mark.parametrize("text", ["yes", "TRUE", "2", " "])
def test_a_boolean_is_true_or_false(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        query_object({"a": (text,)}, booleans=("a",))
    assert caught.value.field == "a"


def test_a_parameter_occurs_once() -> None:
    with pytest.raises(Invalid, match="given 2 times"):
        query_object({"key": ("a", "b")})
