"""As much of JSON Schema 2020-12 as our OpenAPI document uses; a keyword that is not here fails the test."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS = {"description", "default", "example", "format"}


def mismatches(content: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """Where `content` does not fit; empty when it does."""
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        found += _CHECKS[keyword](content, rule, schema, root, path)
    return found


def _ref(content: Any, rule: str, schema: Any, root: dict[str, Any], path: str) -> list[str]:
    return mismatches(content, root["components"]["schemas"][rule.rpartition("/")[2]], root, path)


def _type(content: Any, rule: str | list[str], schema: Any, root: Any, path: str) -> list[str]:
    names = [rule] if isinstance(rule, str) else rule
    fits = any(
        isinstance(content, _TYPES[name]) and not (name == "integer" and isinstance(content, bool))
        for name in names
    )
    return [] if fits else [f"{path}: {content!r} is no {rule}"]


def _properties(content: Any, rule: dict[str, Any], schema: Any, root: Any, path: str) -> list[str]:
    if not isinstance(content, dict):
        return []
    return [
        one for name, inner in rule.items() if name in content
        for one in mismatches(content[name], inner, root, f"{path}.{name}")
    ]  # fmt: skip


def _required(content: Any, rule: list[str], schema: Any, root: Any, path: str) -> list[str]:
    if not isinstance(content, dict):
        return []
    return [f"{path}: {name} is missing" for name in rule if name not in content]


def _additional(content: Any, rule: Any, schema: dict[str, Any], root: Any, path: str) -> list[str]:
    if not isinstance(content, dict):
        return []
    more = [name for name in content if name not in schema.get("properties", {})]
    if rule is False:
        return [f"{path}: {name} is not documented" for name in more]
    return [one for name in more for one in mismatches(content[name], rule, root, f"{path}.{name}")]


def _items(content: Any, rule: dict[str, Any], schema: Any, root: Any, path: str) -> list[str]:
    if not isinstance(content, list):
        return []
    return [one for n, item in enumerate(content) for one in mismatches(item, rule, root, f"{path}[{n}]")]


def _one_of(content: Any, rule: list[dict[str, Any]], schema: Any, root: Any, path: str) -> list[str]:
    fitting = sum(1 for inner in rule if not mismatches(content, inner, root, path))
    return [] if fitting == 1 else [f"{path}: {fitting} of the alternatives fit"]


def _any_of(content: Any, rule: list[dict[str, Any]], schema: Any, root: Any, path: str) -> list[str]:
    return [] if any(not mismatches(content, inner, root, path) for inner in rule) else [f"{path}: none fits"]


def _enum(content: Any, rule: list[Any], schema: Any, root: Any, path: str) -> list[str]:
    return [] if content in rule else [f"{path}: {content!r} is none of {rule}"]


def _const(content: Any, rule: Any, schema: Any, root: Any, path: str) -> list[str]:
    return [] if content == rule else [f"{path}: {content!r} is not {rule!r}"]


def _bound(content: Any, fits: bool, what: str, path: str) -> list[str]:
    return [] if fits else [f"{path}: {content!r} {what}"]


def _minimum(content: Any, rule: int, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(content, not isinstance(content, int) or content >= rule, f"< {rule}", path)


def _maximum(content: Any, rule: int, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(content, not isinstance(content, int) or content <= rule, f"> {rule}", path)


def _shortest(content: Any, rule: int, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(content, not isinstance(content, str | list) or len(content) >= rule, "is too short", path)


def _longest(content: Any, rule: int, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(content, not isinstance(content, list) or len(content) <= rule, "is too long", path)


def _not(content: Any, rule: dict[str, Any], schema: Any, root: Any, path: str) -> list[str]:
    return [] if mismatches(content, rule, root, path) else [f"{path}: fits what it must not"]


def _pattern(content: Any, rule: str, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(
        content, not isinstance(content, str) or re.search(rule, content) is not None, f"is no {rule}", path
    )


def _unique(content: Any, rule: bool, schema: Any, root: Any, path: str) -> list[str]:
    return _bound(
        content, not isinstance(content, list) or len(set(content)) == len(content), "repeats", path
    )


def _dependent(content: Any, rule: dict[str, list[str]], schema: Any, root: Any, path: str) -> list[str]:
    if not isinstance(content, dict):
        return []
    return [
        f"{path}: {name} needs {other}"
        for name, others in rule.items() if name in content
        for other in others if other not in content
    ]  # fmt: skip


_CHECKS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "items": _items,
    "oneOf": _one_of,
    "anyOf": _any_of,
    "not": _not,
    "pattern": _pattern,
    "enum": _enum,
    "const": _const,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _shortest,
    "minItems": _shortest,
    "maxItems": _longest,
    "uniqueItems": _unique,
    "dependentRequired": _dependent,
}
