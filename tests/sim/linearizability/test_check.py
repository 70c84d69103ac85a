import json
from typing import Any

import pytest

from ferrite.sim.linearizability.check import check_history
from ferrite.sim.linearizability.history import HistoryInvalid
from ferrite.sim.linearizability.models import Reading
from tests.sim.linearizability.generate import Recipe, as_text, generate, spoil

Step = tuple[int, str, str, Any]


def text(*steps: Step, **more: Any) -> str:
    """(process, type, f, value) as JSON lines; `more` is added to every row."""
    return "\n".join(
        json.dumps({"process": process, "type": kind, "f": f, "value": value, **more})
        for process, kind, f, value in steps
    )


def done(process: int, f: str, argument: Any, result: Any) -> list[Step]:
    return [(process, "invoke", f, argument), (process, "ok", f, result)]


HARD = Recipe(style="cas", operations=400, clients=20, keys=2, unknown_percent=20)


def test_a_budget_that_ends_first_is_a_third_verdict() -> None:
    verdict = check_history(as_text(generate(HARD)), model="cas-register", steps=10)
    assert verdict.status == "undecided"
    assert not verdict.linearizable
    assert verdict.undecided_keys
    assert verdict.text().startswith("undecided: the budget of 10")


def test_keys_take_turns_so_that_a_hard_one_does_not_hide_an_easy_violation() -> None:
    easy = done(90_000, "write", 1, 1) + done(90_000, "read", None, 7)
    rows = as_text(generate(HARD)) + text(*easy, key="easy")
    verdict = check_history(rows, model="cas-register", steps=1_000)
    assert verdict.status == "violation"
    assert verdict.explanation is not None and verdict.explanation.key == '"easy"'


@pytest.mark.parametrize("null_read, linearizable", [("auto", True), ("any", True), ("value", False)])
def test_a_read_of_null_is_any_value_where_null_is_none(null_read: Any, linearizable: bool) -> None:
    rows = text(*done(0, "write", 1, 1), *done(0, "read", None, None))
    verdict = check_history(rows, model="cas-register", reading=Reading(initial=0, null_read=null_read))
    assert verdict.linearizable is linearizable


def test_a_read_of_null_is_the_value_null_when_the_register_begins_with_it() -> None:
    rows = text(*done(0, "write", 1, 1), *done(0, "read", None, None))
    assert not check_history(rows, model="cas-register").linearizable


@pytest.mark.parametrize("cas_fail, linearizable", [("nothing", True), ("result", False)])
def test_whether_a_failed_cas_is_a_result_is_an_option(cas_fail: Any, linearizable: bool) -> None:
    rows = text(*done(0, "write", 1, 1), (0, "invoke", "cas", [1, 2]), (0, "fail", "cas", [1, 2]))
    assert (
        check_history(rows, model="cas-register", reading=Reading(cas_fail=cas_fail)).linearizable
        is linearizable
    )


def test_registers_that_no_transaction_connects_are_checked_apart() -> None:
    rows = text(
        *done(0, "txn", [["w", "x", 1]], [["w", "x", 1]]),
        *done(0, "txn", [["r", "y", None]], [["r", "y", 5]]),
    )
    verdict = check_history(rows, model="multi-register", reading=Reading(initial={"x": 0, "y": 0}))
    assert verdict.keys == 2
    assert verdict.explanation is not None and verdict.explanation.key == '"y"'


def test_two_holders_of_a_lock_are_a_violation() -> None:
    rows = text(*done(0, "acquire", None, None), *done(1, "acquire", None, None))
    verdict = check_history(rows, model="mutex")
    assert verdict.status == "violation"
    assert verdict.explanation is not None and len(verdict.explanation.operations) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": "queue"}, "model 'queue'"),
        ({"model": "mutex", "checker": "magic"}, "checker 'magic'"),
        ({"model": "mutex", "steps": 0}, "a budget of 0"),
        ({"model": "mutex", "checker": "zones"}, "zones decide reads and writes"),
        ({"model": "mutex", "checker": "witness"}, "the witness check needs"),
    ],
)
def test_a_wrong_option_is_refused(options: Any, message: str) -> None:
    rows = text(*done(0, "acquire", None, None))
    with pytest.raises(ValueError, match=message):
        check_history(rows, **options)


@pytest.mark.parametrize("model, initial", [("mutex", "open"), ("kv-append", 3), ("multi-register", 0)])
def test_an_initial_state_that_the_model_does_not_have_is_refused(model: Any, initial: Any) -> None:
    with pytest.raises(HistoryInvalid, match="the initial state of"):
        check_history("", model=model, reading=Reading(initial=initial))


@pytest.mark.parametrize("style", ["register", "cas", "unique", "append", "ferrite"])
@pytest.mark.parametrize("unknown_percent", [0, 20])
def test_two_thousand_operations_of_fifty_clients_are_decided_in_few_steps(
    style: Any, unknown_percent: int
) -> None:
    model: Any = {"append": "kv-append", "ferrite": "ferrite"}.get(style, "cas-register")
    rows = generate(Recipe(style=style, unknown_percent=unknown_percent))
    verdict = check_history(as_text(rows), model=model, steps=20_000)
    assert verdict.status == "linearizable"


@pytest.mark.parametrize("style", ["unique", "append", "ferrite"])
def test_a_read_made_up_among_two_thousand_operations_is_found_and_explained(style: Any) -> None:
    model: Any = {"append": "kv-append", "ferrite": "ferrite"}.get(style, "cas-register")
    rows = spoil(generate(Recipe(style=style)), seed=3)
    verdict = check_history(as_text(rows), model=model, steps=20_000)
    assert verdict.status == "violation"
    assert verdict.explanation is not None
    assert json.loads(json.dumps(verdict.as_json()))["status"] == "violation"
    assert verdict.explanation.sentence in verdict.text()


def test_equal_appends_and_a_write_of_the_same_text_may_make_one_string() -> None:
    rows = text(
        (1, "invoke", "append", "1"),
        (2, "invoke", "put", "1"),
        (3, "invoke", "append", "1"),
        *done(4, "get", None, "111"),
        (3, "ok", "append", "1"),
    )
    assert check_history(rows, model="kv-append").linearizable
