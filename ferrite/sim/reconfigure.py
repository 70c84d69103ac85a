"""Other settings for a node that starts again: an operator changed its configuration, or it runs another version's defaults."""

from __future__ import annotations

from dataclasses import replace

from ferrite.core import ReplicaConfig
from ferrite.sim.dice import Stream


def reconfigured(config: ReplicaConfig, dice: Stream) -> ReplicaConfig:
    """Return the settings changed within what operators may mix in one cluster: timeouts by a half, batches, flushes."""
    percent = dice.pick((100, 60, 150))
    return replace(
        config,
        heartbeat_interval_us=config.heartbeat_interval_us * percent // 100,
        election_timeout_min_us=config.election_timeout_min_us * percent // 100,
        election_timeout_max_us=config.election_timeout_max_us * percent // 100,
        append_entries_max=dice.pick((config.append_entries_max, 1, 3)),
        apply_entries_max=dice.pick((config.apply_entries_max, 1, 5)),
        flush_entries=dice.pick((config.flush_entries, 7)),
    )
