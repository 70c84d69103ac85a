"""The command envelope."""

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import NodeId, RequestId
from ferrite.core.kv import (
    BATCH_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Batch,
    CommandInvalid,
    Delete,
    Operation,
    Origin,
    Put,
    Session,
    decode_command,
    encode_command,
)
from tests.core.kv import helpers

ORIGIN = Origin(NodeId(3), 7, RequestId(300))


@pytest.mark.parametrize(
    "operation, session, golden",
    [
        (Put(key=b"k", value=b"value"), None, "96019303 07cd012c c0c000 9301c4016bc40576616c7565"),
        (
            Delete(key=b"k"),
            Session(client_id=b"c", request_id=5, lowest_unacknowledged=4),
            "96019303 07cd012c 93c401630504 c000 9202c4016b",
        ),
        (
            Batch(operations=(Put(key=b"a", value=b""), Delete(key=b"\x00"))),
            None,
            "96019303 07cd012c c0c000 9203929301c40161c4009202c40100",
        ),
    ],
)
def test_the_bytes_of_a_command_stay_what_they_are(
    operation: Operation, session: Session | None, golden: str
) -> None:
    data = encode_command(operation, origin=ORIGIN, session=session)
    assert data == bytes.fromhex(golden)
    decoded = decode_command(data)
    assert (decoded.origin, decoded.session, decoded.operation) == (ORIGIN, session, operation)


@given(helpers.operations, helpers.sessions)
def test_what_was_encoded_is_decoded(operation: Operation, session: Session | None) -> None:
    decoded = decode_command(encode_command(operation, origin=ORIGIN, session=session))
    assert (decoded.origin, decoded.session, decoded.operation) == (ORIGIN, session, operation)


@given(helpers.operations, helpers.operations)
def test_only_equal_operations_have_equal_checksums(one: Operation, other: Operation) -> None:
    session = Session(client_id=b"c", request_id=1)
    checksums = [
        decode_command(encode_command(each, origin=ORIGIN, session=session)).operation_crc32
        for each in (one, other)
    ]
    assert (checksums[0] == checksums[1]) == (one == other)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_command_or_invalid(data: bytes) -> None:
    with suppress(CommandInvalid):
        assert encode_command(decode_command(data).operation, origin=ORIGIN)


def test_what_is_too_large_is_invalid() -> None:
    huge = Put(key=b"k", value=bytes(VALUE_BYTES_MAX + 1))
    many = Batch(operations=(Delete(key=b"k"),) * (BATCH_OPERATIONS_MAX + 1))
    for operation in (huge, many):
        with pytest.raises(CommandInvalid):
            decode_command(encode_command(operation, origin=ORIGIN))
    with pytest.raises(CommandInvalid, match="at most"):
        decode_command(bytes(40 << 20))


def test_the_largest_of_everything_is_read() -> None:
    decode_command(encode_command(Put(key=b"k" * 65536, value=bytes(VALUE_BYTES_MAX)), origin=ORIGIN))
    decode_command(
        encode_command(Batch(operations=(Delete(key=b"k"),) * BATCH_OPERATIONS_MAX), origin=ORIGIN)
    )


@pytest.mark.parametrize("origin", [[1, 2], [1, 2, -1], [1, 2, "3"], [1, 2, True], None, [1, 2, 2**63]])
def test_without_an_origin_nobody_is_answered(origin: object) -> None:
    with pytest.raises(CommandInvalid) as caught:
        decode_command(msgpack.packb([1, origin, None, None, 0, [1, b"k", b"v"]]))
    assert caught.value.origin is None
