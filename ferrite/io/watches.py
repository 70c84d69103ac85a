"""The watches of a real node: the hub, fed by the state store, with its history read on a thread of its own.

No task waits for a watch: whoever has one is called when something has come, and takes it. A crowd is told in slices, so that
requests do not wait for it. Everything here runs on the loop but the reads of history. A read is a bounded piece of a pinned
view: applies go on meanwhile.
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
"""Up to so many watches are told at once, without a thought; of more, so many before everything else has its turn: about 1 ms."""
PAUSE_FACTOR: Final = 2
"""After a round of a larger crowd, its watches rest this many times as long as it took: they have a third of the loop's time at
most, however slow the machine is, and what changes meanwhile goes out together.
"""
PAUSE_S_MIN: Final = 0.03
"""Less would cost a write to every socket for nearly every change, which is most of what a watch costs (about 15 us)."""
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
    return WatchLimits(
        watches_max=limits.watches_max,
        queue_bytes_max=limits.watch_queue_bytes_max,
        watches_bytes_max=limits.watches_bytes_max,
    )


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
        self._round: asyncio.Handle | None = None
        """The next step of a round that has begun, or the one that is to begin."""
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
            if self._round is not None:
                self._round.cancel()
            self._begin_round()  # for all of them

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
        """Tell who got something, and order the next piece of history. Called after everything that the hub was told."""
        ready = self.hub.ready_count
        if ready and self._round is None and not self._loop.is_closed():
            pause_s = self._next_round_at - time.monotonic() if ready > CROWD else 0
            # Even without a pause not from here: what led here, such as the answer to a write, goes first.
            self._round = self._loop.call_later(max(0, pause_s), self._begin_round)
        read = self.hub.next_read()
        if read is not None and not self._loop.is_closed():
            self._worker.submit(
                lambda: self._read(read), lambda error: storage_failed("read of history", error)
            )

    # ------------------------------------------------------------------------------------------------ inside

    def _begin_round(self) -> None:
        self._tell(self.hub.take_ready(), 0, time.monotonic())

    def _tell(self, ready: list[int], first: int, began: float) -> None:
        """Tell some, and go on with the others when the loop has seen to everything else."""
        after = first + CROWD
        for number in ready[first:after]:
            watch = self._watches.get(number)
            if watch is not None:
                watch.on_ready()
        if after < len(ready):
            self._round = self._loop.call_soon(self._tell, ready, after, began)
        elif first:
            self._round = self._loop.call_soon(self._end_round, began)  # after what was written is sent
        else:
            self._round = None
            self.settle()

    def _end_round(self, began: float) -> None:
        now = time.monotonic()
        if not self._ended:
            self._next_round_at = now + min(PAUSE_S_MAX, max(PAUSE_S_MIN, PAUSE_FACTOR * (now - began)))
        self._round = None
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
    """One watch of one client (`request_path.Watch`)."""

    __slots__ = ("_ended", "_number", "_watches", "on_ready", "revision")

    def __init__(self, watches: Watches, number: int, revision: int) -> None:
        """Made by `Watches.watch`. Everything up to `revision` counts as delivered."""
        self.revision = revision
        self.on_ready: Callable[[], None] = _nobody
        self._watches = watches
        self._number = number
        self._ended = False

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Call this on the loop whenever something has come; it must not raise. What is there already is not announced."""
        self.on_ready = on_ready

    def take(self) -> Sequence[Delivery | WatchEnded]:
        """Take all that is there; often nothing."""
        taken = self._watches.hub.take(self._number)
        if taken:
            if isinstance(taken[-1], WatchEnded):
                self.cancel()
            self._watches.settle()  # there is room for more history
        return taken

    def request_progress(self) -> None:
        """Ask for a notification."""
        self._watches.hub.request_progress(self._number)
        self._watches.settle()

    def cancel(self) -> None:
        """End it: there will be nothing more."""
        if not self._ended:
            self._ended = True
            self._watches.forget(self._number)


def _nobody() -> None:
    """Nobody listens yet."""
