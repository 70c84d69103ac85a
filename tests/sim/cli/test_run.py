import pytest

from ferrite.sim.cli import main
from ferrite.sim.violation import Violation

SHORT = ["run", "--seed", "2", "--nodes", "3", "--seconds", "1"]


def planted(kind: str) -> Violation:
    return Violation(
        "S9", "No commit by counting.", "index 3 of term 1", time_us=7, event_number=9, kind=kind
    )


def test_a_clean_run_prints_verdict_replay_and_digest_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SHORT) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "verdict: clean"
    assert "replay: ferrite-sim run --seed 2 --nodes 3 --seconds 1" in printed
    assert printed[-1].startswith("digest: ")


def test_the_replay_line_is_a_command_that_gives_the_same_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--set", "clients.keys=2"]) == 0
    first = capsys.readouterr().out.splitlines()
    replay = next(line for line in first if line.startswith("replay: ")).split()[2:]
    assert main(replay) == 0
    assert capsys.readouterr().out.splitlines() == first


def test_a_setting_makes_another_run(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for words in ([], ["--set", "clients.think_mean_us=1000"]):
        assert main([*SHORT, *words]) == 0
        outputs.append(capsys.readouterr().out.splitlines())
    (plain, changed) = outputs
    assert plain[-1] != changed[-1]


@pytest.mark.parametrize(
    "kind, code",
    [("safety", 1), ("linearizability", 1), ("liveness", 3), ("crash", 4), ("nondeterminism", 5)],
)
def test_a_failure_prints_the_invariant_the_facts_and_the_command_and_its_kind_is_the_exit_code(
    kind: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise planted(kind)

    monkeypatch.setattr("ferrite.sim.cluster.Cluster.converge", fails)
    assert main([*SHORT, "--trace"]) == code
    printed = capsys.readouterr().out.splitlines()
    assert printed[:4] == [
        f"verdict: {kind}",
        "invariant: S9: No commit by counting.",
        "facts: index 3 of term 1",
        "at: 7 us, event 9",
    ]
    assert sum(line.startswith("  ") for line in printed) > 10
    assert "replay: ferrite-sim run --seed 2 --nodes 3 --seconds 1" in printed


def test_running_twice_proves_that_it_was_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--twice"]) == 0
    assert "nondeterminism" not in capsys.readouterr().out


def test_a_second_run_with_another_digest_exits_5(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ferrite.sim.trace import Trace

    honest, runs = Trace.digest, []

    def digest(trace: Trace) -> str:
        runs.append(1)
        return f"{len(runs)}{honest(trace)}"

    monkeypatch.setattr(Trace, "digest", digest)
    assert main([*SHORT, "--twice"]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verdict: nondeterminism"
    assert lines[1] == "invariant: DETERMINISM: The same seed gives the same run."


def test_a_run_stops_at_the_time_asked_for_and_shows_every_node(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--seed", "2", "--nodes", "3", "--seconds", "9", "--set", "spares=1"]
    assert main([*words, "--until", "4000000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("stopped: 4000000 us, ")
    assert [row.split()[0] for row in lines[1:-1]] == ["node", "1", "2", "3", "4"]
    assert lines[-1].startswith("digest: ")


def test_stopping_changes_nothing_before(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from ferrite.sim import Cluster, swarm
    from ferrite.sim.cli.until import TimeReached, stop_at

    options = replace(swarm(2, nodes=3, seconds=2), trace_lines=10**6)
    whole, stopped = Cluster(2, options), Cluster(2, options)
    whole.run()
    stop_at(stopped, 1_000_000)
    with pytest.raises(TimeReached):
        stopped.run()
    before = [line for line in whole.trace_lines() if int(line.split()[0]) < 1_000_000]
    assert list(stopped.trace_lines()) == before
    assert len(before) > 20


def test_a_run_that_ends_before_the_time_asked_for_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--until", "99000000000"]) == 0
    assert capsys.readouterr().out.startswith("verdict: clean; the run ended at ")
