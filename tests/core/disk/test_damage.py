"""Bytes cut off, bits flipped, files swapped, missing and doubled: never a wrong entry, never silence about a lost one."""

import struct

import pytest

from ferrite.core import HardState, Identity, Index, LostTail, NodeId, Term
from ferrite.core.actions import Persist
from ferrite.core.disk import (
    DiskError,
    LogCorrupt,
    LogOptions,
    LogStore,
    NewerFormat,
    WrongIdentity,
    check_log,
)
from tests.core.disk.model import CLUSTER, NODE, all_entries, begin, entry, put, reopen
from tests.core.disk.two_images import TwoImages

TINY = LogOptions(segment_bytes=4096, record_bytes_max=900, tail_bytes_max=4000)
FIRST, SECOND = "0000000000000001.seg", "0000000000000002.seg"
REFUSED = (LogCorrupt, NewerFormat, WrongIdentity, DiskError)


def written(*, marked: bool, count: int = 3, body: int = 600) -> TwoImages:
    """A log whose every entry was acknowledged; each record takes two sectors."""
    files = TwoImages()
    store, _ = reopen(files, TINY)
    store.append([begin()])
    store.sync()
    for number in range(count):
        store.append([put(number + 2, number + 1, entry(1, bytes([number + 65]) * body))])
        store.sync()
    if marked:
        store.update_mark(count)
    return files


def judged(files: TwoImages, count: int) -> str:
    """Open and compare: what was lost, if anything, was said. Returns what happened."""
    try:
        store, log = reopen(files, TINY)
    except REFUSED as error:
        return type(error).__name__
    expected = tuple(entry(1, bytes([number + 65]) * 600) for number in range(count))
    entries = all_entries(store)
    assert entries == expected[: len(entries)], "an entry that was never written"
    if len(entries) == count and log.hard_state.term == 1:
        return "whole"
    return "lost tail" if log.lost_tail is not None else "silent loss"


def test_a_file_cut_at_any_byte_is_noticed() -> None:
    whole = written(marked=False)
    for name in (FIRST, "mark"):
        for length in range(len(whole.durable[name])):
            files = whole.copy()
            del files.written[name][length:]
            outcome = judged(files, 3)
            assert outcome in ("LogCorrupt", "DiskError") or (name == "mark" and outcome == "whole")


def test_any_flipped_bit_is_noticed_or_harmless() -> None:
    whole = written(marked=True)
    outcomes = set()
    for name in (FIRST, "mark"):
        for at in range(len(whole.durable[name])):
            if name == "mark" and not (at < 512 or 4096 <= at < 4608):
                continue  # room between the slots, never read
            files = whole.copy()
            files.written[name][at] ^= 1 << (at % 8)
            outcome = judged(files, 3)
            outcomes.add(outcome)
            assert outcome != "silent loss"
            in_record = name == FIRST and at < 512 + 512 + 3 * 1024
            assert not in_record or outcome in ("LogCorrupt", "NewerFormat"), at
    assert {"LogCorrupt", "whole"} <= outcomes


def test_every_bit_of_the_last_acknowledged_record_counts_even_above_the_mark() -> None:
    whole = written(marked=False)
    for at in range(512 + 512 + 2 * 1024, 512 + 512 + 3 * 1024):
        for bit in range(8):
            files = whole.copy()
            files.written[FIRST][at] ^= 1 << bit
            assert judged(files, 3) == "LogCorrupt"


@pytest.mark.parametrize("count", [1, 3])
def test_zeroed_sectors_below_the_mark_are_a_lost_tail_or_damage_and_never_silent(count: int) -> None:
    whole = written(marked=True, count=count)
    for first in range(1, 8):
        for last in range(first, 8):
            files = whole.copy()
            files.written[FIRST][first * 512 : (last + 1) * 512] = bytes((last + 1 - first) * 512)
            used = first < 2 + 2 * count
            assert judged(files, count) in (("lost tail", "LogCorrupt") if used else ("whole",))


def test_a_damaged_record_before_one_that_was_written_after_its_sync_is_damage_not_a_torn_write() -> None:
    files = written(marked=False)
    files.written[FIRST][1024:1536] = bytes(512)
    with pytest.raises(LogCorrupt, match="acknowledged entries are lost"):
        reopen(files, TINY)


def test_any_sectors_of_an_unsynced_batch_may_be_missing_and_its_beginning_survives() -> None:
    for lost in range(1, 2**6):
        files = TwoImages()
        store, _ = reopen(files, TINY)
        store.append([begin()])
        store.sync()
        store.append([put(number + 2, number + 1, entry(1, bytes(600))) for number in range(3)])
        crashed = files.after_crash(lambda: True)
        for sector in range(6):
            if lost >> sector & 1:
                crashed.written[FIRST][1024 + sector * 512 : 1536 + sector * 512] = bytes(512)
        before = bytes(crashed.written[FIRST])
        store, log = reopen(crashed, TINY)
        whole = next(number for number in range(4) if lost >> (2 * number) & 3 or number == 3)
        assert log.last_index == whole
        assert log.lost_tail is None
        left = bytes(crashed.written[FIRST][1024 + whole * 1024 :])
        assert left.count(0) == len(left), "the room behind a cut is zero again"
        cut = store.report.cut
        if lost != 0b111111 & ~((1 << 2 * whole) - 1):
            assert cut is not None
            assert crashed.durable[store.report.torn_copy] == before[cut.offset : cut.end]


def test_a_value_of_zeros_is_never_taken_for_a_torn_write() -> None:
    files = TwoImages()
    store, _ = reopen(files, TINY)
    store.append([begin(), put(2, 1, entry(1, bytes(2000)))])
    store.sync()
    files.written[FIRST][512 + 512 + 700] ^= 4
    with pytest.raises(LogCorrupt, match="complete but not what was written"):
        reopen(files, TINY)


def test_copies_of_torn_bytes_are_bounded() -> None:
    files = TwoImages()
    store, _ = reopen(files, TINY)
    store.append([begin()])
    store.sync()
    for start in range(12):
        seq = store.last_write_seq
        store.append([put(seq + 1, store.last_index + 1, entry(1, b"x"))])
        store.sync()
        store.append([put(seq + 2, store.last_index + 1, entry(1, bytes(700)))])
        at = bytes(files.written[store_file(files)]).rstrip(b"\0")
        sector = len(at) // 512 - 1
        files.written[store_file(files)][sector * 512 : (sector + 1) * 512] = bytes(512)
        store, _ = reopen(files, TINY)
        assert store.report.torn_copy in files.list(), start
    assert len([name for name in files.list() if name.startswith("torn-")]) == 8


def store_file(files: TwoImages) -> str:
    return max(name for name in files.list() if name.endswith(".seg"))


def many_segments() -> TwoImages:
    files = written(marked=True, count=14)
    assert sum(name.endswith(".seg") for name in files.list()) >= 4
    return files


def test_a_missing_segment_is_named() -> None:
    whole = many_segments()
    names = sorted(name for name in whole.list() if name.endswith(".seg"))
    for name in names[1:]:
        files = whole.copy()
        del files.written[name]
        with pytest.raises(LogCorrupt, match=f"{name} is missing"):
            reopen(files, TINY)


def test_every_segment_missing_is_no_empty_log() -> None:
    files = many_segments()
    for name in files.list():
        if name.endswith(".seg"):
            files.remove(name)
    with pytest.raises(LogCorrupt, match="every segment"):
        reopen(files, TINY)


def test_swapped_and_duplicated_segments_are_refused() -> None:
    whole = many_segments()
    swapped = whole.copy()
    swapped.written[FIRST], swapped.written[SECOND] = swapped.written[SECOND], swapped.written[FIRST]
    with pytest.raises(LogCorrupt, match="copied or renamed"):
        reopen(swapped, TINY)
    doubled = whole.copy()
    last = store_file(doubled)
    doubled.written[f"{int(last[:16], 16) + 1:016x}.seg"] = bytearray(doubled.written[last])
    with pytest.raises(LogCorrupt, match="copied or renamed"):
        reopen(doubled, TINY)


def test_any_damage_in_a_closed_segment_is_corruption() -> None:
    whole = many_segments()
    for at in range(0, 4096, 7):
        files = whole.copy()
        files.written[SECOND][at] ^= 0x10
        with pytest.raises(REFUSED):
            reopen(files, TINY)
    files = whole.copy()
    files.written[SECOND][2048:] = bytes(2048)
    with pytest.raises(LogCorrupt):
        reopen(files, TINY)


def test_a_missing_or_wiped_mark_is_refused() -> None:
    files = written(marked=True)
    wiped = files.copy()
    wiped.written["mark"][:] = bytes(8192)
    with pytest.raises(LogCorrupt, match="missing or was never written"):
        reopen(wiped, TINY)
    del files.written["mark"]
    with pytest.raises(LogCorrupt, match="missing or was never written"):
        reopen(files, TINY)


def test_an_older_image_of_the_log_is_a_lost_tail() -> None:
    files = written(marked=True, count=2)
    older = files.copy()
    store, log = reopen(files, TINY)
    store.append([put(log.last_write_seq + 1, 3, entry(1, b"more"))])
    store.sync()
    store.update_mark(3)
    files.written[FIRST] = older.written[FIRST]
    _, log = reopen(files, TINY)
    assert log.lost_tail == LostTail(last_index=Index(3), term=Term(1))


def test_a_lost_tail_is_remembered_until_a_leader_of_a_later_term_has_made_it_good() -> None:
    files = written(marked=True, count=3)
    files.written[FIRST][1024 + 1024 :] = bytes(4096 - 2048)
    lost = LostTail(last_index=Index(3), term=Term(1))
    store, log = reopen(files, TINY)
    assert (log.last_index, log.lost_tail) == (1, lost)
    assert log.last_write_seq >= 4, "a number is never given twice"
    store.append([put(log.last_write_seq + 1, 2, entry(1, b"same term"), entry(1), entry(1))])
    store.sync()
    store.update_mark(0)
    store, log = reopen(files, TINY)
    assert (log.last_index, log.lost_tail) == (4, lost)
    seq = log.last_write_seq
    later = begin(term=2)
    store.append(
        [Persist(write_seq=seq + 1, first_index=Index(5), hard_state=later.hard_state, entries=(entry(2),))]
    )
    store.sync()
    store.update_mark(0)
    assert reopen(files, TINY)[1].lost_tail is None


def test_a_term_lost_with_the_tail_is_not_entered_again_as_if_new() -> None:
    files = written(marked=False, count=1)
    store, log = reopen(files, TINY)
    vote = begin(term=9)
    store.append(
        [Persist(write_seq=log.last_write_seq + 1, first_index=Index(2), hard_state=vote.hard_state)]
    )
    store.sync()
    store.update_mark(1)
    files.written[FIRST][512 + 512 + 1024 :] = bytes(2048)
    for _ in range(2):
        _, log = reopen(files, TINY)
        assert log.lost_tail == LostTail(last_index=Index(1), term=Term(9))
        assert (log.hard_state.term, log.hard_state.voted_for) == (9, 0)


@pytest.mark.parametrize(
    "identity, what",
    [
        (Identity(node_id=NodeId(4), instance=NODE.instance, boot=1), "belongs to node 3, this is node 4"),
        (Identity(node_id=NodeId(3), instance=bytes(16), boot=1), "belongs to data directory"),
    ],
)
def test_the_log_of_another_node_or_directory_is_refused(identity: Identity, what: str) -> None:
    with pytest.raises(WrongIdentity, match=what):
        LogStore.open(written(marked=True), identity)


def test_the_log_of_another_group_or_cluster_is_refused() -> None:
    files = written(marked=True)
    with pytest.raises(WrongIdentity, match="group"):
        LogStore.open(files, NODE, group_id=5)
    other = TwoImages()
    store, _ = reopen(other, TINY)
    stranger = HardState(cluster_id=CLUSTER[::-1], term=Term(1))
    store.append([Persist(write_seq=1, first_index=Index(1), hard_state=stranger)])
    store.sync()
    files.written[FIRST] = other.written[FIRST]
    with pytest.raises(WrongIdentity, match="belongs to cluster"):
        reopen(files, TINY)


def test_a_newer_format_is_named_with_both_numbers() -> None:
    for name in (FIRST, "mark"):
        files = written(marked=True)
        for start in (0, 4096):
            if start < len(files.written[name]):
                files.written[name][start + 8 : start + 10] = struct.pack("<H", 7)
        with pytest.raises(NewerFormat, match=r"format 7, .* reads format 1"):
            reopen(files, TINY)


def test_huge_lengths_and_numbers_are_refused_before_they_are_used() -> None:
    whole = written(marked=False)
    for at in range(512, 512 + 100):
        for value in (b"\xff" * 8, b"\x7f" + b"\xff" * 7):
            files = whole.copy()
            files.written[FIRST][at : at + 8] = value
            with pytest.raises(LogCorrupt):
                reopen(files, TINY)
    files = whole.copy()
    files.written["ffffffffffffffff.seg"] = bytearray(whole.written[FIRST])
    with pytest.raises(LogCorrupt, match="missing"):
        reopen(files, TINY)


def test_foreign_files_are_left_alone_and_named() -> None:
    files = written(marked=True)
    for name in ("notes.txt", "1.seg", "000000000000000g.seg", "0000000000000001.seg.bak"):
        files.create(name, 3)
    before = set(files.list())
    store, log = reopen(files, TINY)
    assert log.last_index == 3
    assert len(store.report.foreign_files) == 4
    assert set(files.list()) == before


def test_an_offline_check_changes_nothing() -> None:
    files = TwoImages()
    store, _ = reopen(files, TINY)
    store.append([begin(), put(2, 1, entry(1, bytes(900)))])
    crashed = files.copy()
    crashed.written[FIRST][1024:1536] = bytes(512)
    before = {name: bytes(data) for name, data in crashed.written.items()}
    log, report = check_log(crashed)
    assert report.cut is not None
    assert (log.last_index, log.hard_state.term) == (0, 1)
    assert {name: bytes(data) for name, data in crashed.written.items()} == before


def test_a_record_from_another_time_is_noticed_by_the_chain() -> None:
    images = []
    for body in (b"mine", b"else"):
        files = TwoImages()
        store, _ = reopen(files, TINY)
        store.append([begin(), put(2, 1, entry(1, body)), put(3, 2, entry(1, b"after"))])
        store.sync()
        images.append(files)
    mine, other = images
    mine.written[FIRST][1024:1536] = other.written[FIRST][1024:1536]
    with pytest.raises(LogCorrupt, match="from another time"):
        reopen(mine, TINY)
