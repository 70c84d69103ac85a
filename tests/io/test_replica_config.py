from pathlib import Path

import pytest

from ferrite.io.replica_config import replica_config
from tests.io.test_requests import config_of

KEYS = {
    "raft__heartbeat_interval": ("70", "heartbeat_interval_us", 70_000),
    "raft__election_timeout_min": ("900", "election_timeout_min_us", 900_000),
    "raft__election_timeout_max": ("3000", "election_timeout_max_us", 3_000_000),
    "raft__max_append_entries": ("7", "append_entries_max", 7),
    "raft__max_inflight_requests": ("9", "inflight_messages_max", 9),
    "raft__enable_auto_compaction": ("false", "auto_discard", False),
    "raft__compaction_threshold": ("30000", "log_entries_max", 30_000),
    "raft__snapshot_policy__enable_auto_snapshot": ("false", "auto_flush", False),
    "raft__snapshot_policy__entries_since_last_snapshot": ("77", "flush_entries", 77),
    "raft__snapshot_policy__snapshot_interval": ("1234", "flush_interval_us", 1_234_000),
    "storage__max_log_size": ("9999999", "log_bytes_max", 9_999_999),
    "storage__log_retention_count": ("123", "log_retention_entries", 123),
    "limits__pending_requests_max": ("55", "pending_requests_max", 55),
    "limits__pending_bytes_max": ("9000000", "pending_bytes_max", 9_000_000),
}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_consensus_reaches_the_replica(key: str, tmp_path: Path) -> None:
    text, field, expected = KEYS[key]
    assert getattr(replica_config(config_of(tmp_path)), field) != expected
    assert getattr(replica_config(config_of(tmp_path, **{key: text})), field) == expected


def test_priorities_are_the_peers(tmp_path: Path) -> None:
    settings = {
        "cluster__peers__1__http_addr": "127.0.0.1:8001",
        "cluster__peers__1__grpc_addr": "127.0.0.1:9001",
        "cluster__peers__1__priority": "90",
    }
    assert replica_config(config_of(tmp_path, **settings)).priorities == {1: 90}


def test_each_start_has_its_own_jitter(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert replica_config(config).seed != replica_config(config).seed
    assert replica_config(config, seed=5).seed == 5
