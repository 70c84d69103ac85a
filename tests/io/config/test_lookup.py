import pytest

from ferrite.io.config.lookup import find_key, is_section, parse_node_id, suggest


@pytest.mark.parametrize(
    "wrong, meant",
    [
        ("raft.election_timout_min", "raft.election_timeout_min"),
        ("raft.Heartbeat_Interval", "raft.heartbeat_interval"),
        ("rafft", "raft"),
        ("node.heartbeat_interval", "raft.heartbeat_interval"),
        ("sync_writes", "storage.sync_writes"),
        ("raft.snapshot_polcy", "raft.snapshot_policy"),
        ("cluster.peers.2.http_adr", "cluster.peers.2.http_addr"),
        ("cluster.peeers", "cluster.peers"),
        ("node.zzzz", ""),
        ("node." + "x" * 100_000, ""),
    ],
)
def test_a_wrong_name_is_guessed(wrong: str, meant: str) -> None:
    assert suggest(tuple(wrong.split("."))) == meant


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "01", " 1", "1 ", "\u0661", "1_0", "a", str(2**63), "9" * 5000]
)
def test_a_node_id_has_one_spelling(text: str) -> None:
    assert parse_node_id(text) is None


def test_good_node_ids_are_understood() -> None:
    assert parse_node_id("1") == 1
    assert parse_node_id(str(2**63 - 1)) == 2**63 - 1


def test_a_node_id_stands_in_the_place_of_n() -> None:
    key = find_key(("cluster", "peers", "7", "priority"))
    assert key is not None
    assert key.path == "cluster.peers.N.priority"
    assert is_section(("cluster", "peers", "7"))
    assert not is_section(("cluster", "peers", "7", "priority"))
    assert find_key(("raft", "snapshot_policy")) is None
