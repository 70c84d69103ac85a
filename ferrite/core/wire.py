"""The frame codec: what travels between two nodes, the same bytes in the simulator and over gRPC (contract, section 5).

A frame is `msgpack([version, header, messages])` followed by the CRC-32 of those bytes, 4 bytes big-endian. A message is
`[tag, fields...]` with the fields in the order in which its class declares them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgpack

from ferrite.core import messages as m
from ferrite.core.values import Entry, Index, NodeId, RefusalCode, RequestId, SnapshotMeta, Term

WIRE_VERSION: Final = 1
FRAME_BYTES_MAX: Final = 64 << 20
"""Nobody sends more: append messages are bounded far below, and a length beyond it is garbage."""
_CRC_BYTES: Final = 4
_pack: Final = msgpack.Packer().pack
"""One packer for all frames: to make one costs as much as to pack a small message."""
_ID_BYTES: Final = 16


class FrameError(ValueError):
    """Bytes that are no frame of ours: damaged, of another version, or made by something else."""


def encode_frame(header: m.Header, batch: Iterable[m.Message]) -> bytes:
    """Return one frame with all these messages; entries' payloads are copied, never encoded again."""
    fields = [
        header.cluster_id,
        header.group_id,
        header.source,
        header.source_instance,
        header.source_boot,
        header.target,
        header.target_instance,
    ]
    body: bytes = _pack([WIRE_VERSION, fields, [_encode(message) for message in batch]])
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "big")


def decode_frame(data: bytes) -> tuple[m.Header, list[m.Message]]:
    """Return header and messages. Raises FrameError on anything that `encode_frame` would not have made."""
    if len(data) > FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {len(data)} bytes; the limit is {FRAME_BYTES_MAX}")
    body = memoryview(data)[:-_CRC_BYTES]
    if len(data) <= _CRC_BYTES or zlib.crc32(body) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise FrameError("the frame's CRC-32 does not match: damaged on the way, or no frame at all")
    try:
        frame = _array(msgpack.unpackb(body, raw=False, use_list=False, strict_map_key=True))
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameError("not a frame: not msgpack") from error
    version = _u64(frame[0]) if frame else 0
    if version != WIRE_VERSION:
        raise FrameError(f"wire version {version}; this node speaks version {WIRE_VERSION}")
    _, fields, batch = _array(frame, 3)
    return _header(fields), [_decode(message) for message in _array(batch)]


def _header(fields: Any) -> m.Header:
    cluster_id, group_id, source, source_instance, source_boot, target, target_instance = _array(fields, 7)
    return m.Header(
        cluster_id=_bytes(cluster_id, _ID_BYTES),
        group_id=_u64(group_id),
        source=NodeId(_u64(source)),
        source_instance=_bytes(source_instance, _ID_BYTES),
        source_boot=_u64(source_boot),
        target=NodeId(_u64(target)),
        target_instance=_bytes(target_instance, _ID_BYTES),
    )


# What a field may be. A damaged frame does not come this far (CRC); these stop a confused or hostile peer. What came is
# named by its type only: it may be nested deeper than Python can print.


def _array(items: Any, length: int | None = None) -> tuple[Any, ...]:
    if type(items) is not tuple or (length is not None and len(items) != length):
        raise FrameError(
            f"expected an array of {length or 'any number of'} fields, got {type(items).__name__}"
        )
    return items


def _u64(number: Any) -> int:
    # msgpack has no number above 2^64 - 1.
    if type(number) is not int or number < 0:
        raise FrameError(f"expected a number from 0 to 2^64 - 1, got {type(number).__name__}")
    return number


def _bool(flag: Any) -> bool:
    if type(flag) is not bool:
        raise FrameError(f"expected true or false, got {type(flag).__name__}")
    return flag


def _bytes(data: Any, length: int | None = None) -> bytes:
    if type(data) is not bytes or (length is not None and len(data) != length):
        raise FrameError(
            f"expected {length if length is not None else 'some'} bytes, got {type(data).__name__}"
        )
    return data


def _text(text: Any) -> str:
    if type(text) is not str:
        raise FrameError(f"expected text, got {type(text).__name__}")
    return text


def _entries(entries: Any) -> tuple[Entry, ...]:
    for entry in _array(entries):
        if type(entry) is not tuple or len(entry) != 2:
            raise FrameError("expected an entry of term and payload")
        term, payload = entry
        if type(term) is not int or term < 0 or type(payload) is not bytes or not payload:
            raise FrameError("expected an entry of a term and a payload that is not empty")
    return tuple([Entry(term, payload) for term, payload in entries])


def _snapshot(fields: Any) -> SnapshotMeta:
    snapshot_id, last_index, last_term, size_bytes = _array(fields, 4)
    return SnapshotMeta(
        snapshot_id=_bytes(snapshot_id, _ID_BYTES),
        last_index=Index(_u64(last_index)),
        last_term=Term(_u64(last_term)),
        size_bytes=_u64(size_bytes),
    )


def _snapshot_fields(snapshot: SnapshotMeta) -> tuple[Any, ...]:
    return (snapshot.snapshot_id, snapshot.last_index, snapshot.last_term, snapshot.size_bytes)


def _proposals(items: Any) -> tuple[tuple[RequestId, bytes], ...]:
    pairs = [_array(item, 2) for item in _array(items)]
    return tuple([(RequestId(_u64(request)), _bytes(command)) for request, command in pairs])


def _requests(items: Any) -> tuple[RequestId, ...]:
    return tuple([RequestId(_u64(request)) for request in _array(items)])


def _code(text: Any) -> RefusalCode:
    try:
        return RefusalCode(_text(text))
    except ValueError as error:
        raise FrameError("expected a refusal code; is the peer newer than this node?") from error


_Convert = Callable[[Any], Any]
_FIELDS: Final[dict[int, tuple[type[Any], tuple[tuple[str, _Convert, _Convert | None], ...]]]] = {
    1: (
        m.PreVote,
        (("term", _u64, None), ("last_log_index", _u64, None), ("last_log_term", _u64, None)),
    ),
    2: (
        m.PreVoteResponse,
        (("term", _u64, None), ("proposed_term", _u64, None), ("vote_granted", _bool, None)),
    ),
    3: (
        m.RequestVote,
        (
            ("term", _u64, None),
            ("last_log_index", _u64, None),
            ("last_log_term", _u64, None),
            ("disrupt", _bool, None),
        ),
    ),
    4: (m.RequestVoteResponse, (("term", _u64, None), ("vote_granted", _bool, None))),
    5: (
        m.AppendEntries,
        (
            ("term", _u64, None),
            ("prev_log_index", _u64, None),
            ("prev_log_term", _u64, None),
            ("entries", _entries, None),
            ("leader_commit", _u64, None),
        ),
    ),
    6: (
        m.AppendEntriesResponse,
        (
            ("term", _u64, None),
            ("success", _bool, None),
            ("match_index", _u64, None),
            ("prev_log_index", _u64, None),
            ("conflict_term", _u64, None),
            ("conflict_index", _u64, None),
        ),
    ),
    7: (m.Heartbeat, (("term", _u64, None), ("leader_commit", _u64, None), ("round", _u64, None))),
    8: (
        m.HeartbeatResponse,
        (("term", _u64, None), ("round", _u64, None), ("last_log_index", _u64, None)),
    ),
    9: (
        m.InstallSnapshot,
        (
            ("term", _u64, None),
            ("snapshot", _snapshot, _snapshot_fields),
            ("offset", _u64, None),
            ("data", _bytes, None),
            ("done", _bool, None),
        ),
    ),
    10: (
        m.InstallSnapshotResponse,
        (
            ("term", _u64, None),
            ("snapshot_id", lambda data: _bytes(data, _ID_BYTES), None),
            ("next_offset", _u64, None),
            ("installed", _bool, None),
        ),
    ),
    11: (m.ReadIndex, (("term", _u64, None), ("context", _u64, None))),
    12: (
        m.ReadIndexResponse,
        (
            ("term", _u64, None),
            ("context", _u64, None),
            ("read_index", _u64, None),
            ("ready", _bool, None),
        ),
    ),
    13: (m.TimeoutNow, (("term", _u64, None),)),
    14: (m.Forward, (("term", _u64, None), ("proposals", _proposals, None))),
    15: (
        m.ForwardRefused,
        (
            ("term", _u64, None),
            ("boot", _u64, None),
            ("requests", _requests, None),
            ("code", _code, lambda code: code.value),
            ("detail", _text, None),
        ),
    ),
}
"""Tag -> class and, per field, how it is read and how it is written (None: as it is). Tags are never used for anything else
again.
"""


def _writer(fields: tuple[tuple[str, _Convert, _Convert | None], ...]) -> Callable[[Any], Sequence[Any]]:
    names = [name for name, _, _ in fields]
    if len(names) > 1 and not any(write for _, _, write in fields):
        return attrgetter(*names)
    return lambda message: [
        write(getattr(message, name)) if write else getattr(message, name) for name, _, write in fields
    ]


_TAGS: Final = {cls: (tag, _writer(fields)) for tag, (cls, fields) in _FIELDS.items()}


def _encode(message: m.Message) -> tuple[Any, ...]:
    tag, write = _TAGS[type(message)]
    return (tag, *write(message))


def _decode(packed: Any) -> m.Message:
    tag, *given = _array(packed) or (0,)
    if _u64(tag) not in _FIELDS:
        raise FrameError(f"unknown message tag {tag}; is the peer newer than this node?")
    cls, fields = _FIELDS[tag]
    if len(given) != len(fields):
        raise FrameError(f"{cls.__name__} has {len(fields)} fields, got {len(given)}")
    message: m.Message = cls(
        **{name: read(field) for (name, read, _), field in zip(fields, given, strict=True)}
    )
    return message
