"""Linearizability by its definition: every order of every choice of unknown operations. For histories of up to eight.

Shares nothing with the checkers: its own reading of the rows, its own sequential specifications.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.sim.linearizability.generate import Row

Store = dict[Any, Any]


@dataclass(slots=True)
class Seen:
    f: str
    key: Any
    argument: Any
    invoke: int
    ret: float = float("inf")
    outcome: str = "info"
    row: Row | None = None


def linearizable(rows: list[Row], model: str, *, initial: Any = None, cas_fail: str = "nothing") -> bool:
    operations = _read(rows, cas_fail)
    top = max((one.row.get("revision", 0) for one in operations if one.row is not None), default=0) + 1
    start: Store = {"": initial, "revision": 0, "top": top}
    return _search(model, start, operations)


def _read(rows: list[Row], cas_fail: str) -> list[Seen]:
    operations: list[Seen] = []
    current: dict[int, Seen] = {}
    for number, row in enumerate(rows):
        if row["type"] == "invoke":
            one = Seen(row["f"], row.get("key"), row["value"], number)
            current[row["process"]] = one
            operations.append(one)
        elif row["type"] != "info":
            one = current[row["process"]]
            one.ret, one.outcome, one.row = number, row["type"], row
    return [one for one in operations if one.outcome != "fail" or (one.f == "cas" and cas_fail == "result")]


def _search(model: str, state: Store, left: list[Seen]) -> bool:
    if all(one.outcome == "info" for one in left):
        return True
    first = min(one.ret for one in left)
    return any(
        _search(model, after, [other for other in left if other is not one])
        for one in left
        if one.invoke < first
        for after in _after(model, state, one)
    )


def _after(model: str, state: Store, one: Seen) -> Iterator[Store]:
    """All states that carrying out the operation with the answer it got can lead to."""
    now = state.get(("at", one.key), state[""])
    answer: Row = one.row or {}
    known = one.outcome != "info"
    written = {**state, ("at", one.key): one.argument}
    match model, one.f:
        case _, "read":
            if not known or answer["value"] == now:
                yield state
        case "cas-register", "write":
            yield written
        case "cas-register", "cas":
            matches = now == one.argument[0]
            if one.outcome == "fail" and not matches:
                yield state
            elif one.outcome != "fail" and matches:
                yield {**state, ("at", one.key): one.argument[1]}
        case "kv-append", "get":
            if not known or answer["value"] == now:
                yield state
        case "kv-append", "put":
            yield written
        case "kv-append", "append":
            yield {**state, ("at", one.key): now + one.argument}
        case "mutex", "acquire" | "release":
            if (now == "held") == (one.f == "release"):
                yield {**state, ("at", one.key): "held" if one.f == "acquire" else "free"}
        case "multi-register", "txn":
            after: Store | None = dict(state)
            for f, register, value in answer.get("value", one.argument):
                assert after is not None
                if f == "write":
                    after["at", register] = value
                elif known and after.get(("at", register)) != value:
                    after = None
                    break
            if after is not None:
                yield after
        case "ferrite", _:
            yield from _ferrite(state, one)
        case _:
            raise AssertionError((model, one.f))


def _ferrite(state: Store, one: Seen) -> Iterator[Store]:
    """Values with the revisions of their writes; other clients, not in the history, may move the revision at any time."""
    value, written_at = state.get(("at", one.key), (None, 0))
    revision = state["revision"]
    answer: Row = one.row or {}
    known = one.outcome != "info"
    changes = one.f == "put" or (
        one.f == "delete" and (answer.get("existed") if known else value is not None)
    )
    if one.f == "get" or not changes:
        if not known:
            yield state
        elif answer["revision"] >= revision:
            same = value is None if one.f == "delete" else answer["value"] == value
            if same and (one.f == "delete" or value is None or answer["mod_revision"] == written_at):
                yield {**state, "revision": answer["revision"]}
        return
    if one.f == "delete" and value is None:
        return
    for new in [answer["revision"]] if known else range(revision + 1, state["top"] + 1):
        if new > revision:
            yield {
                **state,
                "revision": new,
                ("at", one.key): (one.argument, new) if one.f == "put" else (None, 0),
            }
