"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

# Quick elections, yet with room for a machine that runs other tests beside.
QUICK: dict[str, object] = {
    "raft.heartbeat_interval": 60,
    "raft.election_timeout_min": 500,
    "raft.election_timeout_max": 1000,
}
MakeCluster = Callable[..., Cluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """`make_cluster(size, **settings)`: nodes that are not started; every process ends with the test."""
    made: list[Cluster] = []

    def make(size: int = 3, **settings: object) -> Cluster:
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        cluster = Cluster(tmp_path / f"cluster{len(made)}", size, settings={**QUICK, **dotted})
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.kill_all()
