"""gRPC's messages in a stream of bytes (PROTOCOL-HTTP2, "Length-Prefixed-Message"): cut, decompressed, and bounded."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from ferrite.io.grpc.status import RpcError, StatusCode

PREFIX_BYTES: Final = 5
ENCODINGS: Final = (b"identity", b"deflate", b"gzip")
"""What a client may have compressed its messages with."""
_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}  # zlib's numbers for a gzip and for a zlib wrapper
_prefix = struct.Struct(">BI")


def framed(message: bytes) -> bytes:
    """A message as it travels, not compressed."""
    return _prefix.pack(0, len(message)) + message


class MessageReader:
    """Cuts the messages of one stream out of its bytes, however they come."""

    __slots__ = ("_buffer", "_bytes_max", "_encoding")

    def __init__(self, encoding: bytes, bytes_max: int) -> None:
        """`encoding` is one of `ENCODINGS`; `bytes_max` bounds a message, before and after decompression."""
        self._encoding = encoding
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    @property
    def partial_bytes(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[bytes, int]]:
        """The messages that are complete now, each with its bytes on the wire. After an `RpcError` nothing may be fed."""
        if not self._buffer and len(data) >= PREFIX_BYTES:
            flag, size = _prefix.unpack_from(data)
            if not flag and size == len(data) - PREFIX_BYTES and size <= self._bytes_max:  # the usual case
                return [(data[PREFIX_BYTES:], len(data))]
        self._buffer += data
        found = []
        start = 0
        while len(self._buffer) - start >= PREFIX_BYTES:
            flag, size = _prefix.unpack_from(self._buffer, start)
            self._check(flag, size)
            end = start + PREFIX_BYTES + size
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[start + PREFIX_BYTES : end])
            found.append((self._decompressed(message) if flag else message, end - start))
            start = end
        del self._buffer[:start]
        return found

    def _check(self, flag: int, size: int) -> None:
        if flag > 1:
            raise RpcError(StatusCode.INTERNAL, f"Bad message flag {flag}: 0 or 1 are possible")
        if flag and self._encoding == b"identity":
            raise RpcError(StatusCode.INTERNAL, "Compression bit set but no encoding configured")
        if size > self._bytes_max:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"SERVER: Received message larger than max ({size} vs. {self._bytes_max})",
            )

    def _decompressed(self, data: bytes) -> bytes:
        inflate = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            message = inflate.decompress(data, self._bytes_max + 1)
        except zlib.error:
            raise RpcError(StatusCode.INTERNAL, "Decompression failed due to zlib error") from None
        if len(message) > self._bytes_max:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "Decompressed message larger than max")
        if not inflate.eof:
            raise RpcError(StatusCode.INTERNAL, "Decompression failed due to zlib error")
        return message
