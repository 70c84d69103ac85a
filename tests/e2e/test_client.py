"""The client library against real nodes: the guide's examples, and watches and locks while nodes die."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Literal

import pytest

from ferrite import AsyncClient, Client
from ferrite.client import DeadlineExceeded, Put, Unavailable
from tests.e2e.cluster import Node
from tests.e2e.conftest import MakeCluster

GUIDE = Path(__file__).parents[2] / "docs" / "client.md"
WRITES = 200
KILLED_AT = (20, 80, 140)


def test_the_examples_of_the_guide_work(
    make_cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (node,) = make_cluster(1).start().nodes.values()
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 6
    with Client(node.http_addr) as client:
        names: dict[str, Any] = {"client": client, "__name__": "guide"}
        for example in examples:
            text = re.sub(r'"127\.0\.0\.1:800[12]"', f'"{node.http_addr}"', example)
            code = compile(text, str(GUIDE), "exec")
            names["client"] = client
            exec(code, names)
    shown = capsys.readouterr().out
    assert shown.startswith("hello\nb'seat/0' free")
    assert "\n3 True\nTrue " in shown
    assert "\nput b'jobs/1' b'new'\nhost-1 " in shown


async def test_a_watch_misses_nothing_and_repeats_nothing_while_every_node_dies_once(
    make_cluster: MakeCluster,
) -> None:
    cluster = await asyncio.to_thread(make_cluster(3).start)
    endpoints = [node.http_addr for node in cluster.nodes.values()]
    seen: list[tuple[bytes, int]] = []
    async with AsyncClient(endpoints, timeout_s=60) as writer, AsyncClient(endpoints, timeout_s=60) as reader:

        async def watch() -> None:
            async with reader.watch(prefix="k/") as changes:
                watching.set()
                async for batch in changes:
                    seen.extend((event.kv.key, event.kv.mod_revision) for event in batch.events)
                    if len(seen) >= WRITES:
                        return

        watching = asyncio.Event()
        task = asyncio.create_task(watch())
        await watching.wait()
        written: list[tuple[bytes, int]] = []
        for number in range(WRITES):
            if number in KILLED_AT:
                node = cluster.nodes[1 + KILLED_AT.index(number)]
                await asyncio.to_thread(node.kill)
                await asyncio.to_thread(cluster.leader)
                await asyncio.to_thread(node.start)
            answer = await writer.put(f"k/{number}", "v")
            written.append((b"k/%d" % number, answer.revision))
        await asyncio.wait_for(task, 30)
    assert seen == written


async def test_the_fenced_write_of_a_holder_that_slept_is_refused(make_cluster: MakeCluster) -> None:
    (node,) = (await asyncio.to_thread(make_cluster(1).start)).nodes.values()
    async with (
        AsyncClient(node.http_addr) as sleeper,
        AsyncClient(node.http_addr) as successor,
        sleeper.lock("name", ttl_s=2) as old,
    ):
        # The process sleeps: nothing of it runs, its keep-alives included.
        assert sleeper._keeper._task is not None
        sleeper._keeper._task.cancel()
        async with successor.lock("name", wait_s=30) as new:
            assert new.token > old.token
            late = await sleeper.txn().if_(old.fence()).then(Put("x", "late")).commit()
            in_time = await successor.txn().if_(new.fence()).then(Put("x", "in time")).commit()
            assert (late.succeeded, in_time.succeeded) == (False, True)


async def test_an_observer_sees_every_leader_and_every_value_in_order_however_late_it_looks(
    make_cluster: MakeCluster,
) -> None:
    (node,) = (await asyncio.to_thread(make_cluster(1).start)).nodes.values()
    async with AsyncClient(node.grpc_addr) as client:
        async with client.elect("chief", "anna 0") as office:
            shown = client.observe("chief")
            seen = [(await anext(shown)).text]
            for number in range(1, 4):
                await office.proclaim(f"anna {number}")
        for name in ("bert", "carl"):
            async with client.elect("chief", f"{name} 0") as office:
                await office.proclaim(f"{name} 1")
        async with asyncio.timeout(20):
            while len(seen) < 8:
                seen.append((await anext(shown)).text)
    assert seen == [
        "anna 0", "anna 1", "anna 2", "anna 3", "bert 0", "bert 1", "carl 0", "carl 1",
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_node_of_another_cluster_at_a_known_address_is_neither_read_nor_written(
    make_cluster: MakeCluster, protocol: Literal["grpc", "http"]
) -> None:
    (ours,) = (await asyncio.to_thread(make_cluster(1).start)).nodes.values()
    (other,) = (await asyncio.to_thread(make_cluster(1).start)).nodes.values()
    other.write("k", "other")
    endpoint = f"{protocol}://{_address(ours, protocol)}"
    async with AsyncClient(endpoint, protocol=protocol, timeout_s=2) as client:
        await client.put("k", "ours")
        await asyncio.to_thread(ours.kill)
        await asyncio.to_thread(other.kill)
        other.http_port, other.grpc_port = ours.http_port, ours.grpc_port
        await asyncio.to_thread(other.start)
        revision = (await asyncio.to_thread(other.post, "/kv/range", {"key": "k"}))["revision"]
        with pytest.raises(Unavailable, match="is a node of cluster"):
            await client.put("k", "lost")
        with pytest.raises(Unavailable, match="nothing was sent to it"):
            await client.get("k", consistency="serializable")
        with pytest.raises(DeadlineExceeded, match="is a node of cluster"):
            async with client.watch("k"):
                pass
        found = await asyncio.to_thread(other.post, "/kv/range", {"key": "k"})
    assert (found["kvs"][0]["value"], found["revision"]) == ("other", revision)


def _address(node: Node, protocol: str) -> str:
    return node.grpc_addr if protocol == "grpc" else node.http_addr
