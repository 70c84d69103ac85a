"""The states of the cluster and the steps between them.

Everything is met once and then goes by a number: a node's state, a message, what the checks know of the cluster's history. What
a node does in one of its states when one thing happens is played once, on a copy of the real replica; what the checks say to it
is asked once for each state of all nodes together with the history, for messages in flight mean nothing to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final, NamedTuple

from ferrite.core import NodeId, Replica, Role
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive.copying import branch, copy_of, share_unchanged
from ferrite.sim.exhaustive.founding import new_setting
from ferrite.sim.exhaustive.freezing import Frozen, View
from ferrite.sim.exhaustive.host import FOUNDED_INDEX, Check, Host, forgets_at_us
from ferrite.sim.exhaustive.limits import BUDGETS, NOTHING_SPENT, Limits, Spent
from ferrite.sim.exhaustive.steps import Kind, Letter, Step, number_of
from ferrite.sim.exhaustive.walk import Walk, play

NO_LETTER: Final = -1
FREE: Final = -1
_PLACE_OF: Final = {name: at for at, name in enumerate(BUDGETS)}
_TIMEOUTS, _HEARTBEATS, _PROPOSALS, _CRASHES, _DROPS, _DUPLICATES, _SLOW_SYNCS = range(len(BUDGETS))


class Move(NamedTuple):
    """A step as numbers: `place` is the node's, `letter` a message's; `number` and `slow` as in `Step`."""

    kind: Kind
    place: int
    letter: int = NO_LETTER
    number: int = 0
    slow: bool = False


class State(NamedTuple):
    """One state of everything: the cluster's number, the messages in flight in ascending order, what has been spent."""

    cluster: int
    bag: tuple[int, ...]
    spent: Spent
    number: int = 0
    """Given by the search."""


@dataclass(slots=True)
class Played:
    """What a node does in one of its states when one thing happens."""

    after: int
    checks: list[Check]
    sent: tuple[int, ...]
    may_be_slow: bool
    """Something was written, and nothing waited before."""


@dataclass(slots=True)
class Cluster:
    """All nodes' states, by place, and the history that the checks remember; `invariants` belong to exactly that.

    `look` is the least of the looks under every renaming; `ways` are the renamings that give it. `own_moves` are what nodes do
    of themselves, each with the budget it costs.
    """

    nodes: tuple[int, ...]
    history: int
    invariants: Invariants
    look: int
    ways: tuple[int, ...]
    own_moves: list[tuple[int, Move]]
    onward: dict[Move, tuple[int, Played]] = field(default_factory=dict)


@dataclass(slots=True)
class Catalogue:
    """Things that were met before, by number, and the look each has under every renaming of the nodes."""

    numbers: dict[Frozen, int] = field(default_factory=dict)
    looks: list[tuple[int, ...]] = field(default_factory=list)
    _numbers_of_looks: dict[Frozen, int] = field(default_factory=dict)

    def look(self, loose: Frozen) -> int:
        """Return the number of a loose form."""
        return self._numbers_of_looks.setdefault(loose, len(self._numbers_of_looks))

    def add(self, exact: Frozen, loose: list[Frozen]) -> int:
        """Return the number of what is new."""
        number = self.numbers[exact] = len(self.looks)
        self.looks.append(tuple([self.look(form) for form in loose]))
        return number


class Space:
    """All that is shared by the states of one search."""

    def __init__(
        self, limits: Limits, replica_class: type[Replica] = Replica, *, symmetric: bool = True
    ) -> None:
        """Begin with nothing known. With `symmetric` false, states that differ only in the nodes' names are different."""
        self._limits = limits
        self._budgets: Spent = tuple([getattr(limits, name) for name in BUDGETS])
        self._setting = setting = new_setting(limits.nodes, replica_class)
        self.nodes: tuple[NodeId, ...] = setting.membership.voters
        orders = list(permutations(range(limits.nodes))) if symmetric else [tuple(range(limits.nodes))]
        self._exact = View(setting, {node: node for node in self.nodes}, exact=True)
        self._views = [
            View(
                setting,
                {node: self.nodes[at] for node, at in zip(self.nodes, order, strict=True)},
                exact=False,
            )
            for order in orders
        ]
        # For every renaming: the places in the order of the new names.
        self._places = [tuple([order.index(at) for at in range(limits.nodes)]) for order in orders]
        self._hosts: list[Host] = []
        self._letters: list[Letter] = []
        self._targets: list[int] = []
        self._clusters: list[Cluster] = []
        self._cluster_numbers: dict[tuple[tuple[int, ...], int], int] = {}
        self._cluster_looks = Catalogue()
        self._local, self._letter, self._history = Catalogue(), Catalogue(), Catalogue()
        self._played: dict[tuple[int, Move], Played] = {}
        self._proposed = 0

    @property
    def turns_played(self) -> int:
        """How often a replica was really run."""
        return len(self._played)

    def state_of(self, walk: Walk) -> State:
        """Return the state in which a walk ended, with nothing spent. The walk must not go on."""
        self._setting.origins.update(walk.setting.origins)
        self._proposed = walk.proposals
        nodes = tuple([self._number_of_host(host) for host in walk.hosts])
        bag = tuple(sorted([self._number_of_letter(letter) for letter in walk.bag]))
        history = self._number_of_history(walk.invariants)
        return State(self._number_of_cluster(nodes, history, walk.invariants), bag, NOTHING_SPENT)

    # -- numbers and keys -------------------------------------------------------------------------------------

    def key(self, state: State) -> tuple[int, ...]:
        """Return what states have in common that differ in nothing that matters, not counting what was spent."""
        cluster, looks = self._clusters[state.cluster], self._letter.looks
        bags = [sorted([looks[letter][way] for letter in state.bag]) for way in cluster.ways]
        return (cluster.look, *(bags[0] if len(bags) == 1 else min(bags)))

    def _number_of_host(self, host: Host) -> int:
        exact = self._exact.host(host)
        number = self._local.numbers.get(exact)
        if number is None:
            self._hosts.append(host)
            number = self._local.add(exact, [view.host(host) for view in self._views])
        return number

    def _number_of_letter(self, letter: Letter) -> int:
        exact = self._exact.letter(letter)
        number = self._letter.numbers.get(exact)
        if number is None:
            self._letters.append(letter)
            self._targets.append(self.nodes.index(letter.header.target))
            number = self._letter.add(exact, [view.letter(letter) for view in self._views])
        return number

    def _number_of_history(self, invariants: Invariants) -> int:
        exact = self._exact.history(invariants.ghost)
        number = self._history.numbers.get(exact)
        if number is None:
            number = self._history.add(exact, [view.history(invariants.ghost) for view in self._views])
        return number

    def _number_of_cluster(self, nodes: tuple[int, ...], history: int, invariants: Invariants) -> int:
        number = self._cluster_numbers.get((nodes, history))
        if number is None:
            number = self._cluster_numbers[nodes, history] = len(self._clusters)
            local, histories = self._local.looks, self._history.looks[history]
            looks = [
                (histories[way], *[local[nodes[place]][way] for place in places])
                for way, places in enumerate(self._places)
            ]
            least = min(looks)
            ways = tuple([way for way, look in enumerate(looks) if look == least])
            look = self._cluster_looks.look(least)
            own_moves = list(self._own_moves(nodes))
            self._clusters.append(Cluster(nodes, history, invariants, look, ways, own_moves))
        return number

    # -- moves ------------------------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """Yield everything that can happen next, within the limits."""
        cluster, may = self._clusters[state.cluster], self._may(state)
        slow = may[_SLOW_SYNCS]
        for budget, own in cluster.own_moves:
            if budget == FREE or may[budget]:
                move = own
                if own.kind is Kind.PROPOSE:
                    move = own._replace(number=self._proposed + state.spent[_PROPOSALS] + 1)
                yield move
                if slow and self._onward(state.cluster, move)[1].may_be_slow:
                    yield move._replace(slow=True)
        before = NO_LETTER
        for letter in state.bag:
            if letter == before:
                continue  # Its twin was delivered already.
            before = letter
            place = self._targets[letter]
            if self._hosts[cluster.nodes[place]].replica is not None:
                move = Move(Kind.DELIVER, place, letter)
                yield move
                if slow and self._onward(state.cluster, move)[1].may_be_slow:
                    yield move._replace(slow=True)
                if may[_DUPLICATES]:
                    yield Move(Kind.DUPLICATE, place, letter)
            if may[_DROPS]:
                yield Move(Kind.DROP, place, letter)

    def _may(self, state: State) -> list[bool]:
        return [spent < budget for spent, budget in zip(state.spent, self._budgets, strict=True)]

    def _own_moves(self, nodes: tuple[int, ...]) -> Iterator[tuple[int, Move]]:
        for place, local in enumerate(nodes):
            host = self._hosts[local]
            if host.replica is None:
                yield FREE, Move(Kind.RESTART, place)
                continue
            leads = self._leads(local)
            yield _HEARTBEATS if leads else _TIMEOUTS, Move(Kind.TIMEOUT, place)
            if forgets_at_us(host) is not None:
                yield _TIMEOUTS, Move(Kind.WAIT, place)
            if leads:
                yield _PROPOSALS, Move(Kind.PROPOSE, place)
            waiting = len(host.disk.waiting)
            if waiting:
                yield FREE, Move(Kind.SYNC, place)
            yield _CRASHES, Move(Kind.KILL, place)
            if waiting or host.applied_index > FOUNDED_INDEX:
                for kept in range(max(waiting, 1)):
                    yield _CRASHES, Move(Kind.POWER_LOSS, place, number=kept)

    def _leads(self, local: int) -> bool:
        replica = self._hosts[local].replica
        return replica is not None and replica.status().role is Role.LEADER

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
        """Return the state after a move; None when it leads nowhere, or to too many messages in flight. Raises Violation."""
        kind, after, bag = move.kind, state.cluster, list(state.bag)
        if kind is not Kind.DUPLICATE and move.letter != NO_LETTER:
            bag.remove(move.letter)
        if kind is not Kind.DROP:
            # A node cannot tell a duplicate from the original.
            same = move._replace(kind=Kind.DELIVER) if kind is Kind.DUPLICATE else move
            after, played = self._onward(state.cluster, same)
            if after == state.cluster and not played.sent:
                return None  # Nothing has changed: the message may as well stay in flight.
            bag.extend(played.sent)
            if len(bag) > self._limits.buffered_max:
                return None
            bag.sort()
        return State(after, tuple(bag), self._spend(state, move))

    def _spend(self, state: State, move: Move) -> Spent:
        budget = _COSTS.get(move.kind, FREE)
        if move.kind is Kind.TIMEOUT and self._leads(self._clusters[state.cluster].nodes[move.place]):
            budget = _HEARTBEATS
        if budget == FREE and not move.slow:
            return state.spent
        spent = list(state.spent)
        if budget != FREE:
            spent[budget] += 1
        if move.slow:
            spent[_SLOW_SYNCS] += 1
        return tuple(spent)

    def _onward(self, number: int, move: Move) -> tuple[int, Played]:
        cluster = self._clusters[number]
        found = cluster.onward.get(move)
        if found is None:
            found = cluster.onward[move] = self._go_onward(cluster, move)
        return found

    def _go_onward(self, cluster: Cluster, move: Move) -> tuple[int, Played]:
        place = move.place
        played = self._play(cluster.nodes[place], move)
        invariants, history = cluster.invariants, cluster.history
        if played.checks:
            invariants = branch(invariants, self.nodes[place])
            for check in played.checks:
                check(invariants)
            if not share_unchanged(invariants, cluster.invariants):
                history = self._number_of_history(invariants)
        nodes = (*cluster.nodes[:place], played.after, *cluster.nodes[place + 1 :])
        return self._number_of_cluster(nodes, history, invariants), played

    def _play(self, local: int, move: Move) -> Played:
        played = self._played.get((local, move))
        if played is None:
            played = self._played[local, move] = self._play_first(local, move)
        return played

    def _play_first(self, local: int, move: Move) -> Played:
        before = self._hosts[local]
        host = copy_of(before, self._setting)
        turn = play(host, self._setting, self.step_of(move))
        sent = tuple([self._number_of_letter(letter) for letter in turn.sent])
        may_be_slow = turn.wrote and not before.disk.waiting
        return Played(self._number_of_host(host), turn.checks, sent, may_be_slow)


_COSTS: Final = {
    Kind.TIMEOUT: _TIMEOUTS,
    Kind.WAIT: _TIMEOUTS,
    Kind.PROPOSE: _PROPOSALS,
    Kind.KILL: _CRASHES,
    Kind.POWER_LOSS: _CRASHES,
    Kind.DROP: _DROPS,
    Kind.DUPLICATE: _DUPLICATES,
}
