"""No dead keys: every key of the configuration changes what a node does, and the table below says which test proves it.

Most proofs are in `test_keys_act` and `test_network_keys_act`; the others are tests that had proven it before. For keys of
consensus it takes two: one that the value reaches the replica, one that the replica obeys.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from ferrite.io.config.table import KEYS
from tests.io import test_replica_config

ROOT: Final = Path(__file__).parents[2]
_ACTS: Final = "tests/io/test_keys_act.py::test_"
_NETWORK: Final = "tests/io/test_network_keys_act.py::test_"
REPLICA: Final = "tests/io/test_replica_config.py::test_every_key_of_consensus_reaches_the_replica"
WIRING: Final = _ACTS + "a_server_is_made_of_what_its_configuration_says"
"""Proofs by an organ with its settings in hand need this one: that a server gives the organ those of its configuration."""

_ELECTIONS: Final = "tests/core/thesis/test_elections.py::test_"
_PROGRESS: Final = "tests/core/thesis/test_progress.py::test_"
_UPKEEP: Final = "tests/core/contract/test_upkeep.py::test_"
_FAILURES: Final = "tests/core/contract/test_failures.py::test_"
_LOGS: Final = "tests/io/test_logs.py::test_"
_CLI: Final = "tests/io/cli/test_server_cli.py::test_"
_REQUESTS: Final = "tests/io/test_requests.py::test_"
_LINK: Final = "tests/io/transport/test_link.py::test_"
_GRPC: Final = "tests/io/grpc/test_server.py::test_"
_HTTP: Final = "tests/io/http/test_server.py::test_"
_HELD: Final = "tests/io/http/test_held_bytes.py::test_"
_HOUSEKEEPING: Final = "tests/core/kv/test_housekeeping.py::test_"
_CONNECTION: Final = "tests/io/http/test_connection.py::test_"

PROOFS: Final[dict[str, tuple[str, ...]]] = {
    "node.id": (_ACTS + "the_disk_belongs_to_the_node",),
    "node.http_addr": (_ACTS + "the_faces_listen_where_they_are_told",),
    "node.grpc_addr": (_ACTS + "the_faces_listen_where_they_are_told",),
    "node.data_dir": (_ACTS + "the_disk_belongs_to_the_node",),
    "node.name": (
        _ACTS + "the_names_are_shown",
        WIRING,
        _CLI + "the_start_banner_names_node_and_cluster",
    ),
    "node.description": (_ACTS + "the_names_are_shown", WIRING),
    "node.advertise_http_addr": (
        _ACTS + "others_are_told_the_advertised_addresses",
        WIRING,
    ),
    "node.advertise_grpc_addr": (
        _ACTS + "others_are_told_the_advertised_addresses",
        WIRING,
    ),
    "network.request_timeout": (
        _ACTS + "a_request_has_the_configured_time",
        WIRING,
        "tests/io/grpc/test_handlers.py::test_a_huge_deadline_is_capped_at_the_configured_time",
    ),
    "network.connect_timeout": (
        _NETWORK + "dialing_a_peer_is_given_up_in_time",
        _NETWORK + "asking_an_address_is_repeated_as_configured",
        WIRING,
    ),
    "network.keep_alive_interval": (
        _NETWORK + "a_silent_connection_is_pinged",
        _LINK + "a_peer_that_takes_nothing_for_too_long_is_given_up",
        WIRING,
    ),
    "network.max_retries": (_NETWORK + "asking_an_address_is_repeated_as_configured", WIRING),
    "network.retry_delay": (
        _NETWORK + "asking_an_address_is_repeated_as_configured",
        _NETWORK + "a_lost_peer_is_tried_again_after_the_delay",
        WIRING,
    ),
    "network.enable_compression": (_NETWORK + "compressed_streams_are_smaller_on_the_wire", WIRING),
    "network.max_message_size": (
        _NETWORK + "a_message_over_the_configured_size_is_not_taken",
        _LINK + "a_message_that_fits_no_frame_is_dropped_and_reported",
        WIRING,
    ),
    "network.grpc_engine": (_ACTS + "grpc_is_served_by_the_engine_that_was_chosen",),
    "network.watch_progress_interval": (_ACTS + "a_quiet_watch_is_told_at_the_interval", WIRING),
    "storage.enable_compression": (_ACTS + "rocksdb_is_opened_as_configured",),
    "storage.compaction_strategy": (_ACTS + "rocksdb_is_opened_as_configured",),
    "storage.max_log_size": (
        REPLICA,
        _UPKEEP + "bytes_of_log_order_a_flush_and_a_cut_whatever_the_other_settings_say",
    ),
    "storage.log_retention_count": (
        REPLICA,
        _UPKEEP + "the_log_is_cut_after_a_flush_when_it_is_long_and_some_is_kept",
        _UPKEEP + "a_slow_peers_need_is_kept_within_the_configured_amount",
    ),
    "storage.enable_wal": (
        _ACTS + "rocksdb_keeps_a_wal_when_told",
        "tests/io/test_state_store.py::test_after_a_kill_in_the_middle_of_applies_index_and_data_agree",
    ),
    "storage.sync_writes": (
        _ACTS + "the_log_is_synced_when_told",
        "tests/io/test_log_thread.py::test_without_sync_writes_entries_are_not_synced_but_term_and_base_are",
        _CLI + "the_start_banner_names_every_danger",
    ),
    "storage.block_cache_size": (_ACTS + "rocksdb_has_the_memory_that_was_granted",),
    "storage.write_buffer_size": (_ACTS + "rocksdb_has_the_memory_that_was_granted",),
    "storage.quota_bytes": (
        _ACTS + "housekeeping_follows_the_configured_policy",
        WIRING,
        _HOUSEKEEPING + "the_quota_has_a_distance_between_full_and_free",
    ),
    "storage.auto_compaction_mode": (
        _ACTS + "housekeeping_follows_the_configured_policy",
        WIRING,
        _HOUSEKEEPING + "a_number_of_revisions_is_kept_and_a_tenth_more",
        _HOUSEKEEPING + "history_is_kept_for_its_age_and_hardly_longer",
    ),
    "storage.auto_compaction_retention": (
        _ACTS + "housekeeping_follows_the_configured_policy",
        WIRING,
        _HOUSEKEEPING + "a_number_of_revisions_is_kept_and_a_tenth_more",
        _HOUSEKEEPING + "history_is_kept_for_its_age_and_hardly_longer",
    ),
    "raft.heartbeat_interval": (REPLICA, _ELECTIONS + "a_leader_repeats_its_heartbeat_at_the_interval"),
    "raft.election_timeout_min": (
        REPLICA,
        _ELECTIONS + "the_election_timeout_lies_in_the_configured_interval",
    ),
    "raft.election_timeout_max": (
        REPLICA,
        _ELECTIONS + "the_election_timeout_lies_in_the_configured_interval",
    ),
    "raft.max_append_entries": (REPLICA, _PROGRESS + "one_message_is_bounded_by_entries_and_by_bytes"),
    "raft.enable_auto_compaction": (REPLICA, _UPKEEP + "without_auto_discard_the_log_is_kept"),
    "raft.compaction_threshold": (
        REPLICA,
        _UPKEEP + "the_log_is_cut_after_a_flush_when_it_is_long_and_some_is_kept",
        _UPKEEP + "a_short_log_is_not_cut",
    ),
    "raft.max_inflight_requests": (
        REPLICA,
        _PROGRESS + "replication_is_pipelined_up_to_the_window_of_messages",
    ),
    "raft.snapshot_policy.enable_auto_snapshot": (
        REPLICA,
        _UPKEEP + "without_auto_flush_nothing_is_flushed_by_count_or_time",
    ),
    "raft.snapshot_policy.entries_since_last_snapshot": (
        REPLICA,
        _UPKEEP + "a_number_of_applied_entries_orders_a_flush",
    ),
    "raft.snapshot_policy.snapshot_interval": (
        REPLICA,
        _UPKEEP + "time_orders_a_flush_when_there_is_something_to_flush",
        _UPKEEP + "zero_is_never_by_time",
    ),
    "logging.level": (_LOGS + "levels_apply_by_module",),
    "logging.format": (
        _LOGS + "json_is_one_object_a_line_with_the_fields_as_members",
        _LOGS + "compact_lines_are_shorter_than_pretty_ones",
    ),
    "logging.structured": (_LOGS + "unstructured_events_have_their_fields_in_the_message",),
    "logging.file_path": (
        _LOGS + "a_log_file_takes_the_place_of_stderr",
        _CLI + "a_log_file_that_cannot_be_opened_starts_nothing",
    ),
    "logging.max_file_size": (_LOGS + "a_log_file_is_put_aside_when_it_is_full_and_old_ones_are_removed",),
    "logging.max_files": (_LOGS + "a_log_file_is_put_aside_when_it_is_full_and_old_ones_are_removed",),
    "logging.enable_colors": (_LOGS + "colours_are_for_terminals_only",),
    "cluster.name": (
        _ACTS + "the_names_are_shown",
        WIRING,
        _CLI + "the_start_banner_names_node_and_cluster",
    ),
    "cluster.expected_size": (
        _REQUESTS + "init_without_members_takes_the_configured_peers",
        WIRING,
        "tests/io/config/test_rules.py::test_what_does_not_fit_together_is_refused",
    ),
    "cluster.peers.N.http_addr": (
        _REQUESTS + "init_refuses_a_configured_peer_that_advertises_other_addresses",
        _ACTS + "names_of_peers_are_accepted_as_host",
    ),
    "cluster.peers.N.grpc_addr": (
        _REQUESTS + "init_refuses_a_configured_peer_that_advertises_other_addresses",
        _ACTS + "a_cluster_is_founded_by_the_peers_listed",
    ),
    "cluster.peers.N.priority": (
        "tests/io/test_replica_config.py::test_priorities_are_the_peers",
        _ELECTIONS + "a_preferred_voter_stands_up_earlier",
    ),
    "cluster.peers.N.voting": (_ACTS + "a_cluster_is_founded_by_the_peers_listed",),
    "security.allow_insecure": (_ACTS + "only_loopback_is_bound_unless_it_is_meant",),
    "limits.request_bytes_max": (_ACTS + "what_is_over_a_limit_is_refused", WIRING),
    "limits.key_bytes_max": (_ACTS + "what_is_over_a_limit_is_refused", WIRING),
    "limits.value_bytes_max": (_ACTS + "what_is_over_a_limit_is_refused", WIRING),
    "limits.batch_operations_max": (_ACTS + "what_is_over_a_limit_is_refused", WIRING),
    "limits.pending_requests_max": (
        REPLICA,
        _FAILURES + "requests_without_an_answer_are_bounded_by_number",
    ),
    "limits.pending_bytes_max": (REPLICA, _FAILURES + "requests_without_an_answer_are_bounded_by_bytes"),
    "limits.held_bytes_max": (
        _HELD + "bodies_over_the_bound_are_refused_until_the_others_are_gone",
        _HELD + "pages_over_the_bound_are_refused_before_they_are_read",
        WIRING,
    ),
    "limits.connections_max": (
        _HTTP + "connections_are_limited_in_all_and_released",
        _GRPC + "connections_over_the_limit_are_closed",
        WIRING,
    ),
    "limits.connections_per_ip_max": (_HTTP + "connections_are_limited_by_address", WIRING),
    "limits.header_timeout": (
        _CONNECTION + "a_dribbled_head_is_cut_off_by_the_deadline",
        _GRPC + "a_connection_that_says_nothing_is_closed",
        WIRING,
    ),
    "limits.body_timeout": (_CONNECTION + "a_dribbled_body_is_cut_off_by_the_deadline", WIRING),
    "limits.idle_timeout": (
        _CONNECTION + "a_stalled_body_is_cut_off_and_a_silent_connection_closed",
        WIRING,
    ),
    "limits.list_keys_max": (
        _ACTS + "what_is_over_a_limit_is_refused",
        _ACTS + "a_page_of_a_listing_is_bounded",
        WIRING,
    ),
    "limits.list_bytes_max": (_ACTS + "a_page_of_a_listing_is_bounded",),
    "limits.concurrent_rpcs_max": (
        _GRPC + "calls_over_the_limit_are_refused_before_they_begin",
        WIRING,
    ),
    "limits.watches_max": (_ACTS + "watches_are_bounded_in_number_and_in_what_is_kept_for_them", WIRING),
    "limits.watches_bytes_max": (_ACTS + "watches_are_bounded_in_what_is_kept_for_all_of_them", WIRING),
    "limits.watch_queue_bytes_max": (
        _ACTS + "watches_are_bounded_in_number_and_in_what_is_kept_for_them",
        WIRING,
    ),
}


# ------------------------------------------------------------------------------------------------ the table


def test_every_key_has_a_proof_and_every_proof_a_key() -> None:
    supported = {key.path for key in KEYS if key.supported}
    assert supported - set(PROOFS) == set(), "keys without a proof"
    assert set(PROOFS) - supported == set(), "proofs of keys that do not exist"


@pytest.mark.parametrize("key", PROOFS)
def test_every_proof_is_a_test_that_exists(key: str) -> None:
    assert set(PROOFS[key]) - {WIRING}, "the wiring alone proves nothing"
    for proof in PROOFS[key]:
        path, _, name = proof.rpartition("::")
        functions = _functions(ROOT / path)
        assert name in functions, proof
        if proof.startswith((_ACTS, _NETWORK)) and proof != WIRING:
            assert key.rpartition(".")[2] in functions[name], f"{name} does not speak of {key}"
        if proof == REPLICA:
            assert key.replace(".", "__") in test_replica_config.KEYS


@pytest.mark.parametrize("tests", [_ACTS, _NETWORK])
def test_every_test_of_the_keys_proves_one(tests: str) -> None:
    path, _, prefix = tests.partition("::")
    named = {proof for proofs in PROOFS.values() for proof in proofs}
    there = {f"{path}::{name}" for name in _functions(ROOT / path) if name.startswith(prefix)}
    assert there - named == set()


@cache
def _functions(path: Path) -> dict[str, str]:
    """The functions of a file, each with its text from its first decorator on."""
    text = path.read_text()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return found
