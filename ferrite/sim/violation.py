"""What a failed check says."""

from __future__ import annotations

from functools import partial
from typing import Any


class Violation(AssertionError):
    """An invariant does not hold. `kind` is the verdict: safety, liveness, crash, linearizability."""

    def __init__(
        self,
        name: str,
        sentence: str,
        facts: str,
        *,
        time_us: int = 0,
        event_number: int = 0,
        kind: str = "safety",
    ) -> None:
        """Name the invariant, its sentence, and the facts that contradict it."""
        super().__init__(f"{name}: {sentence} {facts} (at {time_us} us, event {event_number})")
        self.name = name
        self.sentence = sentence
        self.facts = facts
        self.time_us = time_us
        self.event_number = event_number
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by its facts: sweeps carry it between processes."""
        again = partial(Violation, time_us=self.time_us, event_number=self.event_number, kind=self.kind)
        return again, (self.name, self.sentence, self.facts)
