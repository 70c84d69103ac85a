"""Why a history is not linearizable, for people and as JSON."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from ferrite.sim.linearizability.history import NEVER, Operation
from ferrite.sim.linearizability.models import Call, Part
from ferrite.sim.linearizability.search import Search
from ferrite.sim.linearizability.shrink import SHRINK_STEPS, cut_at, shrink
from ferrite.sim.linearizability.values import show
from ferrite.sim.linearizability.witness import Contradiction
from ferrite.sim.linearizability.zones import Clash

SHOWN_MAX: Final = 12
"""Operations of a list that the text shows: the last ones. The JSON has all."""
EXACT_STEPS: Final = 5_000
"""Work for the longest partial linearization and the possible states, which need a search without short cuts."""
SHOWN_CHARACTERS_MAX: Final = 160
"""Of one operation or value in the text."""


@dataclass(slots=True, kw_only=True)
class Explanation:
    """A violation.

    `operations` is a small sub-history that is not linearizable by itself, in the order of invocation; `shortest` says that no
    single operation can be deleted from it. `stuck` is the operation that cannot be placed, `partial` the longest
    linearization found before it returned, `possible` the values that the object could have had for it instead.
    """

    key: str
    sentence: str
    operations: list[Operation]
    shortest: bool = True
    stuck: Operation | None = None
    partial: list[Operation]
    possible: list[str]

    def text(self) -> str:
        """The explanation for people: several lines."""
        lines = [f"not linearizable: {_at(self.key)}{self.sentence}"]
        kind = "shortest" if self.shortest else "small"
        lines += [
            f"  the {kind} offending sub-history ({len(self.operations)} operations):",
            *_listed(self.operations),
        ]
        if self.stuck is not None:
            lines += ["  cannot be placed:", *_listed([self.stuck])]
            if self.possible:
                possible = ", ".join(_short(value) for value in self.possible[:SHOWN_MAX])
                lines.append(f"  the state could have been: {possible}")
            if self.partial:
                lines.append(
                    f"  the longest linearization before it ({len(self.partial)} operations, the last ones):"
                )
                lines += _listed(self.partial[-SHOWN_MAX:])
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The explanation as one JSON object."""
        return {
            "key": self.key,
            "sentence": self.sentence,
            "operations": [operation.as_json() for operation in self.operations],
            "shortest": self.shortest,
            "stuck": None if self.stuck is None else self.stuck.as_json(),
            "partial": [operation.as_json() for operation in self.partial],
            "possible": self.possible,
        }


def _at(key: str) -> str:
    return "" if key == "null" else f"key {key}: "


def _listed(operations: list[Operation]) -> list[str]:
    return [f"    {_short(operation.describe())}" for operation in operations]


def _short(text: str) -> str:
    half = SHOWN_CHARACTERS_MAX // 2
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:half]} ... {text[-half:]}"


def explain_search(part: Part, search: Search) -> Explanation:
    """Explain a refusal by the search."""
    stuck = search.stuck_at()
    assert stuck is not None, "a search that refused got stuck somewhere"
    part = _shortest_refused_prefix(part) if search.looks_ahead else cut_at(part, stuck.ret)
    stuck = max((call for call in part.calls if call.ret != NEVER), key=attrgetter("ret"))
    search = Search(part, exact=True)
    search.run(EXACT_STEPS)
    small, shortest = shrink(part)
    operation = stuck.operation
    return Explanation(
        key=part.name,
        sentence=f"the {operation.f} that returned on line {operation.ret} has no place in any order",
        operations=_operations(small.calls),
        shortest=shortest,
        stuck=operation,
        partial=_operations(search.order(search.deepest_trail)),
        possible=[show(state) for state in search.states_at_deepest()],
    )


def _shortest_refused_prefix(part: Part) -> Part:
    """Every prefix of a linearizable history is linearizable, so that halving finds the place."""
    returns = sorted(call.ret for call in part.calls if call.ret != NEVER)
    place = bisect_left(returns, True, key=lambda ret: Search(cut_at(part, ret)).run(SHRINK_STEPS) is False)
    return cut_at(part, returns[min(place, len(returns) - 1)])


def explain_clash(part: Part, clash: Clash) -> Explanation:
    """Explain a refusal by the zones: the search does it on the few operations that they name."""
    calls = sorted({call.invoke: call for call in clash.calls}.values(), key=lambda call: call.invoke)
    small = Part(name=part.name, semantics=part.semantics, initial=part.initial, calls=calls)
    search = Search(small)
    while (verdict := search.run(SHOWN_MAX)) is None:
        pass
    assert verdict is False, "what the zones refuse, the search refuses"
    explanation = explain_search(small, search)
    explanation.sentence = clash.sentence
    if len(calls) == 2:
        explanation.operations = _operations(calls)
    _fill_in(explanation, part)
    return explanation


def _fill_in(explanation: Explanation, part: Part) -> None:
    """What the few operations of a clash leave open stands in the whole part, if a short search gets as far as there."""
    stuck = explanation.stuck
    assert stuck is not None, "the search names it"
    explanation.partial, explanation.possible = [], []
    if len(part.calls) > EXACT_STEPS:
        return
    whole = Search(cut_at(part, stuck.ret), exact=True)
    refused = whole.run(EXACT_STEPS) is False
    found = whole.stuck_at()
    if refused and found is not None and found.operation is stuck:
        explanation.partial = _operations(whole.order(whole.deepest_trail))
        explanation.possible = [show(state) for state in whole.states_at_deepest()]


def explain_contradiction(contradiction: Contradiction) -> Explanation:
    """Explain a refusal by the witness check: it names the operations itself."""
    return Explanation(
        key=show(contradiction.operations[-1].key),
        sentence=contradiction.sentence,
        operations=sorted(contradiction.operations, key=lambda operation: operation.invoke),
        stuck=None,
        partial=[],
        possible=[],
    )


def _operations(calls: list[Call]) -> list[Operation]:
    return [call.operation for call in calls]
