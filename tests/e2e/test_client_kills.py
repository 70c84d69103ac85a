"""The client library against a real cluster whose leader is killed under it; `FERRITE_TEST_KILLS=20` for a long run."""

from __future__ import annotations

import asyncio
import os

import pytest

from ferrite import AsyncClient
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import MakeCluster

INCREMENTS = 1000
KILLS = int(os.environ.get("FERRITE_TEST_KILLS", "3"))
WORKERS = 8
COUNTERS = 4
TIMEOUT_S = 60.0


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_thousand_retried_increments_count_a_thousand_times(
    make_cluster: MakeCluster, protocol: str
) -> None:
    cluster = await asyncio.to_thread(make_cluster(3).start)
    endpoints = [node.grpc_addr if protocol == "grpc" else node.http_addr for node in cluster.nodes.values()]
    share = INCREMENTS if protocol == "grpc" else INCREMENTS // 4
    acknowledged = [0] * COUNTERS
    async with AsyncClient(endpoints, protocol=protocol, timeout_s=TIMEOUT_S) as client:  # type: ignore[arg-type]  # the parameter is one of the names

        async def increment(worker: int) -> None:
            counter = worker % COUNTERS
            for _ in range(share // WORKERS):
                await client.increment(f"counter/{counter}")
                acknowledged[counter] += 1

        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(increment(worker))
            for kill in range(1, KILLS + 1):
                while sum(acknowledged) < share * kill // (KILLS + 2):  # noqa: ASYNC110 - a kill comes at a count, not at a time
                    await asyncio.sleep(0.02)
                await _kill_and_restart_leader(cluster)
        assert client._engine._requests is not None
        assert client._engine._requests._attempts_made > client._engine._calls_made, (
            "nothing was ever retried"
        )
        found = [await client.get(f"counter/{counter}") for counter in range(COUNTERS)]
    assert [int(entry.text) if entry else 0 for entry in found] == acknowledged
    assert sum(acknowledged) == share // WORKERS * WORKERS


async def _kill_and_restart_leader(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(leader.kill)
    await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(leader.start)
