"""The checks that see a wrong read or commit before a client or another node could: what breaks them, and what does not."""

import pytest

from ferrite.core import Index, NodeId, RequestId, Term, actions, messages
from ferrite.sim.violation import Violation
from tests.sim.test_invariants import Told, noop, persist

LEADER, FOLLOWER, OTHER = NodeId(1), NodeId(2), NodeId(3)
READ = RequestId(7)


def beat(told: Told, number: int) -> None:
    told.checks.sending(
        LEADER, FOLLOWER, messages.Heartbeat(term=Term(1), leader_commit=Index(0), round=number)
    )


def answer(told: Told, number: int) -> None:
    said = messages.HeartbeatResponse(term=Term(1), round=number, last_log_index=Index(1))
    told.checks.heard(LEADER, FOLLOWER, [said], queued=False)


def serve(told: Told) -> None:
    told.lead(1, actions.ServeRead(requests=(READ,), read_index=Index(0)))


def test_a_read_confirmed_by_a_later_round_is_right() -> None:
    told = Told()
    beat(told, 1)
    told.checks.read_arrived(LEADER, READ)
    beat(told, 2)
    answer(told, 2)
    serve(told)


def test_an_answer_to_an_earlier_heartbeat_confirms_nothing() -> None:
    told = Told()
    beat(told, 1)
    told.checks.read_arrived(LEADER, READ)
    beat(told, 2)
    answer(told, 1)
    with pytest.raises(Violation, match=r"^S18: A leader's read is confirmed"):
        serve(told)


def test_a_followers_question_is_answered_after_a_round_of_its_own() -> None:
    told = Told()
    asked = messages.ReadIndex(term=Term(1), context=4)
    told.checks.heard(LEADER, OTHER, [asked], queued=False)
    ready = messages.ReadIndexResponse(term=Term(1), context=4, read_index=Index(0), ready=True)
    with pytest.raises(Violation, match=r"^S18: A leader's read is confirmed"):
        told.checks.sending(LEADER, OTHER, ready)


def append(told: Told, prev: int, *entries: object, prev_term: int = 1) -> None:
    message = messages.AppendEntries(
        term=Term(1),
        prev_log_index=Index(prev),
        prev_log_term=Term(prev_term),
        entries=tuple(entries),  # type: ignore[arg-type]  # entries of `noop`
        leader_commit=Index(2),
    )
    told.checks.heard(FOLLOWER, LEADER, [message], queued=False)


def two_entries() -> Told:
    told = Told()
    told.lead(1, persist(2, 2, noop(1)))
    told.checks.performed(LEADER, 2)
    told.checks.persisted(LEADER, 2)
    return told


def commit(told: Told) -> None:
    told.step(2, persist(2, 2, noop(1)))
    told.checks.performed(FOLLOWER, 2)
    told.checks.persisted(FOLLOWER, 2)
    told.lead(1, commit_index=Index(2), last_log_index=Index(2))
    told.step(2, commit_index=Index(2), last_log_index=Index(2))


def test_a_follower_commits_what_an_append_has_proved() -> None:
    told = two_entries()
    append(told, 1, noop(1))
    commit(told)


def test_a_follower_that_commits_its_own_end_is_caught() -> None:
    told = two_entries()
    append(told, 1)
    with pytest.raises(Violation, match=r"^S8: A follower commits no further"):
        commit(told)


def test_an_append_that_does_not_fit_proves_nothing() -> None:
    told = two_entries()
    append(told, 1)
    append(told, 2, prev_term=9)
    with pytest.raises(Violation, match=r"^S8: A follower commits no further"):
        commit(told)


def test_a_question_that_arrives_again_does_not_forbid_the_answer_to_the_first() -> None:
    told = Told()
    asked = messages.ReadIndex(term=Term(1), context=4)
    ready = messages.ReadIndexResponse(term=Term(1), context=4, read_index=Index(0), ready=True)
    told.checks.heard(LEADER, OTHER, [asked, asked], queued=False)
    beat(told, 2)
    answer(told, 2)
    told.checks.sending(LEADER, OTHER, ready)
    told.checks.heard(LEADER, OTHER, [asked], queued=False)
    told.checks.sending(LEADER, OTHER, ready)
