"""Shrinking: from a run that failed to the smallest story that fails in the same way.

The end goes first, then faults, operations of clients, nodes, and last the delays. Each trial plays a tape, and counts when the
same invariant breaks. What is left is a tape too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from ferrite.sim.cluster import Result
from ferrite.sim.search.judge import BLACK_BOX_NAMES, judge
from ferrite.sim.search.tapes import end_us, play
from ferrite.sim.tape import Tape

TRIALS_MAX: Final = 800
"""Runs that a shrink may cost; each is about as long as the failing one, most are shorter."""
EVENTS_SLACK: Final = 5_000

_T = TypeVar("_T")
Progress = Callable[[str, int], None]
"""Told what is being shrunk and how many trials were made."""


class NotReproduced(Exception):
    """The tape does not break what it says it breaks."""


@dataclass(slots=True, kw_only=True)
class Size:
    """How large a story is. `draws` are those that are not the plainest choice."""

    faults: int
    operations: int
    nodes: int
    draws: int
    simulated_us: int


@dataclass(slots=True, kw_only=True)
class Shrunk:
    """The smallest tape found, what it does, and how far it is from the first one."""

    tape: Tape
    result: Result
    before: Size
    after: Size
    trials: int

    def sentence(self) -> str:
        """From what there was to what is left. A quicker story can have more operations: clients that wait less ask more."""
        then, now = self.before, self.after
        parts = [
            f"{what} {getattr(then, what)} -> {getattr(now, what)}"
            for what in ("faults", "operations", "nodes", "draws")
        ]
        seconds = f"{then.simulated_us / 1e6:.2f} -> {now.simulated_us / 1e6:.2f} s"
        return f"{', '.join(parts)}, {seconds}; {self.trials} runs"


def shrink(
    tape: Tape, *, trials_max: int = TRIALS_MAX, progress: Progress | None = None, **kept: Any
) -> Shrunk:
    """Shrink a tape that breaks an invariant. Raises NotReproduced when it breaks another one or none."""
    search = _Search(tape, trials_max, progress or (lambda _what, _trials: None), kept)
    before = search.size
    for topic in (_end, _faults, _operations, _nodes, _draws, _faults, _operations):
        topic(search)
    return Shrunk(
        tape=search.best, result=search.result, before=before, after=search.size, trials=search.trials
    )


class _Search:
    """The best tape so far."""

    def __init__(self, tape: Tape, trials_max: int, progress: Progress, kept: dict[str, Any]) -> None:
        self.name = tape.violation
        self.trials = 0
        self._trials_max = trials_max
        self._progress = progress
        self._kept = kept
        self.topic = "first run"
        self.events = 0
        """Of the first run."""
        self.turns: list[str] = []
        found = self._run(tape)
        if found is None or not self.name:
            raise NotReproduced(
                f"the tape does not break {self.name or 'anything'} any more; the code has changed, or the tape is of a clean run"
            )
        self.best, self.result, self.operations = found

    @property
    def size(self) -> Size:
        options = self.best.options
        return Size(
            faults=len(self.best.faults),
            operations=len(self.operations),
            nodes=options.nodes + options.spares,
            draws=sum(1 for drawn in self.best.draws.values() for raw in drawn if raw),
            simulated_us=self.result.simulated_us,
        )

    def holds(self, tape: Tape) -> bool:
        """Does it still fail? Then it is the best one."""
        if self.trials >= self._trials_max:
            return False
        found = self._run(tape)
        if found is None:
            return False
        self.best, self.result, self.operations = found
        return True

    def _limited(self, tape: Tape) -> Tape:
        """Without delays clients never rest: a trial may have some more events than the first run, not endlessly many."""
        events_max = min(tape.options.events_max, 2 * self.events + EVENTS_SLACK)
        return replace(tape, options=replace(tape.options, events_max=events_max)) if self.events else tape

    def _run(self, tape: Tape) -> tuple[Tape, Result, list[str]] | None:
        self.trials += 1
        self._progress(self.topic, self.trials)
        cluster = play(self._limited(tape), **self._kept)
        result = judge(
            cluster, black_box=self.name in BLACK_BOX_NAMES, run=lambda: cluster.run(until_us=end_us(tape))
        )
        if result.violation is None or result.violation.name != self.name:
            return None
        self.events = self.events or result.events
        self.turns = [
            f"{client.name}:{turn}" for client in cluster.clients for turn in range(1, client.turns + 1)
        ]
        kept = [turn for turn in self.turns if turn not in cluster.world.plan.without]
        return replace(tape, until_us=result.violation.time_us), result, kept

    def reduce(self, items: Sequence[_T], made: Callable[[list[_T]], Tape]) -> list[_T]:
        """Leave out as many items as possible, large pieces first (delta debugging)."""
        kept = list(items)
        if not kept or self.holds(made([])):
            return []
        piece = max(1, len(kept) // 2)
        while True:
            place, changed = 0, False
            while place < len(kept):
                fewer = kept[:place] + kept[place + piece :]
                if len(fewer) < len(kept) and self.holds(made(fewer)):
                    kept, changed = fewer, True
                else:
                    place += piece
            if piece == 1 and not changed:
                return kept
            piece = piece if changed and piece == 1 else max(1, piece // 2)


def _end(search: _Search) -> None:
    """What comes after the failure is not needed."""
    search.topic = "end"
    tape = search.best
    if tape.until_us < tape.options.seconds * 1_000_000:
        search.holds(replace(tape, faults=[fault for fault in tape.faults if fault.at_us <= tape.until_us]))


def _faults(search: _Search) -> None:
    search.topic = "faults"
    for kind in sorted({fault.kind for fault in search.best.faults}):
        search.holds(
            replace(search.best, faults=[fault for fault in search.best.faults if fault.kind != kind])
        )
    search.reduce(search.best.faults, lambda kept: replace(search.best, faults=kept))


def _operations(search: _Search) -> None:
    search.topic = "operations"
    # Nobody goes on after the failure: else what is left out now would be made up for by later operations.
    lasts = {name: int(turn) for name, turn in (turn.split(":") for turn in search.turns)}
    ends = [f"{name}:{last}+" for name, last in lasts.items()]
    search.holds(replace(search.best, without=sorted({*search.best.without, *ends})))

    def without(kept: list[str]) -> Tape:
        left_out = {*search.best.without, *search.operations} - set(kept)
        return replace(search.best, without=sorted(left_out))

    for name in sorted({turn.split(":")[0] for turn in search.operations}):
        search.holds(without([turn for turn in search.operations if not turn.startswith(f"{name}:")]))
    search.reduce(search.operations, without)


def _nodes(search: _Search) -> None:
    search.topic = "nodes"
    while search.best.options.spares and search.holds(_smaller(search.best, spares=-1)):
        pass
    while search.best.options.nodes > 1 and search.holds(_smaller(search.best, nodes=-1)):
        pass


def _smaller(tape: Tape, *, nodes: int = 0, spares: int = 0) -> Tape:
    """The same with fewer nodes: the last ones go, and with them the faults that strike them."""
    options = replace(tape.options, nodes=tape.options.nodes + nodes, spares=tape.options.spares + spares)
    last = options.nodes + options.spares
    faults = []
    for fault in tape.faults:
        links = tuple(link for link in fault.links if max(link) <= last)
        if max(fault.nodes, default=0) <= last and (links or not fault.links):
            faults.append(replace(fault, links=links))
    return replace(tape, options=options, faults=faults)


def _draws(search: _Search) -> None:
    """The plainest choices: the shortest delays, the first of several."""
    search.topic = "draws"
    for topic in sorted({name.split(" ")[0] for name in search.best.draws}):
        search.holds(
            replace(
                search.best, draws={n: d for n, d in search.best.draws.items() if n.split(" ")[0] != topic}
            )
        )
    search.reduce(
        sorted(search.best.draws),
        lambda kept: replace(search.best, draws={name: search.best.draws[name] for name in kept}),
    )
    for name in sorted(search.best.draws):
        drawn = search.best.draws[name]
        for end in (len(drawn) // 4, len(drawn) // 2):
            if search.holds(replace(search.best, draws={**search.best.draws, name: drawn[:end]})):
                break
