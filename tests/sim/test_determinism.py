import os
import subprocess
import sys
from pathlib import Path

from ferrite.sim import Cluster, swarm

ROOT = Path(__file__).parents[2]


def digest_under(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ferrite.sim", "run", "--seed", "11", "--seconds", "4"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_the_same_seed_gives_the_same_digest_under_two_hash_seeds() -> None:
    first = digest_under("1")
    assert first.startswith("digest: ")
    assert first == digest_under("2")


def test_twice_in_a_row_is_the_same_and_another_seed_is_not() -> None:
    digests = [Cluster(seed, swarm(3, seconds=2)).run().digest for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]
