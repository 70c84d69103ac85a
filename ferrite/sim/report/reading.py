"""The door of all views: rows are checked once, afterwards they are trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ferrite.sim.recording import VERSION, RecordingInvalid, Row

Expected = type | tuple[type, ...]
_CAUSE: Final = (int, list)
_NONE: Final = type(None)

FIELDS: Final[dict[str, dict[str, Expected]]] = {
    "run": {"version": int, "seed": int, "nodes": list, "voters": list, "commit": str},
    "boot": {"node": int, "boot": int, "last": int, "applied": int, "term": int},
    "down": {"node": int, "why": str},
    "paused": {"node": int},
    "resumed": {"node": int},
    "step": {"node": int, "cause": list, "events": list, "actions": list},
    "send": {"source": int, "target": int, "cause": _CAUSE, "messages": list, "bytes": int},
    "arrive": {"send": int, "node": int, "damaged": (bool, int)},
    "lost": {"send": int, "why": str},
    "disk": {"node": int, "cause": _CAUSE, "text": str},
    "commit": {"node": int, "first": int, "last": int, "term": int},
    "fault": {"fault": str, "kind": str, "until": int, "nodes": list, "links": list, "text": str},
    "invoke": {"operation": int, "client": str, "kind": str},
    "attempt": {"operation": int, "node": int, "cause": _CAUSE},
    "complete": {"operation": int, "outcome": str},
    "point": {"operation": int},
    "violation": {"name": str, "kind": str, "sentence": str, "facts": str, "node": int, "cause": _CAUSE},
    "end": {"verdict": str, "digest": str},
}
"""Row -> the fields that a view reads, with their types. Further fields may be there."""

_EVERY: Final[dict[str, Expected]] = {"id": int, "t": int}

STATE_FIELDS: Final[dict[str, Expected]] = {
    "role": str,
    "term": int,
    "leader": (int, _NONE),
    "commit": int,
    "applied": int,
    "persisted": int,
    "last": int,
    "voters": list,
    "outgoing": list,
    "learners": list,
}
ROLES: Final = ("leader", "follower", "candidate", "pre-candidate")


@dataclass(slots=True, kw_only=True)
class Story:
    """A checked recording. `by_id` finds a row; the order of `rows` is that of the recording."""

    rows: Sequence[Row]
    by_id: dict[int, Row]

    @property
    def run(self) -> Row:
        """The first row."""
        return self.rows[0]

    @property
    def nodes(self) -> list[int]:
        """All node ids."""
        return list(self.run["nodes"])

    def first(self, kind: str) -> Row | None:
        """The first row of this kind."""
        return next((row for row in self.rows if row["row"] == kind), None)


def causes(row: Row) -> list[int]:
    """The ids of the rows that brought this one about; the frame's sending for one that arrived or got lost."""
    cause = row.get("cause", 0)
    ids = list(cause) if isinstance(cause, list) else [cause]
    return [number for number in (*ids, row.get("send", 0)) if number]


def read_story(rows: Sequence[Row]) -> Story:
    """Check every row. Raises RecordingInvalid with the row's number, what was wrong and what was expected."""
    if not rows or rows[0].get("row") != "run" or rows[0].get("version") != VERSION:
        raise RecordingInvalid(f"row 1 is no `run` row of version {VERSION}; expected it before all others")
    by_id: dict[int, Row] = {}
    last_id = last_us = 0
    for number, row in enumerate(rows, start=1):
        for complaint in _complaints(row, last_id, last_us, by_id):
            raise RecordingInvalid(f"row {number}: {complaint}")
        last_id = row["id"]
        if row["row"] != "point":
            last_us = row["t"]
        by_id[last_id] = row
    _check_nodes(rows)
    _check_lives(rows)
    return Story(rows=rows, by_id=by_id)


def _complaints(row: Row, last_id: int, last_us: int, by_id: dict[int, Row]) -> Iterator[str]:
    kind = str(row.get("row"))
    if kind not in FIELDS:
        yield f"unknown kind {kind!r}; expected one of {', '.join(FIELDS)}"
        return
    yield from _fields(row, _EVERY, f"`{kind}`")
    yield from _fields(row, FIELDS[kind], f"`{kind}`")
    if row["id"] <= last_id:
        yield f"id {row['id']} after {last_id}; expected ids that grow"
    if kind != "point" and row["t"] < last_us:
        yield f"t {row['t']} after {last_us}; expected time not to run backwards"
    named: list[object] = [*causes(row)]
    for cause in named:
        if not isinstance(cause, int) or cause not in by_id:
            yield f"cause {cause!r} of this `{kind}` is no earlier row; expected the id of one"
    if kind in ("arrive", "lost") and by_id[row["send"]]["row"] != "send":
        yield f"row {row['send']} is no `send`; expected the frame that this `{kind}` ends"
    if row.get("state") is not None:
        yield from _state(row["state"])


def _fields(values: dict[str, Any], expected: dict[str, Expected], where: str) -> Iterator[str]:
    for name, types in expected.items():
        if name not in values:
            yield f"{where} has no `{name}`"
        elif not isinstance(values[name], types):
            wanted = types if isinstance(types, tuple) else (types,)
            names = " or ".join("null" if each is _NONE else each.__name__ for each in wanted)
            yield f"`{name}` of {where} is {values[name]!r}; expected {names}"


def _state(state: Any) -> Iterator[str]:
    if not isinstance(state, dict):
        yield f"`state` is {state!r}; expected an object"
        return
    yield from _fields(state, STATE_FIELDS, "`state`")
    if state["role"] not in ROLES:
        yield f"role {state['role']!r}; expected one of {', '.join(ROLES)}"


def _check_nodes(rows: Sequence[Row]) -> None:
    known = {0, *rows[0]["nodes"]}
    for number, row in enumerate(rows, start=1):
        named = [row[name] for name in ("node", "source", "target") if name in row]
        for node in (*named, *row.get("nodes", ())):
            if node not in known:
                raise RecordingInvalid(f"row {number}: node {node!r} is not among the `nodes` of the run")


def _check_lives(rows: Sequence[Row]) -> None:
    """A node acts only between a boot and the end of it."""
    up: set[int] = set()
    for number, row in enumerate(rows, start=1):
        kind, node = row["row"], row.get("node", 0)
        if kind == "boot":
            up.add(node)
        elif kind in ("step", "down", "paused", "resumed") and node not in up:
            raise RecordingInvalid(
                f"row {number}: `{kind}` of node {node}, which is not running; expected a `boot` before"
            )
        elif kind == "down":
            up.discard(node)
