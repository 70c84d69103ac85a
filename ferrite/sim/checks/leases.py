"""Leases as clients see them: none ends before its time. What ends them, and when in cluster time, the replay has checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ferrite.core.kv import LeaseGrantResult, LeaseKeepAlive, LeaseKeepAliveResult
from ferrite.sim.checks.replay import Model
from ferrite.sim.dice import PPM
from ferrite.sim.history import OK, History
from ferrite.sim.options import Options
from ferrite.sim.violation import Violation

ROUNDING_US: Final = 100
"""Clocks are read in whole microseconds, several times on the way."""


def check_lease_ends(
    history: History, model: Model, committed_us: Mapping[int, int], options: Options
) -> None:
    """S28: a lease lives its whole TTL after a client *began* to ask for it, or for more time, and was told that it has it.

    Of clocks that run right only: cluster time is that of the leaders' clocks. Raises Violation.
    """
    if options.faults.drift_ppm or options.faults.clock_jump_every_us:
        return
    asked_us: dict[int, list[tuple[int, int, int]]] = {}
    for operation in history.operations:
        if operation.outcome != OK:
            continue
        match operation.command, operation.result:
            case _, LeaseGrantResult(lease_id=lease_id, ttl_s=ttl_s):
                granted = [(lease_id, ttl_s)]
            case LeaseKeepAlive(lease_ids=lease_ids), LeaseKeepAliveResult(ttls_s=ttls_s):
                granted = list(zip(lease_ids, ttls_s, strict=True))
            case _:
                continue
        index = min(model.executed[each].index for each in operation.requests if each in model.executed)
        for lease_id, ttl_s in granted:
            if ttl_s:
                asked_us.setdefault(lease_id, []).append((index, operation.invoke_us, ttl_s))
    for end in model.lease_ends:
        ended_us = committed_us[end.ended_index]
        for index, from_us, ttl_s in asked_us.get(end.lease_id, ()):
            lived_us = (ended_us - from_us) * options.clock_rate_ppm // PPM
            if index < end.ended_index and lived_us + ROUNDING_US < ttl_s * 1_000_000:
                raise Violation(
                    "S28",
                    "A lease does not end before its time.",
                    f"lease {end.lease_id} of {ttl_s} s, asked for at {from_us} us (entry {index}), "
                    f"ended at {ended_us} us (entry {end.ended_index}), after {lived_us} us by a right clock",
                    time_us=ended_us,
                )
