"""How long sessions of a run live."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import SessionLimits
from ferrite.sim.options import KvOptions

GRANULES: Final = 4
"""Activity is noted so many times in a session's time."""


def session_limits(options: KvOptions) -> SessionLimits | None:
    """The limits of the machine on all nodes, and of the replay; None: the shipped ones."""
    ttl_us = options.session_ttl_s * 1_000_000
    return SessionLimits(ttl_us=ttl_us, activity_granule_us=ttl_us // GRANULES) if ttl_us else None
