"""Exactly-once: a retried command takes effect once (thesis 6.3). All of it is replicated state, decided by cluster time.

A session begins with a client's first command and remembers the replies that the client has not acknowledged. It ends after
`SESSION_TTL_US` of silence, or when there are too many sessions, the longest silent first. What is left is a tombstone,
so that a late retry is refused and never run again. Tombstones are bounded too: a client that comes back after more than
`TOMBSTONES_MAX` other sessions have ended is taken for a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import msgpack

from ferrite.core.kv.layout import Layout, StateCorrupt
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Session
from ferrite.core.kv.results import (
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    DeleteResult,
    PutResult,
)
from ferrite.core.kv.store import Overlay
from ferrite.core.values import value

REPLIES_MAX: Final = 64
"""Remembered replies of one session: how many requests a client may have outstanding. Bounds a session's record."""
SESSION_TTL_US: Final = 3_600_000_000
"""A client that was silent for an hour of cluster time has given up its retries."""
ACTIVITY_GRANULE_US: Final = 60_000_000
"""Activity is noted once a minute at most, so that most commands write no activity record. A session lives this much longer."""
SESSIONS_MAX: Final = 10_000
"""About 10 MB of records at 64 small replies each."""
SESSIONS_ENDED_TOGETHER: Final = 100
"""Most sessions that one entry ends: bounds the work of an entry, and makes ending them worth one scan."""
TOMBSTONES_MAX: Final = 100_000
"""About 20 MB of records with the longest client ids."""


@value
class SessionLimits:
    """The constants above. They are part of the replicated machine: only tests use others."""

    replies_max: int = REPLIES_MAX
    ttl_us: int = SESSION_TTL_US
    activity_granule_us: int = ACTIVITY_GRANULE_US
    sessions_max: int = SESSIONS_MAX
    ended_together: int = SESSIONS_ENDED_TOGETHER
    tombstones_max: int = TOMBSTONES_MAX


_LIVE: Final = 0
_TOMBSTONE: Final = 1


class _Record:
    """A live session. `replies`: request_id -> [crc32 of the operation, reply]; every id is at least `floor`."""

    __slots__ = ("floor", "last_active_us", "replies")

    def __init__(self, last_active_us: int, floor: int, replies: dict[int, tuple[int, list[Any]]]) -> None:
        self.last_active_us = last_active_us
        self.floor = floor
        self.replies = replies


class Sessions:
    """The sessions as one apply sees and changes them."""

    __slots__ = ("_layout", "_limits", "_meta", "_overlay")

    def __init__(self, layout: Layout, overlay: Overlay, meta: Meta, limits: SessionLimits) -> None:
        """`meta` is the apply's working copy."""
        self._layout = layout
        self._overlay = overlay
        self._meta = meta
        self._limits = limits

    def run_once(self, session: Session, crc32: int, execute: Callable[[], CommandResult]) -> CommandResult:
        """Run the command, or return what it returned the first time, or refuse it and change nothing."""
        record = self._load(session.client_id)
        if record is None:
            return CommandFailed(
                code=CommandErrorCode.SESSION_EXPIRED,
                detail="the session has expired; whether this request ran before is not known any more. "
                "Read the state, and go on with a new client id",
            )
        floor = max(record.floor, session.lowest_unacknowledged)
        if session.request_id < floor:
            return CommandFailed(
                code=CommandErrorCode.REQUEST_FORGOTTEN,
                detail=f"request {session.request_id} is below {floor}, the lowest one whose reply is remembered",
            )
        known = record.replies.get(session.request_id)
        if known is not None and known[0] != crc32:
            return CommandFailed(
                code=CommandErrorCode.REQUEST_MISMATCH,
                detail=f"request {session.request_id} was another operation before; a retry repeats it exactly",
            )
        result = execute() if known is None else decode_result(known[1])
        if known is None:
            record.replies[session.request_id] = (crc32, encode_result(result))
        self._forget_below(record, floor)
        self._save(session.client_id, record)
        return result

    def expire(self) -> None:
        """End the sessions whose time is over, at most `ended_together` of them."""
        meta, limits = self._meta, self._limits
        if not meta.session_count or meta.time_us < meta.session_deadline_us:
            return
        lifetime_us = limits.ttl_us + limits.activity_granule_us
        for last_active_us, client_id in self._longest_silent(limits.ended_together):
            if last_active_us + lifetime_us > meta.time_us:
                break
            self._bury(last_active_us, client_id)
        oldest = self._longest_silent(1)
        meta.session_deadline_us = oldest[0][0] + lifetime_us if oldest else 0

    def _load(self, client_id: bytes) -> _Record | None:
        """Return the client's session, a new one if it had none; None for a tombstone."""
        data = self._overlay.get(self._layout.session(client_id))
        if data is None:
            return _Record(-1, 0, {})
        try:
            kind, *rest = msgpack.unpackb(data)
            if kind == _TOMBSTONE:
                return None
            last_active_us, floor, replies = rest
            return _Record(last_active_us, floor, {reply[0]: (reply[1], reply[2]) for reply in replies})
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            raise StateCorrupt(f"the session of client {client_id!r} cannot be read: {error}") from error

    def _forget_below(self, record: _Record, floor: int) -> None:
        """Drop what is acknowledged, then the oldest over the limit; what is dropped is never run again."""
        if floor > record.floor:
            record.floor = floor
            for request_id in [known for known in record.replies if known < floor]:
                del record.replies[request_id]
        while len(record.replies) > self._limits.replies_max:
            oldest = min(record.replies)
            del record.replies[oldest]
            record.floor = oldest + 1

    def _save(self, client_id: bytes, record: _Record) -> None:
        now_us = self._meta.time_us
        if record.last_active_us < 0:
            self._open()
            self._note_activity(client_id, record)
        elif now_us - record.last_active_us >= self._limits.activity_granule_us:
            self._overlay.delete(self._layout.activity(record.last_active_us, client_id))
            self._note_activity(client_id, record)
        replies = [
            [request_id, crc32, reply] for request_id, (crc32, reply) in sorted(record.replies.items())
        ]
        data: bytes = msgpack.packb([_LIVE, record.last_active_us, record.floor, replies])
        self._overlay.put(self._layout.session(client_id), data)

    def _open(self) -> None:
        meta, limits = self._meta, self._limits
        if meta.session_count >= limits.sessions_max:
            for last_active_us, client_id in self._longest_silent(limits.ended_together):
                self._bury(last_active_us, client_id)
        if not meta.session_count:
            meta.session_deadline_us = meta.time_us + limits.ttl_us + limits.activity_granule_us
        meta.session_count += 1

    def _note_activity(self, client_id: bytes, record: _Record) -> None:
        record.last_active_us = self._meta.time_us
        self._overlay.put(self._layout.activity(record.last_active_us, client_id), b"")

    def _longest_silent(self, count: int) -> list[tuple[int, bytes]]:
        found = islice(self._overlay.scan(*self._layout.activity_range), count)
        return [self._layout.split_activity(key) for key, _ in found]

    def _bury(self, last_active_us: int, client_id: bytes) -> None:
        """Put a tombstone in the session's place; the oldest tombstone over the limit goes."""
        meta, layout, overlay = self._meta, self._layout, self._overlay
        overlay.delete(layout.activity(last_active_us, client_id))
        overlay.put(layout.session(client_id), msgpack.packb([_TOMBSTONE]))
        overlay.put(layout.buried(meta.buried_next), client_id)
        meta.buried_next += 1
        meta.session_count -= 1
        if meta.buried_next - meta.buried_first > self._limits.tombstones_max:
            oldest = layout.buried(meta.buried_first)
            forgotten = overlay.get(oldest)
            if forgotten is None:
                raise StateCorrupt(f"tombstone {meta.buried_first} is not there")
            overlay.delete(layout.session(forgotten))
            overlay.delete(oldest)
            meta.buried_first += 1


_FAILED: Final = 0
_PUT: Final = 1
_DELETE: Final = 2
_BATCH: Final = 3


def encode_result(result: CommandResult) -> list[Any]:
    """Return the remembered form of a result; a batch's flags are one bit each."""
    match result:
        case CommandFailed(code=code, detail=detail):
            return [_FAILED, int(code), detail]
        case PutResult(revision=revision):
            return [_PUT, revision]
        case DeleteResult(revision=revision, existed=existed):
            return [_DELETE, revision, existed]
        case BatchResult(revision=revision, existed=flags):
            bits = sum(1 << position for position, flag in enumerate(flags) if flag)
            return [_BATCH, revision, len(flags), bits.to_bytes((len(flags) + 7) // 8, "little")]


def decode_result(fields: list[Any]) -> CommandResult:
    """Return the result that `encode_result` got. Raises StateCorrupt."""
    match fields:
        case [0, int(code), str(detail)]:
            return CommandFailed(code=CommandErrorCode(code), detail=detail)
        case [1, int(revision)]:
            return PutResult(revision=revision)
        case [2, int(revision), bool(existed)]:
            return DeleteResult(revision=revision, existed=existed)
        case [3, int(revision), int(count), bytes(flags)]:
            bits = int.from_bytes(flags, "little")
            return BatchResult(
                revision=revision, existed=tuple(bool(bits >> position & 1) for position in range(count))
            )
        case _:
            raise StateCorrupt(f"a remembered reply cannot be read: {fields!r}")
