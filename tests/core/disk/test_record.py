"""The formats byte by byte: what docs/disk.md says, and what an older version has written, stays readable."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core import Entry, HardState, Index, NodeId, Term
from ferrite.core.actions import Persist
from ferrite.core.disk.record import Flags, RecordDraft, decode_body, decode_header, encode_record
from ferrite.core.disk.sectors import (
    SECTOR_BYTES,
    from_sectors,
    has_zero_sector,
    sectors_for,
    to_sectors,
    written_end,
)
from tests.core.disk.model import CLUSTER, begin, entry, put, reopen
from tests.core.disk.two_images import TwoImages

DRAFT = RecordDraft(
    write_seq=7, flags=Flags.HARD_STATE | Flags.TRUNCATE, first_index=11, runs=((3, 1), (4, 2)),
    payloads=(b"one", b"", b"three"), term=4, voted_for=2, prev_term=3,
)  # fmt: skip


@settings(deadline=None)
@given(st.binary(max_size=3000).filter(bool))
def test_content_comes_back_from_its_sectors_and_none_is_zero(content: bytes) -> None:
    raw = to_sectors(content)
    assert len(raw) == sectors_for(len(content)) * SECTOR_BYTES
    assert raw[511::512] == b"\x01" * (len(raw) // 512)
    assert not has_zero_sector(raw, 0, len(raw))
    back = from_sectors(raw)
    assert back is not None
    assert back[: len(content)] == content
    assert not any(back[len(content) :])


def test_the_written_end_is_a_whole_sector() -> None:
    assert [written_end(bytes(at) + b"x" + bytes(700)) for at in (0, 511, 512)] == [512, 512, 1024]
    assert written_end(bytes(4096)) == 0


def test_a_record_has_the_layout_of_the_document() -> None:
    raw, crc = encode_record(DRAFT, 99, 0xAABBCCDD, 1536)
    assert len(raw) == 512
    assert raw[0:4] == b"FREC"
    assert raw[8:12] == crc.to_bytes(4, "little")
    numbers = [
        (12, 4),
        (16, 4),
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 4),
        (44, 2),
        (46, 1),
        (47, 1),
        (48, 8),
        (56, 8),
        (80, 8),
    ]
    found = [int.from_bytes(raw[at : at + size], "little") for at, size in numbers]
    assert found == [0xAABBCCDD, 88 + 24 + 12 + 8, 1536, 7, 11, 3, 2, 5, 0, 4, 2, 3]
    assert raw[88 + 24 + 12 : 88 + 24 + 12 + 8] == b"onethree"


def test_a_record_comes_back_and_only_at_its_place() -> None:
    raw, _ = encode_record(DRAFT, 99, 1, 512)
    header = decode_header(raw, 0, 99)
    assert header is not None
    body = decode_body(raw, 0, 99, header)
    assert body is not None
    assert list(body.entries()) == [Entry(Term(3), b"one"), Entry(Term(4), b""), Entry(Term(4), b"three")]
    assert decode_header(raw, 0, 98) is None


@settings(deadline=None)
@given(st.binary(max_size=1200), st.integers(0, 511))
def test_any_bytes_are_no_record(raw: bytes, offset: int) -> None:
    assert decode_header(b"FREC" + raw, 0, 5) is None
    assert decode_header(raw, offset, 5) is None


def test_a_fixed_history_gives_the_bytes_it_always_gave() -> None:
    """When this fails, the format has changed: it needs another number, and a way for those who have the old one."""
    files = TwoImages()
    store, _ = reopen(files)
    store.append([begin(), put(2, 1, entry(1, b"a" * 600), entry(1, bytes(900)))])
    hard_state = HardState(cluster_id=CLUSTER, term=Term(3), voted_for=NodeId(2))
    store.append(
        [
            Persist(
                write_seq=3,
                first_index=Index(2),
                truncate=True,
                hard_state=hard_state,
                entries=(entry(2), entry(3)),
            )
        ]
    )
    store.append(
        [
            Persist(
                write_seq=4, first_index=Index(8), base=(Index(7), Term(3)), entries=(entry(3, bytes(2000)),)
            )
        ]
    )
    store.sync()
    store.update_mark(3)
    digest = sha256(b"".join(bytes(files.durable[name]) for name in sorted(files.durable)))
    assert sorted(files.durable) == ["0000000000000001.seg", "0000000000000002.seg", "mark"]
    assert digest.hexdigest() == "73e5c8e075ec33df6ab3148c5bac94194dd9c79a47f8aa48a86740be7a49aabd"
