"""Histories made to measure: a service that is linearizable by construction, with many clients, random delays and crashes.

Every operation takes effect at one moment between its invocation and its return; an unknown one at any later moment, or never.
Used by the tests and by benchmarks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from ferrite.sim.linearizability.history import Operation

Row = dict[str, Any]
Style = Literal["register", "unique", "cas", "append", "ferrite", "mutex", "transactions"]


@dataclass(slots=True, kw_only=True)
class Recipe:
    """What to generate. Times are abstract units; a delay is 1 to `delay_max`, a pause between operations 1 to `pause_max`."""

    style: Style
    operations: int = 2_000
    clients: int = 50
    keys: int = 10
    values: int = 5
    delay_max: int = 1_000
    pause_max: int = 200
    unknown_percent: int = 0
    write_percent: int = 50
    seed: int = 0


@dataclass(slots=True)
class _Planned:
    number: int
    client: int
    f: str
    key: str
    argument: Any
    invoke: int
    effect: int
    """When it takes effect; -1: never."""
    ret: int
    """When the client learns the result, or that it will never know."""
    unknown: bool
    answer: Row = field(default_factory=dict)


def generate(recipe: Recipe) -> list[Row]:
    """Return the rows of a linearizable history."""
    planned = _plan(recipe)
    _carry_out(recipe, planned)
    return _rows(planned)


def as_text(rows: list[Row]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def _plan(recipe: Recipe) -> list[_Planned]:
    dice = Random(recipe.seed)
    ready = [dice.randint(0, recipe.delay_max) for _ in range(recipe.clients)]
    planned = []
    for number in range(recipe.operations):
        client = min(range(recipe.clients), key=ready.__getitem__)
        invoke = ready[client]
        ret = invoke + dice.randint(1, recipe.delay_max)
        f, argument = _draw(recipe, dice, number)
        unknown = dice.randrange(100) < recipe.unknown_percent
        effect = dice.randint(invoke, ret)
        if unknown:
            effect = dice.choice((-1, effect, dice.randint(invoke, invoke + 20 * recipe.delay_max)))
        key = f"k{dice.randrange(recipe.keys)}"
        planned.append(_Planned(number, client, f, key, argument, invoke, effect, ret, unknown))
        ready[client] = ret + dice.randint(1, recipe.pause_max)
    return planned


def _draw(recipe: Recipe, dice: Random, number: int) -> tuple[str, Any]:
    writes = dice.randrange(100) < recipe.write_percent
    value = dice.randrange(recipe.values)
    match recipe.style:
        case "register":
            return ("write", value) if writes else ("read", None)
        case "unique":
            return ("write", number) if writes else ("read", None)
        case "cas":
            if writes and dice.randrange(2):
                return "cas", [value, dice.randrange(recipe.values)]
            return ("write", value) if writes else ("read", None)
        case "append":
            if not writes:
                return "get", None
            return ("put" if dice.randrange(20) == 0 else "append"), f"x {number} y"
        case "ferrite":
            if not writes:
                return "get", None
            return ("delete", None) if dice.randrange(5) == 0 else ("put", f"v{number}")
        case "mutex":
            return ("acquire" if writes else "release"), None
        case "transactions":
            registers = dice.sample(range(recipe.keys), dice.randint(1, min(2, recipe.keys)))
            step = "write" if writes else "read"
            return "txn", [
                [step, f"r{one}", dice.randrange(recipe.values) if writes else None] for one in registers
            ]


def _carry_out(recipe: Recipe, planned: list[_Planned]) -> None:
    state: dict[str, Any] = {}
    versions: dict[str, int] = {}
    revision = 0
    for one in sorted(planned, key=lambda one: (one.effect, one.number)):
        if one.effect < 0:
            continue
        before = state.get(one.key)
        match one.f:
            case "read":
                one.answer = {"type": "ok", "value": before}
            case "get" if recipe.style == "append":
                one.answer = {"type": "ok", "value": before or ""}
            case "get":
                one.answer = {
                    "type": "ok",
                    "value": before,
                    "revision": revision,
                    "mod_revision": versions.get(one.key, 0),
                }
            case "write":
                state[one.key] = one.argument
                one.answer = {"type": "ok", "value": one.argument}
            case "put":
                revision += 1
                state[one.key], versions[one.key] = one.argument, revision
                one.answer = {"type": "ok", "value": one.argument}
                if recipe.style == "ferrite":
                    one.answer["revision"] = revision
            case "delete":
                revision += before is not None
                state[one.key], versions[one.key] = None, 0
                one.answer = {
                    "type": "ok",
                    "value": None,
                    "revision": revision,
                    "existed": before is not None,
                }
            case "append":
                state[one.key] = (before or "") + one.argument
                one.answer = {"type": "ok", "value": one.argument}
            case "cas":
                matches = before == one.argument[0]
                if matches:
                    state[one.key] = one.argument[1]
                one.answer = {"type": "ok" if matches else "fail", "value": one.argument}
            case "acquire" | "release":
                possible = (before == "held") == (one.f == "release")
                if possible:
                    state[one.key] = "held" if one.f == "acquire" else "free"
                one.answer = {"type": "ok" if possible else "fail", "value": None}
            case "txn":
                steps = []
                for f, register, value in one.argument:
                    if f == "write":
                        state[register] = value
                    steps.append([f, register, state.get(register)])
                one.answer = {"type": "ok", "value": steps}
            case _:
                raise AssertionError(one.f)


def _rows(planned: list[_Planned]) -> list[Row]:
    """A client that does not know goes on under a new process number, as its operation stays open."""
    events: list[tuple[int, int, int, Row]] = []
    incarnation: dict[int, int] = {}
    for one in planned:
        process = one.client + 1_000 * incarnation.get(one.client, 0)
        common: Row = {"process": process, "f": one.f}
        if one.f != "txn":
            common["key"] = one.key
        events.append((one.invoke, 1, one.number, {**common, "type": "invoke", "value": one.argument}))
        if one.unknown:
            incarnation[one.client] = incarnation.get(one.client, 0) + 1
            events.append((one.ret, 0, one.number, {**common, "type": "info", "value": one.argument}))
        else:
            events.append((one.ret, 2, one.number, {**common, **one.answer}))
    events.sort(key=lambda event: event[:3])
    return [row for _, _, _, row in events]


def spoil(rows: list[Row], seed: int, changes: int = 1) -> list[Row]:
    """Return the rows with some reads' results replaced by what another read of the same key returned: most often a violation."""
    dice = Random(seed)
    rows = [dict(row) for row in rows]
    reads = [row for row in rows if row["type"] == "ok" and row["f"] in ("read", "get", "txn")]
    for _ in range(changes if reads else 0):
        victim = dice.choice(reads)
        others = [
            row for row in reads if row.get("key") == victim.get("key") and row["value"] != victim["value"]
        ]
        if victim["f"] == "txn":
            victim["value"] = [
                [f, register, 0 if f == "read" else value] for f, register, value in victim["value"]
            ]
        elif others:
            other = dice.choice(others)
            victim.update({name: other[name] for name in ("value", "mod_revision") if name in other})
    return rows


def revision_history(operations: int, clients: int = 50, keys: int = 1_000, seed: int = 0) -> list[Operation]:
    """Operations of a Ferrite history, made directly (for measuring the witness check): puts, gets and some unknown puts."""
    dice = Random(seed)
    state: dict[int, tuple[str | None, int]] = {}
    made: list[Operation] = []
    revision, line = 0, 0
    while len(made) < operations:
        round_of = range(min(clients, operations - len(made)))
        batch = []
        for client in round_of:
            line += 1
            f = "put" if dice.randrange(2) else "get"
            argument = f"v{line}" if f == "put" else None
            batch.append(
                Operation(
                    number=len(made),
                    process=client,
                    f=f,
                    key=dice.randrange(keys),
                    argument=argument,
                    invoke=line,
                )
            )
            made.append(batch[-1])
        dice.shuffle(batch)
        for operation in batch:
            line += 1
            assert isinstance(operation.key, int)
            if operation.f == "put":
                revision += 1
                state[operation.key] = (str(operation.argument), revision)
                if dice.randrange(50) == 0:
                    continue
                operation.result = operation.argument
            else:
                operation.result, operation.mod_revision = state.get(operation.key, (None, 0))
            operation.outcome, operation.ret, operation.revision = "ok", line, revision
    return made
