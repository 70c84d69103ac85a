"""From a planted bug to its folder, its replay and its smallest story, by the commands alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite.sim.cli import main
from tests.sim.mutants import BY_NUMBER

# Acknowledges before it has synced: no cluster of several nodes gets far with it, whatever the seed.
BUG = BY_NUMBER[16]
SEED = ["--seed", "0", "--nodes", "3", "--seconds", "2"]


@pytest.fixture
def planted() -> Iterator[None]:
    with BUG.planted():
        yield


def test_a_failure_prints_what_is_needed_and_nothing_else(
    planted: None, work_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SEED]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "verdict",
        "invariant",
        "facts",
        "at",
        "seed",
        "commit",
        "options",
        "replay",
        "folder",
        "digest",
    ]
    assert "folder: ferrite-sim-seed-0" in lines
    verdict = json.loads((work_folder / "ferrite-sim-seed-0" / "verdict.json").read_text())
    assert lines[-1] == f"digest: {verdict['digest']}"
    assert f"replay: {verdict['replay']}" in lines


def test_no_folder_is_left_when_none_is_wanted(planted: None, work_folder: Path) -> None:
    assert main(["run", *SEED, "--no-report"]) == 1
    assert list(work_folder.iterdir()) == []


def test_a_default_folder_that_holds_other_things_is_left_alone(
    planted: None, work_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work_folder / "ferrite-sim-seed-0").mkdir()
    (work_folder / "ferrite-sim-seed-0" / "mine").write_text("precious")
    assert main(["run", *SEED]) == 1
    printed = capsys.readouterr()
    assert "folder:" not in printed.out
    assert printed.err.startswith("no report: ferrite-sim-seed-0 holds other files")
    assert (work_folder / "ferrite-sim-seed-0" / "mine").read_text() == "precious"


def test_the_tape_of_a_failure_breaks_the_same_invariant(
    planted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SEED]) == 1
    first = capsys.readouterr().out.splitlines()
    assert main(["replay", "ferrite-sim-seed-0/tape.json", "--report", "again"]) == 1
    second = capsys.readouterr().out.splitlines()
    assert second[-1] == first[-1]
    assert "reproduced: S11, as the tape says" in second
    assert Path("again/tape.json").read_text() == Path("ferrite-sim-seed-0/tape.json").read_text()


def test_a_tape_whose_bug_is_mended_is_not_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    with BUG.planted():
        assert main(["run", *SEED]) == 1
    capsys.readouterr()
    tape = "ferrite-sim-seed-0/tape.json"
    assert main(["replay", tape]) == 0
    assert "not reproduced: the tape says S11, this run is clean" in capsys.readouterr().out
    assert main(["shrink", tape]) == 0
    assert "not reproduced: the tape says S11, this run is clean" in capsys.readouterr().out


def test_a_seed_shrinks_to_a_story_that_its_tape_repeats(
    planted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small.json"
    assert main(["shrink", *SEED, "--trials", "20", "-o", str(small)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verdict: safety"
    assert lines[1].startswith("invariant: S11: ")
    sentence = next(line for line in lines if line.startswith("shrunk: "))
    assert sentence.startswith("shrunk: faults ")
    assert {"Faults", "Operations", "Why it happened", "What every node did around it"} <= set(lines)
    assert "replay: ferrite-sim replay ferrite-sim-seed-0-small/tape.json" in lines
    assert small.read_text() == Path("ferrite-sim-seed-0-small/tape.json").read_text()
    for tape in (str(small), "ferrite-sim-seed-0-small/tape.json"):
        assert main(["replay", tape]) == 1
        again = capsys.readouterr().out.splitlines()
        assert "reproduced: S11, as the tape says" in again
        assert again[-1] == lines[-1]


def test_a_tape_shrinks_as_its_seed_does(planted: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SEED, "--no-report", "--tape", "run.tape"]) == 1
    capsys.readouterr()
    assert main(["shrink", "run.tape", "--trials", "9", "--report", "small"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("shrunk: ") and line.endswith("; 9 runs") for line in lines)
    assert "folder: small" in lines


def test_a_clean_seed_has_nothing_to_shrink(work_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", *SEED]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["verdict: clean", "not shrunk: the run is clean"]
    assert list(work_folder.iterdir()) == []


def test_an_exception_in_a_run_is_a_crash_with_its_folder(
    work_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("ferrite.sim.cluster.Cluster.converge", breaks)
    assert main(["run", *SEED]) == 4
    printed = capsys.readouterr()
    assert printed.out.startswith("verdict: crash\ninvariant: ZeroDivisionError: ")
    assert "Traceback" in printed.err
    folder = work_folder / "ferrite-sim-seed-0"
    assert "Traceback" in (folder / "story.txt").read_text()
    assert main(["replay", str(folder / "tape.json")]) == 4
    assert "reproduced: ZeroDivisionError, as the tape says" in capsys.readouterr().out
    assert main(["shrink", *SEED, "--trials", "40"]) == 4
    assert "shrunk: faults " in capsys.readouterr().out
