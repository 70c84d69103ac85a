"""Payloads, and how the core declares its value classes."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    EntryKind,
    HardState,
    InvariantViolated,
    NodeId,
    RefusalCode,
    Role,
    StopCode,
    Term,
    actions,
    encode_payload,
    events,
    messages,
    payload_kind,
    payload_time_us,
)
from ferrite.core.raft import Dice
from ferrite.core.values import must, value

ALL_VALUES: list[type[Any]] = [
    *get_args(events.Event),
    *get_args(actions.Action),
    *get_args(messages.Message),
    messages.Header,
    HardState,
]


@given(st.sampled_from(EntryKind), st.integers(0, 2**64 - 1), st.binary(max_size=30))
def test_a_payload_keeps_kind_time_and_body(kind: EntryKind, time_us: int, body: bytes) -> None:
    payload = encode_payload(kind, time_us, body)
    assert payload_kind(payload) == kind
    assert payload_time_us(payload) == time_us
    assert payload[PAYLOAD_HEADER_BYTES:] == body


def test_the_format_of_a_payload_is_stable() -> None:
    assert encode_payload(EntryKind.NOOP, 0) == bytes(9)
    assert encode_payload(EntryKind.COMMAND, 258, b"put") == b"\x01\0\0\0\0\0\0\x01\x02put"
    assert encode_payload(EntryKind.MEMBERSHIP, 1)[:1] == b"\x02"
    assert [kind.value for kind in EntryKind] == [0, 1, 2]


@given(st.binary(max_size=12))
def test_any_bytes_have_a_kind_and_a_time(payload: bytes) -> None:
    assert payload_kind(payload) == (payload[0] if payload else -1)
    assert 0 <= payload_time_us(payload) < 1 << 64


@pytest.mark.parametrize("cls", ALL_VALUES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_value_classes_are_keyword_only_and_slotted(cls: type[Any]) -> None:
    assert is_dataclass(cls)
    assert "__slots__" in vars(cls)
    assert all(field.kw_only for field in fields(cls))
    assert cls.__bases__ == (object,), "no inheritance"


def test_a_value_is_compared_by_content() -> None:
    @value
    class Point:
        x: int
        y: int = 0

    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]  # keyword-only: that is what is tried here
    with pytest.raises((AttributeError, FrozenInstanceError)):
        Point(x=1).z = 3  # type: ignore[attr-defined]  # slotted: that is what is tried here


def test_a_broken_invariant_is_named() -> None:
    must(condition=True, what="fine")
    with pytest.raises(InvariantViolated, match=r"^water is wet$"):
        must(condition=[], what="water is wet")


def test_numbers_and_words_that_others_see_are_stable() -> None:
    assert {code.name: code.value for code in StopCode} == {
        "OK": 0,
        "DISK_FULL": 10,
        "DISK_ERROR": 11,
        "CORRUPTION": 12,
        "IDENTITY": 13,
    }
    assert all(code.value == code.name.lower() for code in RefusalCode)
    assert [role.value for role in Role] == ["follower", "pre-candidate", "candidate", "leader"]
    assert HardState() == HardState(cluster_id=bytes(16), term=Term(0), voted_for=NodeId(0))


def test_the_dice_give_the_same_sequence_for_the_same_seed() -> None:
    dice = Dice(1)
    assert [dice.below(1000) for _ in range(5)] == [
        Dice(1).below(1000),
        *[dice_at(1, n) for n in range(1, 5)],
    ]
    assert len({Dice(seed).below(1 << 62) for seed in range(100)}) == 100


def dice_at(seed: int, skipped: int) -> int:
    dice = Dice(seed)
    for _ in range(skipped):
        dice.below(1000)
    return dice.below(1000)


@given(st.integers(), st.integers(1, 1 << 70))
def test_dice_stay_below_their_bound(seed: int, bound: int) -> None:
    assert 0 <= Dice(seed).below(bound) < bound


def test_dice_are_even_enough() -> None:
    dice = Dice(42)
    counts = [0] * 10
    for _ in range(10_000):
        counts[dice.below(10)] += 1
    assert all(850 < count < 1150 for count in counts)


def test_what_is_made_the_short_way_is_what_its_class_makes() -> None:
    message = messages.TimeoutNow(term=Term(3))
    header = messages.Header(
        cluster_id=bytes(16),
        source=NodeId(1),
        source_instance=bytes(16),
        source_boot=1,
        target=NodeId(2),
        target_instance=bytes(16),
    )
    assert actions.new_send(NodeId(2), message) == actions.Send(to=NodeId(2), message=message)
    assert events.new_message_received(header, message) == events.MessageReceived(
        header=header, message=message
    )
