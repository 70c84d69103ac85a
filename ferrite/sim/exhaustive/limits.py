"""How far the search goes: every count here multiplies the space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NODES_MAX: Final = 3
"""Four nodes have 24 ways to be renamed and more messages than any search here ends with."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Limits:
    """Budgets of one path. Raises ValueError when they are out of range."""

    nodes: int = 3
    timeouts: int = 2
    """Election timers that run out, and followers that stop believing in a silent leader."""
    heartbeats: int = 0
    """Timers of leaders that run out: a heartbeat, or the lack of a quorum."""
    proposals: int = 1
    crashes: int = 0
    """Each with a restart. A crash is a killed process (all writes survive) or a power loss (un-synced writes do not)."""
    drops: int = 0
    """A message may stay in flight for ever, so this only makes room in the buffer."""
    duplicates: int = 0
    slow_syncs: int = 0
    """Steps whose writes do not become durable at once, but in a step of their own."""
    buffered_max: int = 4
    """Messages in flight; a step that would make more is not taken."""
    depth_max: int = 100
    states_max: int = 200_000
    """States explored; each costs 1 to 3 KB of memory."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.nodes <= NODES_MAX:
            raise ValueError(f"nodes is {self.nodes}; expected 1 to {NODES_MAX}")
        for name in (*BUDGETS, "buffered_max", "depth_max"):
            if not 0 <= getattr(self, name) <= COUNT_MAX:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to {COUNT_MAX}")
        if self.states_max < 1:
            raise ValueError(f"states_max is {self.states_max}; expected 1 or more")


BUDGETS: Final = ("timeouts", "heartbeats", "proposals", "crashes", "drops", "duplicates", "slow_syncs")
"""The fields of `Limits` that a path spends, in the order of `Spent`."""
COUNT_MAX: Final = 1000
"""Far beyond what can be explored."""

Spent = tuple[int, ...]
"""How much of each budget a path has used."""

NOTHING_SPENT: Final[Spent] = (0,) * len(BUDGETS)


def within(spent: Spent, other: Spent) -> bool:
    """Has one path spent no more than the other, of anything? Then it can still do whatever the other can."""
    return all(mine <= theirs for mine, theirs in zip(spent, other, strict=True))
