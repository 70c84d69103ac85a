import json
from pathlib import Path

import pytest

from ferrite.sim.cli import main
from ferrite.sim.node import Node
from ferrite.sim.violation import Violation

SHORT = ["run", "--seed", "2", "--nodes", "3", "--seconds", "1"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second node that boots breaks an invariant a moment later."""
    honest = Node.start

    def start(node: Node) -> None:
        honest(node)
        if (node.node_id, node.boot) == (2, 1):
            timeline = node._world.timeline
            timeline.after(500_000, fail)

    def fail() -> None:
        raise Violation("S1", "One leader a term.", "two lead", time_us=500_000)

    monkeypatch.setattr(Node, "start", start)


def test_all_views_of_one_run_and_none_changes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, log = tmp_path / "run.html", tmp_path / "run.log"
    assert main(SHORT) == 0
    plain = capsys.readouterr().out.splitlines()
    assert main([*SHORT, "--view", "--explain", "--html", str(html), "--shiviz", str(log)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == plain[-1]
    assert any("becomes leader" in line for line in lines)
    assert "explanation: none; the run is clean" in lines
    assert html.read_text().startswith("<!")
    assert "node1" in log.read_text()


def test_a_failure_is_explained_from_its_causes(failing: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--explain"]) == 1
    story = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    assert len(story) > 1
    assert "S1" in story[-1]


def test_a_tape_plays_the_same_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = tmp_path / "run.tape"
    words = ["run", "--seed", "1", "--seconds", "3", "--set", "network.loss_ppm=100000"]
    assert main([*words, "--tape", str(tape)]) == 0
    first = capsys.readouterr().out.splitlines()
    assert main(["replay", str(tape), "--view"]) == 0
    second = capsys.readouterr().out.splitlines()
    assert second[-1] == first[-1]
    assert f"replay: ferrite-sim replay {tape}" in second
    assert json.loads(tape.read_text())["faults"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tape":1}', '{"tape":1,"seed":1,"options":{"nodes":77}}'])
def test_a_damaged_tape_is_refused_in_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = tmp_path / "run.tape"
    tape.write_text(text)
    assert main(["replay", str(tape)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
