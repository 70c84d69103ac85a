"""Backups of real clusters: a consistent cut under load, restored as another cluster that the old one has nothing to do with."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path

import pytest

from ferrite import AsyncClient
from ferrite.client import Compacted, KeyValue
from ferrite.io.backup import REVISION_BUMP, BackupStatus, Restored, restore, save, status
from ferrite.io.request_path import MemberAddress
from tests.e2e.cluster import Cluster, Node, wait_for
from tests.e2e.conftest import MakeCluster

VALUE = b"v" * 200
FILL = 2000
KEYS = 300


def endpoints(cluster: Cluster) -> list[str]:
    return [f"grpc://{node.grpc_addr}" for node in cluster.nodes.values()]


def address(node: Node) -> MemberAddress:
    return MemberAddress(node_id=node.node_id, http_addr=node.http_addr, grpc_addr=node.grpc_addr)


def restored(path: Path, node: Node, members: list[Node], token: str = "") -> Restored:
    node.directory.mkdir(parents=True, exist_ok=True)
    return restore(
        str(path),
        str(node.data_dir),
        node_id=node.node_id,
        members=[address(member) for member in members],
        token=token,
    )


class Load:
    """One writer: it knows what every revision is."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.acknowledged = 0
        self.changes: list[tuple[int, bytes, bytes | None]] = []

    async def run(self) -> None:
        number = 0
        while True:
            number += 1
            key = b"load/%03d" % (number % KEYS)
            if number % 7 == 0:
                revision = (await self._client.delete(key)).revision
                self.changes.append((revision, key, None))
            else:
                value = b"%d" % number
                revision = (await self._client.put(key, value)).revision
                self.changes.append((revision, key, value))
            self.acknowledged = revision

    def at(self, revision: int) -> dict[bytes, bytes]:
        """The keys and values at a revision."""
        found: dict[bytes, bytes] = {}
        for made, key, value in self.changes:
            if made > revision:
                break
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found


async def everything(client: AsyncClient, revision: int = 0) -> list[KeyValue]:
    found: list[KeyValue] = []
    start = b"\x00"
    while True:
        page = await client.range(start, from_key=True, limit=1000, revision=revision)
        found += page.kvs
        if not page.more:
            return found
        start = found[-1].key + b"\x00"


async def saved_under_load(cluster: Cluster, path: Path) -> tuple[BackupStatus, Load]:
    """Fill, write all the time, save meanwhile; the copy has everything acknowledged before it and nothing half."""
    async with AsyncClient(endpoints(cluster), timeout_s=30) as client:
        for first in range(0, FILL, 100):
            await asyncio.gather(
                *(client.put(b"fill/%05d" % number, VALUE) for number in range(first, first + 100))
            )
        load = Load(client)
        task = asyncio.create_task(load.run())
        while len(load.changes) < 50:  # noqa: ASYNC110 - the writer's list is all there is to look at
            await asyncio.sleep(0.02)
        before = load.acknowledged
        found = await save(client.backup(), str(path))
        after = load.acknowledged
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert before <= found.revision <= after + 1
    assert after > before, "writes went on while the copy was made"
    return found, load


async def test_a_backup_under_load_becomes_another_cluster(make_cluster: MakeCluster, tmp_path: Path) -> None:
    old, new = make_cluster(3), make_cluster(3)
    await asyncio.to_thread(old.start)
    path = tmp_path / "b.backup"
    found, load = await saved_under_load(old, path)
    async with AsyncClient(endpoints(old), timeout_s=30) as client:
        expected = await everything(client, found.revision)
    loaded = {kv.key: kv.value for kv in expected if kv.key.startswith(b"load/")}
    assert loaded == load.at(found.revision)
    assert len(expected) == found.key_count == FILL + len(loaded)

    # The new cluster's member 3 has the address at which the old cluster's node 3 still runs.
    new.nodes[3].http_port, new.nodes[3].grpc_port = old.nodes[3].http_port, old.nodes[3].grpc_port
    nodes = list(new.nodes.values())
    made = [restored(path, node, nodes, "first restore") for node in nodes]
    for node in nodes[:2]:
        node.spawn()
    for node in nodes[:2]:
        await asyncio.to_thread(node.wait_answering)
    leader = await asyncio.to_thread(new.leader)

    def refused() -> bool:
        health = leader.ask("GET", "/health").body
        return any("node 3" in warning and "data directory" in warning for warning in health["warnings"])

    await asyncio.to_thread(wait_for, "the other cluster's node refuses", refused, 20.0, new.story)
    assert old.nodes[3].ask("GET", "/identity").body["cluster_id"] == found.cluster_id.hex()
    await asyncio.to_thread(old.nodes[3].write, "old", "goes on")
    stranger = {"node_id": 3, "rpc_addr": old.nodes[3].grpc_addr}
    answer = await asyncio.to_thread(leader.ask, "POST", "/add-learner", stranger)
    assert answer.status != 200 and f"another cluster, {found.cluster_id.hex()}" in answer.body["detail"]

    old.nodes[3].kill()
    await asyncio.to_thread(nodes[2].start)
    await asyncio.to_thread(new.wait_level)
    async with AsyncClient(endpoints(new), timeout_s=30) as client:
        assert await everything(client) == expected
        first = await client.put(b"new", b"1")
        assert first.revision == found.revision + REVISION_BUMP + 1
        for revision in (2, found.revision, found.revision + REVISION_BUMP - 1):
            with pytest.raises(Compacted):
                await client.range(b"new", revision=revision)
        with pytest.raises(Compacted):
            async with client.watch(prefix=b"", start_revision=found.revision + 1) as changes:
                await anext(aiter(changes))
        assert (await client.status()).cluster_id == made[0].cluster_id.hex() != found.cluster_id.hex()

    await asyncio.to_thread(new.wait_level)
    third = await asyncio.to_thread(lambda: nodes[2].read("new", consistency="serializable"))
    assert third == "1"
    # Any member may die, as in every cluster.
    await asyncio.to_thread(new.leader().kill)
    async with AsyncClient(endpoints(new), timeout_s=30) as client:
        await client.put(b"new", b"2")


def download(node: Node, path: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=30)
    connection.request("GET", "/backup")
    answer = connection.getresponse()
    assert answer.status == 200
    path.write_bytes(answer.read())
    connection.close()


def test_a_file_from_the_http_face_becomes_a_single_node_that_restarts(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    (source,) = make_cluster(1).start().nodes.values()
    revisions = [source.write(f"k{number}", "v") for number in range(20)]
    path = tmp_path / "b.backup"
    download(source, path)
    assert status(str(path)).revision == revisions[-1]
    (node,) = make_cluster(1).nodes.values()
    made = restored(path, node, [node])
    node.start()
    wait_for("it leads", lambda: (node.metrics() or {}).get("state") == "leader", 20.0, node.log_tail)
    assert node.read("k7") == "v"
    assert node.write("more", "1") == made.revision + 1
    assert node.terminate() == 0
    node.start()
    wait_for("it leads again", lambda: (node.metrics() or {}).get("state") == "leader", 20.0, node.log_tail)
    assert (node.read("more"), node.read("k19")) == ("1", "v")


def test_a_cluster_without_a_quorum_still_gives_what_a_node_has(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster(3).start()
    cluster.nodes[1].write("k", "v")
    cluster.wait_level()
    cluster.nodes[2].kill()
    cluster.nodes[3].kill()
    assert cluster.nodes[1].ask("GET", "/backup?timeout_ms=1500").status in (421, 503, 504)
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[1].http_port, timeout=30)
    connection.request("GET", "/backup?consistency=serializable")
    path = tmp_path / "b.backup"
    path.write_bytes(connection.getresponse().read())
    connection.close()
    assert status(str(path)).key_count == 1
