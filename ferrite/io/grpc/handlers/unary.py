"""One call, one operation."""

from __future__ import annotations

import functools
from collections.abc import Callable

from google.protobuf.message import Message as ProtoMessage

from ferrite.io.grpc.kinds import Kind, Settings, Write
from ferrite.io.grpc.service import CallContext, timeout_ms
from ferrite.io.request_path import Answered, PipelinedPath, RequestError


class UnaryHandler:
    """The handler of the RPC that does nothing but this operation, as a coroutine or, without a task, by `begin`."""

    def __init__(self, kind: Kind, path: PipelinedPath, settings: Settings) -> None:
        """Operations go to `path`."""
        self._kind = kind
        self._path = path
        self._settings = settings

    async def __call__(self, request: ProtoMessage, context: CallContext) -> bytes:
        """Answer a call."""
        asked = self._kind.decode(request, self._settings)
        allowed_ms = timeout_ms(context, self._settings.timeout_ms_max)
        if isinstance(asked, Write):
            answered = await self._path.write(asked.operation, session=asked.session, timeout_ms=allowed_ms)
        else:
            answered = await self._path.read(
                asked.query,
                consistency=asked.consistency,
                max_staleness_ms=asked.max_staleness_ms,
                timeout_ms=allowed_ms,
            )
        return self._kind.answer(answered, self._settings)

    def begin(
        self, request: ProtoMessage, context: CallContext, done: Callable[[bytes | Exception], None]
    ) -> None:
        """Answer a call by calling `done`."""
        asked = self._kind.decode(request, self._settings)
        allowed_ms = timeout_ms(context, self._settings.timeout_ms_max)
        answer = functools.partial(self._answer, done)
        if isinstance(asked, Write):
            self._path.begin_write(asked.operation, answer, session=asked.session, timeout_ms=allowed_ms)
        else:
            self._path.begin_read(
                asked.query,
                answer,
                consistency=asked.consistency,
                max_staleness_ms=asked.max_staleness_ms,
                timeout_ms=allowed_ms,
            )

    def _answer(self, done: Callable[[bytes | Exception], None], outcome: Answered | RequestError) -> None:
        if isinstance(outcome, Exception):
            done(outcome)
            return
        try:
            data = self._kind.answer(outcome, self._settings)
        except Exception as error:  # noqa: BLE001 - it becomes the call's outcome, and a log line when nobody expected it
            done(error)
        else:
            done(data)
