import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ferrite.sim.cli import main
from tests.sim.search import runners

SHORT = ["--nodes", "3", "--seconds", "1"]


@pytest.fixture
def one_bad_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferrite.sim.search.sweep.seed_runner", lambda *_: runners.fails_at_the_bad_seed)


def test_a_clean_sweep_prints_its_sum_and_ends_with_the_combined_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--seeds", "1..3", "--json", str(tmp_path / "sum.json"), *SHORT]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[:2] == ["seeds: 3 of 3 (1..3)", "verdicts: clean 3"]
    summary = json.loads((tmp_path / "sum.json").read_text())
    assert lines[-1] == f"combined digest: {summary['combined_digest']}"
    assert (summary["seeds"], summary["arguments"]) == (3, "--nodes 3 --seconds 1")
    assert [seed for seed, _ in summary["runs"]] == [1, 2, 3]
    assert printed.err == ""
    assert lines[2].startswith("coverage: ")
    never = [line.split()[1] for line in lines if line.startswith("  never: ")]
    assert never == summary["marks_never_reached"]
    assert "log_discarded" in summary["marks"]


def test_a_failure_stands_in_the_table_with_the_command_that_replays_it(
    one_bad_seed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--seeds", "1..9", "--set", "clients.keys=2", *SHORT]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "verdicts: clean 8, safety 1" in lines
    row = next(line for line in lines if line.startswith("3 "))
    assert row.split(maxsplit=5) == [
        "3",
        "safety",
        "S1",
        "1.234",
        "s",
        "ferrite-sim run --seed 3 --nodes 3 --seconds 1 --set clients.keys=2",
    ]


def test_fail_fast_ends_at_the_first_failure(one_bad_seed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--seeds", "3..9999", "--fail-fast", *SHORT]) == 1
    assert "seeds: 1 of 9997 (3..9999)" in capsys.readouterr().out


def test_the_shards_of_a_sweep_are_its_parts(one_bad_seed: None, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    for shard in ("0/3", "1/3", "2/3"):
        main(["sweep", "--seeds", "1..10", "--shard", shard, "--json", "-", *SHORT])
        seen += [seed for seed, _ in json.loads(capsys.readouterr().out)["runs"]]
    assert sorted(seen) == list(range(1, 11))


def test_a_worker_that_dies_is_a_crash_with_its_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ferrite.sim.search.sweep.seed_runner", lambda *_: runners.kills_its_process_at_the_bad_seed
    )
    assert main(["sweep", "--seeds", "2..4", *SHORT]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert "verdicts: clean 2, crash 1" in lines
    assert any(line.split()[:3] == ["3", "crash", "WORKER"] for line in lines)


def test_each_failure_leaves_a_folder_and_a_seed_that_is_clean_here_is_nondeterminism(
    one_bad_seed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "failures"
    assert main(["sweep", "--seeds", "1..4", "--out", str(out), *SHORT]) == 1
    verdict = json.loads((out / "seed-3" / "verdict.json").read_text())
    assert (verdict["kind"], verdict["seed"]) == ("nondeterminism", 3)
    assert "the first run has the digest digest of a failure" in verdict["facts"]
    assert f"folders: 1 of 1 failures in {out}\n" in capsys.readouterr().err


def test_a_seed_that_killed_its_worker_is_not_tried_again_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ferrite.sim.search.sweep.seed_runner", lambda *_: runners.kills_its_process_at_the_bad_seed
    )
    assert main(["sweep", "--seeds", "3", "--out", str(tmp_path / "out"), *SHORT]) == 4
    assert list((tmp_path / "out").iterdir()) == []
    assert "folders: 0 of 1 failures" in capsys.readouterr().err


def test_the_sum_says_how_many_histories_were_checked_as_black_boxes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sweep", "--seeds", "7..9", *SHORT]) == 0
    assert "black box: 1 histories checked, 0 undecided" in capsys.readouterr().out


def test_ctrl_c_ends_with_the_sum_so_far(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ferrite.sim", "sweep", "--seeds", "1..1000000", "-j", "1", *SHORT]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([*command, "--json", str(tmp_path / "sum")], stdout=out, stderr=err)
        # The worker exists when the first seeds are on their way.
        while not children_of(process.pid):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert (tmp_path / "err").read_text() == "interrupted; this is the sum so far\n"
    assert "combined digest: " in (tmp_path / "out").read_text()
    assert json.loads((tmp_path / "sum").read_text())["seeds"] < 1_000_000


def children_of(pid: int) -> str:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text() if path.exists() else ""
