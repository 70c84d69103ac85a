import pytest

from ferrite.sim.cli import EXIT_CODES, main


def test_a_clean_run_prints_verdict_replay_and_digest_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--seed", "2", "--nodes", "3", "--seconds", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "verdict: clean"
    assert "replay: python -m ferrite.sim run --seed 2 --nodes 3 --seconds 2" in printed
    assert printed[-1].startswith("digest: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run"],
        ["run", "--seed", "-1"],
        ["run", "--seed", "x"],
        ["walk"],
        ["run", "--seed", "1", "--nodes", "10"],
    ],
)
def test_bad_input_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_failure_prints_the_invariant_the_facts_and_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.sim.mutants import commits_earlier_terms

    commits_earlier_terms(monkeypatch)
    assert main(["run", "--seed", "0", "--seconds", "8", "--trace"]) == EXIT_CODES["safety"]
    printed = capsys.readouterr().out
    assert "verdict: safety" in printed
    assert "invariant: S9: " in printed
    assert "facts: " in printed
    assert "replay: python -m ferrite.sim run --seed 0 --seconds 8" in printed
