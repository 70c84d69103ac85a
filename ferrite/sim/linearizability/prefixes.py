"""Looking ahead on strings that only grow: a state from which a coming read cannot be reached any more leads nowhere.

A read needs a state that it begins with, or a blind write that it begins with and that is still to come. When the texts of
appends and writes are distinct and none begins with another, each read says which calls made it, in which order: then all
those that are not in the state have to be still to come, too.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import islice, pairwise
from operator import itemgetter
from typing import Final

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.actions import State
from ferrite.sim.linearizability.models import Call

Plan = list[tuple[Call, int, int, list[tuple[int, Call]]]]
READS_AHEAD: Final = 8
"""How many reads that return next are looked at, besides all that are pending."""


@dataclass(slots=True)
class _Look:
    """One read, seen from one place."""

    bit: int
    """Its bit when it is pending, else 0."""
    text: str
    starters: int = 0
    """Bits of pending blind writes that it can begin with."""
    starter_comes: bool = False
    """Whether such a write is invoked later."""
    pending: list[tuple[int, int]] = field(default_factory=list)
    """(bit, end in the text) of the pending calls that it is made of."""
    gone_end: int = 0
    """Where the last call ends that it is made of and that has returned: the state must reach there."""


class Prefixes:
    """Whether every coming read can still be reached."""

    def __init__(self, calls: list[Call], plan: Plan) -> None:
        self._plan = plan
        self._reads = [(place, one[0]) for place, one in enumerate(plan) if one[0].action[0] == act.READ]
        self._writes = [call for call in calls if call.kind != "pure"]
        self._made_of = _decode([call for _, call in self._reads], self._writes)
        blind = [call for call in self._writes if call.kind == "blind"]
        self._starters = {
            read.invoke: [
                call
                for call in blind
                if call.invoke < read.ret and str(read.action[1]).startswith(str(call.action[1]))
            ]
            for _, read in self._reads
        }
        self._first_read = [bisect_left(self._reads, place, key=itemgetter(0)) for place in range(len(plan))]
        self._looks: list[list[_Look] | None] = [None] * len(plan)

    @staticmethod
    def for_calls(calls: list[Call], plan: Plan) -> Prefixes | None:
        """Return the look-ahead when there are appends, else None."""
        return Prefixes(calls, plan) if any(call.action[0] == act.APPEND for call in calls) else None

    def __call__(self, place: int, state: State, settled: int, available: int) -> bool:
        assert isinstance(state, str), "the model hands strings only"
        looks = self._looks[place] or self._look(place)
        size = len(state)
        for look in looks:
            if look.bit & settled:
                continue
            if look.text.startswith(state):
                if look.gone_end > size or any(
                    end > size and not bit & available for bit, end in look.pending
                ):
                    return False
                continue
            if look.gone_end or not (look.starter_comes or look.starters & available):
                return False
            if any(not bit & available for bit, _ in look.pending):
                return False
        return True

    def _look(self, place: int) -> list[_Look]:
        waiting = self._plan[place][3]
        bits = {call.invoke: bit for bit, call in waiting}
        now = self._plan[place][0].ret
        looks = []
        ahead = 0
        for _, call in islice(self._reads, self._first_read[place], None):
            bit = bits.get(call.invoke, 0)
            if not bit:
                ahead += 1
                if ahead > READS_AHEAD:
                    break
            looks.append(self._look_at(call, bit, bits, now))
        self._looks[place] = looks
        return looks

    def _look_at(self, read: Call, bit: int, bits: dict[int, int], now: int) -> _Look:
        text = read.action[1]
        assert isinstance(text, str), "the model hands strings only"
        look = _Look(bit, text)
        for call in self._starters[read.invoke]:
            look.starters |= bits.get(call.invoke, 0)
            look.starter_comes |= call.invoke > now
        if self._made_of is not None:
            for call, end in self._made_of[read.invoke]:
                if call.invoke in bits:
                    look.pending.append((bits[call.invoke], end))
                elif call.invoke < now:
                    look.gone_end = max(look.gone_end, end)
        return look


def _decode(reads: list[Call], writes: list[Call]) -> dict[int, list[tuple[Call, int]]] | None:
    """Return for each read (by invocation) the calls that made it, with their ends; None when that is ambiguous."""
    makers = {str(call.action[1]): call for call in writes}
    texts = sorted(makers)
    ambiguous = any(later.startswith(text) for text, later in pairwise(texts))
    if len(makers) < len(writes) or ambiguous or "" in makers:
        return None
    lengths = sorted({len(text) for text in texts})
    made_of: dict[int, list[tuple[Call, int]]] = {}
    for read in reads:
        text, start = str(read.action[1]), 0
        parts: list[tuple[Call, int]] = []
        while start < len(text):
            length = next((length for length in lengths if text[start : start + length] in makers), 0)
            if length == 0:
                # The initial state, or something that nobody wrote.
                return None
            parts.append((makers[text[start : start + length]], start + length))
            start += length
        made_of[read.invoke] = parts
    return made_of
