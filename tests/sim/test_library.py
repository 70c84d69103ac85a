"""The shipped client library in the simulator: what it does is what `ferrite.core.client` decides, under the faults of a run."""

import pytest

from ferrite.core.kv import CommandErrorCode
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.sim import Cluster, swarm
from ferrite.sim.history import COUNTER, OK
from ferrite.sim.library import MAYBE_BEFORE
from tests.sim.mutants.scenarios.clients import COUNTING


def test_an_increment_that_the_library_tries_again_counts_once() -> None:
    """Leaders are killed and answers lost; the replay of the log counts what was acknowledged (S17)."""
    cluster = Cluster(5, COUNTING)
    assert cluster.run().violation is None
    counted = [each for each in cluster.history.operations if each.kind == COUNTER and each.outcome == OK]
    again = [each for each in counted if each.succeeded and each.attempts > 1]
    assert len(again) > 10, "enough of them were tried more than once"
    assert all(len(each.tried_as) == 1 for each in again), "each under one request of one session"
    assert cluster.world.counters["fault_library_answer_lost"] > 10


def test_the_same_seed_with_the_library_is_the_same_run() -> None:
    assert Cluster(5, COUNTING).run().digest == Cluster(5, COUNTING).run().digest


def test_tasks_share_a_session_and_a_crash_takes_all_of_a_process_along() -> None:
    cluster = Cluster(5, COUNTING)
    cluster.run()
    sessions: dict[bytes, set[str]] = {}
    for each in cluster.history.operations:
        for session, _ in each.tried_as:
            sessions.setdefault(session, set()).add(each.client.partition(".")[0])
    assert any(len(clients) == 2 for clients in sessions.values())
    assert len(sessions) > 2, "processes crashed, and new ones took other sessions"


def test_every_seed_may_have_clients_of_the_library() -> None:
    assert all(swarm(seed).clients.library_ppm >= 500_000 for seed in range(100))


@pytest.mark.parametrize("code", CommandErrorCode)
def test_an_answer_of_the_machine_says_as_much_of_earlier_attempts_as_at_the_doors(
    code: CommandErrorCode,
) -> None:
    assert PROBLEM_KINDS[code.name.lower()].certainly_not_applied == (code not in MAYBE_BEFORE)
