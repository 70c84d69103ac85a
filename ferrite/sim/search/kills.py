"""How soon a planted bug is found: seeds and CPU time to the first violation, from several starting seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ferrite.sim.options import Options
from ferrite.sim.search.settings import RunChoice
from ferrite.sim.violation import Violation

START_STRIDE: Final = 1_000_000
"""Between the first seeds of two starts: they share none."""
SHRINK_TRIALS: Final = 100
"""Runs that shrinking one kill may cost: enough for the size of the story, not for the smallest one."""


class Planted(Protocol):
    """What is needed of a planted bug."""

    @property
    def number(self) -> int: ...

    def run(self, seed: int, options: Options) -> Any:
        """One run of a cluster with the bug; the result has `violation`."""

    def planted(self) -> AbstractContextManager[None]:
        """Clusters made and run inside have the bug."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Hunt:
    """One search for one bug. Picklable, the bug by its number."""

    mutant: Planted
    start: int
    """Number of the start; its seeds begin at `start * START_STRIDE`."""
    seeds_max: int
    cpu_us_max: int
    choice: RunChoice
    shrinks: bool = False
    """Is the kill made as small as it gets? Not counted in the CPU time of the search."""

    @property
    def first_seed(self) -> int:
        """Where it begins."""
        return self.start * START_STRIDE


@dataclass(slots=True, kw_only=True, frozen=True)
class Shrunken:
    """What is left of a kill."""

    faults: int
    operations: int
    nodes: int
    sentence: str

    def size(self) -> str:
        """The three numbers in one word."""
        return f"{self.faults}/{self.operations}/{self.nodes}"


@dataclass(slots=True, kw_only=True, frozen=True)
class Hunted:
    """What came of a hunt. `check` is the invariant that fired first, empty when the bug survived."""

    number: int
    start: int
    seeds: int
    """Runs made, the one that killed included."""
    cpu_us: int
    check: str = ""
    seed: int = 0
    """The seed that killed."""
    facts: str = ""
    shrunk: Shrunken | None = None

    @property
    def killed(self) -> bool:
        """Was it found?"""
        return bool(self.check)


def hunt(task: Hunt) -> Hunted:
    """Run seed after seed with the bug until a check fires, or a budget is spent."""
    began_ns = time.thread_time_ns()
    count, cpu_us = 0, 0
    violation: Violation | None = None
    while violation is None and count < task.seeds_max and cpu_us < task.cpu_us_max:
        violation = _violation(task, task.first_seed + count)
        count += 1
        cpu_us = (time.thread_time_ns() - began_ns) // 1000
    hunted = Hunted(number=task.mutant.number, start=task.start, seeds=count, cpu_us=cpu_us)
    if violation is None:
        return hunted
    seed = task.first_seed + count - 1
    return replace(
        hunted,
        check=violation.name,
        seed=seed,
        facts=violation.facts,
        shrunk=_shrunken(task, seed) if task.shrinks else None,
    )


def _violation(task: Hunt, seed: int) -> Violation | None:
    found: Violation | None = task.mutant.run(seed, task.choice.options(seed)).violation
    return found


def _shrunken(task: Hunt, seed: int) -> Shrunken:
    from ferrite.sim.cluster import Cluster  # noqa: PLC0415 - only workers need a cluster
    from ferrite.sim.search.shrink import shrink  # noqa: PLC0415 - as above
    from ferrite.sim.search.tapes import record  # noqa: PLC0415 - as above

    with task.mutant.planted():
        tape, _ = record(Cluster(seed, task.choice.options(seed), keep_draws=True))
        shrunk = shrink(tape, trials_max=SHRINK_TRIALS)
    size = shrunk.after
    return Shrunken(
        faults=size.faults, operations=size.operations, nodes=size.nodes, sentence=shrunk.sentence()
    )


def died(task: Hunt) -> Hunted:
    """A worker that died is no kill by a check."""
    return Hunted(number=task.mutant.number, start=task.start, seeds=0, cpu_us=0)


@dataclass(slots=True, kw_only=True, frozen=True)
class Score:
    """All starts of one bug together."""

    number: int
    kills: int
    starts: int
    seeds_median: int
    """Of all starts; one that survived counts with its whole budget."""
    cpu_us_median: int
    checks: tuple[str, ...]
    """What fired first, the most frequent one in front."""
    shrunk: Shrunken | None = None
    """The kill of the first start, after shrinking."""

    @property
    def survived(self) -> bool:
        """Did any start fail to find it?"""
        return self.kills < self.starts


def score(number: int, hunted: Sequence[Hunted]) -> Score:
    """Sum the starts of one bug up."""
    names = [one.check for one in hunted if one.killed]
    return Score(
        number=number,
        kills=len(names),
        starts=len(hunted),
        seeds_median=_median(hunted, lambda one: one.seeds),
        cpu_us_median=_median(hunted, lambda one: one.cpu_us),
        checks=tuple(sorted(set(names), key=lambda name: (-names.count(name), name))),
        shrunk=next((one.shrunk for one in hunted if one.shrunk is not None), None),
    )


def _median(hunted: Sequence[Hunted], of: Callable[[Hunted], int]) -> int:
    """The lower middle: a value that occurred."""
    values = sorted(of(one) for one in hunted)
    return values[(len(values) - 1) // 2] if values else 0
