"""The frame codec: what travels between two nodes, the same bytes in the simulator and over gRPC (contract, section 5).

A frame is `msgpack([version, header, messages])` followed by the CRC-32 of those bytes, 4 bytes big-endian. A message is
`[tag, fields...]` with the fields in the order in which its class declares them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from ferrite.core import messages as m
from ferrite.core.values import Entry, Index, NodeId, RefusalCode, RequestId, SnapshotMeta, Term

WIRE_VERSION: Final = 1
FRAME_BYTES_MAX: Final = 64 << 20
"""Nobody sends more: append messages are bounded far below, and a length beyond it is garbage."""
_CRC_BYTES: Final = 4
_ID_BYTES: Final = 16
_U64_MAX: Final = 2**64 - 1


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
    body: bytes = msgpack.packb([WIRE_VERSION, fields, [_encode(message) for message in batch]])
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
    if type(number) is not int or not 0 <= number <= _U64_MAX:
        raise FrameError(f"expected a number from 0 to 2^64 - 1, got {type(number).__name__}")
    return number


def _term(number: Any) -> Term:
    return Term(_u64(number))


def _index(number: Any) -> Index:
    return Index(_u64(number))


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
    made = []
    for entry in _array(entries):
        if type(entry) is not tuple or len(entry) != 2:
            raise FrameError("expected an entry of term and payload")
        term, payload = entry
        if type(term) is not int or not 0 <= term <= _U64_MAX or type(payload) is not bytes or not payload:
            raise FrameError("expected an entry of a term and a payload that is not empty")
        made.append(Entry(Term(term), payload))
    return tuple(made)


def _snapshot(fields: Any) -> SnapshotMeta:
    snapshot_id, last_index, last_term, size_bytes = _array(fields, 4)
    return SnapshotMeta(
        snapshot_id=_bytes(snapshot_id, _ID_BYTES),
        last_index=_index(last_index),
        last_term=_term(last_term),
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


def _same(field: Any) -> Any:
    return field


_Read = Callable[[Any], Any]
_FIELDS: Final[dict[int, tuple[type[Any], tuple[tuple[str, _Read, _Read], ...]]]] = {
    1: (
        m.PreVote,
        (("term", _term, _same), ("last_log_index", _index, _same), ("last_log_term", _term, _same)),
    ),
    2: (
        m.PreVoteResponse,
        (("term", _term, _same), ("proposed_term", _term, _same), ("vote_granted", _bool, _same)),
    ),
    3: (
        m.RequestVote,
        (
            ("term", _term, _same),
            ("last_log_index", _index, _same),
            ("last_log_term", _term, _same),
            ("disrupt", _bool, _same),
        ),
    ),
    4: (m.RequestVoteResponse, (("term", _term, _same), ("vote_granted", _bool, _same))),
    5: (
        m.AppendEntries,
        (
            ("term", _term, _same),
            ("prev_log_index", _index, _same),
            ("prev_log_term", _term, _same),
            ("entries", _entries, _same),
            ("leader_commit", _index, _same),
        ),
    ),
    6: (
        m.AppendEntriesResponse,
        (
            ("term", _term, _same),
            ("success", _bool, _same),
            ("match_index", _index, _same),
            ("prev_log_index", _index, _same),
            ("conflict_term", _term, _same),
            ("conflict_index", _index, _same),
        ),
    ),
    7: (m.Heartbeat, (("term", _term, _same), ("leader_commit", _index, _same), ("round", _u64, _same))),
    8: (
        m.HeartbeatResponse,
        (("term", _term, _same), ("round", _u64, _same), ("last_log_index", _index, _same)),
    ),
    9: (
        m.InstallSnapshot,
        (
            ("term", _term, _same),
            ("snapshot", _snapshot, _snapshot_fields),
            ("offset", _u64, _same),
            ("data", _bytes, _same),
            ("done", _bool, _same),
        ),
    ),
    10: (
        m.InstallSnapshotResponse,
        (
            ("term", _term, _same),
            ("snapshot_id", lambda data: _bytes(data, _ID_BYTES), _same),
            ("next_offset", _u64, _same),
            ("installed", _bool, _same),
        ),
    ),
    11: (m.ReadIndex, (("term", _term, _same), ("context", _u64, _same))),
    12: (
        m.ReadIndexResponse,
        (
            ("term", _term, _same),
            ("context", _u64, _same),
            ("read_index", _index, _same),
            ("ready", _bool, _same),
        ),
    ),
    13: (m.TimeoutNow, (("term", _term, _same),)),
    14: (m.Forward, (("term", _term, _same), ("proposals", _proposals, _same))),
    15: (
        m.ForwardRefused,
        (
            ("term", _term, _same),
            ("requests", _requests, _same),
            ("code", _code, lambda code: code.value),
            ("detail", _text, _same),
        ),
    ),
}
"""Tag -> class and, per field, how it is read and how it is written. Tags are never used for anything else again."""

_TAGS: Final = {cls: (tag, fields) for tag, (cls, fields) in _FIELDS.items()}


def _encode(message: m.Message) -> list[Any]:
    tag, fields = _TAGS[type(message)]
    return [tag, *[write(getattr(message, name)) for name, _, write in fields]]


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
