"""The frame codec: round trips, golden bytes, and refusal of everything else by FrameError alone."""

import zlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import (
    FRAME_BYTES_MAX,
    WIRE_VERSION,
    Entry,
    FrameError,
    Index,
    NodeId,
    RefusalCode,
    RequestId,
    SnapshotMeta,
    Term,
    decode_frame,
    encode_frame,
    messages,
)

u64 = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
ids = st.binary(min_size=16, max_size=16)
some_bytes = st.binary(max_size=40)

OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: u64,
    Term: u64,
    Index: u64,
    NodeId: u64,
    bool: st.booleans(),
    str: st.text(max_size=20),
    bytes: some_bytes,
    RefusalCode: st.sampled_from(RefusalCode),
    SnapshotMeta: st.builds(SnapshotMeta, snapshot_id=ids, last_index=u64, last_term=u64, size_bytes=u64),
    tuple[Entry, ...]: st.lists(st.builds(Entry, u64, st.binary(min_size=1, max_size=40)), max_size=4).map(
        tuple
    ),
    tuple[RequestId, ...]: st.lists(u64, max_size=4).map(tuple),
    tuple[tuple[RequestId, bytes], ...]: st.lists(st.tuples(u64, some_bytes), max_size=4).map(tuple),
}
ALL_MESSAGES: tuple[type[Any], ...] = get_args(messages.Message)
headers = st.builds(
    messages.Header,
    cluster_id=ids,
    source=u64,
    source_instance=ids,
    source_boot=u64,
    target=u64,
    target_instance=ids,
    group_id=u64,
)


def of_class(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Every field drawn by its declared type, so that a new field cannot be forgotten here."""
    hints = get_type_hints(cls, vars(messages))
    drawn = {field.name: OF_TYPE[hints[field.name]] for field in fields(cls)}
    if "snapshot_id" in drawn:
        drawn["snapshot_id"] = ids
    return st.builds(cls, **drawn)


any_message = st.one_of([of_class(cls) for cls in ALL_MESSAGES])
HEADER = messages.Header(
    cluster_id=b"c" * 16,
    source=NodeId(1),
    source_instance=b"1" * 16,
    source_boot=3,
    target=NodeId(2),
    target_instance=b"2" * 16,
)
META = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(1000), last_term=Term(6), size_bytes=1 << 40)

SAMPLES: dict[str, tuple[messages.Message, str]] = {
    "PreVote": (
        messages.PreVote(term=Term(7), last_log_index=Index(300), last_log_term=Term(6)),
        "940107cd012c06",
    ),
    "PreVoteResponse": (
        messages.PreVoteResponse(term=Term(6), proposed_term=Term(7), vote_granted=True),
        "94020607c3",
    ),
    "RequestVote": (
        messages.RequestVote(term=Term(7), last_log_index=Index(300), last_log_term=Term(6), disrupt=True),
        "950307cd012c06c3",
    ),
    "RequestVoteResponse": (messages.RequestVoteResponse(term=Term(7), vote_granted=False), "930407c2"),
    "AppendEntries": (
        messages.AppendEntries(
            term=Term(7),
            prev_log_index=Index(300),
            prev_log_term=Term(6),
            entries=(Entry(Term(6), b"\x01one"), Entry(Term(7), b"\x00")),
            leader_commit=Index(299),
        ),
        "960507cd012c06929206c404016f6e659207c40100cd012b",
    ),
    "AppendEntriesResponse": (
        messages.AppendEntriesResponse(
            term=Term(7),
            success=False,
            match_index=Index(1),
            prev_log_index=Index(2),
            conflict_term=Term(3),
            conflict_index=Index(2**64 - 1),
        ),
        "970607c2010203cfffffffffffffffff",
    ),
    "Heartbeat": (
        messages.Heartbeat(term=Term(7), leader_commit=Index(5), round=70000),
        "94070705ce00011170",
    ),
    "HeartbeatResponse": (
        messages.HeartbeatResponse(term=Term(7), round=70000, last_log_index=Index(9)),
        "940807ce0001117009",
    ),
    "InstallSnapshot": (
        messages.InstallSnapshot(term=Term(7), snapshot=META, offset=16, data=b"piece", done=False),
        "96090794c410" + "73" * 16 + "cd03e806cf000001000000000010c4057069656365c2",
    ),
    "InstallSnapshotResponse": (
        messages.InstallSnapshotResponse(term=Term(7), snapshot_id=b"s" * 16, next_offset=21, installed=True),
        "950a07c410" + "73" * 16 + "15c3",
    ),
    "ReadIndex": (messages.ReadIndex(term=Term(7), context=1 << 32), "930b07cf0000000100000000"),
    "ReadIndexResponse": (
        messages.ReadIndexResponse(term=Term(7), context=1, read_index=Index(5), ready=True),
        "950c070105c3",
    ),
    "TimeoutNow": (messages.TimeoutNow(term=Term(7)), "920d07"),
    "Forward": (
        messages.Forward(term=Term(7), proposals=((RequestId(1), b"put"), (RequestId(2), b""))),
        "930e07929201c4037075749202c400",
    ),
    "ForwardRefused": (
        messages.ForwardRefused(
            term=Term(7), boot=3, requests=(RequestId(1),), code=RefusalCode.OVERLOADED, detail="full"
        ),
        "960f07039101aa6f7665726c6f61646564a466756c6c",
    ),
}
FRAME_START = "9301" + "97" + "c410" + "63" * 16 + "0001c410" + "31" * 16 + "0302c410" + "32" * 16


def framed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


def frame_of(structure: object) -> bytes:
    packed: bytes = msgpack.packb(structure)
    return framed(packed)


HEADER_FIELDS: list[object] = [b"c" * 16, 0, 1, b"1" * 16, 3, 2, b"2" * 16]


# -- what we make ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [cls.__name__ for cls in ALL_MESSAGES])
def test_the_format_of_every_message_is_stable(name: str) -> None:
    message, golden = SAMPLES[name]
    frame = framed(bytes.fromhex(FRAME_START + "91" + golden))
    assert encode_frame(HEADER, [message]).hex() == frame.hex()
    assert decode_frame(frame) == (HEADER, [message])


@pytest.mark.parametrize("cls", ALL_MESSAGES, ids=lambda cls: cls.__name__)
def test_every_message_comes_back_as_it_was(cls: type[Any]) -> None:
    @given(headers, st.lists(of_class(cls), max_size=3))
    def comes_back(header: messages.Header, batch: list[messages.Message]) -> None:
        frame = encode_frame(header, batch)
        assert decode_frame(frame) == (header, batch)
        assert encode_frame(*decode_frame(frame)) == frame

    comes_back()


@given(headers, st.lists(any_message, max_size=6))
def test_a_batch_keeps_its_order(header: messages.Header, batch: list[messages.Message]) -> None:
    assert decode_frame(encode_frame(header, batch))[1] == batch


def test_decoded_values_have_the_core_s_own_types() -> None:
    _, batch = decode_frame(encode_frame(HEADER, [message for message, _ in SAMPLES.values()]))
    append = next(message for message in batch if isinstance(message, messages.AppendEntries))
    assert type(append.entries) is tuple
    assert all(type(entry) is Entry and type(entry.payload) is bytes for entry in append.entries)
    refused = next(message for message in batch if isinstance(message, messages.ForwardRefused))
    assert refused.code is RefusalCode.OVERLOADED


# -- what we refuse -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_single_flipped_bit_is_refused(name: str) -> None:
    frame = encode_frame(HEADER, [SAMPLES[name][0]])
    for bit in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            decode_frame(bytes(damaged))


def test_every_truncation_and_extension_is_refused() -> None:
    frame = encode_frame(HEADER, [message for message, _ in SAMPLES.values()])
    for end in range(len(frame)):
        with pytest.raises(FrameError):
            decode_frame(frame[:end])
    with pytest.raises(FrameError):
        decode_frame(frame + b"\x00")
    with pytest.raises(FrameError, match="not a frame"):
        decode_frame(framed(frame[:-4] + b"\x00"))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(garbage: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(garbage)
    with pytest.raises(FrameError):
        decode_frame(framed(garbage))


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=17)
    | ids
)
structures = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@given(structures, structures, structures)
def test_random_structures_are_refused_by_frame_error_alone(
    first: object, second: object, third: object
) -> None:
    for structure in (
        first,
        [WIRE_VERSION, first, second],
        [WIRE_VERSION, HEADER_FIELDS, [first, second, third]],
    ):
        refuse_or_read(frame_of(structure))


@given(st.integers(0, 16), st.lists(structures, max_size=6))
def test_messages_of_random_fields_are_refused_by_frame_error_alone(
    tag: int, given_fields: list[object]
) -> None:
    refuse_or_read(frame_of([WIRE_VERSION, HEADER_FIELDS, [[tag, *given_fields]]]))


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_message_with_one_foreign_field_is_refused_by_frame_error_alone(
    name: str, data: st.DataObject
) -> None:
    packed: Any = msgpack.unpackb(bytes.fromhex(SAMPLES[name][1]))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(structures)
    refuse_or_read(frame_of([WIRE_VERSION, HEADER_FIELDS, [packed]]))


def refuse_or_read(frame: bytes) -> None:
    """Refused, or what `encode_frame` could have made; only integers may be spelt longer than need be."""
    try:
        header, batch = decode_frame(frame)
    except FrameError:
        return
    assert decode_frame(encode_frame(header, batch)) == (header, batch)
    assert len(encode_frame(header, batch)) <= len(frame)


def deep(levels: int) -> Any:
    nested: Any = None
    for _ in range(levels):
        nested = [nested]
    return nested


CORNERS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "only a CRC": lambda: framed(b""),
    "another version": lambda: frame_of([2, HEADER_FIELDS, []]),
    "a version as a flag": lambda: frame_of([True, HEADER_FIELDS, []]),
    "a version as a fraction": lambda: frame_of([1.0, HEADER_FIELDS, []]),
    "a further field": lambda: frame_of([1, HEADER_FIELDS, [], 0]),
    "no messages": lambda: frame_of([1, HEADER_FIELDS]),
    "a map": lambda: frame_of({"version": 1}),
    "a message as bytes": lambda: frame_of([1, HEADER_FIELDS, [b"\x0d\x07"]]),
    "messages as bytes": lambda: frame_of([1, HEADER_FIELDS, b""]),
    "messages as a map": lambda: frame_of([1, HEADER_FIELDS, {}]),
    "messages as text": lambda: frame_of([1, HEADER_FIELDS, ""]),
    "request numbers as bytes": lambda: frame_of([1, HEADER_FIELDS, [[15, 7, b"\x01", "overloaded", ""]]]),
    "entries as bytes": lambda: frame_of([1, HEADER_FIELDS, [[5, 7, 0, 0, b"", 0]]]),
    "entries as a map": lambda: frame_of([1, HEADER_FIELDS, [[5, 7, 0, 0, {}, 0]]]),
    "a header as a map": lambda: frame_of([1, {"a": 1}, []]),
    "a term as a flag": lambda: frame_of([1, HEADER_FIELDS, [[13, True]]]),
    "a term as a fraction": lambda: frame_of([1, HEADER_FIELDS, [[13, 7.0]]]),
    "a negative term": lambda: frame_of([1, HEADER_FIELDS, [[13, -1]]]),
    "an unknown tag": lambda: frame_of([1, HEADER_FIELDS, [[99]]]),
    "a tag as a flag": lambda: frame_of([1, HEADER_FIELDS, [[True, 7, 1, 1]]]),
    "an unknown refusal": lambda: frame_of([1, HEADER_FIELDS, [[15, 7, [], "because", ""]]]),
    "an unknown refusal of 400 levels": lambda: frame_of([1, HEADER_FIELDS, [[15, 7, [], deep(400), ""]]]),
    "an entry without payload": lambda: frame_of([1, HEADER_FIELDS, [[5, 7, 0, 0, [[7, b""]], 0]]]),
    "an entry of three": lambda: frame_of([1, HEADER_FIELDS, [[5, 7, 0, 0, [[7, b"x", 0]], 0]]]),
    "a term of 400 levels": lambda: frame_of([1, HEADER_FIELDS, [[13, deep(400)]]]),
    "a term of 1000 levels": lambda: framed(
        bytes.fromhex(FRAME_START) + b"\x91\x92\x0d" + b"\x91" * 1000 + b"\xc0"
    ),
    "a version of 1000 levels": lambda: framed(b"\x93" + b"\x91" * 1000 + b"\xc0\x90\x90"),
    "100000 levels": lambda: framed(b"\x91" * 100_000 + b"\xc0"),
    "a length without content": lambda: framed(b"\xdd\xff\xff\xff\xff"),
    "a map with a number for a key": lambda: framed(b"\x81\x01\x01"),
    "an extension type": lambda: framed(bytes.fromhex(FRAME_START) + b"\x91\x92\x0d\xd4\x05\x00"),
    "a timestamp": lambda: framed(bytes.fromhex(FRAME_START) + b"\x91\x92\x0d\xd6\xff\x00\x00\x00\x00"),
    "text that is no UTF-8": lambda: framed(
        bytes.fromhex(FRAME_START) + b"\x91\x95\x0f\x07\x90\xaaoverloaded\xa1\xff"
    ),
}


@pytest.mark.parametrize("make", CORNERS.values(), ids=CORNERS)
def test_what_encode_frame_would_not_have_made_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(FrameError):
        decode_frame(make())


def test_another_version_is_refused_with_both_numbers() -> None:
    with pytest.raises(FrameError, match=r"version 2; .* version 1"):
        decode_frame(frame_of([2, HEADER_FIELDS, []]))


def test_a_frame_above_the_limit_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(FrameError, match="the limit is"):
        decode_frame(bytes(FRAME_BYTES_MAX + 1))
