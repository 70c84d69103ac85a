"""Corners of the watch hub, one by one; `test_watch_model` tries them all together."""

from __future__ import annotations

import pytest

from ferrite.core.kv import (
    FROM_KEY,
    Change,
    Delivery,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    RevisionChanges,
    WatchEnd,
    WatchEnded,
    WatchHub,
    WatchLimits,
    WatchRefused,
    WatchSpec,
    read_history,
)
from ferrite.core.kv.watch import PLACE_BYTES
from ferrite.core.kv.watch_values import EVENT_BYTES
from tests.core.kv.helpers import Machine, put

EVERYTHING = WatchSpec(key=b"\x00", range_end=FROM_KEY)
SIZE = 2 * EVENT_BYTES + 2
"""Of the delivery of one change of `changes`."""


def changes(revision: int, *keys: bytes) -> RevisionChanges:
    made = [
        Change(
            key=key, value=b"v", create_revision=revision, mod_revision=revision, version=1, lease=0, deleted=False,
            prev_revision=revision - 1, prev_sub=0, prev_size_bytes=0,
        )
        for key in keys or (b"k",)
    ]  # fmt: skip
    return RevisionChanges(revision=revision, changes=tuple(made))


def before(_: Change) -> KeyValue | None:
    return KeyValue(key=b"k", value=b"before", create_revision=1, mod_revision=1, version=1)


def feed(hub: WatchHub, *batch: RevisionChanges, compacted: int = 0) -> None:
    hub.on_applied(
        batch,
        revision=batch[-1].revision if batch else hub.revision,
        compacted_revision=compacted,
        previous=before,
    )


def piece(first: int, through: int) -> HistoryPiece:
    return HistoryPiece(
        changes=tuple(changes(revision) for revision in range(first, through + 1)),
        through_revision=through,
        previous={},
    )


def revisions(taken: list[Delivery | WatchEnded]) -> list[int]:
    assert all(isinstance(item, Delivery) for item in taken), taken
    return [item.revision for item in taken]


def hub_at(revision: int, *, queue_bytes_max: int = 1 << 20, compacted: int = 0) -> WatchHub:
    limits = WatchLimits(queue_bytes_max=queue_bytes_max)
    return WatchHub(revision=revision, compacted_revision=compacted, limits=limits)


# ------------------------------------------------------------------------------------------------ live


def test_watches_of_one_spec_share_each_delivery_whoever_wants_progress_or_began_when() -> None:
    hub = hub_at(5)
    one, _ = hub.add(EVERYTHING)
    two, _ = hub.add(WatchSpec(key=b"\x00", range_end=FROM_KEY, progress=True, start_revision=6))
    feed(hub, changes(6, b"a", b"b"))
    assert hub.take_ready() == [one, two]
    (first,), (second,) = hub.take(one), hub.take(two)
    assert first is second
    assert isinstance(first, Delivery)
    assert [event.entry.key for event in first.events] == [b"a", b"b"]
    first.encoded["door"] = b"made once"


def test_what_was_there_before_is_looked_up_once_and_only_for_those_who_ask() -> None:
    asked: list[int] = []

    def look_up(change: Change) -> KeyValue | None:
        asked.append(change.mod_revision)
        return None

    hub = hub_at(5)
    hub.add(EVERYTHING)
    hub.on_applied([changes(6)], revision=6, compacted_revision=0, previous=look_up)
    assert asked == []
    hub.add(WatchSpec(key=b"k", prev_kv=True))
    hub.add(WatchSpec(key=b"a", range_end=b"z", prev_kv=True))
    hub.on_applied([changes(7)], revision=7, compacted_revision=0, previous=look_up)
    assert asked == [7]


def test_a_watch_of_the_future_waits_for_its_revision() -> None:
    hub = hub_at(5)
    watch, given = hub.add(WatchSpec(key=b"k", start_revision=8))
    assert given == 7
    feed(hub, changes(6), changes(7), changes(8), changes(9))
    assert revisions(hub.take(watch)) == [8, 9]


def test_there_is_a_most_of_watches_and_ended_ones_make_room() -> None:
    hub = WatchHub(revision=5, limits=WatchLimits(watches_max=1))
    watch, _ = hub.add(EVERYTHING)
    with pytest.raises(WatchRefused, match="1 watches"):
        hub.add(EVERYTHING)
    hub.remove(watch)
    hub.remove(watch)
    assert hub.add(EVERYTHING) == (watch + 1, 5)
    assert hub.take(watch) == []


# ------------------------------------------------------------------------------------------------ slow


def test_one_delivery_larger_than_the_bound_is_taken_the_next_ends_the_watch() -> None:
    hub = hub_at(5, queue_bytes_max=SIZE - 1)
    watch, _ = hub.add(EVERYTHING)
    feed(hub, changes(6))
    assert revisions(hub.take(watch)) == [6]
    feed(hub, changes(7), changes(8), changes(9))
    (ended,) = hub.take(watch)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.SLOW, 6)
    assert hub.count == 0


def test_a_notification_that_was_not_taken_counts_as_delivered_for_the_resume() -> None:
    hub = hub_at(5, queue_bytes_max=SIZE)
    watch, _ = hub.add(EVERYTHING)
    feed(hub, changes(6))
    assert revisions(hub.take(watch)) == [6]
    hub.request_progress(watch)
    feed(hub, changes(7))
    (ended,) = hub.take(watch)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.SLOW, 6), "resumed at 7: 6 does not come twice"


def test_a_slow_watch_hurts_no_other() -> None:
    hub = hub_at(5, queue_bytes_max=2 * SIZE)
    slow, _ = hub.add(EVERYTHING)
    quick, _ = hub.add(EVERYTHING)
    for revision in range(6, 20):
        feed(hub, changes(revision))
        assert revisions(hub.take(quick)) == [revision]
    assert [type(item) for item in hub.take(slow)] == [WatchEnded]


# ------------------------------------------------------------------------------------------------ all together


def hub_of_all(watches_bytes_max: int) -> WatchHub:
    return WatchHub(revision=5, limits=WatchLimits(watches_bytes_max=watches_bytes_max))


def test_when_all_have_too_much_the_watch_with_the_most_is_ended_and_told_where_to_go_on() -> None:
    hub = hub_of_all(4 * SIZE)
    most, _ = hub.add(WatchSpec(key=b"a"))
    less, _ = hub.add(WatchSpec(key=b"b"))
    feed(hub, changes(6, b"a"), changes(7, b"a"), changes(8, b"b"))
    feed(hub, changes(9, b"b"), changes(10, b"a"))
    (ended,) = hub.take(most)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.SLOW, 5)
    assert "all watches" in ended.detail
    assert revisions(hub.take(less)) == [8, 9]
    again, _ = hub.add(WatchSpec(key=b"a", start_revision=ended.revision + 1))
    assert hub.next_read() == HistoryRead(from_revision=6, with_previous=False)
    assert hub.take(again) == []


def test_what_watches_share_counts_once() -> None:
    hub = hub_of_all(4 * SIZE)
    watches = [hub.add(EVERYTHING)[0] for _ in range(5)]
    feed(hub, changes(6), changes(7))
    assert [revisions(hub.take(watch)) for watch in watches] == [[6, 7]] * 5


def test_even_references_count() -> None:
    hub = hub_of_all(3 * SIZE)
    watches = [hub.add(EVERYTHING)[0] for _ in range(100)]
    feed(hub, changes(6), changes(7))
    assert any(isinstance(hub.take(watch)[0], WatchEnded) for watch in watches)


def test_what_was_taken_or_left_behind_does_not_count() -> None:
    hub = hub_of_all(2 * SIZE + 4 * PLACE_BYTES)
    keeps, _ = hub.add(EVERYTHING)
    for revision in range(6, 60, 2):
        goes, _ = hub.add(EVERYTHING)
        feed(hub, changes(revision), changes(revision + 1))
        assert revisions(hub.take(keeps)) == [revision, revision + 1]
        hub.remove(goes)


def test_a_delivery_that_is_the_only_one_stays_however_large_it_is() -> None:
    hub = hub_of_all(1)
    one, _ = hub.add(EVERYTHING)
    two, _ = hub.add(EVERYTHING)
    feed(hub, changes(6))
    assert revisions(hub.take(one)) == revisions(hub.take(two)) == [6]
    feed(hub, changes(7), changes(8))
    assert [type(item) for item in hub.take(one)] == [WatchEnded]


def test_history_waits_while_all_have_much_but_who_has_nothing_gets_some() -> None:
    hub = hub_of_all(4 * SIZE)
    hub.add(WatchSpec(key=b"other"))
    feed(hub, changes(6, b"other"), changes(7, b"other"))
    watch, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    hub.next_read()
    hub.on_history(piece(3, 7))
    assert hub.next_read() is None, "no room"
    assert revisions(hub.take(watch)) == [3]
    assert hub.next_read() == HistoryRead(from_revision=4, with_previous=False)


# ------------------------------------------------------------------------------------------------ catching up


def test_several_that_catch_up_share_a_read_and_each_begins_where_it_wants() -> None:
    hub = hub_at(9)
    old, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    new, _ = hub.add(WatchSpec(key=b"k", start_revision=5))
    assert hub.next_read() == HistoryRead(from_revision=3, with_previous=False)
    assert hub.next_read() is None, "one at a time"
    hub.on_history(piece(3, 9))
    assert revisions(hub.take(old)) == [3, 4, 5, 6, 7, 8, 9]
    assert revisions(hub.take(new)) == [5, 6, 7, 8, 9]
    assert hub.next_read() is None
    feed(hub, changes(10))
    assert revisions(hub.take(old)) == revisions(hub.take(new)) == [10]


def test_what_is_read_beyond_the_hubs_revision_comes_live_and_not_twice() -> None:
    hub = hub_at(5)
    watch, _ = hub.add(WatchSpec(key=b"k", start_revision=4))
    hub.next_read()
    hub.on_history(piece(4, 7))
    feed(hub, changes(6), changes(7))
    assert revisions(hub.take(watch)) == [4, 5, 6, 7]
    assert hub.next_read() is None, "it is live"


def test_what_is_applied_during_a_read_is_not_lost() -> None:
    hub = hub_at(5)
    watch, _ = hub.add(WatchSpec(key=b"k", start_revision=4))
    hub.next_read()
    feed(hub, changes(6))
    hub.on_history(piece(4, 5))
    assert hub.next_read() == HistoryRead(from_revision=6, with_previous=False)
    hub.on_history(piece(6, 6))
    assert revisions(hub.take(watch)) == [4, 5, 6]


def test_history_waits_for_a_client_that_does_not_take_and_ends_nothing() -> None:
    hub = hub_at(9, queue_bytes_max=2 * SIZE)
    watch, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    hub.next_read()
    hub.on_history(piece(3, 9))
    assert hub.next_read() is None, "no room"
    assert revisions(hub.take(watch)) == [3, 4]
    assert hub.next_read() == HistoryRead(from_revision=5, with_previous=False)


def test_a_watch_with_a_long_way_to_go_holds_up_no_other() -> None:
    hub = hub_at(1000)
    hub.add(WatchSpec(key=b"k", start_revision=3))
    near, _ = hub.add(WatchSpec(key=b"k", start_revision=999))
    hub.next_read()
    hub.on_history(piece(3, 20))
    assert hub.next_read() == HistoryRead(from_revision=999, with_previous=False)
    hub.on_history(piece(999, 1000))
    assert revisions(hub.take(near)) == [999, 1000]
    assert hub.next_read() == HistoryRead(from_revision=21, with_previous=False)


def test_a_read_without_what_was_before_is_not_given_to_who_wants_it() -> None:
    hub = hub_at(9)
    plain, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    hub.next_read()
    whole, _ = hub.add(WatchSpec(key=b"k", start_revision=3, prev_kv=True))
    hub.on_history(piece(3, 9))
    assert revisions(hub.take(plain)) == [3, 4, 5, 6, 7, 8, 9]
    assert hub.take(whole) == []
    assert hub.next_read() == HistoryRead(from_revision=3, with_previous=True)


def test_a_read_that_found_nothing_is_ordered_again() -> None:
    hub = hub_at(9)
    hub.add(WatchSpec(key=b"k", start_revision=3))
    read = hub.next_read()
    hub.on_history(None)
    assert hub.next_read() == read


# ------------------------------------------------------------------------------------------------ compaction, install, end


def test_the_compacted_revision_itself_can_be_watched_the_one_before_not() -> None:
    hub = hub_at(9, compacted=4)
    hub.add(WatchSpec(key=b"k", start_revision=4))
    late, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    assert hub.take_ready() == [late]
    (ended,) = hub.take(late)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.COMPACTED, 3)
    assert hub.next_read() == HistoryRead(from_revision=4, with_previous=False)


def test_compaction_overtakes_who_is_behind_and_nobody_who_is_live() -> None:
    hub = hub_at(9)
    behind, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    live, _ = hub.add(WatchSpec(key=b"k"))
    hub.next_read()
    feed(hub, changes(10), compacted=10)
    hub.on_history(piece(3, 9))
    assert [type(item) for item in hub.take(behind)] == [WatchEnded]
    assert revisions(hub.take(live)) == [10]


def test_after_an_install_everybody_goes_on_from_where_it_was() -> None:
    hub = hub_at(9)
    live, _ = hub.add(WatchSpec(key=b"k"))
    future, _ = hub.add(WatchSpec(key=b"k", start_revision=30))
    soon, _ = hub.add(WatchSpec(key=b"k", start_revision=15))
    hub.on_installed(revision=20, compacted_revision=10)
    assert hub.next_read() == HistoryRead(from_revision=10, with_previous=False)
    hub.on_history(piece(10, 20))
    feed(hub, *(changes(revision) for revision in range(21, 31)))
    assert revisions(hub.take(live)) == list(range(10, 31))
    assert revisions(hub.take(soon)) == list(range(15, 31))
    assert revisions(hub.take(future)) == [30]


def test_an_install_beyond_the_history_ends_who_was_live() -> None:
    hub = hub_at(9)
    live, _ = hub.add(WatchSpec(key=b"k"))
    hub.on_installed(revision=20, compacted_revision=11)
    (ended,) = hub.take(live)
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.COMPACTED, 10)


def test_the_end_comes_after_what_was_given() -> None:
    hub = hub_at(5)
    watch, _ = hub.add(EVERYTHING)
    late, _ = hub.add(WatchSpec(key=b"k", start_revision=3))
    feed(hub, changes(6))
    hub.end_all(WatchEnd.SHUTTING_DOWN, "bye")
    feed(hub, changes(7))
    given, ended = hub.take(watch)
    assert given.revision == 6
    assert ended == WatchEnded(reason=WatchEnd.SHUTTING_DOWN, detail="bye", revision=6)
    assert hub.take(late) == [WatchEnded(reason=WatchEnd.SHUTTING_DOWN, detail="bye", revision=2)]
    assert hub.count == 0


# ------------------------------------------------------------------------------------------------ progress


def test_progress_is_told_when_all_before_it_was_given() -> None:
    hub = hub_at(9)
    watch, _ = hub.add(WatchSpec(key=b"k", start_revision=9))
    hub.request_progress(watch)
    assert hub.take(watch) == [], "not yet"
    hub.next_read()
    hub.on_history(piece(9, 9))
    event, told = hub.take(watch)
    assert (event.revision, told.revision) == (9, 9)
    assert isinstance(told, Delivery)
    assert told.events == ()
    hub.request_progress(watch)
    hub.request_progress(watch)
    assert revisions(hub.take(watch)) == [9], "asked twice before it was taken, told once"


def test_a_quiet_watch_is_told_now_and_then_if_it_wants() -> None:
    hub = hub_at(9)
    told, _ = hub.add(WatchSpec(key=b"a", progress=True))
    hub.add(WatchSpec(key=b"a"))
    hub.notify_progress()
    feed(hub, changes(10, b"other"))
    hub.notify_progress()
    assert hub.take_ready() == [told]
    hub.notify_progress()
    assert revisions(hub.take(told)) == [10], "what is not taken is not repeated"
    feed(hub, changes(11, b"a"))
    hub.notify_progress()
    assert revisions(hub.take(told)) == [11], "news are as good as a notification"


# ------------------------------------------------------------------------------------------------ the real history


def test_history_is_read_from_the_machine_in_pieces_with_what_was_before() -> None:
    made = Machine()
    made.apply(*(put(b"k", b"%d" % number) for number in range(4)))
    machine = made.machine
    small = read_history(machine, HistoryRead(from_revision=3, with_previous=True), bytes_max=1)
    assert small is not None
    assert (small.through_revision, [group.revision for group in small.changes]) == (3, [3])
    assert [entry.value for entry in small.previous.values()] == [b"0"]
    rest = read_history(machine, HistoryRead(from_revision=3, with_previous=False), bytes_max=1 << 20)
    assert rest is not None
    assert (rest.through_revision, rest.previous) == (5, {})
