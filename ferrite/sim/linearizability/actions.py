"""What operations do to a state: the sequential specifications that histories are compared with.

An action is a tuple, its first item the code. Equal actions are interchangeable, which the search makes use of.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Literal, Protocol

State = Hashable
Action = tuple[Hashable, ...]
Kind = Literal["pure", "blind", "other"]
"""pure: leaves every state as it is. blind: legal in every state, and the state afterwards is always the same. other: neither.

A write that happens to leave the state unchanged is blind, never pure: to linearize it early may hide it from a later read.
"""

READ: Final = 0
"""(READ, value): legal when the state is value."""
NOT: Final = 1
"""(NOT, value): a compare-and-set that reported a mismatch; legal when the state is not value."""
WRITE: Final = 2
"""(WRITE, value): the state becomes value."""
CAS: Final = 3
"""(CAS, old, new): legal when the state is old; it becomes new."""
TAKE: Final = 4
"""(TAKE,): a delete that removed something; legal when the state is not None, which it becomes."""
APPEND: Final = 5
"""(APPEND, text): the text is appended to the state."""


class Semantics(Protocol):
    """A sequential specification, stateless."""

    def kind(self, action: Action) -> Kind:
        """How the action may be treated."""
        ...

    def step(self, state: State, action: Action) -> tuple[bool, State]:
        """Return whether the action is legal in the state, and the state afterwards."""
        ...

    def result(self, action: Action) -> tuple[bool, State]:
        """Return whether the state after the action is the same wherever it is legal, and that state. Not for pure ones."""
        ...


class Scalar:
    """One value: registers, locks, strings that grow, one key of a store."""

    def kind(self, action: Action) -> Kind:
        code = action[0]
        if code in (READ, NOT):
            return "pure"
        return "blind" if code == WRITE else "other"

    def step(self, state: State, action: Action) -> tuple[bool, State]:
        code = action[0]
        if code == READ:
            return state == action[1], state
        if code == WRITE:
            return True, action[1]
        if code == CAS:
            return state == action[1], action[2]
        if code == NOT:
            return state != action[1], state
        if code == APPEND:
            assert isinstance(state, str) and isinstance(action[1], str), "the model hands strings only"
            return True, state + action[1]
        return state is not None, None

    def result(self, action: Action) -> tuple[bool, State]:
        match action[0]:
            case 2:
                return True, action[1]
            case 3:
                return True, action[2]
            case 4:
                return True, None
            case _:
                return False, None


class Transactions:
    """Several registers, read and written by transactions: the state is the tuple of their values.

    An action is a tuple of steps (is_write, register's place, value), carried out one after another.
    """

    def __init__(self, registers: int) -> None:
        self.registers = registers

    def kind(self, action: Action) -> Kind:
        steps = [_step(item) for item in action]
        if not any(is_write for is_write, _, _ in steps):
            return "pure"
        if (
            all(is_write for is_write, _, _ in steps)
            and len({place for _, place, _ in steps}) == self.registers
        ):
            return "blind"
        return "other"

    def step(self, state: State, action: Action) -> tuple[bool, State]:
        assert isinstance(state, tuple), "the model hands tuples only"
        values = list(state)
        for item in action:
            is_write, place, value = _step(item)
            if is_write:
                values[place] = value
            elif values[place] != value:
                return False, state
        return True, tuple(values)

    def result(self, action: Action) -> tuple[bool, State]:
        if self.kind(action) != "blind":
            return False, None
        return self.step((None,) * self.registers, action)


def _step(item: Hashable) -> tuple[bool, int, Hashable]:
    assert isinstance(item, tuple)
    is_write, place, value = item
    return is_write, place, value
