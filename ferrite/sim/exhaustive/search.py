"""Breadth first: the first violation met is at the end of a shortest path."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ferrite.core import Replica
from ferrite.sim.exhaustive.limits import Limits, Spent, within
from ferrite.sim.exhaustive.space import Move, Space, State
from ferrite.sim.exhaustive.steps import Step, readable
from ferrite.sim.exhaustive.walk import Walk
from ferrite.sim.violation import Violation

REPORT_EVERY: Final = 1000
"""States between two calls of `progress`."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Progress:
    """Where a search stands: `states` are explored, `waiting` are known and not explored yet."""

    depth: int
    states: int
    waiting: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a search found.

    `states` were explored, by `transitions` steps; `turns` is how often a replica was really run for them.
    `depth` is the longest path length within which everything was seen. `cut_by` names the limit that ended the search,
    "" when every state within the other limits was explored. `path` leads to the violation, its last step included.
    """

    limits: Limits
    states: int
    transitions: int
    turns: int
    depth: int
    cut_by: str = ""
    violation: Violation | None = None
    path: tuple[Step, ...] = ()

    @property
    def exhausted(self) -> bool:
        """Was every state within the limits explored, and all of them fine?"""
        return not self.cut_by and self.violation is None


@dataclass(slots=True)
class _Tree:
    """How each state was first reached. State 0 is where the search began."""

    parents: array[int] = field(default_factory=lambda: array("q", [-1]))
    moves: list[Move | None] = field(default_factory=lambda: [None])

    def add(self, parent: int, move: Move) -> int:
        self.parents.append(parent)
        self.moves.append(move)
        return len(self.moves) - 1

    def path_to(self, number: int) -> list[Move]:
        moves: list[Move] = []
        while (move := self.moves[number]) is not None:
            moves.append(move)
            number = self.parents[number]
        return moves[::-1]


class _Known:
    """States met so far, by key, with what was spent to get there. Whoever spent no less can do nothing new."""

    def __init__(self) -> None:
        self._spent: dict[bytes, list[Spent]] = {}

    def is_new(self, key: tuple[int, ...], spent: Spent) -> bool:
        """Note a state; False when it was met before at no greater cost."""
        known = self._spent.setdefault(array("I", key).tobytes(), [])
        if any(within(other, spent) for other in known):
            return False
        known.append(spent)
        return True


class _Search:
    def __init__(self, limits: Limits, space: Space, progress: Callable[[Progress], None] | None) -> None:
        self.outcome = Outcome(limits=limits, states=0, transitions=0, turns=0, depth=0)
        self._limits = limits
        self._space = space
        self._progress = progress
        self._tree = _Tree()
        self._known = _Known()

    def run(self, first: State) -> None:
        """Explore depth by depth, until there is nothing new."""
        self._known.is_new(self._space.key(first), first.spent)
        level = [first]
        while level:
            if self.outcome.depth == self._limits.depth_max:
                self.outcome.cut_by = "depth_max"
                return
            level = self._next_level(level)
            if level:
                self.outcome.depth += 1

    def _next_level(self, level: list[State]) -> list[State]:
        """Return what the steps from this level lead to; nothing when the search ends within it."""
        outcome, found = self.outcome, list[State]()
        level.reverse()
        while level:
            if outcome.states == self._limits.states_max:
                outcome.cut_by = "states_max"
                return []
            # A state is let go of as soon as it is explored: the widest levels decide what a search needs of memory.
            self._explore(level.pop(), found)
            outcome.states += 1
            if self._progress and outcome.states % REPORT_EVERY == 0:
                waiting = len(level) + len(found)
                self._progress(Progress(depth=outcome.depth, states=outcome.states, waiting=waiting))
            if outcome.violation is not None:
                return []
        return found

    def _explore(self, state: State, found: list[State]) -> None:
        outcome, space = self.outcome, self._space
        for move in space.moves(state):
            outcome.transitions += 1
            try:
                after = space.take(state, move)
            except Violation as violation:
                outcome.violation = violation
                moves = [*self._tree.path_to(state.number), move]
                outcome.path = tuple([space.step_of(move) for move in moves])
                return
            if after is not None and self._known.is_new(space.key(after), after.spent):
                number = self._tree.add(state.number, move)
                found.append(after._replace(number=number))


def search(
    limits: Limits | None = None,
    *,
    replica_class: type[Replica] = Replica,
    after: Sequence[Step] = (),
    symmetric: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Explore every path within the limits that begins with `after` (by default: from the founded cluster).

    What `after` does costs nothing; the outcome's path has it in front. Raises ValueError when it cannot happen.
    """
    limits = limits or Limits()
    walk = Walk(limits.nodes, replica_class)
    walk.take_all(after)
    space = Space(limits, replica_class, symmetric=symmetric)
    search_ = _Search(limits, space, progress)
    outcome = search_.outcome
    if walk.violation is None:
        search_.run(space.state_of(walk))
        outcome.path = (*walk.taken, *outcome.path) if outcome.violation else ()
    else:
        outcome.violation, outcome.path = walk.violation, tuple(walk.taken)
    outcome.turns = space.turns_played
    if outcome.violation is not None:
        outcome.violation = _proved(outcome.path, limits.nodes, replica_class, outcome.violation)
    return outcome


def _proved(path: Sequence[Step], nodes: int, replica_class: type[Replica], found: Violation) -> Violation:
    """Nothing is reported that living replicas, which nobody copied or merged, do not do as well."""
    lived = replay(path, nodes=nodes, replica_class=replica_class)
    if lived is None or lived.name != found.name:
        steps = "; ".join(str(step) for step in path)
        raise RuntimeError(
            f"a fault of the search itself: it found {found}, but taking the path gives {lived}. Path: {steps}"
        )
    return lived


def replay(
    path: Sequence[Step], *, nodes: int = 3, replica_class: type[Replica] = Replica
) -> Violation | None:
    """Take the steps of a path; return the violation that they end in. Raises ValueError when a step cannot happen."""
    walk = Walk(nodes, replica_class)
    walk.take_all(path)
    return _in_words(walk.violation)


def _in_words(violation: Violation | None) -> Violation | None:
    if violation is None:
        return None
    return Violation(violation.name, violation.sentence, readable(violation.facts), kind=violation.kind)
