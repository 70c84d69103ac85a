"""Same configuration, same recovered state, same events at the same times: the same actions (contract, section 1)."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

from ferrite.core import actions
from tests.core import scripted_cluster
from tests.core.test_fuzz_step import STARTS, run

ROOT = Path(__file__).parents[2]


def story_under(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.core.scripted_cluster"]
    told = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=environment, cwd=ROOT
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_two_interpreters_with_other_hashes_tell_the_same_story() -> None:
    first, second = story_under("1").splitlines(), story_under("2").splitlines()
    for line, other in zip(first, second, strict=True):
        assert line == other
    assert len(first) > 500


def test_the_story_holds_what_it_is_meant_to_compare() -> None:
    cluster = scripted_cluster.story()
    ends = {node.id: node.replica.status() for node in cluster.nodes.values()}
    counted = {name for status in ends.values() for name, count in status.counters.items() if count}
    assert {
        "leaderships_lost", "membership_changes", "snapshots_installed", "snapshots_saved", "log_truncations", "log_cuts",
        "forwards_appended", "transfers_begun", "reads", "reads_serializable",
    } <= counted  # fmt: skip
    leading = cluster.leader()
    voters = ends[leading.id].membership.voters
    assert scripted_cluster.LEARNER in voters and len(voters) == 3
    assert len({ends[voter].applied_index for voter in voters}) == 1
    assert not any(isinstance(answer, actions.Abandon) for answer in cluster.answers)


def test_the_same_events_again_give_the_same_actions() -> None:
    for start in STARTS:
        for seed in range(3):
            first, second = (run(start, Random(f"{start}/{seed}"), 40) for _ in range(2))
            assert repr(first.done) == repr(second.done)
            assert repr(first.replica.status()) == repr(second.replica.status())
