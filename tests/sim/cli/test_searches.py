"""`graphs`, `explore` and `mutants`: what they print and how they end; what they search with is tested elsewhere."""

import json

import pytest

from ferrite.sim.cli import main
from ferrite.sim.cli.graphs import GraphDone, GraphRun
from ferrite.sim.exhaustive import Kind, Limits, Outcome, Step
from ferrite.sim.violation import Violation


def test_one_graph_is_run_and_listed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graphs", "--graph", "0", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "graph 0, logs equal, start led, seed 0: no node reaches a quorum"
    assert "runs: 1" in lines


def test_the_outcomes_of_graphs_are_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graphs", "--graph", "1023", "--seeds", "3..4", "--json", "-"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["seed"], run["ok"], run["verdict"]) for run in runs] == [
        (3, True, "stable"),
        (4, True, "stable"),
    ]


def test_a_graph_that_breaks_an_invariant_exits_1_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GraphRun(graph=7, seed=0, logs="equal", start="led")
    monkeypatch.setattr(
        "ferrite.sim.cli.graphs._run_all", lambda *_: ([GraphDone(run=run, broken="S1: two")], False)
    )
    assert main(["graphs", "--graph", "7"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "graph 7, logs equal, start led, seed 0: S1: two",
        "  replay: ferrite-sim graphs --graph 7 --logs equal --start led --seeds 0 --list",
    ]


def test_a_space_without_violation_is_explored_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--nodes", "2", "--timeouts", "1"]) == 0
    assert capsys.readouterr().out.startswith("verdict: clean; every state within the limits was explored\n")


def test_a_search_cut_short_is_undecided(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--states-max", "5"]) == 3
    assert "then --states-max ended the search" in capsys.readouterr().out


def test_a_violation_is_shown_with_the_shortest_path_to_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (Step(kind=Kind.TIMEOUT, node=1), Step(kind=Kind.KILL, node=2))
    found = Violation("S1", "One leader a term.", "two lead")
    outcome = Outcome(limits=Limits(), states=9, transitions=9, turns=9, depth=1, violation=found, path=path)
    monkeypatch.setattr("ferrite.sim.exhaustive.search", lambda *_, **__: outcome)
    assert main(["explore"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["verdict: safety", "invariant: S1: One leader a term.", "facts: two lead", "path:"]
    assert lines[4:6] == ["    1. 1 times out", "    2. 2 crashes, all writes survive"]


def test_planted_bugs_are_hunted_from_several_starts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "1", "--starts", "2", "--seeds-max", "20", "--seconds", "5", "--json", "-"]
    assert main(["mutants", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    (score,) = report["mutants"]
    assert (score["number"], score["kills"], score["starts"]) == (1, 2, 2)
    assert [search["start"] for search in report["searches"]] == [0, 1]
    assert report["searches"][1]["seed"] >= 1_000_000
    assert score["shrunk"]["nodes"] == 2
    assert [search["shrunk"] is not None for search in report["searches"]] == [True, False]


def test_a_planted_bug_survives_when_the_cpu_budget_ends_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ferrite.sim.search.kills import Hunt, hunt
    from ferrite.sim.search.settings import RunChoice
    from tests.sim.mutants import BY_NUMBER

    task = Hunt(
        mutant=BY_NUMBER[1], start=0, seeds_max=9, cpu_us_max=0, choice=RunChoice(seconds=1), shrinks=True
    )
    assert (hunt(task).killed, hunt(task).seeds) == (False, 0)


def test_a_planted_bug_that_survives_exits_1_and_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ferrite.sim.search.kills import Hunted

    survivor = Hunted(number=1, start=0, seeds=2000, cpu_us=1)
    monkeypatch.setattr("ferrite.sim.cli.mutants._hunt_all", lambda *_: ([survivor], False))
    assert main(["mutants", "--only", "1"]) == 1
    assert "survived: 1" in capsys.readouterr().out.splitlines()


def test_each_kill_is_told_with_its_seed_and_its_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ferrite.sim.search.kills import Hunted

    kills = [
        Hunted(number=1, start=start, seeds=2, cpu_us=1, check="S3", seed=70 + start, facts="two\nlogs")
        for start in (1, 0)
    ]
    monkeypatch.setattr("ferrite.sim.cli.mutants._hunt_all", lambda *_: (kills, False))
    assert main(["mutants", "--only", "1"]) == 0
    assert "killed: 1 by seed 70: S3: two logs" in capsys.readouterr().out.splitlines()


def test_the_list_says_what_each_bug_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) > 30
    assert rows[0].split()[0] == "number"
    assert rows[-1].startswith("numbers not in use: 49, ")


def test_outside_of_a_source_checkout_the_command_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferrite.sim.cli.mutants.__file__", "/nowhere/lib/ferrite/sim/cli/mutants.py")
    assert main(["mutants", "--list"]) == 2
    assert "run this in a source checkout" in capsys.readouterr().err


def test_an_unknown_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--only", "9999"]) == 2
    assert "there is no mutant 9999" in capsys.readouterr().err
