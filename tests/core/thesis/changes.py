"""What tests of membership share: a change's words, what the log says of it, and everybody's acknowledgement."""

from __future__ import annotations

from typing import Any

from ferrite.core import (
    ChangeVoters,
    EntryKind,
    Membership,
    NodeId,
    RefusalCode,
    Role,
    actions,
    decode_membership,
)
from tests.core.bench import Bench
from tests.core.bench_values import Acts


def voters(*nodes: int) -> ChangeVoters:
    return ChangeVoters(voters=tuple(map(NodeId, nodes)))


def configs_in(bench: Bench) -> list[Membership]:
    return [
        decode_membership(item.payload[9:])
        for item in bench.image.log
        if item.payload[0] == EntryKind.MEMBERSHIP
    ]


def code_of(answer: Any) -> RefusalCode:
    assert isinstance(answer, actions.Refuse), answer
    return answer.code


def everybody(bench: Bench, *but: int) -> Acts:
    """Every member but these acknowledges the whole log, and hears what comes of it."""
    acts = Acts([])
    for peer in bench.others(voters_only=False):
        if peer not in but and bench.role() is Role.LEADER:
            acts += bench.ack(peer)
    return acts
