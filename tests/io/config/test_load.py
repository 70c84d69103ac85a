import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.io.config import Address, Config, ConfigError, Override, load_config
from ferrite.io.config.table import KEYS
from tests.io.config.helpers import load, problems


def test_without_any_source_every_key_has_its_default() -> None:
    config = load_config(None, working_dir=Path("/srv"))
    assert config.node.http_addr == config.node.advertise_http_addr == Address(host="127.0.0.1", port=8001)
    assert config.node.grpc_addr == config.node.advertise_grpc_addr == Address(host="127.0.0.1", port=9001)
    assert config.node.data_dir == Path("/srv/data/node")
    assert config.node.name == "node-1"
    assert config.storage.sync_writes is True
    assert (config.raft.heartbeat_interval, config.raft.election_timeout_min) == (100, 1000)
    assert config.raft.election_timeout_max == 2000
    assert config.logging.file_path is None
    assert config.cluster.peers == ()
    assert dict(config.sources) == {}
    assert dict(config.changed) == {}


def test_an_option_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    text = "[raft]\nheartbeat_interval = 20\nmax_append_entries = 20\nmax_inflight_requests = 20"
    environment = {"FERRITE_RAFT__HEARTBEAT_INTERVAL": "30", "FERRITE_RAFT__MAX_APPEND_ENTRIES": "30"}
    config = load(tmp_path, text, environment=environment, options={"raft.heartbeat_interval": "40"})
    raft = config.raft
    assert (raft.heartbeat_interval, raft.max_append_entries, raft.max_inflight_requests) == (40, 30, 20)
    assert raft.election_timeout_min == 1000
    assert {key: source.kind for key, source in config.sources.items()} == {
        "raft.heartbeat_interval": "flag",
        "raft.max_append_entries": "environment",
        "raft.max_inflight_requests": "file",
    }


def test_only_what_differs_from_the_default_counts_as_changed(tmp_path: Path) -> None:
    config = load(tmp_path, '[node]\nid = 1\nhttp_addr = "127.0.0.1:8005"')
    assert dict(config.changed) == {"node.http_addr": '"127.0.0.1:8005"'}


def test_all_problems_of_all_sources_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "[node]\nid = 0\n[raft]\nelection_timeout_min = 200\nfoo = 1\n[security]\nenable_tls = true",
        environment={"FERRITE_LOGGING__LEVEL": "loud", "FERRITE_LOG": "loud"},
        options={"node.http_addr": "nowhere"},
    )
    assert sorted((str(problem.source), problem.key) for problem in found) == [
        ("environment variable FERRITE_LOG", ""),
        ("environment variable FERRITE_LOGGING__LEVEL", "logging.level"),
        ("ferrite.toml", "node.id"),
        ("ferrite.toml", "raft.election_timeout_min"),
        ("ferrite.toml", "raft.foo"),
        ("ferrite.toml", "security.enable_tls"),
        ("option --set", "node.http_addr"),
    ]


def test_a_wrong_value_is_reported_although_a_stronger_source_replaces_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[node]\nid = 0", options={"node.id": "2"})
    assert str(problem.source) == "ferrite.toml"


def test_a_stronger_source_can_correct_one_field_of_a_peer(tmp_path: Path) -> None:
    text = '[[cluster.peer]]\nid = 1\nhttp_addr = "127.0.0.1:8001"\ngrpc_addr = "127.0.0.1:9001"'
    config = load(tmp_path, text, options={"cluster.peers.1.priority": "70"})
    assert [(peer.id, peer.priority, peer.voting) for peer in config.cluster.peers] == [(1, 70, True)]


def test_a_configuration_cannot_be_changed() -> None:
    config = load_config(None)
    with pytest.raises(AttributeError):
        config.node.id = 2  # type: ignore[misc] # the point of the test
    with pytest.raises(TypeError):
        config.sources["x"] = config.sources  # type: ignore[index] # the point of the test


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml\n.*can be read\n.*No such file"):
        load_config(Path("nowhere.toml"), working_dir=tmp_path)
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(Path(), working_dir=tmp_path)
    with pytest.raises(ConfigError, match="can be read"):
        load_config(Path("a\0b"), working_dir=tmp_path)


# -------------------------------------------------------------------------------------------------- any value at all

toml_scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=30), st.datetimes(), st.dates(), st.times(),
    st.sampled_from(["127.0.0.1:8001", "[::]:1", "info", "json", "/", ".", "none", "fifo", "x" * 5000]),
)  # fmt: skip
toml_values = st.recursive(
    toml_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
key_paths = st.one_of(
    st.sampled_from(sorted(key.path for key in KEYS)),
    st.sampled_from(
        ["node", "raft.snapshot_policy", "cluster.peers", "cluster.peers.1", "cluster.peer", "cluster"]
    ),
    st.text(max_size=10),
).map(lambda path: tuple(path.replace("N", "1").split(".")))


def nested(settings: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path, value in settings.items():
        table = document
        for name in path[:-1]:
            inner = table.setdefault(name, {})
            table = inner if isinstance(inner, dict) else {}
        table[path[-1]] = value
    return document


def to_toml(document: dict[str, Any]) -> str:
    return "\n".join(f"{inline(name)} = {inline(value)}" for name, value in document.items())


def inline(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(inline, value))}]"
        case dict():
            return "{" + ", ".join(f"{inline(name)} = {inline(inner)}" for name, inner in value.items()) + "}"
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)  # numbers; TOML writes nan and inf as Python does


def outcome(load_it: Callable[[], Config]) -> Config | ConfigError:
    try:
        return load_it()
    except ConfigError as error:
        return error


@given(settings=st.dictionaries(key_paths, toml_values, max_size=4))
def test_any_values_in_any_keys_give_a_configuration_or_problems(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[tuple[str, ...], Any]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    result = outcome(lambda: load(directory, to_toml(nested(settings))))
    if isinstance(result, ConfigError):
        assert result.problems
        assert all(problem.expected and problem.advice for problem in result.problems)
        str(result).encode()  # nothing in it that a terminal could not take
    else:
        raft = result.raft
        assert 5 * raft.heartbeat_interval <= raft.election_timeout_min < raft.election_timeout_max


@given(
    settings=st.dictionaries(
        st.one_of(key_paths.map(".".join), st.text(max_size=20)), st.text(max_size=20), max_size=4
    )
)
def test_any_text_in_any_option_or_variable_gives_a_configuration_or_problems(
    settings: dict[str, str],
) -> None:
    overrides = [Override(key=key, text=text, option="--set") for key, text in settings.items()]
    environment = {"FERRITE_" + key.upper().replace(".", "__"): text for key, text in settings.items()}
    results = [
        outcome(lambda: load_config(None, environment=environment)),
        outcome(lambda: load_config(None, overrides=overrides)),
    ]
    for result in results:
        str(result).encode()
