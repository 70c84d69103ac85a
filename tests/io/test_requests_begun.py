"""Requests without a task: begun together, decided together, each with its one outcome. And members that are removed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ferrite.core import ChangeVoters, Consistency, NodeId, RefusalCode, RemoveLearner, actions, events
from ferrite.core.kv import CommandErrorCode, CommandFailed, Get, GetResult, Put, PutResult, Session
from ferrite.io.request_path import Answered, CommandRejected, OutcomeUnknown, RequestError, RequestRefused
from tests.io.node_fakes import announce
from tests.io.test_requests import Desk, config_of

PUT = Put(key=b"k", value=b"v")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(config_of(tmp_path), {})
    desk.orders(announce(2))
    await desk.until(lambda: desk.node.announced)
    yield desk
    await desk.node.close()


def _reply_to_all(facts: list[events.Event]) -> list[actions.Action]:
    return [
        actions.Reply(request=fact.request, result=PutResult(revision=fact.request))
        for fact in facts
        if isinstance(fact, events.ProposalReceived)
    ]


async def test_what_is_begun_in_one_turn_reaches_the_core_in_one_step(desk: Desk) -> None:
    desk.replica.answer = _reply_to_all
    outcomes: list[Answered | RequestError] = []
    for number in range(1, 101):
        desk.path.begin_write(
            PUT, outcomes.append, session=Session(client_id=b"me", request_id=number), timeout_ms=1000
        )
    assert outcomes == []
    await desk.until(lambda: len(outcomes) == 100)
    steps = [facts for facts, _ in desk.record if any(isinstance(f, events.ProposalReceived) for f in facts)]
    assert [len(facts) for facts in steps] == [100]
    first = outcomes[0]
    assert isinstance(first, Answered)
    assert (first.result, first.leader_id) == (PutResult(revision=1), 2)
    assert desk.node.waiting_count == 0


async def test_a_read_that_was_begun_is_served(desk: Desk) -> None:
    desk.answers(actions.Reply(request=0, result=None))  # type: ignore[arg-type]  # the number is put in
    outcomes: list[Answered | RequestError] = []
    desk.path.begin_read(
        Get(key=b"k"), outcomes.append, consistency=Consistency.SERIALIZABLE, max_staleness_ms=30
    )
    await desk.until(lambda: outcomes)
    assert isinstance(outcomes[0], Answered)
    assert outcomes[0].result == GetResult(revision=7, entry=None)
    asked = await desk.told(events.ReadRequested)
    assert isinstance(asked, events.ReadRequested)
    assert (asked.consistency, asked.max_staleness_us) == (Consistency.SERIALIZABLE, 30_000)


@pytest.mark.parametrize(
    "outcome, kind, code, revision",
    [
        (
            actions.Refuse(request=0, code=RefusalCode.OVERLOADED, detail="", leader=NodeId(0)),  # type: ignore[arg-type]  # the number is put in
            RequestRefused,
            "overloaded",
            0,
        ),
        (actions.Abandon(request=0, detail=""), OutcomeUnknown, "unknown_outcome", 0),  # type: ignore[arg-type]  # as above
        (
            actions.Reply(
                request=0,  # type: ignore[arg-type]  # as above
                result=CommandFailed(code=CommandErrorCode.COMPACTED, detail="", revision=7),
            ),
            CommandRejected,
            "compacted",
            7,
        ),
    ],
)
async def test_what_fails_is_told_as_the_exception_that_a_write_raises(
    desk: Desk,
    outcome: actions.Reply | actions.Refuse | actions.Abandon,
    kind: type[RequestError],
    code: str,
    revision: int,
) -> None:
    desk.answers(outcome)
    outcomes: list[Answered | RequestError] = []
    desk.path.begin_write(PUT, outcomes.append)
    await desk.until(lambda: outcomes)
    (error,) = outcomes
    assert isinstance(error, kind)
    assert (error.code, error.revision) == (code, revision)


async def test_a_voter_is_removed_by_the_voters_without_it_and_anybody_else_as_a_learner(desk: Desk) -> None:
    desk.answers(actions.Reply(request=0, result=15))  # type: ignore[arg-type]  # the number is put in
    assert desk.node.announced is not None
    voters = desk.node.announced.membership.voters
    assert await desk.path.remove_member(voters[-1]) == 15
    assert await desk.path.remove_member(99) == 15
    asked = [fact for fact in desk.replica.seen if isinstance(fact, events.MembershipChangeRequested)]
    assert [change.change for change in asked] == [
        ChangeVoters(voters=voters[:-1]),
        RemoveLearner(node_id=NodeId(99)),
    ]
