from pathlib import Path

import pytest

from ferrite.io.config import find_file, search_paths
from ferrite.io.config.problem import PROBLEMS_MAX
from ferrite.io.config.sources import FILE_BYTES_MAX
from tests.io.config.helpers import PEERS_OF_THREE, load, problems, the_problem


@pytest.mark.parametrize(
    "text, expected, advice",
    [
        (b"[node", "TOML", "end of document"),
        (b"[node]\nid = \n", "TOML", "line 2"),
        (b"[node]\nid = 1\nid = 2\n", "TOML", "repair the syntax"),
        (b"\xef\xbb\xbf[node]\n", "byte order mark", "BOM"),
        ("[node]\nname = 'x'".encode("utf-16"), "UTF-8", "byte 0"),
        (b"[node]\nname = '\xff'", "UTF-8", "byte 15"),
        (b"id = " + b"[" * 100_000, "reasonable size", "nested"),
        (b"id = " + b"{a=" * 100_000, "reasonable size", "nested"),
        (b"id = " + b"9" * 5000, "reasonable size", "4300 digits"),
        (b"#" * (FILE_BYTES_MAX + 1), f"at most {FILE_BYTES_MAX} bytes", "configuration file"),
        (b"[node]\nname = 'a\x00b'", "TOML", "repair the syntax"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: bytes, expected: str, advice: str) -> None:
    problem = the_problem(tmp_path, text)
    assert str(problem.source) == "ferrite.toml"
    assert expected in problem.expected
    assert advice in problem.advice


@pytest.mark.parametrize(
    "text, key, advice",
    [
        ("[raft]\nelection_timout_min = 1000", "raft.election_timout_min", "did you mean raft.election_timeout_min?"),
        ("[raftt]\nx = 1", "raftt", "did you mean raft?"),
        ("id = 1", "id", "did you mean node.id?"),
        ("[limits]\nfoo = {bar = [1, 2]}", "limits.foo", "choose from: batch_operations_max"),
        ("[raft.snapshot_policy]\nenable = true", "raft.snapshot_policy.enable", "choose from: enable_auto_snapshot"),
        ("node = 5", "node", "[node] on a line of its own"),
        ("[[node]]\nid = 1", "node", "[node] on a line of its own"),
        ("[cluster]\npeers = 3", "cluster.peers", "[cluster.peers]"),
        ("[cluster.peers]\n1 = 'a'", "cluster.peers.1", "[cluster.peers.1]"),
        ("[cluster.peers.x]\nhttp_addr = 'a:1'", "cluster.peers.x", "without sign or leading zeros"),
        ("[cluster.peers.02]\nhttp_addr = 'a:1'", "cluster.peers.02", "without sign or leading zeros"),
        ("[cluster.peer]\nid = 1", "cluster.peer", "[[cluster.peer]]"),
        ("[cluster]\npeer = [1]", "cluster.peer", "[[cluster.peer]]"),
        ("[[cluster.peer]]\nhttp_addr = 'a:1'", "cluster.peer[0].id", "node.id"),
        ("[[cluster.peer]]\nid = true", "cluster.peer[0].id", "node.id"),
        ("[[cluster.peer]]\nid = 1.0", "cluster.peer[0].id", "node.id"),
    ],
)  # fmt: skip
def test_an_unknown_or_misplaced_name_is_refused_with_a_suggestion(
    tmp_path: Path, text: str, key: str, advice: str
) -> None:
    problem = the_problem(tmp_path, text)
    assert problem.key == key
    assert advice in problem.advice


@pytest.mark.parametrize(
    "text",
    [
        "[security]\njwt_secret = 'hunter2'",
        "[security]\ncert_file = 'hunter2'",
        "[security]\nauth_method = 'hunter2'",
        "[node]\nadmin_token = 'hunter2'",
        "password = 'hunter2'",
        "[security.tokens]\nroot = 'hunter2'",
    ],
)
def test_what_may_be_a_secret_is_not_repeated(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in str(the_problem(tmp_path, text))


def test_a_hostile_key_cannot_break_out_of_its_line(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, f'"a\\n\\u001b[31m{"b" * 5000}" = 1')
    assert "\n" not in problem.key
    assert "\x1b" not in problem.key
    assert len(problem.key) < 200


def test_the_report_ends_at_a_hundred_problems(tmp_path: Path) -> None:
    found = problems(tmp_path, "\n".join(f"key{number} = 1" for number in range(5000)))
    assert len(found) == PROBLEMS_MAX + 1


def test_peers_are_the_same_as_tables_or_as_a_list(tmp_path: Path) -> None:
    listed = "".join(
        f'[[cluster.peer]]\nid = {id_}\nhttp_addr = "127.0.0.1:800{id_}"\ngrpc_addr = "127.0.0.1:900{id_}"\n'
        for id_ in (3, 1, 2)
    )
    assert load(tmp_path, listed) == load(tmp_path, PEERS_OF_THREE)
    assert [peer.id for peer in load(tmp_path, listed).cluster.peers] == [1, 2, 3]


def test_a_node_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    again = (
        PEERS_OF_THREE
        + '[[cluster.peer]]\nid = 2\nhttp_addr = "127.0.0.1:8002"\ngrpc_addr = "127.0.0.1:9002"\n'
    )
    problem = the_problem(tmp_path, again)
    assert (problem.key, problem.given) == ("cluster.peer[0]", "node 2")
    assert problem.advice == "remove this one or cluster.peers.2"


def test_more_peers_than_anybody_needs_are_refused(tmp_path: Path) -> None:
    peers = "".join(
        f'[cluster.peers.{id_}]\nhttp_addr = "h{id_}:1"\ngrpc_addr = "h{id_}:2"\n' for id_ in range(1, 66)
    )
    text = peers.replace("h1:1", "127.0.0.1:8001").replace("h1:2", "127.0.0.1:9001")
    assert the_problem(tmp_path, text).expected == "at most 64 nodes"


# ---------------------------------------------------------------------------------------------------- environment


def test_the_environment_sets_keys(tmp_path: Path) -> None:
    environment = {
        "FERRITE_NODE__ID": "7",
        "FERRITE_NODE__NAME": "123",
        "FERRITE_NODE__DESCRIPTION": "'quoted # text'",
        "FERRITE_RAFT__SNAPSHOT_POLICY__SNAPSHOT_INTERVAL": "0",
        "FERRITE_STORAGE__SYNC_WRITES": "false",
        "FERRITE_CLUSTER__PEERS__7__HTTP_ADDR": "127.0.0.1:8001",
        "FERRITE_CLUSTER__PEERS__7__GRPC_ADDR": "127.0.0.1:9001",
    }
    config = load(tmp_path, environment=environment)
    assert (config.node.id, config.node.name, config.node.description) == (7, "123", "quoted # text")
    assert config.raft.snapshot_policy.snapshot_interval == 0
    assert config.storage.sync_writes is False
    assert [peer.id for peer in config.cluster.peers] == [7]
    assert str(config.sources["node.id"]) == "environment variable FERRITE_NODE__ID"


@pytest.mark.parametrize(
    "name, value, advice",
    [
        ("FERRITE_NODE__IDD", "1", "did you mean node.id?"),
        ("FERRITE_NODE__ID", "one", "without quotes"),
        ("FERRITE_NODE__ID", "1\nid = 2", "without quotes"),
        ("FERRITE_NODE__ID", "", "without quotes"),
        ("FERRITE_NODE__ID", "[" * 5000, "without quotes"),
        ("FERRITE_NODE__ID", "9" * 5000, "without quotes"),
        ("FERRITE_NODE_ID", "1", "write FERRITE_NODE__ID"),
        ("FERRITE_STORAGE__SYNC_WRITES", "True", "true or false"),
        ("FERRITE_NODE__NAME", "a\udcff", "control characters"),
        ("FERRITE_RAFT__SNAPSHOT_POLICY", "1", "one key at a time"),
        ("FERRITE_CLUSTER__PEER", "1", "one key at a time"),
        ("FERRITE_CLUSTER__PEERS__X__HTTP_ADDR", "a:1", "leading zeros"),
        ("FERRITE____", "1", "choose from"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(tmp_path: Path, name: str, value: str, advice: str) -> None:
    problem = the_problem(tmp_path, environment={name: value})
    assert str(problem.source) == f"environment variable {name}"
    assert advice in problem.advice


def test_variables_that_others_set_are_left_alone(tmp_path: Path) -> None:
    others = {
        "FERRITE_SERVICE_HOST": "10.0.0.1",  # Kubernetes sets these for a service that is called ferrite
        "FERRITE_PORT_8001_TCP": "tcp://10.0.0.1:8001",
        "FERRITECTL_ENDPOINTS": "a:1",
        "PATH": "/bin",
    }
    assert load(tmp_path, environment=others) == load(tmp_path)


# -------------------------------------------------------------------------------------------------------- options


def test_options_set_keys_with_or_without_quotes(tmp_path: Path) -> None:
    options = {
        "node.name": "a",
        "cluster.name": '"b"',
        "raft.max_append_entries": "5",
        "node.description": "x = y",
    }
    config = load(tmp_path, options=options)
    assert (config.node.name, config.cluster.name, config.raft.max_append_entries) == ("a", "b", 5)
    assert config.node.description == "x = y"


@pytest.mark.parametrize(
    "key", ["x", "", ".", "node", "node.", "node.id.x", "cluster.peers.1", "cluster.peer.1.id"]
)
def test_a_bad_option_is_refused(tmp_path: Path, key: str) -> None:
    assert str(the_problem(tmp_path, options={key: "1"}).source) == "option --set"


# ---------------------------------------------------------------------------------------------------- search order


def test_files_are_searched_from_the_working_directory_to_the_home(tmp_path: Path) -> None:
    home = Path("/home/someone")
    assert [str(path) for path in search_paths(home)] == [
        "ferrite.toml",
        "config/ferrite.toml",
        "/etc/ferrite/config.toml",
        "/home/someone/.config/ferrite/config.toml",
        "/home/someone/.ferrite.toml",
    ]
    assert len(search_paths(None)) == 3


def test_the_first_file_that_exists_is_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config/ferrite").mkdir(parents=True)
    (home / ".ferrite.toml").touch()
    (tmp_path / "config").mkdir()
    candidates = [
        (home / ".ferrite.toml", home / ".ferrite.toml"),
        (home / ".config/ferrite/config.toml", home / ".config/ferrite/config.toml"),
        (tmp_path / "config/ferrite.toml", Path("config/ferrite.toml")),
        (tmp_path / "ferrite.toml", Path("ferrite.toml")),
    ]
    for file, found in candidates:
        file.touch()
        if not Path("/etc/ferrite/config.toml").exists() or not found.is_absolute():
            assert find_file(home, tmp_path) == found
