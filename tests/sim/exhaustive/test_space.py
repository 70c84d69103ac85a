"""What makes the search fast must not make it blind: merging, remembering and sharing are checked against doing without."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ferrite.core import NodeId, Replica
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive import Limits, Step, freezing, search
from ferrite.sim.exhaustive.freezing import View
from ferrite.sim.exhaustive.host import NEVER_US
from ferrite.sim.exhaustive.space import Cluster, Move, Played, Space, State
from ferrite.sim.exhaustive.walk import Walk

ELECTION = Limits(timeouts=1, proposals=0, buffered_max=4)
FAULTS = Limits(nodes=2, timeouts=1, proposals=0, crashes=1, slow_syncs=1, duplicates=1, buffered_max=2)


def states(space: Space, limits: Limits, key: Callable[[State], Any]) -> Iterator[tuple[State, list[Step]]]:
    """Every state that differs from all before by its key or by what was spent, with a path to it."""
    first = space.state_of(Walk(limits.nodes, Replica))
    level: list[tuple[State, list[Step]]] = [(first, [])]
    met = {(key(first), first.spent)}
    while level:
        yield from level
        following: list[tuple[State, list[Step]]] = []
        for state, path in level:
            for move in space.moves(state):
                after = space.take(state, move)
                if after is not None and (key(after), after.spent) not in met:
                    met.add((key(after), after.spent))
                    following.append((after, [*path, space.step_of(move)]))
        level = following


@pytest.mark.parametrize("limits", [ELECTION, FAULTS])
def test_merging_states_that_differ_by_the_nodes_names_loses_none(limits: Limits) -> None:
    space = Space(limits)
    apart = list(states(space, limits, lambda state: (state.cluster, state.bag)))
    merged = list(states(space, limits, space.key))
    assert {space.key(state) for state, _ in apart} == {space.key(state) for state, _ in merged}
    assert len(apart) > len(merged) * limits.nodes * 3 // 5
    assert search(limits).states <= len(merged), "who has spent more can do nothing new"


@pytest.mark.parametrize("limits", [ELECTION, FAULTS])
def test_a_state_put_together_from_memory_is_the_one_that_living_replicas_reach(limits: Limits) -> None:
    space = Space(limits)
    for state, path in list(states(space, limits, space.key))[::9]:
        walk = Walk(limits.nodes, Replica)
        walk.take_all(path)
        assert walk.violation is None
        lived = space.state_of(walk)
        assert (lived.cluster, lived.bag) == (state.cluster, state.bag), [str(step) for step in path]


def everything(space: Space, invariants: Invariants, nodes: tuple[int, ...]) -> Any:
    """All that the checks remember, as of each node's own present."""
    view = View(space._setting, {node: node for node in space.nodes}, exact=True)
    ghost, seen = invariants.checks.ghost, invariants.checks.seen
    frozen: list[Any] = [view.history(ghost)]
    view._ignored = freezing._IGNORED
    for place, node in enumerate(space.nodes):
        host, status = space._hosts[nodes[place]], seen[node].status
        assert status is not None
        view._now_us = host.now_us
        # Of a dead incarnation the checks use no more than what it was.
        frozen += [view._freeze(seen[node]) if host.replica else (status.role.name, status.term)]
        frozen += [view._freeze(ghost.disks[node])]
    return frozen


def test_what_the_checks_remember_follows_from_nodes_and_history(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, compared = Space._number_of_cluster, 0

    def number(space: Space, nodes: tuple[int, ...], history: int, invariants: Invariants) -> int:
        nonlocal compared
        found = honest(space, nodes, history, invariants)
        known = space._clusters[found].invariants
        if known is not invariants:
            assert everything(space, known, nodes) == everything(space, invariants, nodes)
            compared += 1
        return found

    monkeypatch.setattr(Space, "_number_of_cluster", number)
    assert search(FAULTS).exhausted
    assert compared > 50


def test_a_step_changes_nothing_that_other_states_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, compared = Space._go_onward, 0

    def go_onward(space: Space, cluster: Cluster, move: Move) -> tuple[int, Played]:
        nonlocal compared
        before = everything(space, cluster.invariants, cluster.nodes)
        onward = honest(space, cluster, move)
        assert everything(space, cluster.invariants, cluster.nodes) == before
        compared += 1
        return onward

    monkeypatch.setattr(Space, "_go_onward", go_onward)
    assert search(FAULTS).exhausted
    assert compared > 500


def names_within(value: Any, met: set[int]) -> Iterator[str]:
    """Names of all attributes below a value."""
    if id(value) in met or isinstance(value, type):
        return
    met.add(id(value))
    if isinstance(value, dict):
        inner: list[Any] = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inner = list(value)
    else:
        plain = vars(value) if hasattr(value, "__dict__") else {}
        slots = {name: getattr(value, name) for name in getattr(type(value), "__slots__", ())}
        yield from [*plain, *slots]
        inner = [*plain.values(), *slots.values()]
    for item in inner:
        yield from names_within(item, met)


def test_every_name_that_the_canonical_form_knows_is_one_of_the_core() -> None:
    space = Space(ELECTION)
    hosts = [
        space._hosts[n]
        for state, _ in states(space, ELECTION, space.key)
        for n in space._clusters[state.cluster].nodes
    ]
    met: set[int] = set()
    names = {name for host in hosts for name in names_within(host, met)}
    known = freezing._IGNORED | freezing._LOOSELY_IGNORED | freezing._WRITE_NUMBERS | freezing._BAGS
    assert known - names == set(), "renamed in the core: states would be told apart for nothing"
    ghost = {field.name for field in dataclasses.fields(Walk(1, Replica).invariants.ghost)}
    assert freezing._HISTORY_IGNORED - ghost == set()


def test_nodes_have_ids_that_no_other_number_of_a_replica_has() -> None:
    space = Space(ELECTION)
    view = View(space._setting, {node: NodeId(-node) for node in space.nodes}, exact=False)
    plain = View(space._setting, {node: node for node in space.nodes}, exact=False)
    for state, _ in states(space, ELECTION, space.key):
        for local in space._clusters[state.cluster].nodes:
            numbers = [n for n in numbers_in(plain.host(space._hosts[local])) if n not in space.nodes]
            assert all(abs(number) < min(space.nodes) or number == NEVER_US for number in numbers)
            renamed = numbers_in(view.host(space._hosts[local]))
            assert not set(renamed) & set(space.nodes)


def numbers_in(frozen: Any) -> Iterator[int]:
    if isinstance(frozen, tuple):
        for item in frozen:
            yield from numbers_in(item)
    elif type(frozen) is int:
        yield frozen
