"""Which ranges hold a key: against the plain definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.kv import FROM_KEY
from ferrite.core.kv.watch_index import BLOCK_RANGES_MAX, RangeIndex

KEYS = st.binary(min_size=1, max_size=2).map(lambda raw: bytes(byte % 4 + 97 for byte in raw))
ENDS = st.one_of(st.just(b""), st.just(FROM_KEY), KEYS)
CHANGES = st.lists(st.tuples(st.booleans(), KEYS, ENDS), max_size=40)


def holds(key: bytes, range_end: bytes, asked: bytes) -> bool:
    if not range_end:
        return asked == key
    return key <= asked and (range_end == FROM_KEY or asked < range_end)


@given(CHANGES, KEYS)
def test_a_key_is_held_by_just_the_ranges_that_are_there_and_hold_it(
    changes: list[tuple[bool, bytes, bytes]], asked: bytes
) -> None:
    index: RangeIndex[int] = RangeIndex()
    there: list[tuple[bytes, bytes, int]] = []
    for number, (more, key, range_end) in enumerate(changes):
        if more or not there:
            index.add(key, range_end, number)
            there.append((key, range_end, number))
        else:
            index.discard(*there.pop(number % len(there)))
    assert sorted(index.holding(asked)) == sorted(item for key, end, item in there if holds(key, end, asked))


def test_many_ranges_are_found_in_blocks_and_nothing_is_left_when_they_go() -> None:
    index: RangeIndex[int] = RangeIndex()
    count = 10 * BLOCK_RANGES_MAX
    ranges = [(b"%05d" % number, b"%05d" % (number + 3), number) for number in range(count)]
    for watched in ranges[::2] + ranges[1::2]:
        index.add(*watched)
    assert len(index._blocks) > count / BLOCK_RANGES_MAX / 2
    assert sorted(index.holding(b"00500x")) == [498, 499, 500]
    index.add(b"0", b"9", -1)
    assert sorted(index.holding(b"00500x")) == [-1, 498, 499, 500], "one range over all blocks"
    index.discard(b"0", b"9", -1)
    for watched in ranges[1::2] + ranges[::2]:
        index.discard(*watched)
    assert not any((index._blocks, index._firsts, index._ends, index._bounded, index.holding(b"00500x")))
