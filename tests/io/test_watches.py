"""Watches on a real state store: fed by applies, caught up by a thread, woken on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from ferrite.core import Index, events
from ferrite.core.kv import (
    FROM_KEY,
    Compact,
    Delivery,
    WatchEnd,
    WatchEnded,
    WatchLimits,
    WatchSpec,
)
from ferrite.io import watches as watches_module
from ferrite.io.request_path import RequestRefused
from ferrite.io.state_store import StateStore
from ferrite.io.watches import NodeWatch, Watches
from tests.core.kv.helpers import IDENTITY, command, put
from tests.io.node_fakes import FakeWatchedState, facts
from tests.io.test_state_store import leader_state, snapshot_of

EVERYTHING = WatchSpec(key=b"\x00", range_end=FROM_KEY)
WAIT_S = 10


class Host:
    """A store, its watches, and what was posted to the node."""

    def __init__(
        self, path: Path, *, limits: WatchLimits | None = None, progress_ms: int = 3_600_000
    ) -> None:
        self.state = StateStore(path, identity=IDENTITY)
        self.posted: list[events.Event] = []
        self.watches = Watches(
            self.state,
            loop=asyncio.get_running_loop(),
            post=self.posted.extend,
            limits=limits or WatchLimits(),
            progress_interval_ms=progress_ms,
        )

    def put(self, *keys: bytes) -> None:
        """Each in an apply of its own."""
        for key in keys:
            self.state.apply(Index(self.state.applied_index + 1), [put(key)])

    def watch(self, spec: WatchSpec = EVERYTHING) -> NodeWatch:
        return self.watches.watch(spec)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.watches.close)
        await loop.run_in_executor(None, self.state.close)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path / "state")
    yield host
    await host.close()


async def taken(watch: NodeWatch) -> Sequence[Delivery | WatchEnded]:
    """Wait until there is something, and take it."""
    more = asyncio.Event()
    watch.listen(more.set)
    async with asyncio.timeout(WAIT_S):
        while not (items := watch.take()):
            await more.wait()
            more.clear()
    return items


async def revisions(watch: NodeWatch, count: int) -> list[int]:
    """Take so many deliveries."""
    got: list[int] = []
    while len(got) < count:
        for item in await taken(watch):
            assert isinstance(item, Delivery), item
            got.append(item.revision)
    return got


async def test_an_apply_wakes_who_waits(host: Host) -> None:
    watch = host.watch()
    assert watch.revision == 1
    waiting = asyncio.ensure_future(taken(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    host.put(b"a", b"b")
    (first, second) = await waiting
    assert (first.revision, second.revision) == (2, 3)
    assert isinstance(first, Delivery)
    assert first.events[0].entry.key == b"a"


async def test_a_watch_from_the_past_is_read_by_a_thread_and_joins_without_gap_or_repetition(
    host: Host,
) -> None:
    host.put(*(b"k%d" % number for number in range(50)))
    watch = host.watch(WatchSpec(key=b"\x00", range_end=FROM_KEY, start_revision=2, prev_kv=True))
    host.put(*(b"k%d" % number for number in range(50)))
    got = await revisions(watch, 50)
    host.put(b"last")
    assert got + await revisions(watch, 101 - len(got)) == list(range(2, 103))


async def test_what_was_there_before_comes_with_the_change(host: Host) -> None:
    host.put(b"k")
    watch = host.watch(WatchSpec(key=b"k", prev_kv=True))
    host.put(b"k")
    (item,) = await taken(watch)
    assert isinstance(item, Delivery)
    assert item.events[0].prev is not None
    assert item.events[0].prev.mod_revision == 2


async def test_a_start_that_is_compacted_ends_the_watch_at_once(host: Host) -> None:
    host.put(b"a", b"b", b"c")
    host.state.apply(Index(4), [command(Compact(revision=3))])
    watch = host.watch(WatchSpec(key=b"a", start_revision=2))
    (ended,) = await taken(watch)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.COMPACTED, 2)
    assert watch.take() == []
    assert host.watches.count == 0


async def test_a_watch_that_is_cancelled_hears_nothing_more(host: Host) -> None:
    watch = host.watch()
    called: list[None] = []
    watch.listen(lambda: called.append(None))
    host.put(b"a")
    watch.cancel()
    watch.cancel()
    host.put(b"b")
    await asyncio.sleep(0.001)
    assert (watch.take(), called, host.watches.count) == ([], [], 0)


async def test_what_changes_before_the_loop_turns_is_told_at_once_and_not_from_within_the_apply(
    host: Host,
) -> None:
    watch = host.watch()
    got: list[list[int]] = []
    watch.listen(lambda: got.append([item.revision for item in watch.take()]))
    host.put(b"a")
    host.put(b"b")
    assert got == []
    await turns()
    assert got == [[2, 3]]


async def test_a_node_that_goes_ends_its_watches_and_begins_none(host: Host) -> None:
    watch = host.watch()
    host.put(b"a")
    host.watches.end("bye")
    host.watches.end("again")
    given, ended = await taken(watch)
    assert (given.revision, ended) == (2, WatchEnded(reason=WatchEnd.SHUTTING_DOWN, detail="bye", revision=2))
    with pytest.raises(RequestRefused, match="bye") as refused:
        host.watch()
    assert refused.value.code == "shutting_down"


async def test_progress_is_answered_when_it_is_asked_for(host: Host) -> None:
    watch = host.watch(WatchSpec(key=b"other"))
    host.put(b"a")
    watch.request_progress()
    (told,) = await taken(watch)
    assert isinstance(told, Delivery)
    assert (told.revision, told.events) == (2, ())


async def test_an_install_makes_watches_catch_up_from_where_they_were(host: Host) -> None:
    leader = leader_state()
    watch = host.watch()
    await asyncio.get_running_loop().run_in_executor(None, host.state.install, snapshot_of(leader))
    assert await revisions(watch, leader.machine.revision - 1) == list(range(2, leader.machine.revision + 1))
    host.state.apply(Index(42), [put(b"k")])
    assert await revisions(watch, 1) == [leader.machine.revision + 1]


async def test_a_store_that_cannot_be_read_is_the_nodes_end() -> None:
    posted: list[events.Event] = []
    state = FakeWatchedState(facts=facts(), error=OSError("the disk is gone"))
    watches = Watches(
        state, loop=asyncio.get_running_loop(), post=posted.extend, limits=WatchLimits(), progress_interval_ms=1000
    )  # fmt: skip
    watches.watch(WatchSpec(key=b"k", start_revision=3))
    await asyncio.get_running_loop().run_in_executor(None, watches.close)
    assert [type(event) for event in posted] == [events.StorageFailed]
    watches.end("bye")


async def turns(count: int = 20) -> None:
    """Let the loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


def listening(watch: NodeWatch) -> list[list[int]]:
    """Return what will be filled with the revisions that come together."""
    got: list[list[int]] = []
    watch.listen(lambda: got.append([item.revision for item in watch.take()]))
    return got


async def test_a_crowd_is_told_in_rounds_and_a_few_at_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches_module, "CROWD", 2)
    monkeypatch.setattr(watches_module, "PAUSE_S_MIN", 3600)
    monkeypatch.setattr(watches_module, "PAUSE_S_MAX", 3600)
    crowd = [host.watch() for _ in range(5)]
    heard = [listening(watch) for watch in crowd]
    host.put(b"a")
    await turns()
    assert heard == [[[2]]] * 5, "the first round is now"
    host.put(b"b")
    await turns()
    host.put(b"c")
    await turns()
    assert heard == [[[2]]] * 5, "they rest"
    timer = host.watches._round
    assert isinstance(timer, asyncio.TimerHandle)
    timer.cancel()
    host.watches._begin_round()  # an hour later
    await turns()
    assert heard == [[[2], [3, 4]]] * 5, "what came meanwhile goes together"
    await turns()
    for watch in crowd[2:]:
        watch.cancel()
    host.put(b"d")
    await turns()
    assert heard[0] == heard[1] == [[2], [3, 4], [5]], "two are no crowd: they do not wait for an hour"


async def test_between_two_slices_of_a_crowd_the_loop_does_everything_else(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches_module, "CROWD", 2)
    told: list[int] = []
    for number in range(6):
        host.watch().listen(partial(told.append, number))
    host.put(b"a")
    seen = set()
    for _ in range(20):
        await turns(1)
        seen.add(len(told))
    assert seen >= {2, 4, 6}
    assert told == list(range(6))


async def test_a_crowd_in_its_pause_hears_at_once_that_the_node_goes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches_module, "CROWD", 2)
    monkeypatch.setattr(watches_module, "PAUSE_S_MIN", 3600)
    monkeypatch.setattr(watches_module, "PAUSE_S_MAX", 3600)
    crowd = [host.watch() for _ in range(5)]
    heard = [listening(watch) for watch in crowd]
    host.put(b"a")
    await turns()
    host.put(b"b")
    host.watches.end("bye")
    await turns()
    assert heard == [[[2], [3, 3]]] * 5, "the change, and the end"
