"""Looking ahead on strings that only grow: a state that a coming read cannot have grown from leads nowhere."""

from __future__ import annotations

from bisect import bisect_left

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.actions import State
from ferrite.sim.linearizability.models import Call

Plan = list[tuple[Call, int, int, list[tuple[int, Call]]]]
READS_AHEAD_MAX = 64
"""How many coming reads are looked at for one that is not settled: pending ones are few, later ones never are."""


class Prefixes:
    """The next unsettled read must begin with the state, unless a blind write can come between."""

    def __init__(self, calls: list[Call], plan: Plan) -> None:
        self._plan = plan
        self._reads: list[tuple[int, int, int, str]] = []
        """(place of its return, bit, invocation, what it read) by return."""
        for place, (call, bit, _, _) in enumerate(plan):
            if call.action[0] == act.READ:
                text = call.action[1]
                assert isinstance(text, str), "the model hands strings only"
                self._reads.append((place, bit, call.invoke, text))
        self._read_places = [place for place, _, _, _ in self._reads]
        self._blind_invokes = sorted(call.invoke for call in calls if call.kind == "blind")
        self._blind_pending = [
            sum(bit for bit, call in waiting if call.kind == "blind") for _, _, _, waiting in plan
        ]

    @staticmethod
    def for_calls(calls: list[Call], plan: Plan) -> Prefixes | None:
        """Return the look-ahead when there are appends, else None."""
        return Prefixes(calls, plan) if any(call.action[0] == act.APPEND for call in calls) else None

    def __call__(self, place: int, state: State, settled: int, available: int) -> bool:
        assert isinstance(state, str), "the model hands strings only"
        now = self._plan[place][0].ret
        first = bisect_left(self._read_places, place)
        for return_place, bit, invoke, text in self._reads[first : first + READS_AHEAD_MAX]:
            if invoke < now and settled & bit:
                continue
            if text.startswith(state):
                return True
            if self._blind_pending[place] & available:
                return True
            until = self._plan[return_place][0].ret
            return bisect_left(self._blind_invokes, now) < bisect_left(self._blind_invokes, until)
        return True
