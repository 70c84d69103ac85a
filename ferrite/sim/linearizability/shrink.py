"""The shortest sub-history that is still not linearizable, by deletions that keep every linearizable history linearizable.

Only such deletions make a sub-history an explanation: without the write that it saw, any read would be wrong. Allowed are

- to cut the history at a return: what returned later is then unknown;
- to delete a pure call;
- to delete a call after which the state is always the same, or an append, together with every call that can have seen what it
  did. In a linearization nothing but a blind write, or the end, can follow it then. Who returned before it began has not seen
  it; nor has who began after a blind write that stands between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.actions import State
from ferrite.sim.linearizability.history import NEVER
from ferrite.sim.linearizability.models import Call, Part
from ferrite.sim.linearizability.search import Search

SHRINK_STEPS: Final = 20_000
"""Work for one explanation: configurations looked at, plus CALL_STEPS for each call laid out. About a second at most."""
CALL_STEPS: Final = 2


def cut_at(part: Part, ret: int) -> Part:
    """Return the part's history up to a return."""
    calls = []
    for call in part.calls:
        if call.ret <= ret:
            calls.append(call)
        elif call.invoke < ret and call.kind != "pure":
            calls.append(replace(call, ret=NEVER))
    return replace(part, calls=calls)


def shrink(part: Part, steps: int = SHRINK_STEPS) -> tuple[Part, bool]:
    """Return a small sub-history that is not linearizable, and whether no single deletion is left to try."""
    shrinker = _Shrinker(part, steps)
    before = -1
    while before != len(shrinker.calls) and shrinker.steps > 0:
        before = len(shrinker.calls)
        shrinker.delete_in_chunks(pure=True)
        shrinker.delete_in_chunks(pure=False)
        shrinker.delete_with_observers()
    return replace(part, calls=shrinker.calls), shrinker.steps > 0


@dataclass(slots=True)
class _Shrinker:
    part: Part
    steps: int

    @property
    def calls(self) -> list[Call]:
        return self.part.calls

    def still_wrong_without(self, gone: list[Call]) -> bool:
        """Keep the deletion if what remains is still not linearizable."""
        deleted = {call.invoke for call in gone}
        part = replace(self.part, calls=[call for call in self.calls if call.invoke not in deleted])
        if not part.calls or self.steps <= 0 or not self._still_tells(part):
            return False
        search = Search(part)
        wrong = search.run(self.steps) is False
        self.steps -= search.steps + CALL_STEPS * len(part.calls)
        if wrong:
            self.part = part
        return wrong

    def _still_tells(self, part: Part) -> bool:
        """Whether everybody who needs a value still has somebody who wrote it, as far as there was one.

        The proof does without, but a read of a value that nobody wrote would look like another fault.
        """
        written = self._written(part)
        lost = self._written(self.part) - written
        needed = [call.action[1] for call in part.calls if call.action[0] in (act.READ, act.CAS)]
        if any(call.action[0] == act.APPEND for call in self.calls):
            return not any(str(text) in str(whole) for text in lost for whole in needed)
        return not any(value in lost for value in needed)

    def _written(self, part: Part) -> set[State]:
        results = [part.semantics.result(call.action) for call in part.calls if call.kind != "pure"]
        texts = {call.action[1] for call in part.calls if call.action[0] == act.APPEND}
        return texts | {state for fixed, state in results if fixed}

    def delete_in_chunks(self, *, pure: bool) -> None:
        """Half of the candidates at once, then quarters, and so on (Zeller's ddmin)."""
        chunk = len(self.calls)
        while chunk > 0 and self.steps > 0:
            candidates = [
                call for call in self.calls if (call.kind == "pure") == pure and (pure or self._unseen(call))
            ]
            chunk = min(chunk, len(candidates))
            # Late calls last: what goes wrong shows at the end.
            for start in range(0, len(candidates), max(chunk, 1)):
                self.still_wrong_without(candidates[start : start + chunk])
            chunk //= 2

    def _observers(self, call: Call) -> list[Call] | None:
        """The calls that may have seen what this one did; None when every call may."""
        if call.action[0] == act.APPEND:
            text = call.action[1]
            assert isinstance(text, str), "the model hands strings only"
            observers = [
                one for one in self.calls if one.action[0] == act.READ and text in str(one.action[1])
            ]
        else:
            fixed, state = self.part.semantics.result(call.action)
            if not fixed:
                return None
            step = self.part.semantics.step
            observers = [
                one
                for one in self.calls
                if one.kind != "blind" and one.action != call.action and step(state, one.action)[0]
            ]
        shield = min(
            (one.ret for one in self.calls if one.kind == "blind" and one.invoke > call.ret), default=NEVER
        )
        return [one for one in observers if call.invoke < one.ret and one.invoke < shield]

    def _unseen(self, call: Call) -> bool:
        return self._observers(call) == []

    def delete_with_observers(self) -> None:
        for call in list(self.calls):
            if call.kind == "pure" or call not in self.calls or self.steps <= 0:
                continue
            observers = self._observers(call)
            if observers and all(one.kind == "pure" for one in observers):
                self.still_wrong_without([call, *observers])
