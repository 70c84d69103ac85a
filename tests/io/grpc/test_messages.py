"""Messages in a stream of bytes: split and joined anywhere, compressed, bounded."""

import gzip
import zlib

import pytest

from ferrite.io.grpc.messages import MessageReader, framed
from ferrite.io.grpc.status import RpcError, StatusCode
from tests.io.grpc.raw import message

TEXTS = [b"", b"a", bytes(300), b"last"]


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5, 6, 7, 64, 1000])
def test_messages_come_out_whole_however_they_are_split(piece: int) -> None:
    wire = b"".join(framed(text) for text in TEXTS)
    reader = MessageReader(b"identity", 1000)
    found = []
    for start in range(0, len(wire), piece):
        found += reader.feed(wire[start : start + piece])
    assert [text for text, _ in found] == TEXTS
    assert [size for _, size in found] == [len(text) + 5 for text in TEXTS]
    assert reader.partial_bytes == 0


@pytest.mark.parametrize("encoding, pack", [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_messages_are_decompressed_each_by_itself(encoding: bytes, pack: object) -> None:
    assert callable(pack)
    reader = MessageReader(encoding, 1000)
    wire = message(pack(b"one"), 1) + message(b"two") + message(pack(b"three"), 1)
    assert [text for text, _ in reader.feed(wire)] == [b"one", b"two", b"three"]


def _refused(encoding: bytes, wire: bytes) -> StatusCode:
    with pytest.raises(RpcError) as found:
        MessageReader(encoding, 1000).feed(wire)
    return found.value.code


def test_what_is_too_large_is_refused_by_its_prefix_alone() -> None:
    assert MessageReader(b"identity", 1000).feed(message(bytes(1000))) == [(bytes(1000), 1005)]
    assert _refused(b"identity", message(bytes(1001))[:5]) is StatusCode.RESOURCE_EXHAUSTED
    assert _refused(b"identity", b"\x00\xff\xff\xff\xff") is StatusCode.RESOURCE_EXHAUSTED


def test_a_bomb_is_refused_before_it_is_blown_up() -> None:
    assert MessageReader(b"gzip", 1000).feed(message(gzip.compress(bytes(1000)), 1))[0][0] == bytes(1000)
    assert _refused(b"gzip", message(gzip.compress(bytes(1001)), 1)) is StatusCode.RESOURCE_EXHAUSTED
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    wire = message(bomb.compress(bytes(200_000)) + bomb.flush(), 1)
    assert _refused(b"gzip", wire) is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_broken_compression_is_an_error(cut: int) -> None:
    assert _refused(b"gzip", message(gzip.compress(b"text")[:cut], 1)) is StatusCode.INTERNAL
    assert _refused(b"deflate", message(gzip.compress(b"text"), 1)) is StatusCode.INTERNAL


def test_flags_that_mean_nothing_are_errors() -> None:
    assert _refused(b"identity", message(b"x", 1)) is StatusCode.INTERNAL
    assert _refused(b"gzip", message(b"x", 2)) is StatusCode.INTERNAL
