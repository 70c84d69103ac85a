"""What every option may be: bounds by name, else by unit, and what must hold between options. Asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from ferrite.core import InvariantViolated, ReplicaConfig, check_replica_config

NODES_MAX: Final = 9
"""More nodes than anybody deploys find no further bugs and cost quadratically."""
SECONDS_MAX: Final = 3600
"""An hour of simulated time: longer searches belong into more seeds."""
PPM_MAX: Final = 1_000_000
TIME_MAX_US: Final = SECONDS_MAX * 1_000_000
"""What takes longer than the longest run never ends in it."""
BYTES_MAX: Final = 1 << 30
"""A limit of a replica above this is none in a simulated cluster."""
COUNT_MAX: Final = 1_000_000_000
"""More of anything than a run can have: a slip of the finger."""
VALUE_BYTES_MAX: Final = 64 << 10
"""Every node, log and history keeps each value: a megabyte each fills the memory within seconds."""

_BY_NAME: Final = {
    "nodes": (1, NODES_MAX),
    "seconds": (1, SECONDS_MAX),
    "settle_seconds": (0, SECONDS_MAX),
    "batch_events_max": (1, 10_000),
    "trace_chunk": (-1, COUNT_MAX),
    "events_max": (1, COUNT_MAX),
    "clock_rate_ppm": (100_000, 100_000_000),
    "shipped_rate_ppm": (100_000, 100_000_000),
    "shipped_tasks": (1, 1_000),
    "lease_ttl_s": (1, COUNT_MAX),
    "drift_ppm": (0, 900_000),  # a clock that stands still is no clock
    "codec_every": (1, COUNT_MAX),
    "clients": (0, 1_000),
    "keys": (1, 100_000),
    "attempts_max": (1, 1_000),
    "value_bytes": (0, VALUE_BYTES_MAX),
    "seed": (0, 2**64 - 1),
    "heartbeat_interval_us": (1_000, TIME_MAX_US),
    "append_entries_max": (1, COUNT_MAX),
    "append_bytes_max": (1, BYTES_MAX),
    "inflight_messages_max": (1, COUNT_MAX),
    "inflight_bytes_max": (1, BYTES_MAX),
    "cache_bytes_max": (0, BYTES_MAX),
    "apply_bytes_max": (1, BYTES_MAX),
    "apply_entries_max": (1, COUNT_MAX),
    "pending_requests_max": (1, COUNT_MAX),
    "pending_bytes_max": (1, BYTES_MAX),
    "apply_gap_max": (1, COUNT_MAX),
    "snapshot_chunk_bytes": (1, BYTES_MAX),
    "flush_entries": (1, COUNT_MAX),
    "log_bytes_max": (1, BYTES_MAX),
}
_BY_UNIT: Final = {"_ppm": (0, PPM_MAX), "_us": (0, TIME_MAX_US)}


def bounds(name: str) -> tuple[int, int]:
    """The least and the largest value of the option of this name, without its part."""
    found = _BY_NAME.get(name)
    if found is not None:
        return found
    return next((both for unit, both in _BY_UNIT.items() if name.endswith(unit)), (0, COUNT_MAX))


def wrong_values(part: Any, prefix: str = "") -> Iterator[str]:
    """A sentence for each number of a part, and of the parts within it, that is out of bounds."""
    for field in fields(part):
        value, key = getattr(part, field.name), prefix + field.name
        if is_dataclass(value):
            wrong = [*wrong_values(value, f"{key}.")]
            yield from wrong
            if isinstance(value, ReplicaConfig) and not wrong:
                yield from _refused_by_replica(value, key)
        elif isinstance(value, int) and not isinstance(value, bool):
            low, high = bounds(field.name)
            if not low <= value <= high:
                unit = " parts per million" if field.name.endswith("_ppm") else ""
                yield f"{key} is {value}; expected {low} to {high}{unit}"


def _refused_by_replica(config: ReplicaConfig, key: str) -> Iterator[str]:
    """What the replica itself demands of its settings."""
    try:
        check_replica_config(config)
    except InvariantViolated as broken:
        yield (
            f"{key}: expected that {broken}; heartbeat_interval_us is {config.heartbeat_interval_us}, "
            f"election_timeout_min_us {config.election_timeout_min_us}, "
            f"election_timeout_max_us {config.election_timeout_max_us}"
        )
