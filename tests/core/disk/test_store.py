"""The store's promises one by one."""

import pytest

from ferrite.core import Entry, EntryKind, HardState, Index, InvariantViolated, NodeId, RecoveredLog, Term
from ferrite.core.actions import Persist
from ferrite.core.disk import DiskError, LogCorrupt, LogOptions, LogStore
from tests.core.disk.model import CLUSTER, NODE, SMALL, all_entries, begin, entry, put, reopen
from tests.core.disk.two_images import TwoImages


def opened(options: LogOptions = SMALL) -> tuple[TwoImages, LogStore]:
    files = TwoImages()
    store, _ = reopen(files, options)
    store.append([begin()])
    return files, store


def filled(count: int, body: int = 600) -> tuple[TwoImages, LogStore]:
    files, store = opened()
    for number in range(1, count + 1):
        store.append([put(number + 1, number, entry(1, bytes([number % 251]) * body))])
        store.sync()
    return files, store


def test_an_empty_directory_is_an_empty_log_and_stays_empty() -> None:
    files = TwoImages()
    _, log = reopen(files)
    assert log == RecoveredLog()
    assert files.list() == ()


def test_the_first_write_must_name_the_cluster() -> None:
    store, _ = reopen(TwoImages())
    with pytest.raises(InvariantViolated, match="names the cluster"):
        store.append([put(1, 1, entry(0))])


def test_a_batch_within_one_segment_is_one_write_and_no_sync() -> None:
    files, store = opened()
    writes, syncs = files.writes, files.syncs
    store.append([put(2, 1, entry(1)), put(3, 2, entry(1), entry(1)), put(4, 4, entry(1))])
    assert (files.writes - writes, files.syncs - syncs) == (1, 0)
    store.sync()
    assert (files.writes - writes, files.syncs - syncs) == (1, 1)


def test_no_segment_begins_before_the_one_before_it_is_durable() -> None:
    files, store = opened()
    number = 1
    while sum(name.endswith(".seg") for name in files.list()) < 3:
        store.append([put(number + 1, number, entry(1, bytes(300)))])
        number += 1
    closed = sorted(name for name in files.list() if name.endswith(".seg"))[:-1]
    assert all(not files.dirty.get(name) for name in closed)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_prepared_spare_becomes_the_next_segment(prepared: bool) -> None:
    files, store = opened()
    number = 1
    while store.size_bytes == 4096:
        store.append([put(number + 1, number, entry(1))])
        number += 1
        if prepared:
            while store.prepare_spare():
                assert "spare" in files.list()
    assert "spare" not in files.list()
    assert reopen(files)[1].last_index == number - 1


def test_a_full_disk_while_preparing_is_no_failure_before_the_room_is_needed() -> None:
    files, store = opened()
    while not store.prepare_spare():
        store.append([put(store.last_write_seq + 1, store.last_index + 1, entry(1))])
    files.fail_next = DiskError("no room", disk_full=True)
    assert store.prepare_spare() is False
    assert "spare" not in files.list()
    store.append([put(store.last_write_seq + 1, store.last_index + 1, entry(1))])
    store.sync()


def test_an_entry_larger_than_a_segment_gets_a_segment_of_its_size() -> None:
    files, store = opened()
    big = entry(1, bytes(20_000))
    store.append([put(2, 1, entry(1), big, entry(1))])
    store.sync()
    store, log = reopen(files)
    assert all_entries(store) == (entry(1), big, entry(1))
    assert log.tail == (entry(1),), "the tail is bounded by bytes"


def test_load_gives_at_least_one_entry_and_stops_at_the_bytes() -> None:
    _, store = filled(9)
    assert len(store.load(1, 10, 1)) == 1
    assert len(store.load(3, 10, 1300)) == 2
    assert store.load(4, 6, 1 << 20) == tuple(entry(1, bytes([number]) * 600) for number in (4, 5))


def test_load_outside_of_the_log_is_a_bug() -> None:
    _, store = filled(3)
    for first, end in ((0, 2), (1, 5), (2, 2), (4, 5)):
        with pytest.raises(InvariantViolated):
            store.load(first, end, 100)


def test_load_verifies_what_it_reads() -> None:
    files, store = filled(3)
    files.written["0000000000000001.seg"][1024 + 1024 + 200] ^= 1
    assert len(store.load(1, 2, 100)) == 1
    with pytest.raises(LogCorrupt, match="not what was written"):
        store.load(2, 3, 100)


def test_load_after_a_truncation_gives_the_new_entries_only() -> None:
    files, store = opened()
    store.append([put(2, 1, *(entry(1, bytes([65 + number])) for number in range(5)))])
    store.append([
        Persist(
            write_seq=3, first_index=Index(4), truncate=True, entries=(entry(2, b"new"),),
            hard_state=HardState(cluster_id=CLUSTER, term=Term(2)),
        )
    ])  # fmt: skip
    store.sync()
    expected = (*(entry(1, bytes([65 + number])) for number in range(3)), entry(2, b"new"))
    assert all_entries(store) == expected
    store, log = reopen(files)
    assert all_entries(store) == expected
    assert log.term_runs == ((1, 1), (4, 2))


def test_discard_removes_whole_segments_below_and_keeps_hard_state_and_terms() -> None:
    files, store = filled(20)
    segments = len(store._segments)
    assert store.discard(1) == 0
    removed = store.discard(12)
    assert 0 < removed < segments
    assert store.first_index <= 12
    assert reopen(files)[1].base_index == store.base_index
    store.discard(21)
    store, log = reopen(files)
    assert (log.base_term, log.hard_state.voted_for, log.last_index) == (1, 3, 20)
    assert log.base_index == store.base_index
    assert len(store._segments) == 1


def test_a_truncation_below_the_first_segment_kept_carries_the_term_it_needs() -> None:
    files, store = opened()
    for number in range(1, 8):
        store.append([put(number + 1, number, entry(1, bytes(600)))])
    # From here on index 3 is in a later segment than its first version.
    persist = Persist(
        write_seq=9, first_index=Index(3), truncate=True, entries=(entry(5),),
        hard_state=HardState(cluster_id=CLUSTER, term=Term(5)),
    )  # fmt: skip
    store.append([persist])
    store.sync()
    assert store.discard(3) >= 1
    store, log = reopen(files)
    assert (log.base_index, log.base_term, log.last_index) == (2, 1, 3)
    assert all_entries(store) == (entry(5),)


def test_a_base_empties_the_log() -> None:
    files, store = filled(3)
    store.append(
        [Persist(write_seq=5, first_index=Index(101), base=(Index(100), Term(1)), entries=(entry(1),))]
    )
    store.sync()
    store, log = reopen(files)
    assert (log.base_index, log.base_term, log.last_index, log.memberships) == (100, 1, 101, ())


def test_memberships_follow_truncations() -> None:
    files, store = opened()
    members = [entry(1, bytes([65 + number]), EntryKind.MEMBERSHIP) for number in range(3)]
    store.append([put(2, 1, members[0], entry(1), members[1])])
    store.append([put(3, 3, members[2], truncate=True)])
    store.sync()
    assert reopen(files)[1].memberships == ((1, members[0].payload), (3, members[2].payload))


@pytest.mark.parametrize(
    "persist",
    [
        put(4, 2, entry(1)),
        put(3, 3, entry(1)),
        put(3, 1, entry(1)),
        put(3, 4, truncate=True),
        put(3, 0, truncate=True),
        put(3, 2, entry(2)),
        put(3, 2, entry(0)),
        put(3, 2, entry(1), entry(0), entry(1)),
        Persist(write_seq=3, first_index=Index(2), hard_state=HardState(cluster_id=CLUSTER)),
        Persist(
            write_seq=3, first_index=Index(2), hard_state=HardState(cluster_id=CLUSTER[::-1], term=Term(2))
        ),
        Persist(write_seq=3, first_index=Index(2), base=(Index(9), Term(1)), entries=(entry(1),)),
    ],
)
def test_what_the_contract_does_not_allow_is_a_bug_and_nothing_is_written(persist: Persist) -> None:
    files, store = opened()
    store.append([put(2, 1, entry(1))])
    store.sync()
    with pytest.raises(InvariantViolated):
        store.append([persist])
    with pytest.raises(InvariantViolated, match="failed is not used again"):
        store.sync()
    assert reopen(files)[1].last_index == 1


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_after_a_failed_write_or_sync_nothing_is_written_again(operation: str) -> None:
    files, store = opened()
    if operation == "append":
        files.fail_next = DiskError("EIO")
        with pytest.raises(DiskError):
            store.append([put(2, 1, entry(1))])
    else:
        store.append([put(2, 1, entry(1))])
        files.fail_next = DiskError("EIO")
        with pytest.raises(DiskError):
            store.sync()
    operations = files.operations
    for again in (
        store.sync,
        lambda: store.append([put(3, 2)]),
        lambda: store.update_mark(0),
        store.prepare_spare,
    ):
        with pytest.raises(InvariantViolated, match="failed is not used again"):
            again()
    assert files.operations == operations


def test_the_mark_is_written_only_when_there_is_something_durable_to_say() -> None:
    files, store = filled(3)
    assert store.update_mark(2)
    assert not store.update_mark(2)
    store.append([put(5, 4, entry(1))])
    assert not store.update_mark(2), "what is not synced is not marked"
    store.sync()
    assert store.update_mark(2)
    assert reopen(files)[1].lost_tail is None


def test_what_a_killed_process_wrote_is_made_durable_before_it_is_shown() -> None:
    files, store = opened()
    store.append([put(2, 1, entry(1))])
    _, log = reopen(files)
    assert log.last_index == 1
    assert reopen(files.after_crash(lambda: False))[1].last_index == 1


def test_entries_of_several_terms_in_one_write_keep_their_terms() -> None:
    files, store = opened()
    entries: tuple[Entry, ...] = (entry(1), entry(2), entry(2), entry(4))
    hard_state = HardState(cluster_id=CLUSTER, term=Term(4), voted_for=NodeId(1))
    store.append([Persist(write_seq=2, first_index=Index(1), entries=entries, hard_state=hard_state)])
    store.sync()
    store, log = reopen(files)
    assert all_entries(store) == entries
    assert log.term_runs == ((1, 1), (2, 2), (4, 4))
    assert LogStore.open(files, NODE)[1].tail == entries


def test_the_mark_keeps_its_commit_index_while_a_truncation_may_still_be_torn() -> None:
    """A follower's commit index may count entries that replace durable ones and are not durable yet."""
    files, store = opened()
    store.append([put(2, 1, *(entry(1) for _ in range(4)))])
    store.sync()
    store.update_mark(2)
    store.append([put(3, 3, entry(1), truncate=True), put(4, 4, entry(1), entry(1), entry(1))])
    store.update_mark(6)
    crashed = files.after_crash(lambda: True)
    crashed.written["0000000000000001.seg"][4 * 512 :] = bytes(4096 - 4 * 512)
    _, log = reopen(crashed)
    assert (log.last_index, log.lost_tail) == (3, None)
    store.sync()
    assert store.update_mark(6)
