"""The compact index against a plain list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core.disk.entry_index import EntryIndex


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20), st.integers(0, 2)), max_size=60))
def test_terms_blocks_and_discards_agree_with_a_list(steps: list[tuple[int, int, int]]) -> None:
    index = EntryIndex()
    plain: dict[int, tuple[int, int]] = {}  # index -> term, segment
    base, base_term, number, term, last = 0, 0, 1, 1, 0
    for kind, amount, rise in steps:
        if kind < 5:
            term += rise
            index.append(last + 1, ((term, amount),) if amount else (), (number, 512, 512))
            plain.update({last + 1 + at: (term, number) for at in range(amount)})
            last += amount
        elif kind < 7 and last > base:
            first = max(base + 1, last - amount)
            index.truncate(first, index.term_at(first - 1))
            plain = {at: found for at, found in plain.items() if at < first}
            last = first - 1
        elif kind == 7:
            number += 1
        elif kind == 8 and plain:
            below = max(1, number - amount % 3)
            index.drop_below(below)
            gone = [at for at, (_, segment) in plain.items() if segment < below]
            if gone:
                base, base_term = max(gone), plain[max(gone)][0]
            plain = {at: found for at, found in plain.items() if at > base}
        assert (index.base_index, index.base_term, index.last_index) == (base, base_term, last)
        assert {at: index.term_at(at) for at in plain} == {at: found for at, (found, _) in plain.items()}
        assert {at: index.block_at(at).number for at in plain} == {
            at: segment for at, (_, segment) in plain.items()
        }
        assert [first for first, _ in index.term_runs()] == [
            at for at in sorted(plain) if at == base + 1 or plain[at][0] != plain[at - 1][0]
        ]
