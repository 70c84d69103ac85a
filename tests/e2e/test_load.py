"""The judge is judged: each fault that the ledger must find is planted once."""

import pytest

from tests.e2e.load import Held, Ledger, Write, faults


def write(key: str, revision: int, value: str = "v") -> Write:
    return Write(key, value, began_s=0.0, ended_s=1.0, revision=revision, attempts=1)


LEDGER = Ledger(writes=[write("u/a", 1), write("own/c", 2, "old"), write("own/c", 3, "new"), write("u/b", 0)])
HELD = {"u/a": Held("v", 1, 1), "own/c": Held("new", 3, 2)}


def test_what_is_there_once_and_right_has_no_fault() -> None:
    assert faults(LEDGER, HELD) == []


def test_a_write_of_unknown_outcome_may_be_there_or_not() -> None:
    assert faults(LEDGER, {**HELD, "u/b": Held("v", 4, 1)}) == []


@pytest.mark.parametrize(
    "held, fault",
    [
        ({"own/c": Held("new", 3, 2)}, "MISSING u/a"),
        ({"u/a": Held("v", 1, 1)}, "MISSING own/c"),
        ({**HELD, "u/a": Held("x", 1, 1)}, "WRONG u/a"),
        ({**HELD, "u/a": Held("v", 5, 2)}, "WRONG u/a"),
        ({**HELD, "own/c": Held("new", 3, 3)}, "TWICE OR LOST own/c"),
        ({**HELD, "own/c": Held("new", 3, 1)}, "TWICE OR LOST own/c"),
        ({**HELD, "own/c": Held("old", 2, 2)}, "WRONG own/c"),
        ({**HELD, "u/z": Held("v", 9, 1)}, "STRANGE u/z"),
    ],
)
def test_a_planted_fault_is_found(held: dict[str, Held], fault: str) -> None:
    [found] = faults(LEDGER, held)
    assert found.startswith(fault)


def test_one_revision_for_two_writes_is_a_fault() -> None:
    ledger = Ledger(writes=[write("u/a", 1), write("u/b", 1)])
    held = {"u/a": Held("v", 1, 1), "u/b": Held("v", 1, 1)}
    assert faults(ledger, held) == ["revision 1 was given to u/a and to u/b"]
