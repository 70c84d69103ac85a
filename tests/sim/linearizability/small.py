"""Small random histories for comparisons with brute force, and the models they are for."""

from __future__ import annotations

from random import Random
from typing import Final

from ferrite.sim.linearizability.models import ModelName
from tests.sim.linearizability.generate import Recipe, Row, Style, generate, spoil

MODEL_OF: Final[dict[Style, ModelName]] = {
    "register": "cas-register",
    "unique": "cas-register",
    "cas": "cas-register",
    "append": "kv-append",
    "ferrite": "ferrite",
    "mutex": "mutex",
    "transactions": "multi-register",
}


def small_history(style: Style, seed: int) -> list[Row]:
    """Up to eight operations of two to five clients on one or two keys; about half of them are made wrong."""
    dice = Random(seed)
    recipe = Recipe(
        style=style,
        operations=dice.randint(2, 8),
        clients=dice.randint(2, 5),
        keys=2 if style == "transactions" else dice.randint(1, 2),
        values=dice.randint(2, 3),
        delay_max=10,
        pause_max=dice.choice((2, 10)),
        unknown_percent=dice.choice((0, 25, 50)),
        write_percent=dice.choice((40, 60)),
        seed=seed,
    )
    rows = generate(recipe)
    if dice.randrange(3):
        rows = spoil(rows, seed)
    if dice.randrange(3) == 0:
        rows = _swap(rows, dice)
    return rows


def _swap(rows: list[Row], dice: Random) -> list[Row]:
    """Exchange two neighbouring rows of different processes: something overlaps less, or more."""
    rows = list(rows)
    for _ in range(4):
        place = dice.randrange(len(rows) - 1)
        if rows[place]["process"] != rows[place + 1]["process"]:
            rows[place], rows[place + 1] = rows[place + 1], rows[place]
    return rows
