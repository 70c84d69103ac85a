"""How soon a planted bug is found: seeds and CPU time to the first violation, from several starting seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ferrite.sim.options import Options
from ferrite.sim.search.settings import RunChoice
from ferrite.sim.violation import Violation

START_STRIDE: Final = 1_000_000
"""Between the first seeds of two starts: they share none."""


class Planted(Protocol):
    """What is needed of a planted bug."""

    @property
    def number(self) -> int: ...

    def run(self, seed: int, options: Options) -> Any:
        """One run of a cluster with the bug; the result has `violation`."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Hunt:
    """One search for one bug. Picklable, the bug by its number."""

    mutant: Planted
    start: int
    """Number of the start; its seeds begin at `start * START_STRIDE`."""
    seeds_max: int
    choice: RunChoice

    @property
    def first_seed(self) -> int:
        """Where it begins."""
        return self.start * START_STRIDE


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

    @property
    def killed(self) -> bool:
        """Was it found?"""
        return bool(self.check)


def hunt(task: Hunt) -> Hunted:
    """Run seed after seed with the bug until a check fires, or the budget is spent."""
    began_ns = time.thread_time_ns()
    for count in range(1, task.seeds_max + 1):
        seed = task.first_seed + count - 1
        violation = _violation(task, seed)
        if violation is not None:
            return Hunted(
                number=task.mutant.number,
                start=task.start,
                seeds=count,
                cpu_us=(time.thread_time_ns() - began_ns) // 1000,
                check=violation.name,
                seed=seed,
                facts=violation.facts,
            )
    return Hunted(
        number=task.mutant.number,
        start=task.start,
        seeds=task.seeds_max,
        cpu_us=(time.thread_time_ns() - began_ns) // 1000,
    )


def _violation(task: Hunt, seed: int) -> Violation | None:
    found: Violation | None = task.mutant.run(seed, task.choice.options(seed)).violation
    return found


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
    )


def _median(hunted: Sequence[Hunted], of: Callable[[Hunted], int]) -> int:
    """The lower middle: a value that occurred."""
    values = sorted(of(one) for one in hunted)
    return values[(len(values) - 1) // 2] if values else 0
