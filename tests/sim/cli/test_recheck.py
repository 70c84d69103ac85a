import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ferrite.sim.cli import main

SEED = ["run", "--seed", "1", "--nodes", "3", "--seconds", "2", "--report"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a clean run, made once."""
    folder = tmp_path_factory.mktemp("once") / "report"
    assert main([*SEED, str(folder)]) == 0
    return folder


@pytest.fixture
def folder(report: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(report, tmp_path / "report"))


def test_the_report_of_a_clean_run_is_found_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recheck", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the run's own verdict: clean"
    assert lines[1].startswith("history, checker auto: linearizable (")
    assert lines[2].startswith("history, checker search: linearizable (")
    assert lines[3].startswith("transactions, checker cycles: strictly serializable (")
    assert lines[4].startswith("node1: entries ")
    assert lines[-1] == "verdict: clean"


def test_a_history_that_fits_no_order_is_a_violation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    read = {"f": "get", "key": rows[0]["key"], "process": 10**9, "value": None}
    never = {**read, "type": "ok", "value": "never written", "mod_revision": 1, "revision": 1}
    with (folder / "history.jsonl").open("a") as history:
        history.write(json.dumps({**read, "type": "invoke"}) + "\n" + json.dumps(never) + "\n")
    assert main(["recheck", str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "verdict: linearizability"


def test_transactions_that_fit_no_order_are_a_violation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    garbage = {"process": 10**9, "f": "txn", "value": [["r", "key0", ["never written@1"]]]}
    with (folder / "transactions.jsonl").open("a") as transactions:
        transactions.write("".join(json.dumps({**garbage, "type": kind}) + "\n" for kind in ("invoke", "ok")))
    assert main(["recheck", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "transactions, checker cycles: not strictly serializable: garbage-read: " in printed
    assert printed.endswith("verdict: linearizability\n")


def test_a_damaged_log_is_a_violation_unless_a_fault_damaged_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = folder / "disks" / "node1"
    (node / "mark").unlink()
    assert main(["recheck", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert f"{node.name}: LogCorrupt: " in printed
    assert printed.endswith("verdict: safety\n")
    verdict = json.loads((folder / "verdict.json").read_text())
    verdict["damaged_disks"] = [1]
    (folder / "verdict.json").write_text(json.dumps(verdict))
    assert main(["recheck", str(folder)]) == 0
    assert "; a fault damaged this disk" in capsys.readouterr().out


def test_a_node_whose_disk_is_missing_is_missed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "disks" / "node2")
    assert main(["recheck", str(folder)]) == 2
    assert (
        "disks/node2 is missing: the run had the nodes node1, node2, node3, node4" in capsys.readouterr().err
    )


def test_an_end_that_was_durable_and_is_gone_is_a_violation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = max(folder.glob("disks/node1/*.seg"))
    content = last.read_bytes()
    last.write_bytes(content[:512] + bytes(len(content) - 512))
    assert main(["recheck", str(folder)]) == 1
    assert "its end is lost: it had been durable up to" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda folder: (folder / "verdict.json").write_text("{"), "verdict.json is not JSON"),
        (lambda folder: (folder / "verdict.json").write_text("[]"), "expected a verdict"),
        (lambda folder: (folder / "history.jsonl").write_text("{"), "history.jsonl: line 1"),
        (lambda folder: (folder / "history.jsonl").unlink(), "history.jsonl cannot be read"),
        (lambda folder: (folder / "disks").rename(folder / "elsewhere"), "disks/node1 is missing"),
        (lambda folder: (folder / "options.json").unlink(), "options.json cannot be read"),
        (lambda folder: (folder / "options.json").write_text("{}"), "no numbers nodes and spares"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(
    damage: Callable[[Path], object],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(folder)
    assert main(["recheck", str(folder)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err
