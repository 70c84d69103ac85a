"""Copies of a node and of the checks' memory. Which way is cheapest was measured (`docs/exhaustive.md`)."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from ferrite.core import Entry, HardState, Membership, NodeId, ReplicaStatus, actions
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive.host import CONFIG, Host, Setting

T = TypeVar("T")
Copy = Callable[[Any], Any]

_SHARED: Final = frozenset(
    (int, str, bytes, bool, type(None), tuple, Entry, HardState, Membership, ReplicaStatus, actions.Persist)
)
"""What the checks remember and nobody changes. Their tuples hold nothing else."""


def copy_of(host: Host, setting: Setting) -> Host:
    """Copy a node, but for what nobody changes: the settings, the membership, the status as it was."""
    shared: list[object] = [CONFIG, setting.membership]
    if host.replica is not None:
        shared.append(host.replica.status())
    return copy.deepcopy(host, {id(value): value for value in shared})


def branch(invariants: Invariants, node: NodeId) -> Invariants:
    """Copy the checks for a step of this node; what they remember of other nodes is shared, for no step changes it.

    (A test compares what is shared before and after every step.)
    """
    twin = object.__new__(Invariants)
    twin.__dict__.update(vars(invariants))
    twin.checks = checks = _shallow(invariants.checks)
    checks.seen = _but(checks.seen, node)
    checks.ghost = ghost = _shallow(checks.ghost)
    for name in _names(Ghost):
        value = getattr(ghost, name)
        setattr(ghost, name, _but(value, node) if name == "disks" else _duplicate(value))
    return twin


def share_unchanged(after: Invariants, before: Invariants) -> bool:
    """Let two clusters share what a step left as it was; True when their histories are the same."""
    ghost, known, same = after.ghost, before.ghost, True
    for name in _names(Ghost):
        if name == "disks":
            continue
        value = getattr(known, name)
        if getattr(ghost, name) == value:
            setattr(ghost, name, value)
        else:
            same = False
    return same


_NAMES: Final[dict[type[Any], tuple[str, ...]]] = {}


def _names(kind: type[Any]) -> tuple[str, ...]:
    found = _NAMES.get(kind)
    if found is None:
        found = _NAMES[kind] = tuple([field.name for field in dataclasses.fields(kind)])
    return found


def _shallow(value: T) -> T:
    twin = object.__new__(type(value))
    for name in _names(type(value)):
        setattr(twin, name, getattr(value, name))
    return twin


def _but(by_node: Mapping[NodeId, T], node: NodeId) -> dict[NodeId, T]:
    copied = dict(by_node)
    if node in copied:
        copied[node] = _duplicate(copied[node])
    return copied


def _duplicate(value: T) -> T:
    kind = type(value)
    if kind in _SHARED:
        return value
    copied: T = (_COPIES.get(kind) or _copy_fields)(value)
    return copied


def _copy_fields(value: Any) -> Any:
    kind = type(value)
    if not dataclasses.is_dataclass(kind):
        raise TypeError(
            f"the checks remember a {kind.__name__}; expected something that copying.py knows how to copy"
        )
    twin = object.__new__(kind)
    for name in _names(kind):
        item = getattr(value, name)
        setattr(twin, name, item if type(item) in _SHARED else _duplicate(item))
    return twin


def _copy_list(value: list[Any]) -> list[Any]:
    return [item if type(item) in _SHARED else _duplicate(item) for item in value]


def _copy_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    return {key: item if type(item) in _SHARED else _duplicate(item) for key, item in value.items()}


_COPIES: Final[dict[type, Copy]] = {
    list: _copy_list,
    dict: _copy_dict,
    set: set.copy,
    deque: lambda value: deque(_copy_list(value)),
    Counter: Counter.copy,
}
