"""Ids of leases, and keep-alives that travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ferrite.core.kv import (
    CommandResult,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    Operation,
    Put,
    Session,
)
from ferrite.io import keep_alives
from ferrite.io.lease_requests import IDS_TRIED, LeaseRequests, cares_for
from ferrite.io.request_path import Answered, CommandRejected, RequestRefused

SESSION = Session(client_id=b"me", request_id=3)
GRANT = LeaseGrant(lease_id=0, ttl_s=10)
Proposal = tuple[Operation, Session | None, int | None]


class Log:
    """Where proposals go. `answer` makes results."""

    def __init__(self, answer: Callable[[Operation], CommandResult]) -> None:
        self.proposed: list[Proposal] = []
        self.answer = answer
        self.leases = LeaseRequests(self.propose)

    async def propose(
        self, operation: Operation, session: Session | None, timeout_ms: int | None
    ) -> Answered:
        self.proposed.append((operation, session, timeout_ms))
        await asyncio.sleep(0)
        return Answered(result=self.answer(operation), leader_id=2)


def granted(operation: Operation) -> CommandResult:
    assert isinstance(operation, LeaseGrant)
    return LeaseGrantResult(revision=5, lease_id=operation.lease_id, ttl_s=operation.ttl_s)


def kept(operation: Operation) -> CommandResult:
    """Each lease has its own number as TTL, but 7 is gone."""
    assert isinstance(operation, LeaseKeepAlive)
    ttls = tuple(0 if lease_id == 7 else lease_id for lease_id in operation.lease_ids)
    return LeaseKeepAliveResult(revision=5, ttls_s=ttls)


def taken(_: Operation) -> CommandResult:
    raise CommandRejected("lease_exists", "it is there")


def ids(log: Log) -> list[int]:
    return [operation.lease_id for operation, _, _ in log.proposed if isinstance(operation, LeaseGrant)]


def test_only_what_needs_it_goes_this_way() -> None:
    assert cares_for(GRANT, None)
    assert cares_for(GRANT, SESSION)
    assert cares_for(LeaseKeepAlive(lease_ids=(1,)), None)
    assert not cares_for(LeaseKeepAlive(lease_ids=(1,)), SESSION)
    assert not cares_for(LeaseGrant(lease_id=5, ttl_s=1), None)
    assert not cares_for(LeaseRevoke(lease_id=5), None)
    assert not cares_for(Put(key=b"k"), None)


async def test_an_id_is_chosen_and_another_one_when_it_is_taken() -> None:
    log = Log(granted)
    answers = [await log.leases.carry(GRANT, None, 77) for _ in range(2)]
    assert len({lease_id for lease_id in ids(log) if 1 <= lease_id < 2**63}) == 2
    assert [answer.result.lease_id for answer in answers if isinstance(answer.result, LeaseGrantResult)] == ids(log)  # fmt: skip
    log.answer = taken
    with pytest.raises(CommandRejected):
        await log.leases.carry(GRANT, None, 77)
    assert len(set(ids(log))) == 2 + IDS_TRIED


async def test_another_error_is_not_tried_away() -> None:
    def full(_: Operation) -> CommandResult:
        raise CommandRejected("no_space", "full")

    log = Log(full)
    with pytest.raises(CommandRejected, match="no_space"):
        await log.leases.carry(GRANT, None, None)
    assert len(log.proposed) == 1


async def test_a_sessions_retry_is_the_same_command() -> None:
    log = Log(granted)
    for session in (SESSION, SESSION, Session(client_id=b"me", request_id=4)):
        await log.leases.carry(GRANT, session, None)
    first, again, other = ids(log)
    assert first == again != other
    log.answer = taken
    with pytest.raises(CommandRejected):
        await log.leases.carry(GRANT, SESSION, None)
    assert len(log.proposed) == 4, "another id would be another command"


async def test_keep_alives_that_come_together_are_one_command_and_each_gets_its_own_answer() -> None:
    log = Log(kept)
    asked = [(1, 2), (7,), (2, 3, 2)]
    answers = await asyncio.gather(
        *(log.leases.carry(LeaseKeepAlive(lease_ids=lease_ids), None, timeout_ms)
          for lease_ids, timeout_ms in zip(asked, (50, 500, 5), strict=True))
    )  # fmt: skip
    assert log.proposed == [(LeaseKeepAlive(lease_ids=(1, 2, 7, 3)), None, 500)]
    assert [answer.result for answer in answers] == [
        LeaseKeepAliveResult(revision=5, ttls_s=ttls) for ttls in ((1, 2), (0,), (2, 3, 2))
    ]
    assert answers[0].leader_id == 2
    await log.leases.carry(LeaseKeepAlive(lease_ids=(9,)), None, None)
    assert log.proposed[1] == (LeaseKeepAlive(lease_ids=(9,)), None, None)


async def test_an_error_is_everybodys_and_who_gives_up_hurts_nobody() -> None:
    log = Log(kept)
    impatient = asyncio.ensure_future(log.leases.carry(LeaseKeepAlive(lease_ids=(1,)), None, None))
    patient = asyncio.ensure_future(log.leases.carry(LeaseKeepAlive(lease_ids=(2,)), None, None))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).result == LeaseKeepAliveResult(revision=5, ttls_s=(2,))

    def refused(_: Operation) -> CommandResult:
        raise RequestRefused("overloaded", "later")

    log.answer = refused
    both = [log.leases.carry(LeaseKeepAlive(lease_ids=(each,)), None, None) for each in (1, 2)]
    errors = await asyncio.gather(*both, return_exceptions=True)
    assert [type(error) for error in errors] == [RequestRefused, RequestRefused]


async def test_a_full_command_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_alives, "GATHER_S", 3600)
    monkeypatch.setattr(keep_alives, "LEASES_MAX", 2)
    log = Log(kept)
    both = [log.leases.carry(LeaseKeepAlive(lease_ids=(each,)), None, None) for each in (1, 2)]
    async with asyncio.timeout(10):
        await asyncio.gather(*both)
    assert len(log.proposed) == 1
