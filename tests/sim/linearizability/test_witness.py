"""What revisions prove: one small history for each rule."""

import json
from typing import Any

import pytest

from ferrite.sim.linearizability.check import check_history, check_operations
from tests.sim.linearizability.generate import revision_history

Row = dict[str, Any]


def call(f: str, argument: Any = None, **answer: Any) -> list[Row]:
    """An operation of a client of its own, from invocation to return; without an answer its outcome is unknown."""
    process = call.__dict__["count"] = call.__dict__.get("count", 0) + 1
    begin = {"process": process, "type": "invoke", "f": f, "key": "k", "value": argument}
    end = {**begin, "type": "ok", "value": argument, **answer}
    return [begin, end] if answer else [begin]


def verdict_of(*operations: list[Row]) -> Any:
    rows = [row for operation in operations for row in operation]
    return check_history("\n".join(json.dumps(row) for row in rows), model="ferrite")


PUT_1 = call("put", "a", revision=1)
PUT_2 = call("put", "b", revision=2)
GET_A_AT_1 = call("get", value="a", revision=1, mod_revision=1)
GET_A_AT_2 = call("get", value="a", revision=2, mod_revision=1)
ABSENT_AT_2 = call("get", value=None, revision=2)
UNKNOWN_DELETE = call("delete")
UNKNOWN_PUT_B = call("put", "b")


@pytest.mark.parametrize(
    "operations, sentence",
    [
        ([PUT_2, PUT_1], "revision 1 was answered to an operation that began after revision 2"),
        ([PUT_1, call("put", "c", revision=1)], "given to another one"),
        ([PUT_1, PUT_2, GET_A_AT_1], "revision 1 was answered to an operation that began after"),
        ([PUT_1, PUT_2, GET_A_AT_2], "not at 2"),
        ([PUT_1, call("get", value="b", revision=1, mod_revision=1)], 'which is "a"'),
        (
            [PUT_1, call("get", value="b", revision=2, mod_revision=2)],
            "no write of it can have that revision",
        ),
        (
            [call("get", value="b", revision=2, mod_revision=2), UNKNOWN_PUT_B],
            "no write of it can have that revision",
        ),
        ([PUT_1, call("get", value="a", revision=1, mod_revision=2)], "returned what was written at 2"),
        ([PUT_1, ABSENT_AT_2], "vanished"),
        (
            [PUT_1, UNKNOWN_DELETE, ABSENT_AT_2, call("get", value="a", revision=3, mod_revision=1)],
            "still seen at 3",
        ),
        ([call("delete", revision=1, existed=True)], "found a value that nobody can have put there"),
        ([PUT_1, call("delete", revision=1, existed=False)], "which wrote it"),
    ],
)
def test_a_contradiction_is_named(operations: list[list[Row]], sentence: str) -> None:
    verdict = verdict_of(*operations)
    assert verdict.status == "violation" and verdict.checker == "witness"
    assert sentence in verdict.text()


@pytest.mark.parametrize(
    "operations, checker",
    [
        ([PUT_1, GET_A_AT_1, PUT_2], "witness"),
        ([PUT_1, UNKNOWN_PUT_B, call("get", value="b", revision=2, mod_revision=2)], "witness"),
        ([PUT_1, UNKNOWN_DELETE, ABSENT_AT_2], "witness+search"),
        ([UNKNOWN_PUT_B, call("delete", revision=2, existed=True)], "witness+search"),
        ([PUT_1, PUT_2, [{**row, "linearizable": False} for row in GET_A_AT_1]], "witness"),
    ],
)
def test_what_revisions_allow_passes(operations: list[list[Row]], checker: str) -> None:
    verdict = verdict_of(*operations)
    assert verdict.linearizable and verdict.checker == checker


def test_two_values_that_vanished_need_two_deletes() -> None:
    history = [
        PUT_1,
        UNKNOWN_DELETE,
        ABSENT_AT_2,
        call("put", "c", revision=3),
        call("get", value=None, revision=4),
    ]
    assert verdict_of(*history).status == "violation"


def test_a_history_without_revisions_is_not_for_the_witness() -> None:
    assert verdict_of(PUT_1, call("get", value="a")).checker == "zones"


def test_many_operations_pass_and_one_stale_read_among_them_is_found() -> None:
    operations = revision_history(20_000)
    assert check_operations(operations, model="ferrite").linearizable
    victim = next(one for one in operations[10_000:] if one.f == "get" and one.result is not None)
    assert victim.revision is not None
    victim.revision -= 2_000
    verdict = check_operations(operations, model="ferrite")
    assert verdict.status == "violation"
    assert verdict.explanation is not None and victim in verdict.explanation.operations
