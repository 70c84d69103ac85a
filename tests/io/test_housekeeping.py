"""The leader's own proposals, from the configured policy to the replica and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ferrite.core import RefusalCode, actions, events
from ferrite.core.kv import (
    AutoCompaction,
    CommandErrorCode,
    CommandFailed,
    Compact,
    Done,
    HousekeepingConfig,
    MachineFacts,
    Operation,
    decode_command,
)
from ferrite.io import housekeeping
from ferrite.io.housekeeping import Housekeeping
from tests.io.node_fakes import Rig, facts, identity

SECOND_US = 1_000_000


class House(Rig):
    """A rig with housekeeping; each proposal has `outcome`."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.facts = facts(revision=100)
        self.proposed: list[Operation] = []
        self.outcome: object = Done(revision=100)
        self.keeping = Housekeeping(
            self.node,
            identity=identity(),
            facts=lambda: self.facts,
            config=HousekeepingConfig(auto_compaction=AutoCompaction.REVISIONS, retention=50),
            timeout_ms=1000,
        )

    def _answer(self, seen: list[events.Event]) -> list[actions.Action]:
        answers: list[actions.Action] = []
        for fact in seen:
            if isinstance(fact, events.ProposalReceived):
                command = decode_command(fact.command)
                assert (command.origin.node_id, command.origin.boot) == (1, 3)
                self.proposed.append(command.operation)
                if isinstance(self.outcome, RefusalCode):
                    refused = actions.Refuse(
                        request=fact.request, code=self.outcome, detail="", leader=identity().node_id
                    )
                    answers.append(refused)  # fmt: skip
                else:
                    answers.append(actions.Reply(request=fact.request, result=self.outcome))
        return answers


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    house.keeping.close()
    await house.node.close()


async def test_a_leader_proposes_and_looks_again_when_it_is_done(house: House) -> None:
    house.replica.leads_at_us = SECOND_US
    house.keeping.start()
    await house.until(lambda: house.proposed)
    assert house.proposed[0] == Compact(revision=50)
    house.facts = facts(revision=200, compacted_revision=50)
    await house.until(lambda: house.proposed[-1] == Compact(revision=150))


async def test_who_does_not_lead_proposes_nothing(house: House) -> None:
    looks = 0

    def count() -> MachineFacts:
        nonlocal looks
        looks += 1
        return facts(revision=100)

    house.keeping._facts = count
    house.keeping.start()
    await house.until(lambda: looks)
    assert house.proposed == []


@pytest.mark.parametrize(
    "outcome",
    [RefusalCode.OVERLOADED, CommandFailed(code=CommandErrorCode.COMPACTED, detail="", revision=60)],
)
async def test_what_was_not_carried_out_is_tried_again_after_a_pause(
    house: House, outcome: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(house.keeping, "_again", pauses.append)
    house.replica.leads_at_us = SECOND_US
    house.outcome = outcome
    house.keeping._look()
    await house.until(lambda: pauses)
    assert pauses == [housekeeping.RETRY_S]


async def test_nothing_is_proposed_after_the_close(house: House) -> None:
    house.keeping.start()
    house.keeping.close()
    house.replica.leads_at_us = SECOND_US
    await asyncio.sleep(0.01)
    assert house.proposed == []
