"""The shipped client library in the simulator: what it does is what `ferrite.core.client` decides, under the faults of a run."""

from dataclasses import replace

import pytest

from ferrite.core import ReplicaConfig
from ferrite.core.kv import CommandErrorCode
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.sim import ClientOptions, Cluster, FaultOptions, Options, swarm
from ferrite.sim.history import COUNTER, OK
from ferrite.sim.library import MAYBE_BEFORE
from ferrite.sim.options import KvOptions
from tests.sim.mutants import BY_NUMBER

QUICK = ReplicaConfig(
    heartbeat_interval_us=10_000, election_timeout_min_us=100_000, election_timeout_max_us=200_000
)
COUNTING = Options(
    seconds=6,
    replica=QUICK,
    faults=FaultOptions(crash_every_us=400_000, crash_leader_ppm=1_000_000, down_mean_us=100_000),
    clients=ClientOptions(
        clients=4,
        think_mean_us=10_000,
        timeout_us=100_000,
        get_ppm=0,
        answer_lost_ppm=100_000,
        crash_ppm=20_000,
        library_ppm=1_000_000,
        library_tasks=2,
        library_rate_ppm=10_000_000,
        pause_ppm=20_000,
    ),
    kv=KvOptions(counter_ppm=1_000_000),
)


def test_an_increment_that_the_library_tries_again_counts_once() -> None:
    """Leaders are killed and answers lost; the replay of the log counts what was acknowledged (S17)."""
    cluster = Cluster(5, COUNTING)
    assert cluster.run().violation is None
    counted = [each for each in cluster.history.operations if each.kind == COUNTER and each.outcome == OK]
    again = [each for each in counted if each.succeeded and each.attempts > 1]
    assert len(again) > 20, "enough of them were tried more than once"
    assert all(len(each.tried_as) == 1 for each in again), "each under one request of one session"
    assert cluster.world.counters["fault_library_answer_lost"] > 20


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
def test_an_answer_of_the_machine_says_as_much_of_earlier_attempts_as_at_the_doors(code: CommandErrorCode) -> None:
    assert PROBLEM_KINDS[code.name.lower()].certainly_not_applied == (code not in MAYBE_BEFORE)


@pytest.mark.parametrize("number", [80, 81, 82], ids=lambda number: BY_NUMBER[number].name)
def test_a_bug_of_the_library_is_caught(number: int) -> None:
    found = {BY_NUMBER[number].run(seed, replace(COUNTING, seconds=3)).violation for seed in (5, 6, 7)}
    assert {violation.name for violation in found if violation is not None} & {"S17", "S22"}
