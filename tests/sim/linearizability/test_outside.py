"""Histories that others made, with known verdicts: a checker that gets one of them wrong is wrong."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from ferrite.sim.linearizability.check import CHECKERS, check_file
from ferrite.sim.linearizability.models import Reading

HERE = Path(__file__).parent.parent / "histories"
INITIAL: dict[str, Any] = {"null": None, '""': "", "0": 0, "x=0 y=0": {"x": 0, "y": 0}}


def verdicts(directory: Path) -> list[dict[str, str]]:
    with (directory / "verdicts.csv").open() as lines:
        return list(csv.DictReader(lines))


def reading_of(row: dict[str, str]) -> Reading:
    is_result = row["file"].startswith("porcupine-etcd")
    return Reading(initial=INITIAL[row["initial"]], cas_fail="result" if is_result else "nothing")


def wrong_verdicts(directory: Path, *, explain: bool) -> list[str]:
    wrong = []
    for row in verdicts(directory):
        model: Any = row["model"]
        verdict = check_file(
            str(directory / row["file"]), model=model, reading=reading_of(row), explain=explain
        )
        if verdict.status != ("linearizable" if row["linearizable"] == "true" else "violation"):
            wrong.append(f"{row['file']}: {verdict.text()}")
    return wrong


def test_every_verdict_on_the_committed_selection_is_right() -> None:
    assert len(verdicts(HERE)) == 15
    assert wrong_verdicts(HERE, explain=True) == []


def test_every_verdict_on_all_histories_is_right() -> None:
    directory = os.environ.get("FERRITE_HISTORIES")
    if not directory:
        pytest.skip("FERRITE_HISTORIES names no directory with verdicts.csv")
    assert wrong_verdicts(Path(directory), explain=False) == []


def test_an_explanation_of_somebody_elses_violation_is_short_and_names_the_operation() -> None:
    verdict = check_file(str(HERE / "porcupine-etcd_000.jsonl"), model="cas-register", checker=CHECKERS[0])
    explanation = verdict.explanation
    assert explanation is not None and explanation.stuck is not None
    assert [(one.f, one.invoke) for one in explanation.operations] == [
        ("write", 65),
        ("write", 74),
        ("read", 85),
    ]
    assert explanation.stuck.invoke == 85
    assert "2" not in explanation.possible
    assert "line" in verdict.text()
