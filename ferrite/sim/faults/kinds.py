"""What a kind of fault is: how often it comes, how one is drawn, and what it does when it strikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from ferrite.sim.dice import Stream
from ferrite.sim.faults.plan import Fault
from ferrite.sim.options import FaultOptions

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster


class Drawn(TypedDict, total=False):
    """What the dice decided about a fault; `lasts_us` 0 is a moment."""

    nodes: tuple[int, ...]
    links: tuple[tuple[int, int], ...]
    lasts_us: int
    data: dict[str, Any]


@dataclass(slots=True, kw_only=True, frozen=True)
class Kind:
    """One kind. `draw` looks at the cluster and returns None when there is nobody to strike; `strike` needs no dice but the
    fault's own, so that a tape can play it.
    """

    name: str
    every_us: Callable[[FaultOptions], int]
    """The mean interval; 0 for never."""
    draw: Callable[[Cluster, Stream], Drawn | None]
    strike: Callable[[Cluster, Fault], None]
