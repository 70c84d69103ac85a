"""The front of the checkers: a history in, a verdict out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from ferrite.sim.linearizability import witness, zones
from ferrite.sim.linearizability.explain import (
    Explanation,
    explain_clash,
    explain_contradiction,
    explain_search,
)
from ferrite.sim.linearizability.history import Operation, read_history
from ferrite.sim.linearizability.models import MODELS, ModelName, Part, Reading, parts_of
from ferrite.sim.linearizability.search import Search

STEPS_MAX: Final = 2_000_000
"""Configurations that one check looks at, over all keys: about a minute, and some hundred bytes each."""
PORTION_STEPS: Final = 256
"""What each key gets in the first round. Every round doubles it: a hard key does not keep an easy violation waiting."""

RIVAL_STEPS: Final = 1_024
"""From this portion on, a key that is still open gets a second search in another order: which one is lucky differs."""

CheckerName = Literal["auto", "search", "zones", "witness"]
CHECKERS: Final[tuple[CheckerName, ...]] = ("auto", "search", "zones", "witness")
Status = Literal["linearizable", "violation", "undecided"]
Progress = Callable[[int, int, int], None]
"""(keys decided, keys, configurations looked at) after every portion."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What became of a check. `undecided`: the budget ended first; the history may be either."""

    status: Status
    model: str
    checker: str
    """What decided: `witness`, `zones`, `search`, or several joined by `+`."""
    operations: int
    keys: int
    steps: int = 0
    explanation: Explanation | None = None
    undecided_keys: list[str] = field(default_factory=list)

    @property
    def linearizable(self) -> bool:
        """True only when a linearization exists for certain."""
        return self.status == "linearizable"

    def text(self) -> str:
        """The verdict for people; several lines when there is a violation."""
        counted = f"{self.operations:,} operations on {self.keys:,} keys, model {self.model}, checker {self.checker}"
        if self.explanation is not None:
            return f"{self.explanation.text()}\n  ({counted})"
        if self.status == "undecided":
            keys = ", ".join(self.undecided_keys)
            return f"undecided: the budget of {self.steps:,} configurations ended first, at key {keys} ({counted})"
        return f"{'linearizable' if self.linearizable else 'not linearizable'} ({counted})"

    def as_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        return {
            "status": self.status,
            "linearizable": self.linearizable,
            "model": self.model,
            "checker": self.checker,
            "operations": self.operations,
            "keys": self.keys,
            "steps": self.steps,
            "explanation": None if self.explanation is None else self.explanation.as_json(),
            "undecided_keys": self.undecided_keys,
        }


def check_file(
    path: str,
    *,
    model: ModelName,
    reading: Reading | None = None,
    checker: CheckerName = "auto",
    steps: int = STEPS_MAX,
    explain: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Check a file of JSON lines. Raises HistoryInvalid, OSError, ValueError as `check_history`."""
    with open(path, "rb") as lines:
        operations = read_history(lines)
    return check_operations(
        operations,
        model=model,
        reading=reading,
        checker=checker,
        steps=steps,
        explain=explain,
        progress=progress,
    )


def check_history(
    lines: str | Iterable[str | bytes],
    *,
    model: ModelName,
    reading: Reading | None = None,
    checker: CheckerName = "auto",
    steps: int = STEPS_MAX,
    explain: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Check a history, given as its text or its lines.

    `checker` auto takes for each key the fastest one that decides it. Raises HistoryInvalid for a damaged history, ValueError
    for an unknown model, a budget below 1, or a checker that cannot decide this history.
    """
    return check_operations(
        read_history(lines),
        model=model,
        reading=reading,
        checker=checker,
        steps=steps,
        explain=explain,
        progress=progress,
    )


def check_operations(
    operations: list[Operation],
    *,
    model: ModelName,
    reading: Reading | None = None,
    checker: CheckerName = "auto",
    steps: int = STEPS_MAX,
    explain: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Check operations that were read before; see `check_history`."""
    if model not in MODELS:
        raise ValueError(f"model {model!r}; expected one of {', '.join(MODELS)}")
    if checker not in CHECKERS:
        raise ValueError(f"checker {checker!r}; expected one of {', '.join(CHECKERS)}")
    if steps < 1:
        raise ValueError(f"a budget of {steps} configurations; expected at least 1")
    run = _Run(
        Verdict(status="linearizable", model=model, checker="", operations=len(operations), keys=0),
        steps,
        progress,
        explain=explain,
    )
    if (
        model == "ferrite"
        and checker in ("auto", "witness")
        and operations
        and witness.applicable(operations)
    ):
        left = run.by_witness(operations)
    elif checker == "witness":
        raise ValueError(
            "the witness check needs model ferrite and a revision in every answer; use checker auto"
        )
    else:
        left = parts_of(operations, model, reading or Reading())
        run.verdict.keys = len(left)
        left = run.by_zones(left, checker)
    run.by_search(left)
    run.verdict.checker = "+".join(run.checkers) or "search"
    return run.verdict


class _Run:
    """One check, from checker to checker: each takes the parts that the ones before left undecided."""

    def __init__(self, verdict: Verdict, steps: int, progress: Progress | None, *, explain: bool) -> None:
        self.verdict = verdict
        self.checkers: list[str] = []
        self._steps = steps
        self._explain = explain
        self._progress = progress

    def _violated(self, explanation: Callable[[], Explanation]) -> list[Part]:
        self.verdict.status = "violation"
        if self._explain:
            self.verdict.explanation = explanation()
        return []

    def by_witness(self, operations: list[Operation]) -> list[Part]:
        """Decide a history of Ferrite by its revisions; return the parts that are left to the search."""
        self.checkers.append("witness")
        witnessed = witness.check_witness(operations)
        self.verdict.keys = witnessed.keys
        contradiction = witnessed.contradiction
        if contradiction is not None:
            return self._violated(partial(explain_contradiction, contradiction))
        still_open = set(witnessed.open_keys)
        of_open_keys = [operation for operation in operations if operation.key in still_open]
        return witness.by_revision(parts_of(of_open_keys, "ferrite", Reading()), operations)

    def by_zones(self, parts: list[Part], checker: CheckerName) -> list[Part]:
        """Decide the parts whose written values are unique; return the others."""
        if checker not in ("auto", "zones"):
            return parts
        left = []
        for part in parts:
            if not zones.applicable(part):
                left.append(part)
                continue
            if "zones" not in self.checkers:
                self.checkers.append("zones")
            clash = zones.find_clash(part)
            if clash is not None:
                return self._violated(partial(explain_clash, part, clash))
        if left and checker == "zones":
            raise ValueError(
                f"zones decide reads and writes of unique values only; key {left[0].name} has others; use checker auto"
            )
        return left

    def by_search(self, parts: list[Part]) -> None:
        """Search all parts in turns, with portions that grow."""
        if not parts:
            return
        self.checkers.append("search")
        waiting = [(part, [Search(part)]) for part in parts]
        portion = PORTION_STEPS
        while waiting:
            undecided = []
            for part, searches in waiting:
                decided, search = self._turn(searches, portion)
                if decided is False:
                    self._violated(partial(explain_search, part, search))
                    return
                if decided is None:
                    undecided.append((part, searches))
                if self._progress is not None:
                    self._progress(self.verdict.keys - len(waiting), self.verdict.keys, self.verdict.steps)
            waiting = undecided
            portion *= 2
            if waiting and self.verdict.steps >= self._steps:
                self.verdict.status = "undecided"
                self.verdict.undecided_keys = [part.name for part, _ in waiting]
                return
            if portion >= RIVAL_STEPS:
                for part, searches in waiting:
                    if len(searches) == 1:
                        searches.append(Search(part, thrifty=False))

    def _turn(self, searches: list[Search], portion: int) -> tuple[bool | None, Search]:
        """Let each of a key's searches go on; the first to decide decides."""
        for search in searches:
            before = search.steps
            decided = search.run(min(portion, self._steps - self.verdict.steps))
            self.verdict.steps += search.steps - before
            if decided is not None:
                return decided, search
        return None, searches[0]
