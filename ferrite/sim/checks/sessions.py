"""Sessions that end: not before their time, not much after it, and what ended is never carried out again."""

from __future__ import annotations

from ferrite.core.kv import CommandErrorCode, CommandFailed, Session, SessionLimits
from ferrite.sim.violation import Violation

_UNHEARD = (CommandErrorCode.REQUEST_FORGOTTEN, CommandErrorCode.REQUEST_MISMATCH)
"""Requests that are refused so are no sign of life."""


class SessionEnds:
    """All sessions of one log, by cluster time alone: a plain model beside the machine's records and tombstones."""

    def __init__(self, limits: SessionLimits | None) -> None:
        limits = limits or SessionLimits()
        self._ttl_us = limits.ttl_us
        self._granule_us = limits.activity_granule_us
        self._used_us: dict[bytes, int] = {}
        self._ended: set[bytes] = set()

    def answered(self, session: Session, answer: object, time_us: int, index: int) -> None:
        """A request of a session was answered so. Raises Violation S30."""
        name = session.client_id
        silent_us = time_us - self._used_us.get(name, time_us)
        if isinstance(answer, CommandFailed) and answer.code is CommandErrorCode.SESSION_EXPIRED:
            wrong = name not in self._used_us or (name not in self._ended and silent_us < self._ttl_us)
            self._ended.add(name)
        else:
            wrong = name in self._ended or silent_us >= self._ttl_us + self._granule_us
            if not (isinstance(answer, CommandFailed) and answer.code in _UNHEARD):
                self._used_us[name] = time_us
        if wrong:
            raise Violation(
                "S30",
                "A session ends after its time of silence, not before; then its requests are refused for ever.",
                f"entry {index}, {session}, silent for {silent_us} us of {self._ttl_us}: {answer}",
            )
