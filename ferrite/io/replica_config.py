"""What the configuration's keys mean to the replica."""

from __future__ import annotations

import os
from typing import Final

from ferrite.core import NodeId, ReplicaConfig
from ferrite.io.config import Config

APPEND_BYTES_MAX: Final = 1 << 20
"""One append: small enough to keep heartbeats flowing; a message may be at least twice as large."""


def replica_config(config: Config, *, seed: int | None = None) -> ReplicaConfig:
    """Translate. `seed` of the election jitter: random unless given."""
    raft, storage, limits = config.raft, config.storage, config.limits
    policy = raft.snapshot_policy
    return ReplicaConfig(
        seed=int.from_bytes(os.urandom(8)) if seed is None else seed,
        heartbeat_interval_us=raft.heartbeat_interval * 1000,
        election_timeout_min_us=raft.election_timeout_min * 1000,
        election_timeout_max_us=raft.election_timeout_max * 1000,
        priorities={NodeId(peer.id): peer.priority for peer in config.cluster.peers},
        append_entries_max=raft.max_append_entries,
        append_bytes_max=APPEND_BYTES_MAX,
        inflight_messages_max=raft.max_inflight_requests,
        pending_requests_max=limits.pending_requests_max,
        pending_bytes_max=limits.pending_bytes_max,
        auto_flush=policy.enable_auto_snapshot,
        flush_entries=policy.entries_since_last_snapshot,
        flush_interval_us=policy.snapshot_interval * 1000,
        auto_discard=raft.enable_auto_compaction,
        log_entries_max=raft.compaction_threshold,
        log_bytes_max=storage.max_log_size,
        log_retention_entries=storage.log_retention_count,
    )
