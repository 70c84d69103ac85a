"""The sum of a sweep: verdicts, costs, coverage, and one digest of all digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ferrite.sim.search.judge import BLACK_BOX_COUNTERS
from ferrite.sim.search.sweep import CLEAN, SeedOutcome


@dataclass(slots=True, kw_only=True)
class Tally:
    """What outcomes add up to. The order in which they are added changes nothing that is reported."""

    failures: list[SeedOutcome] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] = field(default_factory=dict)
    cpu_us: list[int] = field(default_factory=list)
    simulated_us: int = 0
    events: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    black_box: Counter[str] = field(default_factory=Counter)
    """How many histories were checked as black boxes, and how many of these stayed undecided."""

    def add(self, outcome: SeedOutcome) -> None:
        """Count one run."""
        self.verdicts[outcome.verdict] += 1
        self.digests[outcome.seed] = outcome.digest
        self.cpu_us.append(outcome.cpu_us)
        self.simulated_us += outcome.simulated_us
        self.events += outcome.events
        self.marks.update(outcome.marks)
        if outcome.black_box:
            self.black_box[outcome.black_box] += 1
        if outcome.verdict != CLEAN:
            self.failures.append(outcome)

    @property
    def done(self) -> int:
        """Runs counted."""
        return len(self.cpu_us)

    def sorted_failures(self) -> list[SeedOutcome]:
        """By seed."""
        return sorted(self.failures, key=lambda outcome: outcome.seed)

    def combined_digest(self) -> str:
        """32 hex digits over (seed, digest) of all runs: equal for equal sweeps, however they were spread over workers."""
        digest = hashlib.blake2b(digest_size=16)
        for seed, run in sorted(self.digests.items()):
            digest.update(f"{seed} {run}\n".encode())
        return digest.hexdigest()

    def never_reached(self) -> list[str]:
        """Marks that no run reached, in alphabetical order."""
        return sorted(mark for mark, times in self.marks.items() if not times)

    def cpu_us_mean(self) -> int:
        """0 without runs."""
        return sum(self.cpu_us) // max(1, self.done)

    def cpu_us_percentile(self, percent: int) -> int:
        """By nearest rank; 0 without runs."""
        if not self.cpu_us:
            return 0
        rank = -(-percent * self.done // 100)
        return sorted(self.cpu_us)[max(0, rank - 1)]

    def simulated_per_cpu_milli(self) -> int:
        """Thousandths of a simulated second per CPU second; 0 without runs."""
        return self.simulated_us * 1000 // max(1, sum(self.cpu_us))

    def to_json(self) -> dict[str, Any]:
        """The tally as a JSON object; the lines of `runs` are sorted by seed."""
        return {
            "seeds": self.done,
            "verdicts": dict(sorted(self.verdicts.items())),
            "failures": [asdict(outcome) for outcome in self.sorted_failures()],
            "cpu_us": {
                "total": sum(self.cpu_us),
                "mean": self.cpu_us_mean(),
                "median": self.cpu_us_percentile(50),
                "p99": self.cpu_us_percentile(99),
            },
            "simulated_us": self.simulated_us,
            "events": self.events,
            "black_box": {name: self.black_box[name] for name in BLACK_BOX_COUNTERS},
            "marks": dict(sorted(self.marks.items())),
            "marks_never_reached": self.never_reached(),
            "runs": [[seed, digest] for seed, digest in sorted(self.digests.items())],
            "combined_digest": self.combined_digest(),
        }
