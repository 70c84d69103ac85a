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

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Session
from ferrite.core.kv.records import StateCorrupt
from ferrite.core.kv.results import CommandErrorCode, CommandFailed, CommandResult
from ferrite.core.kv.results_codec import decode_result, encode_result
from ferrite.core.kv.store import Overlay
from ferrite.core.values import value

REPLIES_MAX: Final = 1024
"""Remembered replies of one session: how many requests a client may have outstanding; one that pipelines has hundreds. Most
take 20 bytes, and a session's record is read and written once in an apply, however many commands; large ones meet the bound of
bytes."""
REPLY_BYTES_MAX: Final = 64 << 10
"""A larger answer is not remembered, only that there was one: answers with values in them would make every apply rewrite them."""
SESSION_BYTES_MAX: Final = 1 << 20
"""Of all remembered answers of one session; the oldest go first."""
SESSION_TTL_US: Final = 3_600_000_000
"""A client that was silent for an hour of cluster time has given up its retries."""
ACTIVITY_GRANULE_US: Final = 60_000_000
"""Activity is noted once a minute at most, so that most commands write no activity record. A session lives this much longer."""
SESSIONS_MAX: Final = 10_000
"""About 10 MB of records at 64 small replies each, 10 GB if each client were out for it."""
SESSIONS_ENDED_TOGETHER: Final = 100
"""Most sessions that one entry ends: bounds the work of an entry, and makes ending them worth one scan."""
TOMBSTONES_MAX: Final = 100_000
"""About 20 MB of records with the longest client ids."""


@value
class SessionLimits:
    """The constants above. They are part of the replicated machine: only tests use others."""

    replies_max: int = REPLIES_MAX
    reply_bytes_max: int = REPLY_BYTES_MAX
    session_bytes_max: int = SESSION_BYTES_MAX
    ttl_us: int = SESSION_TTL_US
    activity_granule_us: int = ACTIVITY_GRANULE_US
    sessions_max: int = SESSIONS_MAX
    ended_together: int = SESSIONS_ENDED_TOGETHER
    tombstones_max: int = TOMBSTONES_MAX


_LIVE: Final = 0
_TOMBSTONE: Final = 1
TOMBSTONE_RECORD: Final[bytes] = msgpack.packb([_TOMBSTONE])
"""What stands in the place of a session that ended."""


class _Record:
    """A live session. `replies`: request_id -> (crc32 of the operation, encoded answer); every id is at least `floor`."""

    __slots__ = ("_ordered", "bytes", "changed", "floor", "last_active_us", "replies")

    def __init__(self, last_active_us: int, floor: int, replies: dict[int, tuple[int, bytes]]) -> None:
        self.last_active_us = last_active_us
        self.floor = floor
        self.replies = replies
        self.bytes = sum(len(answer) for _, answer in replies.values())
        self.changed = False
        self._ordered = True

    def remember(self, request_id: int, crc32: int, answer: bytes) -> None:
        # Requests come in order, but for some: only then there is something to sort.
        self._ordered = self._ordered and (not self.replies or request_id > next(reversed(self.replies)))
        self.replies[request_id] = (crc32, answer)
        self.bytes += len(answer)

    def in_order(self) -> dict[int, tuple[int, bytes]]:
        if not self._ordered:
            self.replies = dict(sorted(self.replies.items()))
            self._ordered = True
        return self.replies

    def forget_oldest(self) -> int:
        """Drop the reply with the lowest id; return that."""
        oldest = next(iter(self.in_order()))
        self.bytes -= len(self.replies.pop(oldest)[1])
        return oldest


class Sessions:
    """The sessions as one apply sees and changes them. What changed is written by `flush`, at the end of the apply."""

    __slots__ = ("_layout", "_limits", "_loaded", "_meta", "_overlay")

    def __init__(self, layout: Layout, overlay: Overlay, meta: Meta, limits: SessionLimits) -> None:
        """`meta` is the apply's working copy."""
        self._layout = layout
        self._overlay = overlay
        self._meta = meta
        self._limits = limits
        self._loaded: dict[bytes, _Record | None] = {}
        """The sessions that this apply touched; None for a tombstone."""

    def run_once(self, session: Session, crc32: int, execute: Callable[[], CommandResult]) -> CommandResult:
        """Run the command, or return what it returned the first time, or refuse it and change nothing."""
        record = self._load(session.client_id)
        if record is None:
            return self._refused(
                CommandErrorCode.SESSION_EXPIRED,
                "the session has expired; whether this request ran before is not known any more. "
                "Read the state, and go on with a new client id",
            )
        floor = max(record.floor, session.lowest_unacknowledged)
        if session.request_id < floor:
            return self._refused(
                CommandErrorCode.REQUEST_FORGOTTEN,
                f"request {session.request_id} is below {floor}, the lowest one whose reply is remembered",
            )
        known = record.replies.get(session.request_id)
        if known is not None and known[0] != crc32:
            return self._refused(
                CommandErrorCode.REQUEST_MISMATCH,
                f"request {session.request_id} was another operation before; a retry repeats it exactly",
            )
        result = execute() if known is None else decode_result(known[1])
        if known is None:
            self._remember(record, session.request_id, crc32, result)
        self._forget_below(record, floor)
        self._note_use(session.client_id, record)
        record.changed = True
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

    def flush(self) -> None:
        """Write the sessions that this apply changed."""
        for client_id, record in self._loaded.items():
            if record is not None and record.changed:
                self._overlay.put(self._layout.session(client_id), _encode(record))

    def _refused(self, code: CommandErrorCode, detail: str) -> CommandFailed:
        return CommandFailed(code=code, detail=detail, revision=self._meta.revision)

    def _remember(self, record: _Record, request_id: int, crc32: int, result: CommandResult) -> None:
        answer = encode_result(result)
        if len(answer) > self._limits.reply_bytes_max:
            answer = encode_result(
                CommandFailed(
                    code=CommandErrorCode.REPLY_TOO_LARGE,
                    detail=f"the command ran; its answer of {len(answer)} bytes was too large to be remembered",
                    revision=result.revision,
                )
            )
        record.remember(request_id, crc32, answer)

    def _load(self, client_id: bytes) -> _Record | None:
        """Return the client's session, a new one if it had none; None for a tombstone."""
        if client_id in self._loaded:
            return self._loaded[client_id]
        data = self._overlay.get(self._layout.session(client_id))
        record = _Record(-1, 0, {}) if data is None else _decode(client_id, data)
        self._loaded[client_id] = record
        return record

    def _forget_below(self, record: _Record, floor: int) -> None:
        """Drop what is acknowledged, then the oldest over the limits; what is dropped is never run again."""
        if floor > record.floor:
            record.floor = floor
            while record.replies and next(iter(record.in_order())) < floor:
                record.forget_oldest()
        limits = self._limits
        while len(record.replies) > limits.replies_max or record.bytes > limits.session_bytes_max:
            record.floor = record.forget_oldest() + 1

    def _note_use(self, client_id: bytes, record: _Record) -> None:
        now_us = self._meta.time_us
        if record.last_active_us < 0:
            self._open()
            self._note_activity(client_id, record)
        elif now_us - record.last_active_us >= self._limits.activity_granule_us:
            self._overlay.delete(self._layout.activity(record.last_active_us, client_id))
            self._note_activity(client_id, record)

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
        self._loaded[client_id] = None
        overlay.put(layout.session(client_id), TOMBSTONE_RECORD)
        overlay.put(layout.buried(meta.buried_next), client_id)
        meta.buried_next += 1
        meta.session_count -= 1
        if meta.buried_next - meta.buried_first > self._limits.tombstones_max:
            oldest = layout.buried(meta.buried_first)
            forgotten = overlay.get(oldest)
            if forgotten is None:
                raise StateCorrupt(f"tombstone {meta.buried_first} is not there")
            self._loaded.pop(forgotten, None)
            overlay.delete(layout.session(forgotten))
            overlay.delete(oldest)
            meta.buried_first += 1


def _encode(record: _Record) -> bytes:
    """One flat list: request number, checksum and answer of each reply, ascending."""
    fields: list[Any] = [_LIVE, record.last_active_us, record.floor]
    for request_id, (crc32, answer) in record.in_order().items():
        fields += (request_id, crc32, answer)
    packed: bytes = msgpack.packb(fields)
    return packed


def _decode(client_id: bytes, data: bytes) -> _Record | None:
    """Return the session, None for a tombstone. Raises StateCorrupt."""
    try:
        fields = msgpack.unpackb(data)
        if fields[0] == _TOMBSTONE:
            return None
        replies = zip(fields[3::3], fields[4::3], fields[5::3], strict=True)
        return _Record(
            fields[1], fields[2], {request_id: (crc32, answer) for request_id, crc32, answer in replies}
        )
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise StateCorrupt(f"the session of client {client_id!r} cannot be read: {error}") from error
