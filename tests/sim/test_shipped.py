"""The shipped client library in the simulator: what it does is what `ferrite.core.client` decides, under the faults of a run."""

import pytest

from ferrite.core.kv import CommandErrorCode, CommandFailed, PutResult, Session, SessionLimits
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.sim import Cluster, Violation, swarm
from ferrite.sim.checks.sessions import SessionEnds
from ferrite.sim.history import COUNTER, INFO, OK
from ferrite.sim.shipped import MAYBE_BEFORE
from tests.sim.mutants.scenarios.clients import COUNTING, EXPIRING


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
    cluster = Cluster(6, COUNTING)  # a seed in which processes crash
    cluster.run()
    sessions: dict[bytes, set[str]] = {}
    for each in cluster.history.operations:
        for session, _ in each.tried_as:
            sessions.setdefault(session, set()).add(each.client.partition(".")[0])
    assert any(len(clients) == 2 for clients in sessions.values())
    assert len(sessions) > 2, "processes crashed, and new ones took other sessions"


def test_every_seed_may_have_clients_of_the_library() -> None:
    assert all(swarm(seed).clients.shipped_ppm >= 500_000 for seed in range(100))


@pytest.mark.parametrize("code", CommandErrorCode)
def test_an_answer_of_the_machine_says_as_much_of_earlier_attempts_as_at_the_doors(
    code: CommandErrorCode,
) -> None:
    assert PROBLEM_KINDS[code.name.lower()].certainly_not_applied == (code not in MAYBE_BEFORE)


def test_a_retry_after_the_end_of_its_session_is_refused_and_the_outcome_is_unknown() -> None:
    cluster = Cluster(5, EXPIRING)
    result = cluster.run()
    assert result.violation is None
    assert result.marks["expired_retry"] > 0
    expired = [each for each in cluster.history.operations if each.detail == "session_expired"]
    assert expired
    assert {each.outcome for each in expired} == {INFO}


def expired(index: int, time_us: int, *, refused: bool) -> tuple[Session, object, int, int]:
    session = Session(client_id=b"c", request_id=index, lowest_unacknowledged=index)
    failed = CommandFailed(code=CommandErrorCode.SESSION_EXPIRED, detail="", revision=1)
    return session, failed if refused else PutResult(revision=2), time_us, index


LIMITS = SessionLimits(ttl_us=100, activity_granule_us=10)


@pytest.mark.parametrize(
    "story",
    [
        [(0, False), (99, True)],
        [(0, False), (110, False)],
        [(0, True)],
        [(0, False), (110, True), (111, False)],
    ],
    ids=["ended too early", "lived too long", "ended before it began", "rose again"],
)
def test_a_session_that_does_not_end_as_it_must_is_noticed(story: list[tuple[int, bool]]) -> None:
    ends = SessionEnds(LIMITS)
    *before, (time_us, refused) = story
    for index, (at_us, was_refused) in enumerate(before, 1):
        ends.answered(*expired(index, at_us, refused=was_refused))
    with pytest.raises(Violation, match="A session ends after its time of silence") as found:
        ends.answered(*expired(9, time_us, refused=refused))
    assert found.value.name == "S30"


def test_a_session_that_ends_in_time_and_stays_ended_is_right() -> None:
    ends = SessionEnds(LIMITS)
    for index, (at_us, refused) in enumerate([(0, False), (99, False), (205, True), (206, True)], 1):
        ends.answered(*expired(index, at_us, refused=refused))
