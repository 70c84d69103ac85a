"""Small histories, right ones and wrong ones: lists that a store without any isolation, or plain chance, could have returned."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.sim.cycles.generate import Row, generate


def small(seed: int) -> list[Row]:
    """Up to six transactions; of most histories some reads are changed afterwards."""
    dice = Random(seed)
    rows = generate(
        seed,
        transactions=dice.randint(2, 6),
        clients=dice.randint(1, 4),
        keys=dice.randint(1, 3),
        unknown_percent=dice.choice((0, 20)),
        fail_percent=dice.choice((0, 15)),
    )
    elements: dict[Any, list[Any]] = {}
    for row in rows:
        for f, key, value in row["value"]:
            if row["type"] == "invoke" and f == "append":
                elements.setdefault(key, []).append(value)
    for row in rows:
        for step in row["value"]:
            if row["type"] == "ok" and step[0] == "r" and dice.random() < 0.3:
                step[2] = _changed(dice, step[2], elements.get(step[1], []))
    return rows


def _changed(dice: Random, found: list[Any], elements: list[Any]) -> list[Any]:
    match dice.randrange(4):
        case 0:
            return found[:-1]
        case 1 if elements:
            return [*found, dice.choice(elements)]
        case 2:
            return found[::-1]
        case _:
            return dice.sample(elements, dice.randint(0, len(elements)))
