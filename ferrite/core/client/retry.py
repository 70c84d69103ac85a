"""How long to wait: for an answer, and before the next attempt."""

from __future__ import annotations

from ferrite.core.client.endpoints import Dice
from ferrite.core.values import value


@value
class RetryPolicy:
    """Times in microseconds. Pauses double from the first to the longest, and a random half of each is left out."""

    pause_first_us: int = 20_000
    pause_max_us: int = 1_000_000
    attempt_timeout_us: int = 2_000_000
    """For the first attempt, at most half of the call's time; doubled with each that was not answered: what is slow everywhere
    is not asked ever more often. Half as long, and never doubled, at an endpoint that failed lately where there are others:
    such a one is asked ever more rarely.
    """
    calls_max: int = 10_000
    """Calls that one client may have under way or waiting; a further one is refused. Bounds its memory."""
    discovery_pause_us: int = 5_000_000
    """Members are asked for at most so often, after a failure."""

    def pause_us(self, pauses: int, dice: Dice) -> int:
        """Before the attempt that follows `pauses` earlier pauses."""
        whole_us = min(self.pause_max_us, self.pause_first_us << min(pauses, 20))
        return whole_us // 2 + dice(whole_us // 2 + 1)

    def patience_us(self, call_timeout_us: int, silences: int) -> int:
        """For the answer to the attempt that follows `silences` without one."""
        return max(2, min(self.attempt_timeout_us, call_timeout_us // 2)) << min(silences, 20)
