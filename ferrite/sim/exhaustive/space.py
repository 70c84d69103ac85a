"""The states of the cluster and the steps between them.

A state is small numbers: which known node state each node is in, which known messages are in flight, what has been spent, which
known history the checks have seen; and the checks' memory, to be told of the next step. What a node does in one of its states
when one thing happens is played once, on a copy of the real replica, and remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final, NamedTuple

from ferrite.core import NodeId, Replica, Role
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive import host as hosts
from ferrite.sim.exhaustive.copying import branch, duplicate, share_unchanged
from ferrite.sim.exhaustive.founding import new_setting
from ferrite.sim.exhaustive.freezing import Frozen, View
from ferrite.sim.exhaustive.host import Check, Host
from ferrite.sim.exhaustive.limits import BUDGETS, NOTHING_SPENT, Limits, Spent
from ferrite.sim.exhaustive.steps import Kind, Letter, Step, number_of
from ferrite.sim.exhaustive.walk import Walk, play

NO_LETTER: Final = -1


class Move(NamedTuple):
    """A step as numbers: `place` is the node's, `letter` a message's; `number` and `slow` as in `Step`."""

    kind: Kind
    place: int
    letter: int = NO_LETTER
    number: int = 0
    slow: bool = False


@dataclass(slots=True)
class State:
    """One state of the cluster. Nothing in it is changed once it is made."""

    locals: tuple[int, ...]
    """The node states, by place."""
    bag: tuple[int, ...]
    """The messages in flight, ascending."""
    spent: Spent
    history: int
    invariants: Invariants
    number: int = 0
    """Given by the search."""


@dataclass(slots=True)
class Played:
    """What a node does in one of its states when one thing happens."""

    after: int
    checks: list[Check]
    sent: tuple[int, ...]
    wrote: bool


@dataclass(slots=True)
class Catalogue:
    """Things that were met before, by number, and the number each goes by under every renaming of the nodes."""

    numbers: dict[Frozen, int] = field(default_factory=dict)
    renamed: list[tuple[int, ...]] = field(default_factory=list)
    _looks: dict[Frozen, int] = field(default_factory=dict)

    def look(self, frozen: Frozen) -> int:
        """Return the number of a loose form."""
        return self._looks.setdefault(frozen, len(self._looks))


class Space:
    """All that is shared by the states of one search."""

    def __init__(self, limits: Limits, replica_class: type[Replica] = Replica, *, symmetric: bool = True) -> None:
        """Found the cluster. With `symmetric` false, states that differ in the nodes' names only are different."""
        self._limits = limits
        self._budgets: Spent = tuple(getattr(limits, name) for name in BUDGETS)
        self._setting = setting = new_setting(limits.nodes, replica_class)
        self.nodes: tuple[NodeId, ...] = setting.membership.voters
        orders = list(permutations(self.nodes)) if symmetric else [self.nodes]
        self._exact = View(setting, {node: node for node in self.nodes}, exact=True)
        self._views = [View(setting, dict(zip(self.nodes, order, strict=True)), exact=False) for order in orders]
        # For every renaming: the places in the order of the new names.
        self._places = [
            tuple(sorted(range(limits.nodes), key=lambda place, order=order: order[place]))  # type: ignore[misc]  # mypy sees no type in a lambda's default
            for order in orders
        ]
        self._hosts: list[Host] = []
        self._roles: list[Role | None] = []
        self._letters: list[Letter] = []
        self._local, self._letter, self._history = Catalogue(), Catalogue(), Catalogue()
        self._played: dict[tuple[int, Move], Played] = {}
        self._proposed = 0
        self.turns_played = 0

    def state_of(self, walk: Walk) -> State:
        """Return the state in which a walk ended, with nothing spent. The walk must not go on."""
        self._setting.origins.update(walk.setting.origins)
        self._proposed = walk.proposals
        history = self._number_of_history(walk.invariants)
        nodes = tuple([self._number_of_host(host) for host in walk.hosts])
        bag = tuple(sorted([self._number_of_letter(letter) for letter in walk.bag]))
        return State(nodes, bag, NOTHING_SPENT, history, walk.invariants)

    # -- keys -------------------------------------------------------------------------------------------------

    def key(self, state: State) -> tuple[int, ...]:
        """Return what two states have in common that differ in nothing that matters: the least of all renamings."""
        local, letter, history = self._local.renamed, self._letter.renamed, self._history.renamed[state.history]
        best: tuple[int, ...] | None = None
        for way, places in enumerate(self._places):
            nodes = tuple([local[state.locals[place]][way] for place in places])
            if best is None or nodes <= best[: len(nodes)]:
                key = (*nodes, history[way], *sorted([letter[number][way] for number in state.bag]))
                if best is None or key < best:
                    best = key
        assert best is not None, "there is at least one renaming: none"
        return best

    def _number_of_host(self, host: Host) -> int:
        frozen = self._exact.host(host)
        number = self._local.numbers.get(frozen)
        if number is None:
            number = self._local.numbers[frozen] = len(self._hosts)
            self._hosts.append(host)
            self._roles.append(host.replica.status().role if host.replica else None)
            looks = [self._local.look(view.host(host)) for view in self._views]
            self._local.renamed.append(tuple(looks))
        return number

    def _number_of_letter(self, letter: Letter) -> int:
        frozen = self._exact.letter(letter)
        number = self._letter.numbers.get(frozen)
        if number is None:
            number = self._letter.numbers[frozen] = len(self._letters)
            self._letters.append(letter)
            looks = [self._letter.look(view.letter(letter)) for view in self._views]
            self._letter.renamed.append(tuple(looks))
        return number

    def _number_of_history(self, invariants: Invariants) -> int:
        frozen = self._exact.history(invariants.ghost)
        number = self._history.numbers.get(frozen)
        if number is None:
            number = self._history.numbers[frozen] = len(self._history.renamed)
            looks = [self._history.look(view.history(invariants.ghost)) for view in self._views]
            self._history.renamed.append(tuple(looks))
        return number

    # -- moves ------------------------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """Yield everything that can happen next, within the limits."""
        for move in self._prompt_moves(state):
            yield move
            if self._may(state, "slow_syncs") and _can_be_slow(move):
                place = state.locals[move.place]
                if not self._hosts[place].disk.waiting and self._play(place, move).wrote:
                    yield Move(move.kind, move.place, move.letter, move.number, slow=True)

    def _prompt_moves(self, state: State) -> Iterator[Move]:
        for place, local in enumerate(state.locals):
            yield from self._node_moves(state, place, self._hosts[local], self._roles[local])
        before = NO_LETTER
        for letter in state.bag:
            if letter == before:
                continue  # Its twin was delivered already.
            before = letter
            place = self.nodes.index(self._letters[letter].header.target)
            if self._roles[state.locals[place]] is not None:
                yield Move(Kind.DELIVER, place, letter)
                if self._may(state, "duplicates"):
                    yield Move(Kind.DUPLICATE, place, letter)
            if self._may(state, "drops"):
                yield Move(Kind.DROP, place, letter)

    def _node_moves(self, state: State, place: int, host: Host, role: Role | None) -> Iterator[Move]:
        if role is None:
            yield Move(Kind.RESTART, place)
            return
        if self._may(state, "heartbeats" if role is Role.LEADER else "timeouts"):
            yield Move(Kind.TIMEOUT, place)
        if self._may(state, "timeouts") and hosts.forgets_at_us(host) is not None:
            yield Move(Kind.WAIT, place)
        if role is Role.LEADER and self._may(state, "proposals"):
            yield Move(Kind.PROPOSE, place, number=self._proposed + state.spent[_PLACE_OF["proposals"]] + 1)
        waiting = len(host.disk.waiting)
        if waiting:
            yield Move(Kind.SYNC, place)
        if self._may(state, "crashes"):
            yield Move(Kind.KILL, place)
            if waiting or host.applied_index > hosts.FOUNDED_INDEX:
                for kept in range(max(waiting, 1)):
                    yield Move(Kind.POWER_LOSS, place, number=kept)

    def _may(self, state: State, budget: str) -> bool:
        at = _PLACE_OF[budget]
        return state.spent[at] < self._budgets[at]

    def step_of(self, move: Move) -> Step:
        """Return a move in words."""
        return Step(
            kind=move.kind,
            node=number_of(self.nodes[move.place]),
            letter=None if move.letter == NO_LETTER else self._letters[move.letter],
            number=move.number,
            slow=move.slow,
        )

    # -- taking a move ----------------------------------------------------------------------------------------

    def take(self, state: State, move: Move) -> State | None:
        """Return the state after a move, None when it has too many messages in flight. Raises Violation."""
        bag = list(state.bag)
        if move.kind in (Kind.DELIVER, Kind.DROP):
            bag.remove(move.letter)
        locals_, invariants, history = state.locals, state.invariants, state.history
        if move.kind is not Kind.DROP:
            played = self._play(state.locals[move.place], _for_the_node(move))
            if played.checks:
                invariants = branch(state.invariants, self.nodes[move.place])
                for check in played.checks:
                    check(invariants)
            if len(bag) + len(played.sent) > self._limits.buffered_max:
                return None
            bag.extend(played.sent)
            bag.sort()
            locals_ = (*locals_[: move.place], played.after, *locals_[move.place + 1 :])
            if played.checks and not share_unchanged(invariants, state.invariants):
                history = self._number_of_history(invariants)
        spent = self._spend(state, move)
        return State(locals_, tuple(bag), spent, history, invariants)

    def _spend(self, state: State, move: Move) -> Spent:
        spent = list(state.spent)
        budget = _COSTS.get(move.kind)
        if move.kind is Kind.TIMEOUT and self._roles[state.locals[move.place]] is Role.LEADER:
            budget = "heartbeats"
        if budget:
            spent[_PLACE_OF[budget]] += 1
        if move.slow:
            spent[_PLACE_OF["slow_syncs"]] += 1
        return tuple(spent)

    def _play(self, local: int, move: Move) -> Played:
        move = _for_the_node(move)
        played = self._played.get((local, move))
        if played is None:
            played = self._played[local, move] = self._play_first(local, move)
        return played

    def _play_first(self, local: int, move: Move) -> Played:
        self.turns_played += 1
        host = duplicate(self._hosts[local])
        turn = play(host, self._setting, self.step_of(move))
        sent = tuple([self._number_of_letter(letter) for letter in turn.sent])
        return Played(self._number_of_host(host), turn.checks, sent, turn.wrote)


def _for_the_node(move: Move) -> Move:
    """A node cannot tell a duplicate from the original."""
    if move.kind is Kind.DUPLICATE:
        return Move(Kind.DELIVER, move.place, move.letter, slow=move.slow)
    return move


def _can_be_slow(move: Move) -> bool:
    return move.kind in (Kind.DELIVER, Kind.DUPLICATE, Kind.TIMEOUT, Kind.PROPOSE)


_COSTS: Final = {
    Kind.TIMEOUT: "timeouts",
    Kind.WAIT: "timeouts",
    Kind.PROPOSE: "proposals",
    Kind.KILL: "crashes",
    Kind.POWER_LOSS: "crashes",
    Kind.DROP: "drops",
    Kind.DUPLICATE: "duplicates",
}
_PLACE_OF: Final = {name: at for at, name in enumerate(BUDGETS)}
