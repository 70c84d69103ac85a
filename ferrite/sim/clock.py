"""A node's monotonic clock: it begins anywhere, runs fast or slow, may stand still and then jump, and never goes back.

The core is told no other time, so a wall clock that steps cannot reach it and is not simulated.
"""

from __future__ import annotations

from ferrite.sim.dice import PPM


class Clock:
    """Local time as a straight line over simulated time, bent whenever the rate changes.

    Both ways are asked at every step: at the right rate they multiply and divide nothing.
    """

    __slots__ = ("_local_us", "_since_us", "rate_ppm")

    def __init__(self, local_us: int, now_us: int, rate_ppm: int = PPM) -> None:
        self._local_us = local_us
        self._since_us = now_us
        self.rate_ppm = rate_ppm

    def read(self, now_us: int) -> int:
        """The clock's time at this simulated time, which never decreases."""
        passed_us = now_us - self._since_us
        if self.rate_ppm != PPM:
            passed_us = passed_us * self.rate_ppm // PPM
        return self._local_us + passed_us

    def when(self, local_us: int) -> int:
        """The first simulated time at which the clock shows this; in the past when it has shown it already."""
        ago_us = self._local_us - local_us
        if self.rate_ppm != PPM:
            ago_us = ago_us * PPM // self.rate_ppm
        return self._since_us - ago_us

    def set_rate(self, now_us: int, rate_ppm: int) -> None:
        """Run at this rate from now on; PPM is right."""
        self._local_us = self.read(now_us)
        self._since_us = now_us
        self.rate_ppm = rate_ppm

    def jump(self, now_us: int, by_us: int) -> None:
        """Leap ahead."""
        self._local_us = self.read(now_us) + by_us
        self._since_us = now_us
