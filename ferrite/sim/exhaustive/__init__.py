"""Bounded exhaustive mode: every order of deliveries, losses, timeouts, crashes and proposals within limits, shortest first.

`search` explores, `replay` takes one path again; `docs/exhaustive.md` says what is left out.
"""

from ferrite.sim.exhaustive.limits import Limits
from ferrite.sim.exhaustive.search import Outcome, Progress, replay, search
from ferrite.sim.exhaustive.steps import Kind, Letter, Step

__all__ = ["Kind", "Letter", "Limits", "Outcome", "Progress", "Step", "replay", "search"]
