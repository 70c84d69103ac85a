"""What need not be searched: unknown operations whose effect nobody can have seen, and differences that nobody asks for.

An unknown operation may never have taken effect. It matters only when a later operation needs the state it leaves. Left out
of a linearization, such an operation takes nothing away: between it and the next blind write stand only operations that are
legal in the state it left, and there are none.
"""

from __future__ import annotations

from typing import Final

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.actions import Action, State
from ferrite.sim.linearizability.history import NEVER
from ferrite.sim.linearizability.models import Call, Part

UNMENTIONED: Final = ("unmentioned",)
"""Stands for any value, not None, that no coming call asks for: such values are all alike. No JSON value is such a tuple."""


def last_mentions(calls: list[Call]) -> dict[State, int] | None:
    """Return for each value the last return of a call that asks for it; None when values may matter in other ways."""
    last: dict[State, int] = {}
    for call in calls:
        code = call.action[0]
        if code == act.APPEND or not isinstance(code, int):
            return None
        if code in (act.READ, act.NOT, act.CAS):
            last[call.action[1]] = max(call.ret, last.get(call.action[1], 0))
    return last


def relevant_calls(part: Part) -> list[Call]:
    """Return the calls without unknown ones that nobody can have seen, to a fixed point."""
    calls = part.calls
    while True:
        kept = _one_round(part, calls)
        if len(kept) == len(calls):
            return calls
        calls = kept


def _one_round(part: Part, calls: list[Call]) -> list[Call]:
    if all(call.ret != NEVER for call in calls):
        return calls
    last_return: dict[Action, int] = {}
    for call in calls:
        if call.kind != "blind":
            last_return[call.action] = max(call.ret, last_return.get(call.action, 0))
    return [call for call in calls if call.ret != NEVER or _may_be_seen(part, call, last_return)]


def _may_be_seen(part: Part, call: Call, last_return: dict[Action, int]) -> bool:
    if call.action[0] == act.APPEND:
        return _append_may_be_seen(call, last_return)
    same_everywhere, state = part.semantics.result(call.action)
    if not same_everywhere:
        return True
    return any(
        ret > call.invoke and part.semantics.step(state, action)[0]
        for action, ret in last_return.items()
        # An unknown operation alone does not see itself: (CAS, 1, 1) after (CAS, 1, 1) changes nothing.
        if action != call.action
    )


def _append_may_be_seen(call: Call, last_return: dict[Action, int]) -> bool:
    """Whoever reads after an append reads its text, until the next blind write."""
    text = call.action[1]
    assert isinstance(text, str), "the model hands strings only"
    return any(
        action[0] == act.READ and isinstance(action[1], str) and text in action[1] and ret > call.invoke
        for action, ret in last_return.items()
    )
