from pathlib import Path

import pytest

from ferrite.sim.cli import main

SHORT = ["--seed", "2", "--nodes", "3", "--seconds", "1"]
# Loaded by every Python process whose path has it: iterates over a set where the order matters.
SITECUSTOMIZE = """
from ferrite.sim.cluster import Cluster

honest = Cluster.start_clients

def start_clients(self):
    self.world.note(0, "planted", *{"aa", "bb", "cc", "dd", "ee", "ff", "gg"})
    honest(self)

Cluster.start_clients = start_clients
"""


def test_the_trace_ends_with_the_digest_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SHORT]) == 0
    digest = capsys.readouterr().out.splitlines()[-1]
    assert main(["trace", *SHORT]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == digest
    assert lines[0].startswith("0 1 ")
    assert len(lines) > 50


def test_two_processes_with_different_hash_seeds_do_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["determinism", *SHORT, "--set", "clients.keys=2"]) == 0
    assert "deterministic: seed 2 gave the same " in capsys.readouterr().out


def test_iteration_over_a_set_is_detected_and_located(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    assert main(["determinism", *SHORT]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["verdict: nondeterminism", "seed: 2"]
    assert [line.strip().split(":")[0] for line in lines[-2:]] == ["hash seed 1", "hash seed 2"]
    assert all(" planted " in line for line in lines[-2:])
