"""Bad input: one line that says what was wrong, and exit code 2. Nothing is run."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from ferrite.sim.cli import main
from ferrite.sim.cli.group import ferrite_sim

SEED_MAX = 2**63 - 1
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "words, message",
    [
        ("walk", "No such command 'walk'"),
        ("--walk", "No such option '--walk'"),
        ("run", "Missing option '--seed'"),
        ("run --seed", "requires an argument"),
        ("run --sed 1", "No such option '--sed'. (Did you mean"),
        ("run --seed -1", f"'-1' is not a whole number from 0 to {SEED_MAX}"),
        ("run --seed 9223372036854775808", f"is not a whole number from 0 to {SEED_MAX}"),
        ("run --seed x", "'x' is not a whole number"),
        ("run --seed 1.0", "'1.0' is not a whole number"),
        ("run --seed 1 --nodes 10", "'10' is not a whole number from 0 to 9"),
        ("run --seed 1 --seconds 0", "from 1 to 3600"),
        ("run --seed 1 --set nodes", "expected KEY=VALUE"),
        ("run --seed 1 --set loss_ppm=1", "unknown option 'loss_ppm'; did you mean network.loss_ppm?"),
        ("run --seed 1 --set network.loss_ppm=-1", "loss_ppm is -1; expected 0 to 1000000"),
        ("run --seed 1 spare", "unexpected extra argument (spare)"),
        ("run --seed 1 --until 1 --twice", "--until stops in the middle"),
        ("run --seed 1 --until x", "is not a whole number"),
        ("run --seed 1 --html /no/such/folder/file", "there is no folder /no/such/folder"),
        ("run --seed 1 --blackbox perhaps", "'perhaps' is not one of 'always', 'sometimes', 'never'"),
        ("run --seed 1 --until 1 --report here", "--until stops in the middle"),
        ("run --seed 1 --report /no/such/folder", "there is no folder /no/such"),
        ("run --seed 1 --report / ", "/ holds other files; expected an empty folder or an older report"),
        ("run --seed 1 --report here --no-report", "choose one of --report and --no-report"),
        ("replay /no/such/file", "does not exist"),
        ("replay /dev/null", "/dev/null is no regular file; expected the file `tape.json`"),
        ("replay /dev/zero", "/dev/zero is no regular file"),
        (f"replay {sys.executable}", "is no UTF-8; a tape is text"),
        ("check /dev/null", "there is no operation in it, nothing to check"),
        ("run --seed 1 --set replica.election_timeout_min_us=999999999", "election timeouts are a range"),
        ("replay / --report here", "is a directory"),
        ("shrink", "name one of a tape and --seed"),
        ("shrink --seed -1", "is not a whole number from 0"),
        ("shrink --seed 1 --trials 0", "from 1 to 100000"),
        ("shrink /dev/null", "/dev/null is no regular file"),
        ("shrink /dev/null --nodes 5", "--nodes goes with --seed only: a tape has its options"),
        ("shrink /dev/null --seconds 2", "--seconds goes with --seed only"),
        ("shrink /dev/null --set nodes=3", "--set goes with --seed only"),
        ("shrink /dev/null --blackbox always", "--blackbox goes with --seed only"),
        ("shrink /dev/null --seed 1", "name one of a tape and --seed"),
        ("recheck", "Missing argument 'FOLDER'"),
        ("recheck /no/such/folder", "does not exist"),
        ("recheck .", "verdict.json cannot be read: No such file or directory"),
        ("mutants --cpu-max 0", "from 1 to 86400"),
        ("sweep --seeds 1..3 --out /dev/null/here", "--out /dev/null/here cannot be made"),
        ("options --seed x", "'x' is not a whole number"),
        ("sweep", "Missing option '--seeds'"),
        ("sweep --seeds 1-3", "expected A..B such as 1..1000"),
        ("sweep --seeds 3..1", "expected 0 <= A <= B"),
        ("sweep --seeds 0..99999999999", "at most 10000000 in one sweep"),
        ("sweep --seeds 1..3 -j 0", "from 1 to 256"),
        ("sweep --seeds 1..3 --shard 2/2", "expected K/N with 0 <= K < N"),
        ("sweep --seeds 1..3 --shard x", "expected K/N with 0 <= K < N"),
        ("sweep --seeds 1..3 --shard 4/9", "the shard is empty"),
        ("sweep --seeds 1..3 -j 2 --dask tcp://127.0.0.1:1", "choose one of -j and --dask"),
        ("sweep --seeds 1..3 --json /no/such/folder/file", "/no/such/folder/file"),
    ],
)
def test_bad_input_is_refused_in_one_line_with_exit_code_2(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.err.startswith("ferrite-sim")


def test_the_installed_script_is_this_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["ferrite-sim"].partition(":")
    assert getattr(importlib.import_module(module), function) is main


def test_without_a_command_the_help_is_shown_and_it_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Start here:" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_violation() -> None:
    words = [sys.executable, "-m", "ferrite.sim", "trace", "--seed", "2", "--seconds", "8"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"0 ")
        process.stdout.close()
        assert process.wait() == 141


def test_output_that_finds_no_room_is_told_of_in_one_line() -> None:
    words = [sys.executable, "-m", "ferrite.sim", "options", "--seed", "7"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False, text=True)
    assert done.stderr == "ferrite-sim: cannot write: no space left on device\n"
    assert done.returncode == 2


def test_an_error_that_nobody_expected_is_a_crash_and_no_violation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ferrite.sim.cli.run.code_commit", breaks)
    assert main(["run", "--seed", "1"]) == 4
    assert capsys.readouterr().err.endswith("this is a bug in ferrite-sim\n")


@pytest.mark.parametrize("name", sorted(ferrite_sim.commands))
def test_the_help_of_each_command_shows_examples_and_every_option_has_a_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    assert f"  ferrite-sim {name}" in capsys.readouterr().out
    command = ferrite_sim.commands[name]
    assert [
        option.name
        for option in command.params
        if isinstance(option, click.Option) and not (option.help or "").endswith((".", ")", "]"))
    ] == []


def test_the_help_documents_the_exit_codes_as_the_guide_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 clean, 1 safety or linearizability violation, 2 bad input, 3 liveness" in shown
    guide = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, 3, 4, 5, 130, 141):
        assert f"\n| {code} |" in guide
