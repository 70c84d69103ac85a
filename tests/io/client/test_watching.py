from __future__ import annotations

import asyncio

import pytest

from ferrite.client import AsyncClient, Compacted, DeadlineExceeded, InvalidArgument
from ferrite.core.kv import Delivery, KeyValue, WatchEnd, WatchEnded, WatchEvent
from tests.io.client.served import Served, serving
from tests.io.client.test_async_client import BOTH, connected
from tests.io.grpc.fakes import FakeWatch, eventually


def delivery(revision: int, *keys: bytes, prev: bool = False) -> Delivery:
    entries = [
        KeyValue(key=key, value=b"v", create_revision=1, mod_revision=revision, version=1) for key in keys
    ]
    events = tuple(WatchEvent(deleted=False, entry=entry, prev=entry if prev else None) for entry in entries)
    return Delivery(revision=revision, events=events)


def ended(reason: WatchEnd, revision: int) -> WatchEnded:
    return WatchEnded(reason=reason, detail="why", revision=revision)


async def nth_watch(served: Served, number: int) -> FakeWatch:
    """The `number`th watch that any node got."""

    def all_watches() -> list[FakeWatch]:
        return [watch for door in served.doors for watch in door.node.watches]

    await eventually(lambda: len(all_watches()) >= number)
    return all_watches()[-1]


@BOTH
async def test_a_watch_delivers_revision_by_revision_what_was_asked_for(protocol: str) -> None:
    async with connected(protocol) as (served, client):
        async with client.watch(prefix="k", start_revision=5, prev_kv=True, deletes=False) as watch:
            spec = served.doors[0].node.specs[0]
            assert (spec.key, spec.range_end, spec.start_revision) == (b"k", b"l", 5)
            assert (spec.prev_kv, spec.no_puts, spec.no_deletes) == (True, False, True)
            served.doors[0].node.watches[0].deliver(delivery(6, b"ka", b"kb", prev=True))
            batch = await anext(watch)
            assert (batch.revision, watch.revision) == (6, 6)
            assert [(event.kind, event.kv.key) for event in batch.events] == [("put", b"ka"), ("put", b"kb")]
            assert batch.events[0].prev_kv == batch.events[0].kv
        await eventually(lambda: served.doors[0].node.watches[0].canceled)


@BOTH
async def test_a_watch_that_is_cut_goes_on_after_what_it_delivered_and_delivers_nothing_twice(
    protocol: str,
) -> None:
    async with connected(protocol) as (served, client), client.watch("k") as watch:
        first = await nth_watch(served, 1)
        first.deliver(delivery(3, b"k"), ended(WatchEnd.SLOW, 3))
        assert (await anext(watch)).revision == 3
        going_on = asyncio.create_task(anext(watch))
        second = await nth_watch(served, 2)
        assert second.spec.start_revision == 4
        second.deliver(delivery(3, b"k"), delivery(4, b"k"))
        assert (await going_on).revision == 4


@BOTH
async def test_a_watch_moves_to_another_node_when_its_own_dies(protocol: str) -> None:
    async with connected(protocol, 3) as (served, client), client.watch("k", start_revision=2) as watch:
        first = await nth_watch(served, 1)
        first.deliver(delivery(2, b"k"))
        await anext(watch)
        (door,) = [door for door in served.doors if door.node.watches]
        going_on = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await door.stop()
        others = [other for other in served.doors if other is not door]
        await eventually(lambda: any(other.node.watches for other in others))
        (second,) = [one for other in others for one in other.node.watches]
        assert second.spec.start_revision == 3
        second.deliver(delivery(3, b"k"))
        assert (await going_on).revision == 3


@BOTH
async def test_history_that_is_gone_ends_a_watch(protocol: str) -> None:
    async with connected(protocol) as (served, client), client.watch("k", start_revision=2) as watch:
        (await nth_watch(served, 1)).deliver(ended(WatchEnd.COMPACTED, 8))
        with pytest.raises(Compacted) as caught:
            await anext(watch)
        assert caught.value.revision == 9


@BOTH
async def test_a_wait_that_is_cancelled_loses_nothing(protocol: str) -> None:
    async with connected(protocol) as (served, client), client.watch("k") as watch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.05)
        (await nth_watch(served, 1)).deliver(delivery(4, b"k"))
        assert (await anext(watch)).revision == 4


@BOTH
async def test_progress_is_told_only_to_those_who_ask(protocol: str) -> None:
    async with (
        connected(protocol) as (served, client),
        client.watch("k") as silent,
        client.watch("k", progress=True) as talking,
    ):
        for watch in served.doors[0].node.watches:
            watch.deliver(delivery(5))
        assert (await anext(talking)).events == ()
        for watch in served.doors[0].node.watches:
            watch.deliver(delivery(6, b"k"))
        assert len((await anext(silent)).events) == 1


async def test_closing_a_watch_ends_the_loop_over_it() -> None:
    async with connected("grpc") as (served, client):
        watch = client.watch("k")
        seen = []

        async def loop() -> None:
            async for batch in watch:
                seen.append(batch.revision)  # noqa: PERF401 - looked at while the loop runs

        running = asyncio.create_task(loop())
        (await nth_watch(served, 1)).deliver(delivery(4, b"k"))
        await eventually(lambda: seen == [4])
        await watch.close()
        await running


async def test_a_watch_that_nobody_takes_says_so_in_time() -> None:
    async with AsyncClient("127.0.0.1:1", timeout_s=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            await client.watch("k").__aenter__()


async def test_a_watch_of_a_wrong_range_is_refused_at_once() -> None:
    async with serving() as served, AsyncClient(served.endpoints("grpc")) as client:
        with pytest.raises(InvalidArgument):
            client.watch("k", prefix="p")
