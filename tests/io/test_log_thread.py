"""The log thread against a disk in memory: group commit, order of reports, and what a failure means."""

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

import pytest

from ferrite.core import Index, Term, events
from ferrite.core.actions import Persist
from ferrite.core.disk import DiskError, LogOptions, LogStore
from ferrite.io.log_thread import MARK_INTERVAL_US, LogThread
from tests.core.disk.model import NODE, begin, entry, put, reopen
from tests.core.disk.two_images import TwoImages

WAIT_SECONDS = 20  # a bound against hanging


class GatedDisk(TwoImages):
    """Syncs wait while the gate is closed; operations can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.in_sync = threading.Event()
        self.failing: str = ""

    def sync(self, name: str) -> None:
        self.in_sync.set()
        assert self.gate.wait(WAIT_SECONDS)
        if self.failing == "sync":
            raise DiskError("EIO from the test", disk_full=False)
        super().sync(name)

    def write(self, name: str, offset: int, data: bytes) -> None:
        if self.failing == "write":
            raise DiskError("ENOSPC from the test", disk_full=True)
        super().write(name, offset, data)

    def remove(self, name: str) -> None:
        if self.failing == "remove":
            raise DiskError("EIO from the test")
        super().remove(name)


class Bench:
    """A started thread, its disk and its reports."""

    def __init__(self, *, sync_writes: bool = True, segment_bytes: int = 1 << 16) -> None:
        self.disk = GatedDisk()
        self.reports: SimpleQueue[events.Event] = SimpleQueue()
        self.posts = 0
        self.now_us = 1
        store, _ = reopen(self.disk, LogOptions(segment_bytes=segment_bytes))
        self.log = LogThread(store, self.post, sync_writes=sync_writes, now_us=lambda: self.now_us)
        self.log.start()

    def post(self, batch: list[events.Event]) -> None:
        self.posts += 1
        for event in batch:
            self.reports.put(event)

    def next(self) -> events.Event:
        return self.reports.get(timeout=WAIT_SECONDS)

    def begin(self) -> None:
        self.log.persist(begin())
        assert self.next() == events.Persisted(write_seq=1)

    def hold(self, order: Callable[[], None]) -> None:
        """Give an order and return once the disk is syncing it and stays there."""
        self.disk.in_sync.clear()
        self.disk.gate.clear()
        order()
        assert self.disk.in_sync.wait(WAIT_SECONDS)

    def rest(self) -> list[events.Event]:
        self.log.close(WAIT_SECONDS)
        left = []
        while not self.reports.empty():
            left.append(self.reports.get())
        return left


def test_what_queued_during_a_sync_is_one_write_one_sync_and_one_report() -> None:
    bench = Bench()
    bench.begin()
    bench.hold(lambda: bench.log.persist(put(2, 1, entry(1))))
    for number in range(3, 8):
        bench.log.persist(put(number, number - 1, entry(1)))
    writes, syncs, posts = bench.disk.writes, bench.disk.syncs, bench.posts
    bench.disk.gate.set()
    assert bench.next() == events.Persisted(write_seq=2)
    assert bench.next() == events.Persisted(write_seq=7)
    assert (bench.disk.writes - writes, bench.posts - posts) == (1, 2)
    assert bench.disk.syncs - syncs == 2, "the one that waited, and one more"
    stats = bench.log.stats
    assert (stats.persists, stats.entries, stats.batches, stats.last_index) == (7, 6, 3, 6)
    assert (stats.fsyncs, sum(stats.sync_us_buckets)) == (3, 3)
    assert bench.rest() == []


def test_the_write_is_reported_before_loads_that_were_ordered_with_it() -> None:
    bench = Bench()
    bench.begin()
    bench.log.persist(put(2, 1, entry(1, b"a"), entry(1, b"b")))
    assert bench.next() == events.Persisted(write_seq=2)
    bench.hold(lambda: bench.log.persist(put(3, 3)))
    bench.log.load(1, 3, 100)
    bench.log.persist(put(4, 3, entry(1)))
    bench.disk.gate.set()
    expected = (
        events.Persisted(write_seq=3),
        events.Persisted(write_seq=4),
        events.EntriesLoaded(first_index=Index(1), entries=(entry(1, b"a"), entry(1, b"b"))),
    )
    assert tuple(bench.next() for _ in expected) == expected
    bench.rest()


def test_a_load_means_the_log_as_it_was_when_it_was_ordered() -> None:
    bench = Bench()
    bench.begin()
    bench.hold(lambda: bench.log.persist(put(2, 1, entry(1, b"old"), entry(1, b"old too"))))
    bench.log.load(1, 3, 100)
    bench.log.persist(put(3, 1, entry(1, b"new"), truncate=True))
    bench.disk.gate.set()
    reports = [bench.next() for _ in range(3)]
    assert (
        events.EntriesLoaded(first_index=Index(1), entries=(entry(1, b"old"), entry(1, b"old too")))
        in reports
    )
    assert bench.rest() == []


@pytest.mark.parametrize("failing, full", [("sync", False), ("write", True)])
def test_after_a_failed_write_or_sync_nothing_is_written_and_it_is_said_once(
    failing: str, full: bool
) -> None:
    bench = Bench()
    bench.begin()
    bench.disk.failing = failing
    bench.log.persist(put(2, 1, entry(1)))
    failed = bench.next()
    assert isinstance(failed, events.PersistFailed)
    assert (failed.write_seq, failed.disk_full) == (2, full)
    assert "from the test" in failed.detail
    bench.disk.failing = ""
    operations = bench.disk.operations
    for number in range(3, 9):
        bench.log.persist(put(number, number - 1, entry(1)))
    bench.log.load(1, 2, 100)
    bench.log.discard(1)
    assert bench.rest() == []
    assert bench.disk.operations == operations
    assert bench.log.crash is None


def test_a_failed_load_is_a_storage_failure_and_a_later_write_is_told_once() -> None:
    bench = Bench()
    bench.begin()
    bench.log.persist(put(2, 1, entry(1)))
    assert bench.next() == events.Persisted(write_seq=2)
    bench.disk.written["0000000000000001.seg"][1024 + 60] ^= 1
    bench.log.load(1, 2, 100)
    failed = bench.next()
    assert isinstance(failed, events.StorageFailed)
    assert failed.corrupt
    bench.log.persist(put(3, 2, entry(1)))
    bench.log.persist(put(4, 3, entry(1)))
    told = bench.next()
    assert isinstance(told, events.PersistFailed)
    assert told.write_seq == 3
    assert bench.rest() == []


def test_a_failed_discard_is_a_storage_failure() -> None:
    bench = Bench(segment_bytes=4096)
    bench.begin()
    for number in range(1, 20):
        bench.log.persist(put(number + 1, number, entry(1, bytes(600))))
    while bench.next() != events.Persisted(write_seq=20):
        pass
    bench.disk.failing = "remove"
    bench.log.discard(20)
    failed = bench.next()
    assert isinstance(failed, events.StorageFailed)
    assert not failed.corrupt
    bench.rest()


def test_a_bug_stops_the_node_and_is_kept_for_the_host() -> None:
    bench = Bench()
    bench.begin()
    bench.log.persist(put(7, 1, entry(1)))
    assert isinstance(bench.next(), events.PersistFailed)
    bench.rest()
    assert "write 7 follows write 1" in str(bench.log.crash)


def test_without_sync_writes_entries_are_not_synced_but_term_and_base_are() -> None:
    bench = Bench(sync_writes=False)
    bench.begin()
    assert bench.log.stats.fsyncs == 1
    bench.log.persist(put(2, 1, entry(1)))
    assert bench.next() == events.Persisted(write_seq=2)
    assert bench.log.stats.fsyncs == 1
    bench.log.persist(replace(begin(), write_seq=3, first_index=Index(2)))
    assert bench.next() == events.Persisted(write_seq=3)
    assert bench.log.stats.fsyncs == 2
    bench.log.persist(Persist(write_seq=4, first_index=Index(10), base=(Index(9), Term(1))))
    assert bench.next() == events.Persisted(write_seq=4)
    assert bench.log.stats.fsyncs == 3
    bench.log.persist(put(5, 10, entry(1)))
    assert bench.next() == events.Persisted(write_seq=5)
    bench.rest()
    assert bench.log.stats.fsyncs == 4, "closing syncs"
    assert reopen(bench.disk.after_crash(lambda: False))[1].last_index == 10


def test_the_mark_is_written_when_it_is_due_and_at_the_end() -> None:
    bench = Bench()
    bench.begin()
    marks = bench.log.stats.marks
    bench.log.note_commit(1)
    bench.log.persist(put(2, 1, entry(1)))
    bench.next()
    bench.now_us += MARK_INTERVAL_US
    bench.log.persist(put(3, 2, entry(1)))
    bench.next()
    bench.log.load(1, 2, 100)
    bench.next()
    assert bench.log.stats.marks == marks + 1
    bench.rest()
    assert reopen(bench.disk.after_crash(lambda: False))[1].lost_tail is None


def test_the_mark_is_written_while_nothing_is_ordered() -> None:
    disk = GatedDisk()
    store, _ = reopen(disk)
    log = LogThread(store, lambda _: None)
    log.start()
    log.persist(begin())
    deadline = threading.Event()
    for _ in range(WAIT_SECONDS * 50):
        if log.stats.marks:
            break
        deadline.wait(0.02)
    assert log.stats.marks == 1
    assert log.close(WAIT_SECONDS)


def test_a_disk_that_hangs_is_seen_from_outside() -> None:
    bench = Bench()
    bench.begin()
    bench.now_us = 77
    bench.hold(lambda: bench.log.persist(put(2, 1, entry(1))))
    assert bench.log.stalled_since_us == 77
    bench.log.persist(put(3, 2, entry(1)))
    assert bench.log.queue_depth == 1
    assert not bench.log.close(0.01), "it does not hang with the disk"
    bench.disk.gate.set()
    bench.rest()
    assert bench.log.stalled_since_us == 0


def test_closing_finishes_what_was_ordered_and_refuses_more() -> None:
    bench = Bench()
    for number in range(50):
        bench.log.persist(begin() if number == 0 else put(number + 1, number, entry(1)))
    assert bench.log.close(WAIT_SECONDS)
    assert bench.rest()[-1] == events.Persisted(write_seq=50)
    with pytest.raises(RuntimeError, match="closed"):
        bench.log.persist(put(51, 50, entry(1)))
    store, _ = LogStore.open(bench.disk.after_crash(lambda: False), NODE)
    assert store.last_index == 49
