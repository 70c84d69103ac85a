"""Where the faults of a run come from: drawn by the chances that the options give, or played from a tape.

Every fault is an event with an id, in both cases: `crash:3` is the third crash that the nemesis drew, `loss 1 2:57` befell the
57th frame from node 1 to node 2. So a fault can be left out by its id, drawn on the timeline, and told in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ferrite.sim.dice import PPM, Stream, seeded


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault, with everything it needs decided. `until_us` equals `at_us` for a moment.

    `dice` seeds what is drawn while it acts (which bits flip, which writes survive). `data` is what only this kind has.
    """

    id: str
    kind: str
    at_us: int
    until_us: int = 0
    nodes: tuple[int, ...] = ()
    links: tuple[tuple[int, int], ...] = ()
    dice: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def stream(self) -> Stream:
        """New dice of this fault's own."""
        return Stream(Random(self.dice).getrandbits)


class Site:
    """One place where one kind of fault may strike at every visit: a link, a disk, a step."""

    __slots__ = ("_bits", "_count", "_kind", "_plan", "_threshold", "name", "nodes")

    def __init__(
        self,
        plan: FaultPlan,
        kind: str,
        place: tuple[int, ...],
        ppm: int,
        bits: Callable[[int], int],
        *,
        nodes: tuple[int, ...],
    ) -> None:
        self.name = " ".join((kind, *map(str, place)))
        self.nodes = nodes
        self._kind = kind
        self._plan = plan
        self._threshold = (ppm << 32) // PPM
        self._bits = bits
        self._count = 0

    def strikes(self) -> Fault | None:
        """Visit the place: the fault that strikes now, None for none."""
        plan = self._plan
        if not self._threshold or plan.over:
            return None
        self._count += 1
        if plan.taped is not None:
            fault = plan.taped.get(f"{self.name}:{self._count}")
            return fault and plan.strike(fault)
        if self._bits(32) >= self._threshold:
            return None
        fault = Fault(
            id=f"{self.name}:{self._count}",
            kind=self._kind,
            at_us=plan.now_us(),
            nodes=self.nodes,
            dice=self._bits(32),
        )
        return plan.strike(fault)


class FaultPlan:
    """All faults of one run. `struck` are those that struck, in order; `over` ends them."""

    def __init__(
        self,
        seed: int,
        now_us: Callable[[], int],
        *,
        taped: Iterable[Fault] | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.now_us = now_us
        self.taped: Mapping[str, Fault] | None = (
            None if taped is None else {fault.id: fault for fault in taped}
        )
        self.struck: list[Fault] = []
        self.over = False
        self.on_strike: Callable[[Fault], None] | None = None
        self._seed = seed
        self.without = frozenset(without)
        """Ids of faults and operations that are left out: `client0:17` is the 17th turn of that client, `client0:17+` all
        after it.
        """

    def site(self, kind: str, ppm: int, *place: int, of_nodes: bool = True) -> Site:
        """Return a place for this kind of fault; `of_nodes`: the place is named by ids of nodes."""
        bits = seeded(self._seed, "fault", kind, *place).bits if ppm and self.taped is None else _no_bits
        return Site(self, kind, place, ppm, bits, nodes=place if of_nodes else ())

    def strike(self, fault: Fault) -> Fault | None:
        """Note that it strikes; None when it was to be left out."""
        if fault.id in self.without:
            return None
        self.struck.append(fault)
        if self.on_strike is not None:
            self.on_strike(fault)
        return fault

    def schedule_stream(self, kind: str) -> Stream:
        """The dice that say when a kind strikes that has a time of its own, and whom."""
        return seeded(self._seed, "fault", kind)


def _no_bits(count: int) -> int:
    raise AssertionError(f"{count} bits asked of a place that never draws")
