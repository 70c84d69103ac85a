"""The snapshot file: what was written comes back, and anything else is noticed."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import Index, InvariantViolated, NodeId, Term
from ferrite.core.kv import (
    ExpectedSnapshot,
    SnapshotHeader,
    SnapshotInvalid,
    read_snapshot,
    write_snapshot,
)

HEADER = SnapshotHeader(
    snapshot_id=b"s" * 16,
    cluster_id=b"c" * 16,
    group_id=0,
    last_index=Index(300),
    last_term=Term(4),
    membership=b"m",
    source=NodeId(2),
)
PAIRS = [(b"", b"empty"), (b"a", b""), (b"b\x00", b"2"), (b"c" * 40, b"3" * 50)]
ANY = ExpectedSnapshot()


def written(pairs: list[tuple[bytes, bytes]] = PAIRS, block_bytes: int = 30) -> bytes:
    return b"".join(write_snapshot(HEADER, pairs, block_bytes=block_bytes))


def read(data: bytes, expected: ExpectedSnapshot = ANY) -> list[tuple[bytes, bytes]]:
    contents = read_snapshot([data], expected=expected)
    assert contents.header == HEADER
    return list(contents.pairs)


def test_the_bytes_of_a_snapshot_stay_what_they_are() -> None:
    assert written([(b"k", b"v")]).hex() == (
        "46455252534e4150" "00000001" "0000002e"
        "97" "c410" + "73" * 16 + "c410" + "63" * 16 + "00" "cd012c" "04" "02" "c4016d" "83d32b8e"
        "42" "0000000a" "00000001" "00000001" "6b76" "cfdb9669"
        "46" "00000028" "0000000000000001"
        "a7d46bef4c48e70514f05f65bffd195ff659bd08fb0c4b0dcc8e3292ecfc6653" "ca642b54"
    )  # fmt: skip


@given(
    st.dictionaries(st.binary(max_size=4), st.binary(max_size=40), max_size=20),
    st.integers(1, 100),
    st.integers(1, 50),
)
def test_what_was_written_is_read_whatever_the_pieces(
    pairs: dict[bytes, bytes], block_bytes: int, chunk: int
) -> None:
    data = b"".join(write_snapshot(HEADER, sorted(pairs.items()), block_bytes=block_bytes))
    contents = read_snapshot((data[at : at + chunk] for at in range(0, len(data), chunk)), expected=ANY)
    assert contents.header == HEADER
    assert list(contents.pairs) == sorted(pairs.items())


def test_every_flipped_bit_is_noticed() -> None:
    data = written()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(SnapshotInvalid):
                read(bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    data = written()
    for length in range(len(data)):
        with pytest.raises(SnapshotInvalid, match="ends within"):
            read(data[:length])


def test_what_follows_the_footer_is_noticed() -> None:
    with pytest.raises(SnapshotInvalid, match="goes on"):
        read(written() + b"\x00")
    with pytest.raises(SnapshotInvalid, match="goes on"):
        list(read_snapshot([written(), b"", b"\x00"], expected=ANY).pairs)


def frames(data: bytes) -> Iterator[bytes]:
    """The header and then each frame."""
    start = 16 + int.from_bytes(data[12:16], "big") + 4
    yield data[:start]
    while start < len(data):
        end = start + 5 + int.from_bytes(data[start + 1 : start + 5], "big") + 4
        yield data[start:end]
        start = end


def test_a_block_left_out_repeated_or_exchanged_is_noticed() -> None:
    header, *blocks, footer = frames(written())
    assert len(blocks) >= 2
    wrong = [
        [*blocks[1:]],
        [*blocks[:-1]],
        [blocks[0], *blocks],
        [*blocks[::-1]],
        [],
    ]
    for chosen in wrong:
        with pytest.raises(SnapshotInvalid):
            read(b"".join([header, *chosen, footer]))


def test_a_footer_of_another_file_is_noticed_by_its_hash_alone() -> None:
    one, other = written([(b"a", b"1")]), written([(b"a", b"2")])
    with pytest.raises(SnapshotInvalid, match="SHA-256"):
        read(b"".join([*list(frames(one))[:-1], list(frames(other))[-1]]))


def test_pairs_out_of_order_are_never_written() -> None:
    with pytest.raises(InvariantViolated, match="ascend"):
        written([(b"b", b""), (b"a", b"")])


def test_disorder_is_noticed() -> None:
    header, first, *_ = frames(written([(b"b", b"")], block_bytes=1))
    _, second, footer = frames(written([(b"a", b"")], block_bytes=1))
    with pytest.raises(SnapshotInvalid, match="must ascend"):
        read(header + first + second + footer)


@pytest.mark.parametrize(
    "expected",
    [
        ExpectedSnapshot(cluster_id=b"x" * 16),
        ExpectedSnapshot(group_id=1),
        ExpectedSnapshot(last_index=Index(299)),
        ExpectedSnapshot(last_term=Term(5)),
        ExpectedSnapshot(snapshot_id=b"t" * 16),
    ],
)
def test_another_snapshot_than_the_expected_one_is_refused_with_both_named(
    expected: ExpectedSnapshot,
) -> None:
    with pytest.raises(SnapshotInvalid, match=r"is .* expected was"):
        read(written(), expected)


def test_the_expected_snapshot_is_read() -> None:
    exact = ExpectedSnapshot(
        snapshot_id=b"s" * 16, cluster_id=b"c" * 16, group_id=0, last_index=Index(300), last_term=Term(4)
    )
    assert read(written(), exact) == PAIRS


def test_a_snapshot_of_nothing_is_a_snapshot() -> None:
    assert read(written([])) == []


def test_another_format_is_refused_by_number() -> None:
    data = bytearray(written())
    data[11] = 2
    with pytest.raises(SnapshotInvalid, match="snapshot format 2; this version of Ferrite reads format 1"):
        read(bytes(data))


def test_a_header_is_never_silently_changed_on_the_way() -> None:
    other = replace(HEADER, membership=b"other")
    contents = read_snapshot(write_snapshot(other, PAIRS), expected=ANY)
    assert contents.header == other
