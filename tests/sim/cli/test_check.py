import io
import json
from pathlib import Path

import pytest

from ferrite.sim.cli import main

GOOD = [
    {"process": 0, "type": "invoke", "f": "write", "key": "x", "value": 3},
    {"process": 0, "type": "ok", "f": "write", "key": "x", "value": 3},
    {"process": 1, "type": "invoke", "f": "read", "key": "x", "value": None},
    {"process": 1, "type": "ok", "f": "read", "key": "x", "value": 3},
]
BAD = [*GOOD[:3], {**GOOD[3], "value": 4}]


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def history(folder: Path, text: str) -> str:
    path = folder / "history.jsonl"
    path.write_text(text)
    return str(path)


def test_a_linearizable_history_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", history(tmp_path, lines(GOOD))]) == 0
    assert capsys.readouterr().out.startswith("linearizable (2 operations")


def test_one_that_is_not_exits_1_and_the_operation_that_cannot_be_placed_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", history(tmp_path, lines(BAD))]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["status"] == "violation"
    assert verdict["explanation"]["stuck"]["result"] == "4"


def test_a_dash_reads_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines(BAD).encode())))
    assert main(["check", "-"]) == 1
    assert "not linearizable" in capsys.readouterr().out


def test_a_budget_that_ends_first_is_undecided_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concurrent = [
        {"process": p, "type": "invoke", "f": "write", "key": "x", "value": p % 3} for p in range(9)
    ]
    last = [{"process": 9, "type": "invoke", "f": "cas", "key": "x", "value": [1, 2]}]
    done = [{**last[0], "type": "ok"}]
    path = history(tmp_path, lines([*concurrent, *last, *done]))
    assert main(["check", "--checker", "search", "--steps", "1", path]) == 3
    assert capsys.readouterr().out.startswith("undecided: the budget of 1 configurations ended first")


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "line 1"),
        (lines(GOOD)[:-20], "line 4"),
        (lines([{**GOOD[0], "type": "walk"}]), "line 1"),
    ],
)
def test_a_damaged_history_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", history(tmp_path, text)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err


@pytest.mark.parametrize(
    "words", [["/no/such/file"], ["/"], ["--model", "queue", "-"], ["--steps", "0", "-"]]
)
def test_a_wrong_question_is_refused_in_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


HALF_SEEN = [
    {"process": 0, "type": "invoke", "f": "txn", "value": [["append", "x", 1], ["append", "y", 1]]},
    {"process": 1, "type": "invoke", "f": "txn", "value": [["r", "x", None], ["r", "y", None]]},
    {"process": 0, "type": "ok", "f": "txn", "value": [["append", "x", 1], ["append", "y", 1]]},
    {"process": 1, "type": "ok", "f": "txn", "value": [["r", "x", [1]], ["r", "y", []]]},
]


def test_a_cycle_of_transactions_exits_1_and_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history(tmp_path, lines(HALF_SEEN))
    assert main(["check", "--model", "list-append", "--json", path]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["explanation"]["anomaly"] == "G-single"
    assert main(["check", "--model", "list-append", path]) == 1
    assert capsys.readouterr().out.startswith("not strictly serializable: G-single: ")


def test_transactions_that_are_strictly_serializable_exit_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = lines([*HALF_SEEN[:3], HALF_SEEN[1] | {"type": "ok"}])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(right.encode())))
    assert main(["check", "--model", "list-append", "-"]) == 0
    assert capsys.readouterr().out.startswith("strictly serializable (2 transactions on 2 keys")


def test_the_cycle_check_refuses_the_options_of_searches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history(tmp_path, lines(HALF_SEEN))
    assert main(["check", "--model", "list-append", "--steps", "5", path]) == 2
    assert "--checker and --steps are for searches" in capsys.readouterr().err
