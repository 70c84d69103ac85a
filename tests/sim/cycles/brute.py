"""Strict serializability by its definition: every order of every choice of unknown transactions. For histories of up to seven.

Shares nothing with the checker: its own reading of the rows, its own lists.
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
Lists = dict[Any, list[Any]]
Seen = tuple[int, float, list[Any], bool]
"""(invoked at, returned at, micro-operations, are its reads known?)"""


def strictly_serializable(rows: list[Row]) -> bool:
    return _search({}, _read(rows))


def _read(rows: list[Row]) -> list[Seen]:
    seen: list[Seen] = []
    begun: dict[int, tuple[int, Row]] = {}
    for place, row in enumerate(rows):
        if row["type"] == "invoke":
            begun[row["process"]] = place, row
            continue
        invoked, invocation = begun.pop(row["process"])
        if row["type"] == "ok":
            seen.append((invoked, place, row["value"], True))
        elif row["type"] == "info":
            seen.append((invoked, float("inf"), invocation["value"], False))
    seen += [(invoked, float("inf"), row["value"], False) for invoked, row in begun.values()]
    return seen


def _search(lists: Lists, left: list[Seen]) -> bool:
    if not any(known for _, _, _, known in left):
        return True
    first = min(returned for _, returned, _, _ in left)
    for one in left:
        if one[0] < first:
            after = _after(lists, one)
            if after is not None and _search(after, [other for other in left if other is not one]):
                return True
    return False


def _after(lists: Lists, one: Seen) -> Lists | None:
    lists = {key: list(elements) for key, elements in lists.items()}
    for f, key, value in one[2]:
        if f == "append":
            lists.setdefault(key, []).append(value)
        elif one[3] and lists.get(key, []) != (value or []):
            return None
    return lists
