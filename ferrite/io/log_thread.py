"""The log thread: the one owner of the log on disk. Whatever has queued goes into one append and one sync."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from ferrite.core import Index, actions, events
from ferrite.core.disk import DiskError, LogCorrupt, LogStore

SYNC_BUCKETS_US: Final = (
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
)
"""Upper bounds of the sync latency histogram; one more bucket counts what is slower."""
MARK_INTERVAL_US: Final = 1_000_000
"""Between two writes of the durable mark: what a lying disk may lose unnoticed, against one more sync."""
BATCH_ITEMS_MAX: Final = 4096
"""Orders taken at once: bounds the memory of one write; far above what the core has outstanding."""


@dataclass(slots=True, kw_only=True)
class LogStats:
    """Counters since the start, written by the log thread only; reading them needs no lock."""

    batches: int = 0
    persists: int = 0
    entries: int = 0
    payload_bytes: int = 0
    fsyncs: int = 0
    sync_us_last: int = 0
    sync_us_total: int = 0
    sync_us_buckets: list[int] = field(default_factory=lambda: [0] * (len(SYNC_BUCKETS_US) + 1))
    loads: int = 0
    segments_discarded: int = 0
    marks: int = 0
    size_bytes: int = 0
    """Of the segment files."""
    first_index: int = 1
    last_index: int = 0


@dataclass(slots=True)
class _Close:
    """The last order."""


_Order = actions.Persist | actions.LoadEntries | actions.DiscardLog | _Close


class LogThread:
    """Performs the core's orders on a `LogStore` and reports, one `post` a batch.

    `post` is called in the log thread and must be thread-safe (`loop.call_soon_threadsafe`). `Persisted` does not wait for loads
    and discards that were ordered together with it. After the first failure nothing is written or synced again, and exactly one
    `PersistFailed` says so (rule DR6).
    """

    def __init__(
        self,
        store: LogStore,
        post: Callable[[list[events.Event]], None],
        *,
        sync_writes: bool = True,
        now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        """`sync_writes` false: entries are acknowledged once written, and synced within `MARK_INTERVAL_US`; term, vote and base
        are synced as ever. `now_us` is a monotonic clock.
        """
        self._store = store
        self._post = post
        self._sync_writes = sync_writes
        self._now_us = now_us
        self._queue: SimpleQueue[_Order] = SimpleQueue()
        self._thread = Thread(target=self._run, name="ferrite-log", daemon=True)
        self._commit_index = 0
        self._commit_index_written = 0
        """The commit index as far as every entry it counts was appended."""
        self._closing = False
        self._failed = ""
        self._persist_failed = False
        self._writing = False
        self._unsynced = False
        self._spare_left = False
        self._persisted_seq = store.last_write_seq
        self._mark_due_us: int | None = None
        self.stats = LogStats(
            size_bytes=store.size_bytes, first_index=store.first_index, last_index=store.last_index
        )
        self.stalled_since_us = 0
        """Since when (of `now_us`) the disk has been busy with the present batch; 0 when it is idle."""
        self.crash: Exception | None = None
        """What made the thread fail that was not the disk: a bug, `InvariantViolated` among them. The host raises it."""

    @property
    def stalled_us(self) -> int:
        """For how long the disk has been busy with the present batch; 0 when it is idle."""
        since_us = self.stalled_since_us
        return self._now_us() - since_us if since_us else 0

    @property
    def queue_depth(self) -> int:
        """Orders that wait, about."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start the thread. The store belongs to it from now on."""
        self._thread.start()

    def persist(self, persist: actions.Persist) -> None:
        """Order a write. Reported by `Persisted` (of this or a later one) or `PersistFailed`."""
        self._order(persist)

    def load(self, first_index: int, end_index: int, bytes_max: int) -> None:
        """Order entries of the log. Reported by `EntriesLoaded` or `StorageFailed`."""
        self._order(
            actions.LoadEntries(
                first_index=Index(first_index), end_index=Index(end_index), bytes_max=bytes_max
            )
        )

    def discard(self, first_index: int) -> None:
        """Allow entries below to be deleted."""
        self._order(actions.DiscardLog(first_index=Index(first_index)))

    def note_commit(self, commit_index: int) -> None:
        """Tell the commit index for the durable mark, after the writes it counts were ordered; costs nothing."""
        self._commit_index = commit_index

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Finish what was ordered, write the mark and end the thread. Blocks; false when the disk did not come back in time."""
        if not self._closing:
            self._closing = True
            self._queue.put(_Close())
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _order(self, order: _Order) -> None:
        if self._closing:
            raise RuntimeError("the log thread is closed; nothing may be ordered after close()")
        self._queue.put(order)

    # -- below here: in the log thread

    def _run(self) -> None:
        going_on = True
        while going_on:
            orders = self._take()
            going_on = not (orders and isinstance(orders[-1], _Close))
            self.stalled_since_us = self._now_us()
            self._perform(orders, last=not going_on)
            self.stalled_since_us = 0

    def _take(self) -> list[_Order]:
        """Wait for orders and take all there are; none when there is something to do without."""
        # Read before the queue is emptied: every write that this commit index counts was ordered before it was noted.
        commit_index = self._commit_index
        try:
            orders = [self._queue.get(timeout=self._idle_seconds())]
        except Empty:
            self._commit_index_written = commit_index
            return []
        while len(orders) < BATCH_ITEMS_MAX and not isinstance(orders[-1], _Close):
            try:
                orders.append(self._queue.get_nowait())
            except Empty:
                break
        else:
            if not isinstance(orders[-1], _Close):
                return orders
        self._commit_index_written = commit_index
        return orders

    def _idle_seconds(self) -> float | None:
        if self._failed:
            return None
        if self._spare_left:
            return 0
        if self._mark_due_us is None:
            return None
        return max(0, self._mark_due_us - self._now_us()) / 1_000_000

    def _perform(self, orders: list[_Order], *, last: bool) -> None:
        try:
            if not self._failed:
                self._carry_out(orders)
                self._housekeep(last=last)
            else:
                self._ignore(orders)
        except (DiskError, LogCorrupt) as error:
            self._fail(error, orders)
        except Exception as error:  # noqa: BLE001 - a bug here must stop the node, not silently this thread
            self.crash = error
            self._fail(error, orders)

    def _carry_out(self, orders: list[_Order]) -> None:
        persists: list[actions.Persist] = []
        others: list[actions.LoadEntries | actions.DiscardLog] = []
        needs_sync = False
        for order in orders:
            if isinstance(order, actions.Persist):
                if others and (order.truncate or order.base is not None):
                    # A load means the log as it was when it was ordered.
                    self._append(persists)
                    self._serve(others)
                    persists, others = [], []
                needs_sync = (
                    needs_sync or self._sync_writes or order.hard_state is not None or order.base is not None
                )
                persists.append(order)
            elif not isinstance(order, _Close):
                others.append(order)
        self._append(persists)
        if needs_sync:
            self._sync()
        self._report_persisted()
        self._serve(others)

    def _append(self, persists: list[actions.Persist]) -> None:
        if not persists:
            return
        self._writing = True
        self._store.append(persists)
        self._unsynced = True
        if self._mark_due_us is None:
            self._mark_due_us = self._now_us() + MARK_INTERVAL_US
        stats = self.stats
        stats.batches += 1
        stats.persists += len(persists)
        for persist in persists:
            stats.entries += len(persist.entries)
            stats.payload_bytes += sum(len(entry.payload) for entry in persist.entries)

    def _sync(self) -> None:
        self._writing = True
        started_us = self._now_us()
        self._store.sync()
        self._unsynced = False
        took_us = self._now_us() - started_us
        stats = self.stats
        stats.fsyncs += 1
        stats.sync_us_last = took_us
        stats.sync_us_total += took_us
        stats.sync_us_buckets[bisect_left(SYNC_BUCKETS_US, took_us)] += 1

    def _report_persisted(self) -> None:
        self._writing = False
        store, stats = self._store, self.stats
        stats.size_bytes, stats.first_index, stats.last_index = (
            store.size_bytes,
            store.first_index,
            store.last_index,
        )
        if store.last_write_seq > self._persisted_seq:
            self._persisted_seq = store.last_write_seq
            self._post([events.Persisted(write_seq=store.last_write_seq)])

    def _serve(self, orders: list[actions.LoadEntries | actions.DiscardLog]) -> None:
        """Perform loads and discards. Their failures are no failed write."""
        writing, self._writing = self._writing, False
        for order in orders:
            if isinstance(order, actions.LoadEntries):
                entries = self._store.load(order.first_index, order.end_index, order.bytes_max)
                self.stats.loads += 1
                self._post([events.EntriesLoaded(first_index=order.first_index, entries=entries)])
            else:
                self.stats.segments_discarded += self._store.discard(order.first_index)
        self.stats.size_bytes, self.stats.first_index = self._store.size_bytes, self._store.first_index
        self._writing = writing

    def _housekeep(self, *, last: bool) -> None:
        """Prepare a slice of the next segment; write the mark when it is due."""
        self._spare_left = self._store.prepare_spare() and not last
        due = self._mark_due_us is not None and self._mark_due_us <= self._now_us()
        if due or last:
            self._mark_due_us = None
            if self._unsynced:
                self._sync()
            self.stats.marks += self._store.update_mark(self._commit_index_written)

    def _fail(self, error: Exception, orders: list[_Order]) -> None:
        known = isinstance(error, DiskError | LogCorrupt)  # they say what happened and what to do
        self._failed = str(error) if known else f"{type(error).__name__}: {error}"
        disk_full = isinstance(error, DiskError) and error.disk_full
        if self._writing:
            self._report_persist_failed(disk_full=disk_full)
        else:
            corrupt = isinstance(error, LogCorrupt)
            self._post([events.StorageFailed(corrupt=corrupt, disk_full=disk_full, detail=self._failed)])
            self._ignore([order for order in orders if _seq(order) > self._persisted_seq])

    def _ignore(self, orders: list[_Order]) -> None:
        """After a failure nothing is written; whoever orders a write is told so once."""
        if any(isinstance(order, actions.Persist) for order in orders):
            self._report_persist_failed(disk_full=False)

    def _report_persist_failed(self, *, disk_full: bool) -> None:
        if not self._persist_failed:
            self._persist_failed = True
            first = self._persisted_seq + 1
            self._post([events.PersistFailed(write_seq=first, disk_full=disk_full, detail=self._failed)])


def _seq(order: _Order) -> int:
    return order.write_seq if isinstance(order, actions.Persist) else 0
