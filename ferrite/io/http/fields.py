"""Typed access to the members of a JSON object: right type or an error with path, given and expected. Pure."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from ferrite.io.validation import INT_MAX, Invalid, check_int, shown

Encoding = Literal["utf-8", "base64"]
_ENCODINGS: Final[tuple[Encoding, ...]] = ("utf-8", "base64")
LEASE_ID_PATTERN: Final = r"0|[1-9][0-9]{0,18}"
_LEASE_ID: Final = re.compile(LEASE_ID_PATTERN)
_KINDS: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number with a fraction or exponent",
    bool: "a boolean",
    type(None): "null",
}


def describe(given: Any) -> str:
    """A JSON value as an error shows it: its kind, and a scalar's value shortened."""
    kind = _KINDS[type(given)]
    return kind if isinstance(given, dict | list) or given is None else f"{kind}, {shown(given)}"


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """` (did you mean "key"?)` when one of the known names is close, else nothing."""
    folded = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower()[:64], folded, n=1)
    return f' (did you mean "{folded[close[0]]}"?)' if close else ""


def parse_lease_id(given: Any, path: str) -> int:
    """A lease's id: an integer of 63 bits, or the same as a string of decimal digits."""
    number = int(given) if isinstance(given, str) and _LEASE_ID.fullmatch(given) else given
    if type(number) is not int or not 0 <= number <= INT_MAX:
        raise Invalid(path, describe(given), f"an integer from 0 to {INT_MAX}, or its digits as a string")
    return number


class JsonObject:
    """The members of one object. `path` is its place in the body ("" for the whole); only `known` names may occur."""

    __slots__ = ("_members", "path")

    def __init__(self, given: Any, path: str, known: tuple[str, ...]) -> None:
        """Raises `Invalid` when it is no object or has an unknown member."""
        if not isinstance(given, dict):
            raise Invalid(path or "body", describe(given), f"an object with {', '.join(known)}")
        for name in given:
            if name not in known:
                raise Invalid(
                    self.join(path, shown(name).strip("'\"")),
                    f"an unknown field{suggestion(name, known)}",
                    f"only {', '.join(known)}",
                )
        self._members: Mapping[str, Any] = given
        self.path = path

    @staticmethod
    def join(path: str, name: str) -> str:
        """The place of a member."""
        return f"{path}.{name}" if path else name

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def raw(self, name: str) -> Any:
        """The member as it is; it must be there."""
        if name not in self._members:
            raise Invalid(self.join(self.path, name), "missing", "this field")
        return self._members[name]

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required unless there is a default."""
        if default is not None and name not in self._members:
            return default
        given = self.raw(name)
        if not isinstance(given, str):
            raise Invalid(self.join(self.path, name), describe(given), "a string")
        return given

    def data(self, name: str, encoding: Encoding, default: bytes | None = None) -> bytes:
        """Bytes, written as text or as base64 (RFC 4648 section 4, padded); required unless there is a default."""
        if default is not None and name not in self._members:
            return default
        given = self.text(name)
        if encoding == "utf-8":
            return given.encode("utf-8")
        try:
            value = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            value = None
        # Python drops the bits of a last character that belong to no byte ("YR=="): one key would have several spellings.
        if value is None or base64.b64encode(value) != given.encode():
            expected = 'base64 with padding, as "encoding" says'
            raise Invalid(self.join(self.path, name), shown(given), expected)
        return value

    def integer(self, name: str, minimum: int, maximum: int = INT_MAX, default: int | None = None) -> int:
        """An integer in a closed range (true and 1.0 are none); required unless there is a default."""
        if default is not None and name not in self._members:
            return default
        given = self.raw(name)
        if type(given) is not int:
            raise Invalid(
                self.join(self.path, name), describe(given), f"an integer from {minimum} to {maximum}"
            )
        return check_int(self.join(self.path, name), given, minimum, maximum)

    def lease(self, name: str, *, default: int | None = None) -> int:
        """A lease's id, 0 for none: a number or, since JavaScript's cannot carry 63 bits, its decimal digits."""
        if default is not None and name not in self._members:
            return default
        return parse_lease_id(self.raw(name), self.join(self.path, name))

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false; 0, 1 and strings are neither."""
        given = self._members.get(name, default)
        if not isinstance(given, bool):
            raise Invalid(self.join(self.path, name), describe(given), "true or false")
        return given

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of the named strings; required unless there is a default."""
        given = self.text(name, default)
        if given not in choices:
            quoted = " or ".join(f'"{one}"' for one in choices)
            raise Invalid(self.join(self.path, name), shown(given) + suggestion(given, choices), quoted)
        return given

    def encoding(self) -> Encoding:
        """How keys and values are written in this request."""
        return "base64" if self.choice("encoding", _ENCODINGS, "utf-8") == "base64" else "utf-8"
