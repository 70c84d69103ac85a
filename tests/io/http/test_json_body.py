"""The strict JSON door refuses what two readers could understand differently, and nothing it is given breaks it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.io.http.json_body import DEPTH_MAX, STRINGS_MAX, VALUES_MAX, parse_json
from ferrite.io.validation import Invalid

REFUSED = {
    "empty": (b"", "empty"),
    "only white space": (b" \r\n\t", "empty"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"a":1}'.encode("utf-16-le"), "UTF-16"),
    "UTF-16 with a mark": ('{"a":1}'.encode("utf-16"), "UTF-16"),
    "UTF-32": ('{"a":1}'.encode("utf-32-be"), "UTF-32"),
    "Latin-1": (b'{"a":"\xe9"}', "not UTF-8, at offset 6"),
    "a surrogate as bytes": (b'"\xed\xa0\x80"', "not UTF-8"),
    "an overlong form": (b'"\xc0\x80"', "not UTF-8"),
    "no JSON": (b"hello", "line 1 column 1"),
    "single quotes": (b"{'a':1}", "line 1 column 2"),
    "a comment": (b"{} // x", "column 4"),
    "trailing garbage": (b"{}{}", "Extra data"),
    "a trailing comma": (b"[1,]", "no JSON"),
    "an unterminated string": (b'{"a":"b', "Unterminated"),
    "an unterminated object": (b'{"a":1', "no JSON"),
    "a raw control character": (b'"a\nb"', "Invalid control character"),
    "a raw NUL": (b'{"a":"\x00"}', "Invalid control character"),
    "a bad escape": (rb'"\x41"', "Invalid"),
    "a duplicate name": (b'{"a":1,"b":2,"a":1}', "the name 'a' twice"),
    "a duplicate name inside": (b'[{"x":{"k":1,"k":2}}]', "the name 'k' twice"),
    "a duplicate name by escapes": (rb'{"a":1,"\u0061":2}', "the name 'a' twice"),
    "NaN": (b'{"a":NaN}', "NaN"),
    "Infinity": (b"[Infinity]", "Infinity"),
    "minus Infinity": (b"-Infinity", "-Infinity"),
    "1e999": (b"1e999", "infinite"),
    "-1e999": (b"[-1e999]", "infinite"),
    "a 65 bit integer": (b"18446744073709551616", "20 digits"),
    "a big negative integer": (b"-9223372036854775809", "20 digits"),
    "4000 digits": (b"9" * 4000, "4000 digits"),
    "5000 digits": (b"[" + b"9" * 5000 + b"]", "5000 digits"),
    "a leading zero": (b"01", "Extra data"),
    "a plus sign": (b"+1", "no JSON"),
    "a high surrogate": (rb'{"a":["\ud800"]}', "a[0]: "),
    "a low surrogate": (rb'"\uDC00"', "half of a surrogate pair"),
    "surrogates in the wrong order": (rb'"\udc00\ud800"', "half of a surrogate pair"),
    "a surrogate in a name": (rb'{"\ud800":1}', "half of a surrogate pair"),
    "deep arrays": (b"[" * 60_000, "nested deeper"),
    "deep arrays that end": (b"[" * 60_000 + b"]" * 60_000, "nested deeper"),
    "deep objects": (b'{"a":' * 60_000 + b"1" + b"}" * 60_000, "nested deeper"),
    "a hundred thousand arrays": (b"[" * 100_000 + b"]" * 100_000, "100000 values"),
    "one level too deep": (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested deeper"),
    "too many arrays": (b"[" + b"[]," * VALUES_MAX + b"[]]", "at most 65536 in one body"),
    "too many numbers": (b"[" + b"1," * (VALUES_MAX + 1) + b"1]", "at most 65536 in one body"),
    "too many strings": (b"[" * 40 + b'"",' * (STRINGS_MAX + 1), "more than 65536 strings"),
    "brackets in an open string": (b'"' + b"[" * 100_000, "Unterminated"),
    "a bracket behind an escaped quote": (rb'["\\\""' + b"[" * 40, "nested deeper"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    body, words = REFUSED[name]
    with pytest.raises(Invalid) as caught:
        parse_json(body)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300, "an error stays short whatever it was given"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body, expected",
    [
        (b' {"a": [1, -2, 1.5, true, null, "x"]} \n', {"a": [1, -2, 1.5, True, None, "x"]}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud800"', "\\ud800"),
        ('"\N{GRINNING FACE}"'.encode(), "\N{GRINNING FACE}"),
        (rb'"\u0000"', "\x00"),
        (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, None),
        (json.dumps(["[{" * 50, '\\"[' * 50]).encode(), ["[{" * 50, '\\"[' * 50]),
        (b"null", None),
        (json.dumps(",[" * 400_000).encode(), ",[" * 400_000),
        (json.dumps('\\"[' * 100_000).encode(), '\\"[' * 100_000),
        (
            json.dumps({"Batch": [{"Set": {"key": str(n), "value": ""}} for n in range(10_000)]}).encode(),
            None,
        ),
    ],
)
def test_accepts_what_is_plain_json(body: bytes, expected: object) -> None:
    parsed = parse_json(body)
    if expected is not None:
        assert parsed == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_clear_refusal(body: bytes) -> None:
    refusal = ""
    try:
        parse_json(body)
    except Invalid as error:
        refusal = str(error)
    assert refusal.isprintable()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_reads_back_what_the_standard_library_writes(content: object) -> None:
    assert parse_json(json.dumps(content).encode()) == content
    assert parse_json(json.dumps(content, ensure_ascii=False).encode()) == content
