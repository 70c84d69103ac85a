from pathlib import Path

import pytest

from tests.io.config.helpers import PEERS_OF_THREE, load, problems, the_problem


@pytest.mark.parametrize(
    "text, key, part",
    [
        ("[raft]\nelection_timeout_min = 499", "raft.election_timeout_min", "at least 5 heartbeats = 500 ms"),
        ("[raft]\nheartbeat_interval = 201", "raft.heartbeat_interval", "at least 5 heartbeats = 1005 ms"),
        ("[raft]\nheartbeat_interval = 100\nelection_timeout_min = 150", "raft.election_timeout_min", "500 ms"),
        ("[raft]\nelection_timeout_max = 1000", "raft.election_timeout_max", "raft.election_timeout_min < "),
        ("[raft]\nelection_timeout_min = 2000", "raft.election_timeout_min", "raft.election_timeout_min < "),
        ("[storage]\nlog_retention_count = 20000", "storage.log_retention_count", "< raft.compaction_threshold"),
        ("[raft]\ncompaction_threshold = 5000", "raft.compaction_threshold", "storage.log_retention_count <"),
        ("[network]\nmax_message_size = 2097152\n[limits]\nlist_bytes_max = 65536\nrequest_bytes_max = 2097152",
         "limits.request_bytes_max", "<= network.max_message_size"),
        ("[limits]\nvalue_bytes_max = 1572864", "limits.value_bytes_max", "<= limits.request_bytes_max"),
        ("[limits]\npending_bytes_max = 65536", "limits.pending_bytes_max", "<= limits.pending_bytes_max"),
        ("[limits]\nheld_bytes_max = 4194304", "limits.held_bytes_max", "<= limits.held_bytes_max"),
        ("[limits]\nlist_bytes_max = 4194305", "limits.list_bytes_max", "<= network.max_message_size"),
        ("[limits]\nconnections_max = 999", "limits.connections_max", "<= limits.connections_max"),
        ('[node]\nhttp_addr = "127.0.0.1:9001"', "node.http_addr", "two ports"),
        ('[node]\ngrpc_addr = "127.0.0.1:8001"', "node.grpc_addr", "two ports"),
        ('[node]\nadvertise_http_addr = "0.0.0.0:8001"', "node.advertise_http_addr", "leads to one node"),
        ('[node]\nadvertise_grpc_addr = "[::]:8001"', "node.advertise_grpc_addr", "leads to one node"),
        ('[node]\nadvertise_http_addr = "224.0.0.1:8001"', "node.advertise_http_addr", "leads to one node"),
        ('[node]\nhttp_addr = "10.0.0.1:8001"', "node.http_addr", "no TLS and no authentication"),
        ('[node]\ngrpc_addr = "node1:9001"', "node.grpc_addr", "no TLS and no authentication"),
        ('[node]\nhttp_addr = "0.0.0.0:8001"\n[security]\nallow_insecure = true', "node.http_addr",
         "node.advertise_http_addr beside"),
        ('[node]\ngrpc_addr = "[::]:9001"\n[security]\nallow_insecure = true', "node.grpc_addr",
         "node.advertise_grpc_addr beside"),
        ("[node]\nid = 4" + PEERS_OF_THREE, "node.id", "one of the peers listed: 1, 2, 3"),
        (PEERS_OF_THREE.replace("8001", "8009"), "cluster.peers.1.http_addr", "gives itself: node.http_addr"),
        (PEERS_OF_THREE.replace("9001", "9009"), "cluster.peers.1.grpc_addr", "gives itself: node.grpc_addr"),
        (PEERS_OF_THREE.replace("8003", "8002"), "cluster.peers.3.http_addr", "cluster.peers.2.http_addr has it"),
        (PEERS_OF_THREE.replace("9003", "8002"), "cluster.peers.3.grpc_addr", "cluster.peers.2.http_addr has it"),
        (PEERS_OF_THREE.replace("127.0.0.1:8003", "0.0.0.0:8003"), "cluster.peers.3.http_addr", "leads to one node"),
        (PEERS_OF_THREE.replace('grpc_addr = "127.0.0.1:9003"', ""), "cluster.peers.3.grpc_addr", "host:port"),
        (PEERS_OF_THREE + "priority = 101", "cluster.peers.3.priority", "from 0 to 100"),
        ("[cluster]\nexpected_size = 5" + PEERS_OF_THREE, "cluster.expected_size", "peers listed, 3"),
        (PEERS_OF_THREE.replace("[cluster.peers", "voting = false\n[cluster.peers").replace("voting = false\n", "", 1)
         + "voting = false", "cluster.peers.1.voting", "at least one voter"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(tmp_path: Path, text: str, key: str, part: str) -> None:
    problem = the_problem(tmp_path, text)
    assert problem.key == key
    assert part in problem.expected
    assert problem.advice


@pytest.mark.parametrize(
    "text",
    [
        "[raft]\nelection_timeout_min = 500",
        "[raft]\nheartbeat_interval = 200",
        "[raft]\nheartbeat_interval = 50\nelection_timeout_min = 300\nelection_timeout_max = 600",
        "[raft]\nelection_timeout_max = 1001",
        "[storage]\nlog_retention_count = 19999",
        "[storage]\nlog_retention_count = 20000\n[raft]\nenable_auto_compaction = false",
        "[limits]\nvalue_bytes_max = 1568768",
        '[node]\nhttp_addr = "localhost:8001"\ngrpc_addr = "[::1]:9001"',
        '[node]\nhttp_addr = "10.0.0.1:8001"\n[security]\nallow_insecure = true',
        '[node]\nhttp_addr = "0.0.0.0:8001"\nadvertise_http_addr = "10.0.0.1:80"\n[security]\nallow_insecure = true',
        PEERS_OF_THREE,
        "[cluster]\nexpected_size = 3" + PEERS_OF_THREE,
        "[cluster]\nexpected_size = 2" + PEERS_OF_THREE + "voting = false",
        '[node]\nadvertise_http_addr = "a:1"' + PEERS_OF_THREE.replace("127.0.0.1:8001", "A:1"),
    ],
)
def test_what_fits_together_is_accepted(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == ()


def test_a_rule_is_quiet_when_a_value_it_needs_was_refused(tmp_path: Path) -> None:
    text = (
        '[raft]\nheartbeat_interval = -1\nelection_timeout_min = 50\n[node]\nhttp_addr = "x"' + PEERS_OF_THREE
    )
    assert {problem.key for problem in problems(tmp_path, text)} == {
        "raft.heartbeat_interval",
        "node.http_addr",
    }


def test_a_rule_over_several_keys_says_who_set_each(tmp_path: Path) -> None:
    problem = the_problem(
        tmp_path,
        "[raft]\nheartbeat_interval = 150",
        environment={"FERRITE_RAFT__ELECTION_TIMEOUT_MIN": "600"},
    )
    assert (
        "raft.election_timeout_min = 600 (environment variable FERRITE_RAFT__ELECTION_TIMEOUT_MIN)"
        in problem.expected
    )
    assert "raft.heartbeat_interval = 150 (ferrite.toml)" in problem.expected


# ------------------------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    "text, part",
    [
        ("[storage]\nsync_writes = false", "LOSES ACKNOWLEDGED WRITES"),
        ('[node]\nhttp_addr = "10.0.0.1:8001"\n[security]\nallow_insecure = true', "HTTP 10.0.0.1:8001 can be reached"),
        ("[cluster]\nexpected_size = 3", "this node alone"),
        (PEERS_OF_THREE + "voting = false", "2 voters survive no more failures than 1"),
        ("[network]\nrequest_timeout = 2000", "will not survive the election"),
        (PEERS_OF_THREE.replace("127.0.0.1:9002", "b:9002"), "cannot reach this node"),
    ],
)  # fmt: skip
def test_what_is_allowed_but_doubtful_is_warned_of(tmp_path: Path, text: str, part: str) -> None:
    (warning,) = load(tmp_path, text).warnings()
    assert part in warning


def test_defaults_give_no_warning_and_allow_insecure_alone_none_either(tmp_path: Path) -> None:
    assert load(tmp_path).warnings() == []
    assert load(tmp_path, "[security]\nallow_insecure = true").warnings() == []
