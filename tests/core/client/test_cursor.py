from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.client import WatchCursor

HISTORY = range(1, 30)


def revision_of(event: object) -> int:
    assert isinstance(event, int)
    return event


def test_from_now_on_means_after_what_the_server_called_now() -> None:
    cursor = WatchCursor(0, revision_of)
    cursor.created(7)
    assert cursor.next_revision == 8
    cursor.created(9)
    assert cursor.next_revision == 8, "where it began does not move when it is resumed"


def test_progress_moves_the_place_to_resume_from() -> None:
    cursor = WatchCursor(5, revision_of)
    assert cursor.take(9, ()) == ()
    assert cursor.next_revision == 10
    assert cursor.take(9, ()) is None


STREAMS = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), max_size=5)), max_size=10)


@given(st.integers(1, 29), STREAMS)
def test_streams_that_break_anywhere_make_one_history(
    start: int, streams: list[tuple[int, list[int]]]
) -> None:
    """Each stream begins where it was asked to, or some revisions earlier, delivers in batches, and breaks off at any time."""
    cursor = WatchCursor(start, revision_of)
    seen: list[int] = []
    for earlier, batches in [*streams, (0, [0] * 29)]:
        position = max(1, cursor.next_revision - earlier)
        for further in batches:
            upto = min(29, position + further)
            fresh = cursor.take(upto, [event for event in HISTORY if position <= event <= upto])
            seen += fresh or ()
            position = upto + 1
    assert seen == list(range(start, 30))
