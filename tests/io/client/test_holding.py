from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ferrite.client import AsyncClient, KeyValue, LeaseLost, LockTimeout, Put
from ferrite.core.kv import LeaseKeepAlive, LeaseRevoke
from tests.io.client.served import serving
from tests.io.client.test_async_client import BOTH, connected
from tests.io.client.test_watching import delivery, nth_watch


@BOTH
async def test_a_lease_is_kept_alive_during_its_block_and_revoked_after_it(protocol: str) -> None:
    async with connected(protocol) as (served, client):
        async with client.lease(2) as lease:
            await client.put("a", lease=lease)
            await asyncio.sleep(0.9)
            assert not lease.lost.is_set()
            assert LeaseKeepAlive(lease_ids=(lease.lease_id,)) in served.machine.operations
        assert await client.get("a") is None
        assert await client.leases() == ()


async def test_a_lease_that_ended_is_told() -> None:
    async with connected("grpc") as (_, client), client.lease(2) as lease:
        await client.lease_revoke(lease.lease_id)
        await asyncio.wait_for(lease.lost.wait(), 5)


async def test_a_lease_without_an_answer_is_lost_before_its_end() -> None:
    async with connected("grpc", timeout_s=0.3) as (served, client), client.lease(2) as lease:
        served.doors[0].node.script.extend(["hang"] * 100)
        async with asyncio.timeout(1.95):
            await lease.lost.wait()
        served.doors[0].node.script.clear()


async def test_a_cancelled_block_gives_its_lease_back() -> None:
    async with connected("grpc") as (served, client):

        async def hold() -> None:
            async with client.lock("name"):
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await asyncio.sleep(0.3)
        assert (await client.range(prefix="name/")).kvs
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert any(isinstance(operation, LeaseRevoke) for operation in served.machine.operations)
        assert not (await client.range(prefix="name/")).kvs


@BOTH
async def test_a_lock_is_handed_on_in_order_with_growing_tokens(protocol: str) -> None:
    async with connected(protocol) as (served, client):
        tokens = []

        async def waiter() -> None:
            async with client.lock("name") as lock:
                tokens.append(lock.token)

        async with client.lock("name") as first:
            waiting = asyncio.create_task(waiter())
            watch = await nth_watch(served, 1)
            assert (watch.spec.key, watch.spec.no_puts) == (first.key, True)
            assert not tokens
        watch.deliver(delivery(99, first.key))
        await asyncio.wait_for(waiting, 5)
        assert tokens[0] > first.token


async def test_a_lock_that_is_held_is_not_waited_for_longer_than_asked() -> None:
    async with connected("grpc") as (_, client), client.lock("name"):
        for wait_s in (0, 0.1):
            with pytest.raises(LockTimeout):
                async with client.lock("name", wait_s=wait_s):
                    raise AssertionError("two holders")
        assert len((await client.range(prefix="name/")).kvs) == 1, "who gave up stands in nobody's way"


async def test_a_fence_holds_only_for_its_holder() -> None:
    async with connected("grpc") as (_, client):
        async with client.lock("name") as old:
            assert (await client.txn().if_(old.fence()).then(Put("x", "1")).commit()).succeeded
        async with client.lock("name") as new:
            assert not (await client.txn().if_(old.fence()).then(Put("x", "2")).commit()).succeeded
            assert new.token > old.token


async def test_who_waits_learns_that_its_own_lease_ended() -> None:
    async with serving() as served, AsyncClient(served.endpoints("grpc")) as client:

        async def wait_in_vain() -> None:
            async with client.lock("name", ttl_s=2):
                raise AssertionError("two holders")

        async with client.lock("name") as held:
            waiting = asyncio.create_task(wait_in_vain())
            await nth_watch(served, 1)
            (theirs,) = set(await client.leases()) - {held.lease.lease_id}
            await client.lease_revoke(theirs)
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(waiting, 5)


async def _step(items: AsyncIterator[KeyValue]) -> KeyValue:
    return await anext(items)


@BOTH
async def test_an_election_shows_its_leader_and_what_it_proclaims(protocol: str) -> None:
    async with connected(protocol) as (served, client):
        assert await client.leader_of("chief") is None
        async with client.elect("chief", "alice") as office:
            leader = await client.leader_of("chief")
            assert leader is not None and (leader.text, leader.create_revision) == ("alice", office.token)
            shown = client.observe("chief")
            assert (await anext(shown)).text == "alice"
            await office.proclaim("Alice")
            following: asyncio.Task[KeyValue] = asyncio.create_task(_step(shown))
            (await nth_watch(served, 1)).deliver(delivery(99, office.key))
            assert (await following).text == "v", "what the fake watch delivers"
            await shown.aclose()  # type: ignore[attr-defined]  # an async generator
            await client.delete(office.key)
            with pytest.raises(LeaseLost):
                await office.proclaim("nobody")
