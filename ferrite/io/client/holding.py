"""What a client holds while a block runs: a lease, a lock, an office."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from ferrite.core import kv
from ferrite.core.client import Contender, Gone, Held, WaitFor
from ferrite.io.client.answers import PutAnswer, TxnAnswer, put_answer
from ferrite.io.client.engine import Engine, now_us
from ferrite.io.client.errors import FerriteError, LeaseLost, LockTimeout, Unavailable
from ferrite.io.client.keeping import Lease, LeaseKeeper
from ferrite.io.client.request import WatchSpec
from ferrite.io.client.selection import Data, as_bytes
from ferrite.io.client.transactions import Condition, Step, Transaction
from ferrite.io.client.watching import something_happens

LOOK_AGAIN_S: Final = 0.5
"""Pause of one who waits when nobody answers."""


@dataclass(slots=True, kw_only=True, eq=False)
class Lock:
    """A lock that is held. `token` is larger than every earlier holder's; `key` is this holder's own, attached to the lease."""

    token: int
    key: bytes
    lease: Lease
    _contender: Contender
    _engine: Engine

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lease ended: somebody else may hold the lock now."""
        return self.lease.lost

    def fence(self) -> Condition:
        """True in a transaction as long as the lock is held: `txn().if_(lock.fence()).then(...)`."""
        return self._contender.fence()

    async def write(self, *steps: Step, timeout_s: float | None = None) -> TxnAnswer:
        """Carry out `steps` in one transaction if the lock is still held. Raises `LeaseLost` when it is not: nothing happened."""
        return await _write_fenced(self._engine, self._contender, steps, timeout_s)


@dataclass(slots=True, kw_only=True, eq=False)
class Office:
    """An election that was won. `token`, `key`, `lost` and `fence` as of a `Lock`."""

    token: int
    key: bytes
    lease: Lease
    _contender: Contender
    _engine: Engine

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lease ended: somebody else may lead now."""
        return self.lease.lost

    def fence(self) -> Condition:
        """True in a transaction as long as the office is held."""
        return self._contender.fence()

    async def write(self, *steps: Step, timeout_s: float | None = None) -> TxnAnswer:
        """As `Lock.write`."""
        return await _write_fenced(self._engine, self._contender, steps, timeout_s)

    async def proclaim(self, value: Data, *, timeout_s: float | None = None) -> PutAnswer:
        """Change what `leader_of` and `observe` show. Raises `LeaseLost` when the office is not held any more."""
        result = await self._engine.txn(self._contender.proclaim(as_bytes(value, "value")), timeout_s)
        if not result.succeeded:
            raise _not_held(self._contender)
        (put,) = result.results
        assert isinstance(put, kv.PutResult), "a put answers a put"
        return put_answer(put)


@asynccontextmanager
async def hold_lease(
    engine: Engine, keeper: LeaseKeeper, ttl_s: int, timeout_s: float | None
) -> AsyncIterator[Lease]:
    """See `AsyncClient.lease`."""
    sent_us = now_us()
    granted = await engine.change(kv.LeaseGrant(lease_id=0, ttl_s=ttl_s), kv.LeaseGrantResult, timeout_s)
    lease = Lease(lease_id=granted.lease_id, ttl_s=granted.ttl_s)
    keeper.keep(lease, sent_us)
    try:
        yield lease
    finally:
        keeper.drop(lease)
        if not lease.lost.is_set():
            await _to_its_end(_give_back(engine, lease))


@asynccontextmanager
async def hold_lock(
    engine: Engine, keeper: LeaseKeeper, name: bytes, ttl_s: int, wait_s: float | None
) -> AsyncIterator[Lock]:
    """See `AsyncClient.lock`. The end of the lease takes the key along."""
    async with hold_lease(engine, keeper, ttl_s, None) as lease:
        contender = Contender(name, lease.lease_id)
        await _win(engine, contender, lease, wait_s)
        yield Lock(
            token=contender.token, key=contender.key, lease=lease, _contender=contender, _engine=engine
        )


@asynccontextmanager
async def hold_office(
    engine: Engine, keeper: LeaseKeeper, name: bytes, value: bytes, ttl_s: int, wait_s: float | None
) -> AsyncIterator[Office]:
    """See `AsyncClient.elect`."""
    async with hold_lease(engine, keeper, ttl_s, None) as lease:
        contender = Contender(name, lease.lease_id, value)
        await _win(engine, contender, lease, wait_s)
        yield Office(
            token=contender.token, key=contender.key, lease=lease, _contender=contender, _engine=engine
        )


async def _win(engine: Engine, contender: Contender, lease: Lease, wait_s: float | None) -> None:
    """Stand in the queue until it is our turn. Raises `LockTimeout`, `LeaseLost`."""
    deadline_s = None if wait_s is None else time.monotonic() + wait_s
    contender.entered(await engine.txn(contender.enter(), None))
    while True:
        if lease.lost.is_set():
            raise _lease_lost(contender.key)
        try:
            verdict = contender.judge(await engine.txn(contender.look(), None))
        except Unavailable:
            await _wait(asyncio.sleep(LOOK_AGAIN_S), lease, deadline_s, contender)
            continue
        match verdict:
            case Held():
                return
            case Gone():
                raise _lease_lost(contender.key)
            case WaitFor(key=key, start_revision=revision):
                spec = WatchSpec(key=key, start_revision=revision, puts=False)
                await _wait(something_happens(engine, spec), lease, deadline_s, contender)


async def _write_fenced(
    engine: Engine, contender: Contender, steps: tuple[Step, ...], timeout_s: float | None
) -> TxnAnswer:
    async def commit(transaction: Transaction[Any], timeout_s: float | None) -> TxnAnswer:
        return transaction.answer(await engine.txn(transaction.operation(), timeout_s))

    fenced = Transaction(commit).if_(contender.fence()).then(*steps)
    answer: TxnAnswer = await fenced.commit(timeout_s=timeout_s)
    if not answer.succeeded:
        raise _not_held(contender)
    return answer


async def _wait(
    awaited: Coroutine[Any, Any, None], lease: Lease, deadline_s: float | None, contender: Contender
) -> None:
    """Until it has happened, or the lease is lost. Raises `LockTimeout` at the deadline."""
    loop = asyncio.get_running_loop()
    happening, lost = loop.create_task(awaited), loop.create_task(lease.lost.wait())
    timeout_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    try:
        done, _ = await asyncio.wait(
            {happening, lost}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in (happening, lost):
            task.cancel()
        await asyncio.wait({happening, lost})
    if not done:
        raise LockTimeout(f"{contender.name!r} is held by another owner", code="lock_timeout")
    if happening in done:
        happening.result()


async def _give_back(engine: Engine, lease: Lease) -> None:
    timeout_s = min(engine.timeout_s(None), lease.ttl_s)
    # When it is gone already, or nobody answers, it ends by itself within its TTL.
    with suppress(FerriteError):
        await engine.change(kv.LeaseRevoke(lease_id=lease.lease_id), kv.LeaseRevokeResult, timeout_s)


async def _to_its_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it to its end even when we are cancelled meanwhile; then say so."""
    task = asyncio.get_running_loop().create_task(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


def _not_held(contender: Contender) -> LeaseLost:
    detail = (
        f"{contender.name!r} is not held with token {contender.token} any more: its lease ended, and somebody else may hold"
        " it; nothing was written"
    )
    return LeaseLost(detail, code="lease_lost")


def _lease_lost(key: bytes) -> LeaseLost:
    return LeaseLost(f"the lease of {key!r} ended", code="lease_lost")
