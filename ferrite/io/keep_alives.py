"""Keep-alives of many clients in one command: each would be an entry of the log, and each lease needs one every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ferrite.core.kv import LeaseKeepAlive, LeaseKeepAliveResult
from ferrite.io.request_path import Answered

GATHER_S: Final = 0.005
"""Nobody feels it, with leases that live 2 s and more."""
LEASES_MAX: Final = 1000
"""In one command: bounds the work of one entry."""

Send = Callable[[LeaseKeepAlive, int | None], Awaitable[Answered]]


@dataclass(slots=True, kw_only=True, eq=False)
class _Gathering:
    """What goes together. `places`: lease -> its place in the command."""

    answered: asyncio.Future[Answered]
    places: dict[int, int] = field(default_factory=dict)
    timeout_ms: int | None = 0


class KeepAlives:
    """Gathers for a moment, sends, and gives everybody the own part of the answer, or the same exception."""

    def __init__(self, send: Send) -> None:
        """`send` carries one command with a time-out."""
        self._send = send
        self._gathering: _Gathering | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, operation: LeaseKeepAlive, timeout_ms: int | None) -> Answered:
        """Keep these leases alive. Raises what `send` raises. The longest time-out of those that go together holds."""
        gathering = self._gathering or self._begin()
        places = gathering.places
        mine = [places.setdefault(lease_id, len(places)) for lease_id in operation.lease_ids]
        if timeout_ms is None or gathering.timeout_ms is None:
            gathering.timeout_ms = None
        else:
            gathering.timeout_ms = max(gathering.timeout_ms, timeout_ms)
        if len(places) >= LEASES_MAX:
            self._flush(gathering)
        # One who gives up must not take the answer from the others.
        answered = await asyncio.shield(gathering.answered)
        result = answered.result
        assert isinstance(result, LeaseKeepAliveResult), "keep-alives are answered with their TTLs"
        ttls = tuple(result.ttls_s[place] for place in mine)
        return Answered(
            result=LeaseKeepAliveResult(revision=result.revision, ttls_s=ttls),
            leader_id=answered.leader_id,
            leader_http_addr=answered.leader_http_addr,
            leader_grpc_addr=answered.leader_grpc_addr,
        )

    def _begin(self) -> _Gathering:
        loop = asyncio.get_running_loop()
        gathering = self._gathering = _Gathering(answered=loop.create_future())
        loop.call_later(GATHER_S, self._flush, gathering)
        return gathering

    def _flush(self, gathering: _Gathering) -> None:
        if self._gathering is not gathering:
            return  # it was full and went before its time
        self._gathering = None
        task = asyncio.get_running_loop().create_task(self._carry(gathering), name="keep-alives")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carry(self, gathering: _Gathering) -> None:
        answered = gathering.answered
        try:
            answer = await self._send(LeaseKeepAlive(lease_ids=tuple(gathering.places)), gathering.timeout_ms)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is everybody's answer
            answered.set_exception(error)
            answered.exception()  # seen, also when everybody has given up
        else:
            answered.set_result(answer)
