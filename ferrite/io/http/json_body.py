"""The strict JSON door: bytes from a client to plain values, or `Invalid`. Pure.

Stricter than the standard library in what two readers could understand differently: UTF-8 only and no byte order mark,
no duplicate names, no NaN or infinities, no lone surrogates, integers of 64 bits, bounded nesting (so that no input
reaches the interpreter's recursion limit).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from ferrite.io.validation import Invalid, shown

DEPTH_MAX: Final = 32  # our deepest request, 8 transactions in each other, has 25 levels
VALUES_MAX: Final = (
    65_536  # the largest batch has 10,000 operations of 2 objects and 3 values; more only costs time
)
STRINGS_MAX: Final = 65_536  # the largest batch has 5 strings per operation
_INT_DIGITS_MAX: Final = 20  # -2**63 has 19 digits and a sign
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1  # JSON carries both kinds of 64 bits; each field narrows it
_BODY: Final = "body"  # the name of the whole body in an error
_BOM: Final = b"\xef\xbb\xbf"
_WIDE_ENCODING_PROBE_BYTES: Final = 4  # JSON in UTF-16 or UTF-32 has a NUL among its first four bytes

_BRACKET = re.compile(rb"[\[\]{}]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(body: bytes) -> Any:
    """Return the value that `body` writes: dict, list, str, int, float, bool or None. Raises `Invalid`."""
    text = _decode(body)
    _check_shape(body)
    try:
        parsed = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Invalid(_BODY, f"no JSON at {where} ({error.msg})", "one JSON value") from None
    if _SURROGATE_ESCAPE.search(body):
        _check_surrogates(parsed, "")
    return parsed


def _decode(body: bytes) -> str:
    if not body.strip(b" \t\r\n"):
        raise Invalid(_BODY, "empty", "one JSON value")
    if body.startswith(_BOM):
        raise Invalid(_BODY, "a byte order mark", "JSON in UTF-8 without one")
    if 0 in body[:_WIDE_ENCODING_PROBE_BYTES]:
        raise Invalid(_BODY, "NUL bytes, as in UTF-16 or UTF-32", "JSON in UTF-8")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(_BODY, f"bytes that are not UTF-8, at offset {error.start}", "JSON in UTF-8") from None


def _check_shape(body: bytes) -> None:
    """Bound depth and numbers of values before the parser, which is recursive and calls us for each, sees them."""
    containers = body.count(b"[") + body.count(b"{")
    if containers <= DEPTH_MAX and body.count(b",") <= VALUES_MAX:
        return
    structure = _without_strings(body)
    containers = structure.count(b"[") + structure.count(b"{")
    values = structure.count(b",")
    if max(containers, values) > VALUES_MAX:
        raise Invalid(_BODY, f"{max(containers, values)} values", f"at most {VALUES_MAX} in one body")
    depth = 0
    for bracket in _BRACKET.finditer(structure):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            raise Invalid(_BODY, f"values nested deeper than {DEPTH_MAX}", f"at most {DEPTH_MAX} levels")


def _without_strings(body: bytes) -> bytes:
    """The brackets, commas and numbers; bulk operations only, so that a hostile body costs no more than a plain one."""
    pieces = body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"', 2 * STRINGS_MAX)
    if len(pieces) > 2 * STRINGS_MAX:
        raise Invalid(_BODY, f"more than {STRINGS_MAX} strings", f"at most {STRINGS_MAX} in one body")
    return b"".join(pieces[::2])


def _check_surrogates(parsed: Any, path: str) -> None:
    match parsed:
        case str():
            try:
                parsed.encode("utf-8")
            except UnicodeEncodeError:
                given = f"{shown(parsed)}, which has half of a surrogate pair"
                raise Invalid(
                    path or _BODY, given, 'text that UTF-8 can carry, or "encoding":"base64"'
                ) from None
        case list():
            for position, item in enumerate(parsed):
                _check_surrogates(item, f"{path}[{position}]")
        case dict():
            for name, item in parsed.items():
                _check_surrogates(name, path)
                _check_surrogates(item, f"{path}.{name}" if path else name)
        case _:
            pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Invalid(_BODY, f"the name {shown(name)} twice in one object", "each name once")
        seen.add(name)
    raise AssertionError("a dict is shorter than its pairs only when a name repeats")


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= _INT_DIGITS_MAX else None
    if number is None or not _INT_MIN <= number <= _INT_MAX:
        raise Invalid(_BODY, f"an integer of {len(digits)} digits", "integers of at most 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Invalid(_BODY, f"the number {shown(digits)}, which is infinite here", "finite numbers")
    return number


def _constant(name: str) -> NoReturn:
    raise Invalid(_BODY, f"{name}, which is no JSON", "finite numbers")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
