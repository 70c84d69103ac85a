"""What leases need done at the door: choosing an id, and sending keep-alives of many clients together."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from ferrite.core.kv import NUMBER_MAX, CommandErrorCode, LeaseGrant, LeaseKeepAlive, Operation, Session
from ferrite.io.keep_alives import KeepAlives
from ferrite.io.request_path import Answered, CommandRejected

IDS_TRIED: Final = 3
"""Of 63 random bits: a second one that is taken by chance is as good as impossible."""

Propose = Callable[[Operation, Session | None, int | None], Awaitable[Answered]]


def cares_for(operation: Operation, session: Session | None) -> bool:
    """Say whether this command goes by `LeaseRequests.carry`."""
    if isinstance(operation, LeaseGrant):
        return not operation.lease_id
    return isinstance(operation, LeaseKeepAlive) and session is None


class LeaseRequests:
    """The commands of leases that are not proposed as they came."""

    def __init__(self, propose: Propose) -> None:
        """`propose` carries a command, with its session, within milliseconds."""
        self._propose = propose
        self._keep_alives = KeepAlives(lambda operation, timeout_ms: propose(operation, None, timeout_ms))

    async def carry(self, operation: Operation, session: Session | None, timeout_ms: int | None) -> Answered:
        """Carry a command that `cares_for` names. Raises what `propose` raises."""
        if isinstance(operation, LeaseKeepAlive):
            return await self._keep_alives.ask(operation, timeout_ms)
        assert isinstance(operation, LeaseGrant), "nothing else comes here"
        if session is not None:
            # A retry must be the same command: its id comes from the request.
            chosen = replace(operation, lease_id=lease_id_of(session))
            return await self._propose(chosen, session, timeout_ms)
        for _ in range(IDS_TRIED - 1):
            try:
                return await self._propose(_with_random_id(operation), None, timeout_ms)
            except CommandRejected as rejected:
                if rejected.code != CommandErrorCode.LEASE_EXISTS.name.lower():
                    raise
        return await self._propose(_with_random_id(operation), None, timeout_ms)


def lease_id_of(session: Session) -> int:
    """Return an id that is the same for each attempt of this request, and nobody else's."""
    digest = hashlib.sha256(b"%b/%d" % (session.client_id, session.request_id)).digest()
    return 1 + int.from_bytes(digest[:8], "big") % NUMBER_MAX


def _with_random_id(operation: LeaseGrant) -> LeaseGrant:
    return replace(operation, lease_id=1 + secrets.randbelow(NUMBER_MAX))
