"""JSON values as hashable ones and back. Two values are equal here exactly when they are the same JSON value."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any, Final

# A decoded JSON value is never a tuple, so marked tuples collide with nothing. In Python True == 1: booleans are marked too.
_TRUTH: Final = "?"
_ARRAY: Final = "[]"
_OBJECT: Final = "{}"


def freeze(value: Any) -> Hashable:
    """Return a hashable value for a decoded JSON one."""
    match value:
        case bool():
            return (_TRUTH, value)
        case None | int() | str() | float():
            return value
        case list():
            return (_ARRAY, tuple(freeze(item) for item in value))
        case dict():
            return (_OBJECT, tuple((name, freeze(value[name])) for name in sorted(value)))
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def thaw(value: Hashable) -> Any:
    """Return the JSON value that was frozen."""
    match value:
        case ("?", truth):
            return truth
        case ("[]", tuple() as items):
            return [thaw(item) for item in items]
        case ("{}", tuple() as items):
            return {name: thaw(item) for name, item in items}
        case _:
            return value


def show(value: Hashable) -> str:
    """Return the value as JSON text, for people."""
    return json.dumps(thaw(value), ensure_ascii=False)
