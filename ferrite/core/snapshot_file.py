"""The snapshot file: a streaming codec. Pairs in, bytes out, and back, with every bit verified. Format 1.

    magic "FERRSNAP", version (4 bytes), length of the header (4), header, CRC-32 of all before it (4)
    blocks:  "B", length (4), pairs, CRC-32 of tag, length and pairs (4)
    footer:  "F", length (4), number of pairs (8) and SHA-256 of every byte before the footer (32), CRC-32 as above (4)

The header is a msgpack array: snapshot_id, cluster_id, group_id, last_index, last_term, source, membership payload. A pair is the
length of the key (4), the length of the value (4), key, value; keys strictly ascend. Numbers are big-endian. Nothing
follows the footer.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgpack

from ferrite.core.values import Index, NodeId, Term, must, value

MAGIC: Final = b"FERRSNAP"
SNAPSHOT_VERSION: Final = 1
HEADER_BYTES_MAX: Final = 16 << 20
"""Far above any membership: what a reader is ready to hold before it has verified anything."""
BLOCK_BYTES: Final = 64 << 10
"""Pairs are gathered to blocks of at least this size: the CRC costs little, and a reader holds little."""
BLOCK_BYTES_MAX: Final = 64 << 20
"""A block holds one pair at least; the largest pair (a key of 64 KiB, a value of 16 MiB) fits with room to spare."""

_START: Final = struct.Struct(">8sII")
_CRC: Final = struct.Struct(">I")
_FRAME: Final = struct.Struct(">cI")
_PAIR: Final = struct.Struct(">II")
_FOOTER: Final = struct.Struct(">Q32s")
_SEAL_BYTES: Final = _FRAME.size + _FOOTER.size + _CRC.size
_BLOCK_TAG: Final = b"B"
_FOOTER_TAG: Final = b"F"


class SnapshotInvalid(Exception):
    """The bytes are not the snapshot that was expected. Nothing of it may be used."""

    def __init__(self, reason: str) -> None:
        """`reason` says what was found and what was expected."""
        super().__init__(reason)
        self.reason = reason


@value
class SnapshotHeader:
    """What a snapshot file says of itself. `membership` is the encoded membership, empty for none; `source` made the file."""

    snapshot_id: bytes
    cluster_id: bytes
    group_id: int
    last_index: Index
    last_term: Term
    membership: bytes
    source: NodeId


@value
class ExpectedSnapshot:
    """What a reader insists on; None accepts anything."""

    snapshot_id: bytes | None = None
    cluster_id: bytes | None = None
    group_id: int | None = None
    last_index: Index | None = None
    last_term: Term | None = None


@value
class SnapshotContents:
    """A file being read: the header is verified, each pair is when it is yielded, the whole when `pairs` has ended."""

    header: SnapshotHeader
    pairs: Iterator[tuple[bytes, bytes]]


def write_snapshot(
    header: SnapshotHeader, pairs: Iterable[tuple[bytes, bytes]], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Yield the file's bytes, piece by piece. `pairs` ascend by key, strictly."""
    digest = hashlib.sha256()
    count = 0
    piece = _encode_header(header)
    digest.update(piece)
    yield piece
    for payload, number in _blocks(pairs, block_bytes):
        count += number
        piece = _frame(_BLOCK_TAG, payload)
        digest.update(piece)
        yield piece
    yield _frame(_FOOTER_TAG, _FOOTER.pack(count, digest.digest()))


def _encode_header(header: SnapshotHeader) -> bytes:
    fields: bytes = msgpack.packb(
        [
            header.snapshot_id,
            header.cluster_id,
            header.group_id,
            header.last_index,
            header.last_term,
            header.source,
            header.membership,
        ]
    )
    must(len(fields) <= HEADER_BYTES_MAX, "a snapshot's header fits its limit")
    start = _START.pack(MAGIC, SNAPSHOT_VERSION, len(fields)) + fields
    return start + _CRC.pack(zlib.crc32(start))


def _blocks(pairs: Iterable[tuple[bytes, bytes]], block_bytes: int) -> Iterator[tuple[bytes, int]]:
    parts: list[bytes] = []
    size = number = 0
    previous: bytes | None = None
    for key, data in pairs:
        must(previous is None or previous < key, "the pairs of a snapshot ascend by key")
        previous = key
        parts += (_PAIR.pack(len(key), len(data)), key, data)
        size += _PAIR.size + len(key) + len(data)
        number += 1
        if size >= block_bytes:
            yield b"".join(parts), number
            parts, size, number = [], 0, 0
    if parts:
        yield b"".join(parts), number


def _frame(tag: bytes, payload: bytes) -> bytes:
    framed = _FRAME.pack(tag, len(payload)) + payload
    return framed + _CRC.pack(zlib.crc32(framed))


def read_snapshot(chunks: Iterable[bytes], *, expected: ExpectedSnapshot) -> SnapshotContents:
    """Read the header, check it, and return it with the pairs.

    Raises SnapshotInvalid, here or from the iterator. Pairs are to be used for good only when the iterator has ended
    without it: the last check, of the whole, comes after the last pair.
    """
    source = _Source(chunks)
    start = source.take(_START.size, "the header")
    magic, version, length = _START.unpack(start)
    if magic != MAGIC:
        raise SnapshotInvalid(f"the file begins with {magic!r}; a snapshot begins with {MAGIC!r}")
    if version != SNAPSHOT_VERSION:
        raise SnapshotInvalid(
            f"snapshot format {version}; this version of Ferrite reads format {SNAPSHOT_VERSION}"
        )
    if length > HEADER_BYTES_MAX:
        raise SnapshotInvalid(f"a header of {length} bytes; at most {HEADER_BYTES_MAX} were expected")
    fields = source.take(length, "the header")
    (crc32,) = _CRC.unpack(source.take(_CRC.size, "the header"))
    if crc32 != zlib.crc32(fields, zlib.crc32(start)):
        raise SnapshotInvalid("the header's CRC-32 does not match")
    header = _decode_header(fields)
    _check_identity(header, expected)
    return SnapshotContents(header=header, pairs=_pairs(source))


def _decode_header(data: bytes) -> SnapshotHeader:
    try:
        snapshot_id, cluster_id, group_id, last_index, last_term, source, membership = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise SnapshotInvalid(f"the header cannot be read: {error}") from error
    texts, numbers = (snapshot_id, cluster_id, membership), (group_id, last_index, last_term, source)
    if not all(type(text) is bytes for text in texts) or not all(type(number) is int for number in numbers):
        raise SnapshotInvalid("the header has fields of wrong types")
    return SnapshotHeader(
        snapshot_id=snapshot_id,
        cluster_id=cluster_id,
        group_id=group_id,
        last_index=Index(last_index),
        last_term=Term(last_term),
        membership=membership,
        source=NodeId(source),
    )


def _check_identity(header: SnapshotHeader, expected: ExpectedSnapshot) -> None:
    for name, found, wanted in (
        ("cluster_id", header.cluster_id, expected.cluster_id),
        ("group_id", header.group_id, expected.group_id),
        ("last_index", header.last_index, expected.last_index),
        ("last_term", header.last_term, expected.last_term),
        ("snapshot_id", header.snapshot_id, expected.snapshot_id),
    ):
        if wanted is not None and found != wanted:
            shown = [entry.hex() if isinstance(entry, bytes) else str(entry) for entry in (found, wanted)]
            raise SnapshotInvalid(f"the snapshot's {name} is {shown[0]}; expected was {shown[1]}")


def _pairs(source: _Source) -> Iterator[tuple[bytes, bytes]]:
    count = 0
    previous: bytes | None = None
    while True:
        digest = source.digest()
        tag, payload = _read_frame(source)
        if tag == _FOOTER_TAG:
            _check_footer(payload, count, digest)
            source.expect_end()
            return
        for key, data in _split(payload):
            if previous is not None and key <= previous:
                raise SnapshotInvalid(f"key {key!r} comes after {previous!r}; keys must ascend")
            previous = key
            count += 1
            yield key, data


def _read_frame(source: _Source) -> tuple[bytes, bytes]:
    start = source.take(_FRAME.size, "a block")
    tag, length = _FRAME.unpack(start)
    if tag not in (_BLOCK_TAG, _FOOTER_TAG):
        raise SnapshotInvalid(f"a block begins with {tag!r}; expected was {_BLOCK_TAG!r} or {_FOOTER_TAG!r}")
    if length > BLOCK_BYTES_MAX:
        raise SnapshotInvalid(f"a block of {length} bytes; at most {BLOCK_BYTES_MAX} were expected")
    payload = source.take(length, "a block")
    (crc32,) = _CRC.unpack(source.take(_CRC.size, "a block"))
    if crc32 != zlib.crc32(payload, zlib.crc32(start)):
        raise SnapshotInvalid("a block's CRC-32 does not match")
    return tag, payload


def _split(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(payload):
        key_at = position + _PAIR.size
        if key_at > len(payload):
            raise SnapshotInvalid("a block ends within a pair")
        key_length, value_length = _PAIR.unpack_from(payload, position)
        position = key_at + key_length + value_length
        if position > len(payload):
            raise SnapshotInvalid("a block ends within a pair")
        yield payload[key_at : key_at + key_length], payload[key_at + key_length : position]


def _check_footer(payload: bytes, count: int, digest: bytes) -> None:
    if len(payload) != _FOOTER.size:
        raise SnapshotInvalid(f"a footer of {len(payload)} bytes; expected were {_FOOTER.size}")
    counted, whole = _FOOTER.unpack(payload)
    if counted != count:
        raise SnapshotInvalid(f"the file has {count} pairs; its footer says {counted}")
    if whole != digest:
        raise SnapshotInvalid("the file's SHA-256 does not match")


class SealCheck:
    """Judges a file by its footer while it passes by: whoever copies one need not read its pairs."""

    __slots__ = ("_digest", "_tail")

    def __init__(self) -> None:
        """Nothing has passed yet."""
        self._digest = hashlib.sha256()
        self._tail = b""

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        joined = self._tail + data
        self._digest.update(joined[:-_SEAL_BYTES])
        self._tail = joined[-_SEAL_BYTES:]

    @property
    def whole(self) -> bool:
        """Is what passed a whole file, every byte as it was written?"""
        payload = self._tail[_FRAME.size : -_CRC.size]
        if len(self._tail) != _SEAL_BYTES or self._tail != _frame(_FOOTER_TAG, payload):
            return False
        _, digest = _FOOTER.unpack(payload)
        return bool(digest == self._digest.digest())


class _Source:
    """The chunks as one stream of bytes, hashed as they are taken."""

    __slots__ = ("_buffer", "_chunks", "_digest")

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = b""
        self._digest = hashlib.sha256()

    def take(self, length: int, what: str) -> bytes:
        """Return exactly `length` bytes. Raises SnapshotInvalid when the file ends before."""
        if len(self._buffer) < length:
            parts, have = [self._buffer], len(self._buffer)
            while have < length:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise SnapshotInvalid(f"the file ends within {what}")
                parts.append(chunk)
                have += len(chunk)
            self._buffer = b"".join(parts)
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        self._digest.update(taken)
        return taken

    def digest(self) -> bytes:
        """Return the SHA-256 of everything taken so far."""
        return self._digest.copy().digest()

    def expect_end(self) -> None:
        """Raise SnapshotInvalid when anything follows."""
        if self._buffer or any(self._chunks):
            raise SnapshotInvalid("the file goes on after its footer")
