"""What is written by hand is what protobuf writes."""

import pytest

from ferrite.io.grpc.framing import message_field, number_field, varint
from ferrite.io.grpc.pb import kv_pb2


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**32, 2**63 - 1, 2**64 - 1])
def test_numbers_are_protobufs(number: int) -> None:
    expected = kv_pb2.PutResponse(revision=number).SerializeToString()
    assert number == 0 or number_field(1, number) == expected
    assert kv_pb2.PutResponse.FromString(number_field(1, number)).revision == number
    assert len(varint(number)) == max(1, -(-number.bit_length() // 7))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_fields_that_hold_bytes_are_protobufs(size: int) -> None:
    assert (
        message_field(2, bytes(size)) == kv_pb2.PutRequest(value=bytes(size)).SerializeToString() or not size
    )
    assert kv_pb2.PutRequest.FromString(message_field(2, bytes(size))).value == bytes(size)


def test_a_message_may_be_the_sum_of_serialized_parts() -> None:
    parts = [kv_pb2.PipelineResponses(responses=[kv_pb2.PipelineResponse(id=n)]) for n in (1, 2)]
    joined = b"".join(part.SerializeToString() for part in parts)
    assert [answer.id for answer in kv_pb2.PipelineResponses.FromString(joined).responses] == [1, 2]
