"""Counters of one client and of several, over both protocols."""

from __future__ import annotations

import asyncio

import pytest

from ferrite.client import AsyncClient, DeadlineExceeded, InvalidArgument, UnknownOutcome
from ferrite.core import kv
from ferrite.io.request_path import RequestRefused
from tests.io.client.served import Served, serving

BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])


def client_of(served: Served, protocol: str, timeout_s: float = 5.0) -> AsyncClient:
    return AsyncClient(served.endpoints(protocol)[0], protocol=protocol, timeout_s=timeout_s)  # type: ignore[arg-type]  # one of the names


async def taken(served: Served) -> None:
    """Until the node has begun all that its script says."""
    for _ in range(1000):
        if not served.doors[0].node.script:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the node was not asked")


@BOTH
async def test_increments_that_come_together_go_together_and_each_has_its_own_sum(protocol: str) -> None:
    async with serving() as served, client_of(served, protocol) as client:
        sums = await asyncio.gather(*(client.increment("n", 1 + number % 3) for number in range(60)))
        assert len(set(sums)) == 60 and max(sums) == 120
        found = await client.get("n")
        assert found is not None and found.text == "120"
        assert len(served.machine.operations) <= 2, "most waited for the first and went along in the second"


@BOTH
async def test_several_clients_count_each_increment_once_with_few_commands(protocol: str) -> None:
    async with serving() as served:
        clients = [client_of(served, protocol) for _ in range(4)]

        async def count(client: AsyncClient) -> list[int]:
            return [await client.increment("n") for _ in range(15)]

        try:
            tasks = [count(client) for client in clients for _ in range(5)]
            sums = [one for found in await asyncio.gather(*tasks) for one in found]
        finally:
            for client in clients:
                await client.close()
        assert sorted(sums) == list(range(1, 301))
        assert len(served.machine.operations) < 300, "fewer than one for each, those that lost included"


async def test_a_lost_comparison_is_tried_again_with_what_it_showed() -> None:
    async with serving() as served, client_of(served, "grpc") as client:
        await client.put("n", "1")
        others = kv.Put(key=b"n", value=b"40")
        write = served.doors[0].node.write

        async def late(operation: kv.Operation, **options: object) -> object:
            if isinstance(operation, kv.Txn) and not lost.is_set():
                served.machine.run(others, None)
                lost.set()
            return await write(operation, **options)  # type: ignore[arg-type]  # as they came

        lost = asyncio.Event()
        served.doors[0].node.write = late  # type: ignore[method-assign,assignment]  # somebody is faster
        asked = served.doors[0].node.asked
        assert await client.increment("n", 2) == 42
        assert served.doors[0].node.asked == asked + 3, "one look, one comparison lost, one won"


@BOTH
async def test_all_that_went_in_a_lost_change_are_told_so(protocol: str) -> None:
    async with serving() as served, client_of(served, protocol, 0.5) as client:
        await client.increment("n")
        served.doors[0].node.script.extend(["", *["hang"] * 20])
        ends = await asyncio.gather(*(client.increment("n") for _ in range(3)), return_exceptions=True)
        assert [type(end) for end in ends] == [UnknownOutcome] * 3
        assert len({id(end) for end in ends}) == 3


@BOTH
async def test_a_caller_with_little_time_does_not_wait_for_those_before_it(protocol: str) -> None:
    async with serving() as served, client_of(served, protocol) as client:
        await client.increment("n")
        served.doors[0].node.script.extend(["", "hang"])
        first = asyncio.ensure_future(client.increment("n"))
        await taken(served)
        with pytest.raises(DeadlineExceeded):
            await client.increment("n", 100, timeout_s=0.05)
        assert await first == 2, "and was not counted"


async def test_a_cancelled_caller_does_not_hurt_the_others() -> None:
    async with serving() as served, client_of(served, "grpc") as client:
        await client.increment("n")
        tasks = [asyncio.ensure_future(client.increment("n")) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == [2, 3]


async def test_a_refusal_reaches_all_callers() -> None:
    async with serving() as served, client_of(served, "grpc") as client:
        served.doors[0].node.script.extend(["", RequestRefused("no_space", "full")])
        ends = await asyncio.gather(*(client.increment("n") for _ in range(3)), return_exceptions=True)
        assert [getattr(end, "code", end) for end in ends] == ["no_space"] * 3


@BOTH
async def test_a_closed_client_lets_nobody_wait(protocol: str) -> None:
    async with serving() as served:
        client = client_of(served, protocol)
        await client.increment("n")
        served.doors[0].node.script.extend(["", "hang"])
        first = asyncio.ensure_future(client.increment("n"))
        await taken(served)
        second = asyncio.ensure_future(client.increment("n"))
        await asyncio.sleep(0)
        await client.close()
        ends = await asyncio.gather(first, second, return_exceptions=True)
        assert [getattr(end, "code", end) for end in ends] == ["unknown_outcome", "closed"]


async def test_what_is_added_is_checked_at_the_door() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(InvalidArgument, match="by"):
            await client.increment("n", 10**4000)
        with pytest.raises(TypeError):
            await client.increment("n", "1")  # type: ignore[arg-type]  # what is refused
