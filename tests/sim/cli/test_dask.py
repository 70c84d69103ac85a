"""The same sweep on a real Dask cluster: a scheduler and two workers, processes on loopback."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ferrite.sim.search.settings import RunChoice
from ferrite.sim.search.sweep import run_seed
from ferrite.sim.search.tally import Tally

SWEEP = ["sweep", "--seeds", "1..6", "--nodes", "3", "--seconds", "1", "--json", "-"]
CHOICE = RunChoice(nodes=3, seconds=1)
ROOT = Path(__file__).parents[3]


@contextmanager
def running(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives for the block; its output goes to a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers. They find each other by a file, so no port is guessed."""
    meeting = tmp_path / "scheduler.json"
    dask = (sys.executable, "-m", "distributed.cli")
    place = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(meeting))
    with ExitStack() as stack:
        first = stack.enter_context(
            running(
                tmp_path / "scheduler.log", *dask[:2], "distributed.cli.dask_scheduler", "--port", "0", *place
            )
        )
        worker = (*dask[:2], "distributed.cli.dask_worker", *place, "--nthreads", "1", "--no-nanny")
        for number in (1, 2):
            stack.enter_context(running(tmp_path / f"worker{number}.log", *worker))
        while not meeting.exists() or not meeting.read_text():
            assert first.poll() is None, (tmp_path / "scheduler.log").read_text()
            time.sleep(0.05)
        yield str(json.loads(meeting.read_text())["address"])


def swept(*words: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "ferrite.sim", *SWEEP, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, object] = json.loads(done.stdout)
    return summary


def test_a_dask_cluster_gives_the_same_sweep_as_this_process(scheduler: str) -> None:
    local = Tally()
    for seed in range(1, 7):
        local.add(run_seed(CHOICE, seed))
    spread = swept("--dask", scheduler)
    assert spread["runs"] == local.to_json()["runs"]
    assert spread["combined_digest"] == local.combined_digest()
