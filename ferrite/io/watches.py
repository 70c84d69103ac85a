"""The watches of a real node: the hub, fed by the state store, with its history read on a thread of its own.

Everything here runs on the loop but the reads of history. A read is a bounded piece of a pinned view: applies go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ferrite.core.kv import (
    AppliedBatch,
    Change,
    Delivery,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    MachineFacts,
    WatchEnd,
    WatchEnded,
    WatchHub,
    WatchLimits,
    WatchRefused,
    WatchSpec,
)
from ferrite.io.background import Worker
from ferrite.io.config import Config
from ferrite.io.organs import PostEvents
from ferrite.io.request_path import RequestRefused
from ferrite.io.storage_errors import storage_failed

HISTORY_BYTES: Final = 256 << 10
"""Of one read of history: some milliseconds of decoding, which hold the interpreter's lock."""


CROWD: Final = 64
"""Up to so many watches are woken at once, without a thought."""
PAUSE_FACTOR: Final = 2
"""After a round of a larger crowd, its watches rest this many times as long as it took: they have a third of the loop's time at
most, however slow the machine is, and what changes meanwhile goes out together. 300 watches take about 20 ms.
"""
PAUSE_S_MAX: Final = 1.0
"""Nobody waits longer for a change because of it."""


class WatchedState(Protocol):
    """The state store, as watches see it."""

    @property
    def facts(self) -> MachineFacts: ...

    def listen(
        self, on_applied: Callable[[AppliedBatch], None], on_installed: Callable[[MachineFacts], None]
    ) -> None: ...

    def previous(self, change: Change) -> KeyValue | None: ...

    def history(self, read: HistoryRead, *, bytes_max: int) -> HistoryPiece | None:
        """Run on a worker thread."""
        ...


def watch_limits(config: Config) -> WatchLimits:
    """Return the configured limits."""
    limits = config.limits
    return WatchLimits(watches_max=limits.watches_max, queue_bytes_max=limits.watch_queue_bytes_max)


class Watches:
    """What a node's doors watch."""

    def __init__(
        self,
        state: WatchedState,
        *,
        loop: asyncio.AbstractEventLoop,
        post: PostEvents,
        limits: WatchLimits,
        progress_interval_ms: int,
    ) -> None:
        """Listen to the state from now on. `post` hears of a store that fails, from another thread."""
        facts = state.facts
        self.hub: Final = WatchHub(
            revision=facts.revision, compacted_revision=facts.compacted_revision, limits=limits
        )
        self._state = state
        self._loop = loop
        self._worker = Worker("watch", post)
        self._watches: dict[int, NodeWatch] = {}
        self._progress_interval_s = progress_interval_ms / 1000
        self._progress: asyncio.TimerHandle | None = None
        self._ended = ""
        self._next_round_at = 0.0
        self._in_round = False
        self._round: asyncio.TimerHandle | None = None
        state.listen(self._on_applied, self._on_installed)

    @property
    def count(self) -> int:
        """Watches that have not ended."""
        return self.hub.count

    def watch(self, spec: WatchSpec) -> NodeWatch:
        """Begin a watch. Raises `RequestRefused`."""
        if self._ended:
            raise RequestRefused("shutting_down", self._ended)
        try:
            number, revision = self.hub.add(spec)
        except WatchRefused as refused:
            raise RequestRefused("overloaded", f"{refused}; limits.watches_max says how many") from None
        watch = self._watches[number] = NodeWatch(self, number, revision)
        if self._progress is None:
            self._progress = self._loop.call_later(self._progress_interval_s, self._on_progress_due)
        self.settle()
        return watch

    def end(self, detail: str) -> None:
        """The node goes: every watch gets what there is and its end, and no new one begins."""
        if not self._ended:
            self._ended = detail
            self.hub.end_all(WatchEnd.SHUTTING_DOWN, detail)
            self._wake_all()

    def close(self) -> None:
        """Wait for a read under way: for a worker thread, after the loop has no more work for it."""
        self._worker.close()

    def forget(self, number: int) -> None:
        """A watch was cancelled, or gave its end."""
        self._watches.pop(number, None)
        self.hub.remove(number)
        if not self._watches and self._progress is not None:
            self._progress.cancel()
            self._progress = None

    def settle(self) -> None:
        """Wake who got something, and order the next piece of history. Called after everything that the hub was told."""
        ready = self.hub.ready_count
        if ready and self._round is None and not self._in_round:
            pause_s = self._next_round_at - time.monotonic()
            if ready <= CROWD or pause_s <= 0:
                self._wake_all()
            else:
                self._round = self._loop.call_later(pause_s, self._wake_all)
        read = self.hub.next_read()
        if read is not None and not self._loop.is_closed():
            self._worker.submit(
                lambda: self._read(read), lambda error: storage_failed("read of history", error)
            )

    # ------------------------------------------------------------------------------------------------ inside

    def _wake_all(self) -> None:
        if self._round is not None:
            self._round.cancel()
            self._round = None
        ready, began = self.hub.take_ready(), time.monotonic()
        for number in ready:
            watch = self._watches.get(number)
            if watch is not None:
                watch.wake()
        if len(ready) > CROWD:
            self._in_round = True
            self._loop.call_soon(self._end_round, began)  # runs after all that were woken here

    def _end_round(self, began: float) -> None:
        now = time.monotonic()
        self._in_round = False
        self._next_round_at = now + min(PAUSE_S_MAX, PAUSE_FACTOR * (now - began))
        self.settle()

    def _read(self, read: HistoryRead) -> None:
        piece = self._state.history(read, bytes_max=HISTORY_BYTES)
        self._loop.call_soon_threadsafe(self._on_history, piece)

    def _on_history(self, piece: HistoryPiece | None) -> None:
        self.hub.on_history(piece)
        self.settle()

    def _on_applied(self, applied: AppliedBatch) -> None:
        self.hub.on_applied(
            applied.changes if self.hub.has_live else (),
            revision=applied.meta.revision,
            compacted_revision=applied.meta.compacted_revision,
            previous=self._state.previous,
        )
        self.settle()

    def _on_installed(self, facts: MachineFacts) -> None:
        """On the installing thread. The loop hears of it before it hears that it may apply what follows."""
        self._loop.call_soon_threadsafe(self._note_install, facts)

    def _note_install(self, facts: MachineFacts) -> None:
        self.hub.on_installed(revision=facts.revision, compacted_revision=facts.compacted_revision)
        self.settle()

    def _on_progress_due(self) -> None:
        self._progress = self._loop.call_later(self._progress_interval_s, self._on_progress_due)
        self.hub.notify_progress()
        self.settle()


class NodeWatch:
    """One watch of one client (`request_path.Watch`). One task at a time waits in `take`."""

    __slots__ = ("_ended", "_number", "_waiting", "_watches", "revision")

    def __init__(self, watches: Watches, number: int, revision: int) -> None:
        """Made by `Watches.watch`. Everything up to `revision` counts as delivered."""
        self.revision = revision
        self._watches = watches
        self._number = number
        self._waiting: asyncio.Future[None] | None = None
        self._ended = False

    async def take(self) -> Sequence[Delivery | WatchEnded]:
        """Wait until there is something and take all of it; nothing: it was cancelled. Cancel the wait freely."""
        while not self._ended:
            taken = self._watches.hub.take(self._number)
            if taken:
                if isinstance(taken[-1], WatchEnded):
                    self.cancel()
                self._watches.settle()  # there is room for more history
                return taken
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return ()

    def request_progress(self) -> None:
        """Ask for a notification."""
        self._watches.hub.request_progress(self._number)
        self._watches.settle()

    def cancel(self) -> None:
        """End it."""
        if not self._ended:
            self._ended = True
            self._watches.forget(self._number)
            self.wake()

    def wake(self) -> None:
        """Something is there."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
