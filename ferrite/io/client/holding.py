"""What a client holds while a block runs: a lease, a lock, an office."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ferrite.io.client.answers import PutAnswer
from ferrite.io.client.engine import Engine
from ferrite.io.client.transactions import Condition, Create


@dataclass(slots=True, kw_only=True, eq=False)
class Lease:
    """A lease that is kept alive. `lost` is set when it ended, or may have ended, before it was given back."""

    lease_id: int
    ttl_s: int
    lost: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, kw_only=True, eq=False)
class Lock:
    """A lock that is held. `token` is larger than every earlier holder's; `key` is this holder's own, attached to the lease."""

    token: int
    key: bytes
    lease: Lease

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lease ended: somebody else may hold the lock now."""
        return self.lease.lost

    def fence(self) -> Condition:
        """True in a transaction as long as the lock is held: `txn().if_(lock.fence()).then(...)`."""
        return Create(self.key) == self.token


@dataclass(slots=True, kw_only=True, eq=False)
class Office:
    """An election that was won. `token`, `key`, `lost` and `fence` as of a `Lock`."""

    token: int
    key: bytes
    lease: Lease
    _engine: Engine

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lease ended: somebody else may lead now."""
        return self.lease.lost

    def fence(self) -> Condition:
        """True in a transaction as long as the office is held."""
        return Create(self.key) == self.token

    async def proclaim(self, value: bytes | str, *, timeout_s: float | None = None) -> PutAnswer:
        """Change what `leader_of` and `observe` show. Raises `LeaseLost` when the office is not held any more."""
        raise NotImplementedError


def hold_lease(engine: Engine, ttl_s: int, timeout_s: float | None) -> AbstractAsyncContextManager[Lease]:
    """See `AsyncClient.lease`."""
    raise NotImplementedError


def hold_lock(
    engine: Engine, name: bytes, ttl_s: int, wait_s: float | None
) -> AbstractAsyncContextManager[Lock]:
    """See `AsyncClient.lock`."""
    raise NotImplementedError


def hold_office(
    engine: Engine, name: bytes, value: bytes, ttl_s: int, wait_s: float | None
) -> AbstractAsyncContextManager[Office]:
    """See `AsyncClient.elect`."""
    raise NotImplementedError
