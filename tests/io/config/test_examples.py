"""The files in configs/ are what they claim to be."""

from pathlib import Path

import pytest

from ferrite.io.config import Config, load_config

CONFIGS = Path(__file__).parents[3] / "configs"
NAMES = [
    "single-node",
    "cluster-node1",
    "cluster-node2",
    "cluster-node3",
    "high-performance",
    "high-durability",
    "low-latency",
]


def load_example(name: str) -> Config:
    return load_config(CONFIGS / f"{name}.toml")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_loads_and_keeps_its_data_below_data(name: str) -> None:
    assert load_example(name).node.data_dir.parent == Path.cwd() / "data"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "high-performance"])
def test_an_example_gives_no_warning(name: str) -> None:
    assert load_example(name).warnings() == []


def test_no_example_is_forgotten() -> None:
    assert {path.stem for path in CONFIGS.glob("*.toml")} == set(NAMES)


def test_the_cluster_files_are_three_nodes_of_one_cluster() -> None:
    nodes = [load_example(f"cluster-node{id_}") for id_ in (1, 2, 3)]
    assert [node.node.id for node in nodes] == [1, 2, 3]
    assert [node.node.http_addr.port for node in nodes] == [8001, 8002, 8003]
    assert [node.node.grpc_addr.port for node in nodes] == [9001, 9002, 9003]
    assert [node.node.data_dir.name for node in nodes] == ["node1", "node2", "node3"]
    assert all(node.cluster == nodes[0].cluster and node.raft == nodes[0].raft for node in nodes)
    assert nodes[0].cluster.name == "ferrite-dev"
    assert len(nodes[0].cluster.peers) == 3


def test_the_profiles_do_what_their_names_say() -> None:
    fast, safe, quick = map(load_example, ("high-performance", "high-durability", "low-latency"))
    assert not fast.storage.sync_writes
    assert len(fast.warnings()) == 1
    assert safe.storage.sync_writes
    assert safe.storage.enable_wal
    assert (
        quick.raft.heartbeat_interval,
        quick.raft.election_timeout_min,
        quick.raft.election_timeout_max,
    ) == (50, 300, 600)
