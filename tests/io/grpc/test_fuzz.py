"""No bytes crash a handler: whatever comes in, there is an answer or a refusal that is not our fault."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ferrite.io.grpc.handlers import RaftHandlers, client_methods, peer_methods
from ferrite.io.grpc.service import Method
from ferrite.io.grpc.status import RpcError, StatusCode
from tests.io.grpc.answers import prepared
from tests.io.grpc.fakes import IDENTITY, FakeRequestPath, NoFrames, make_config
from tests.io.grpc.streams import Context, SlowWriter, frames

_CONFIG = make_config()
_NAMES = [method.path for method in client_methods(FakeRequestPath(), _CONFIG)]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, content: int | bytes) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


_u64 = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
_flat = st.lists(st.builds(_field, st.integers(1, 12), st.one_of(_u64, st.binary(max_size=70))), max_size=8)
_inner = _flat.map(b"".join)
_wire = st.lists(
    st.builds(_field, st.integers(1, 15), st.one_of(_u64, st.binary(max_size=70), _inner)), max_size=8
)
_data = st.one_of(st.binary(max_size=200), _wire.map(b"".join))


async def _call(method: Method, data: bytes) -> list[bytes]:
    if not method.server_streaming:
        return [await method.answer(data, Context())]
    writer = SlowWriter()
    writer.let(1000)
    context = Context()
    asyncio.get_running_loop().call_later(0.01, context.drain.begin)  # ends the watches that were made
    await method.stream(frames([data]) if method.client_streaming else data, context, writer)
    return writer.sent


def _answer(method: Method, data: bytes) -> StatusCode:
    try:
        answers = asyncio.run(_call(method, data))
    except RpcError as error:
        return error.code
    for answer in answers:
        method.response_type.FromString(answer)
    return StatusCode.OK


@given(name=st.sampled_from(_NAMES), data=_data)
def test_any_bytes_are_answered_or_refused_as_an_invalid_argument(name: str, data: bytes) -> None:
    methods = {method.path: method for method in client_methods(FakeRequestPath(results=prepared()), _CONFIG)}
    allowed = {StatusCode.OK, StatusCode.INVALID_ARGUMENT}
    assert _answer(methods[name], data) in allowed


@given(data=_data)
def test_any_bytes_ask_a_node_who_it_is_or_are_refused(data: bytes) -> None:
    _, identify = peer_methods(RaftHandlers(NoFrames(), lambda: IDENTITY))
    assert _answer(identify, data) in (StatusCode.OK, StatusCode.INVALID_ARGUMENT)
