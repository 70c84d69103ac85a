"""Histories of transactions by a store that carries out one after the other, with many clients, unknown outcomes and failures."""

from __future__ import annotations

import json
from random import Random
from typing import Any

Row = dict[str, Any]


def generate(
    seed: int,
    *,
    transactions: int = 40,
    clients: int = 5,
    keys: int = 3,
    unknown_percent: int = 10,
    fail_percent: int = 5,
    appends_per_key_max: int = 30,
) -> list[Row]:
    """Rows of a strictly serializable history; a key that was appended to often makes way for a new one."""
    dice = Random(seed)
    names = list(range(keys))
    appended: dict[int, int] = {}
    store: dict[int, list[int]] = {}
    idle = list(range(clients))
    busy: dict[int, tuple[list[Any], list[Any] | None]] = {}
    rows: list[Row] = []
    begun = 0
    while busy or begun < transactions:
        if idle and begun < transactions and (not busy or dice.random() < 0.5):
            process = idle.pop(dice.randrange(len(idle)))
            steps = _steps(dice, names, appended, appends_per_key_max)
            busy[process] = steps, None
            rows.append(_row(process, "invoke", steps))
            begun += 1
            continue
        process = dice.choice(list(busy))
        steps, done = busy.pop(process)
        chance = dice.randrange(100)
        if done is None and chance < fail_percent:
            rows.append(_row(process, "fail", steps))
            idle.append(process)
        elif done is None and chance < fail_percent + unknown_percent:
            if dice.random() < 0.5:
                _carry_out(store, steps)
            rows.append(_row(process, "info", steps))
            idle.append(process)
        elif done is None:
            busy[process] = steps, _carry_out(store, steps)
        else:
            rows.append(_row(process, "ok", done))
            idle.append(process)
    return rows


def as_text(rows: list[Row]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def _steps(dice: Random, names: list[int], appended: dict[int, int], appends_max: int) -> list[Any]:
    steps: list[Any] = []
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(names))
        key = names[place]
        if dice.random() < 0.5:
            appended[key] = appended.get(key, 0) + 1
            steps.append(["append", key, appended[key]])
            if appended[key] >= appends_max:
                names[place] = max(names) + 1
        else:
            steps.append(["r", key, None])
    return steps


def _carry_out(store: dict[int, list[int]], steps: list[Any]) -> list[Any]:
    done: list[Any] = []
    for f, key, value in steps:
        if f == "append":
            store.setdefault(key, []).append(value)
            done.append([f, key, value])
        else:
            done.append([f, key, list(store.get(key, []))])
    return done


def _row(process: int, kind: str, value: list[Any]) -> Row:
    return {"process": process, "type": kind, "f": "txn", "value": value}
