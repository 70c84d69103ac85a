"""Metrics: etcd's names, the node's numbers, one registry per node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ferrite.io.http.metrics import node_registry
from tests.io.http.helpers import STATUS


def value_of(name: str, labels: dict[str, str] | None = None, **changes: Any) -> float | None:
    registry, _ = node_registry(lambda: replace(STATUS, **changes))
    return registry.get_sample_value(name, labels or {})


def test_etcds_names_tell_the_nodes_numbers() -> None:
    assert value_of("ferrite_server_has_leader") == 1
    assert value_of("ferrite_server_has_leader", leader_id=0) == 0
    assert value_of("ferrite_server_is_leader") == 1
    assert value_of("ferrite_server_is_leader", role="follower") == 0
    assert value_of("ferrite_server_is_learner", learners=(1,)) == 1
    assert value_of("ferrite_server_proposals_committed_total") == 20
    assert value_of("ferrite_server_proposals_applied_total") == 19
    assert value_of("ferrite_server_proposals_pending") == 2
    assert value_of("ferrite_server_leader_changes_seen_total") == 4
    assert value_of("ferrite_server_id", {"server_id": "1"}) == 1
    assert value_of("ferrite_server_version", {"server_version": "0.1.0"}) == 1
    assert value_of("ferrite_debugging_mvcc_current_revision") == 12


def test_rafts_numbers_are_there_and_follow_the_status() -> None:
    assert value_of("ferrite_raft_term", term=9) == 9
    assert value_of("ferrite_raft_last_log_index") == 21
    assert value_of("ferrite_raft_leader_last_heard_seconds", leader_last_heard_ms=1500) == 1.5
    assert value_of("ferrite_raft_leader_last_heard_seconds", leader_last_heard_ms=-1) is None
    assert value_of("ferrite_raft_messages_dropped_total") == 2
    assert value_of("ferrite_server_problems", problems=("a", "b")) == 2


def test_history_space_leases_and_watches_have_a_gauge_each() -> None:
    assert value_of("ferrite_debugging_mvcc_compact_revision") == 3
    assert value_of("ferrite_mvcc_db_total_size_in_bytes") == 4096
    assert value_of("ferrite_server_no_space") == 0
    assert value_of("ferrite_server_no_space", no_space=True) == 1
    assert value_of("ferrite_lease_count") == 2
    assert value_of("ferrite_debugging_mvcc_watcher_total") == 5


def test_peers_have_a_series_each_and_this_node_none() -> None:
    assert value_of("ferrite_raft_peer_lag_entries", {"peer": "2"}) == 3
    assert value_of("ferrite_raft_peer_match_index", {"peer": "3"}) == 20
    assert value_of("ferrite_network_active_peers", {"Local": "1", "Remote": "3"}) == 0
    assert value_of("ferrite_raft_peer_lag_entries", {"peer": "1"}) is None


def test_a_counter_with_an_odd_name_or_a_taken_one_cannot_break_the_scrape() -> None:
    counters = {
        "a b": 1,
        "Ünï": 2,
        "": 3,
        "leader_changes": 4,
        "leader_changes_seen": 5,
        "fine_total": 6,
        "x" * 99: 7,
    }
    registry, _ = node_registry(lambda: replace(STATUS, counters=counters))
    assert registry.get_sample_value("ferrite_raft_fine_total") == 6
    names = [family.name for family in text_string_to_metric_families(generate_latest(registry).decode())]
    assert len(names) == len(set(names))


def test_both_formats_can_be_parsed_and_every_name_has_the_prefix() -> None:
    registry, http = node_registry(lambda: STATUS)
    http.answered("/write", 200, 0.001)
    http.rejected("invalid")
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert len(families) > 20
    assert all(family.name.startswith("ferrite_") and family.documentation for family in families)
    assert openmetrics.generate_latest(registry).endswith(b"# EOF\n")  # type: ignore[no-untyped-call]  # the library has no types there


def test_other_parts_bring_their_own_metrics() -> None:
    fsync = Histogram(
        "ferrite_disk_wal_fsync_duration_seconds",
        "Time of an fsync of the log.",
        registry=CollectorRegistry(),
    )
    fsync.observe(0.002)
    registry, _ = node_registry(lambda: STATUS, [fsync])
    assert registry.get_sample_value("ferrite_disk_wal_fsync_duration_seconds_count") == 1
