"""Figures over many runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ferrite.sim.link_graphs.check import GraphOutcome, Verdict


@dataclass(slots=True)
class Summary:
    """What a command line or a benchmark prints."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    able: int = 0
    """Runs in which a node was able at the cut."""
    leader_kept: int = 0
    """Runs in which the leader of before could stay, and did."""
    worst: GraphOutcome | None = None
    """The latest stable leader."""
    most_terms: int = 0
    """The most terms that passed after a cut."""
    failures: list[GraphOutcome] = field(default_factory=list)

    def add(self, outcome: GraphOutcome) -> None:
        """Count one more."""
        self.verdicts[outcome.verdict] += 1
        self.able += bool(outcome.able_at_cut)
        self.most_terms = max(self.most_terms, outcome.terms_grown)
        if outcome.verdict is Verdict.STABLE:
            self.leader_kept += outcome.leader == outcome.old_leader and not outcome.terms_grown
            if self.worst is None or outcome.stable_us > self.worst.stable_us:
                self.worst = outcome
        if not outcome.ok:
            self.failures.append(outcome)
