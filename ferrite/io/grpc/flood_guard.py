"""Frames that are well formed, move nothing, and cost more to receive than to send: how many of them one connection may send."""

from __future__ import annotations

from typing import Final

from ferrite.io.grpc.engine import PING_STRIKES_MAX

IDLE_FRAMES_BURST: Final = 200
IDLE_FRAMES_PER_S: Final = 20
"""Settings, priorities, pings, empty pieces of a request: clients send a handful when they begin, and few later."""


class FloodGuard:
    """One connection's account. All times are of one clock, in seconds."""

    __slots__ = ("_frame_s", "_frames_left", "_ping_interval_s_min", "_ping_s", "_strikes")

    def __init__(self, ping_interval_s_min: float, now_s: float) -> None:
        """Everything is allowed at first."""
        self._ping_interval_s_min = ping_interval_s_min
        self._ping_s = now_s - ping_interval_s_min
        self._strikes = 0
        self._frames_left = float(IDLE_FRAMES_BURST)
        self._frame_s = now_s

    def note_answer(self) -> None:
        """Something was sent: clients measure the way with a ping whenever something comes."""
        self._strikes = 0

    def allows_ping(self, now_s: float) -> bool:
        """A ping has come."""
        if now_s - self._ping_s < self._ping_interval_s_min:
            self._strikes += 1
        self._ping_s = now_s
        return self._strikes <= PING_STRIKES_MAX and self.allows_idle_frame(now_s)

    def allows_idle_frame(self, now_s: float) -> bool:
        """A frame that moves nothing has come."""
        earned = (now_s - self._frame_s) * IDLE_FRAMES_PER_S
        self._frames_left = min(self._frames_left + earned, IDLE_FRAMES_BURST) - 1
        self._frame_s = now_s
        return self._frames_left >= 0
