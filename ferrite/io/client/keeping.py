"""Keeps a client's leases alive: the pure `KeepAlives` says when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ferrite.core import kv
from ferrite.core.client import KeepAlives, Renew
from ferrite.io.client.engine import Engine, now_us
from ferrite.io.client.errors import FerriteError


@dataclass(slots=True, kw_only=True, eq=False)
class Lease:
    """A lease that is kept alive. `lost` is set when it ended, or may have ended, before it was given back."""

    lease_id: int
    ttl_s: int
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class LeaseKeeper:
    """All leases of one client. Its task runs while there are any."""

    def __init__(self, engine: Engine) -> None:
        """No lease yet."""
        self._engine = engine
        self._alive = KeepAlives()
        self._leases: dict[int, Lease] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()

    def keep(self, lease: Lease, sent_us: int) -> None:
        """The lease was granted; the request for it was sent at `sent_us`."""
        self._leases[lease.lease_id] = lease
        self._alive.keep(lease.lease_id, lease.ttl_s, sent_us)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="keep leases alive")

    def drop(self, lease: Lease) -> None:
        """It is given back."""
        self._leases.pop(lease.lease_id, None)
        self._alive.drop(lease.lease_id)
        self._changed.set()

    async def _run(self) -> None:
        while self._leases:
            now = now_us()
            self._lose(self._alive.lost(now))
            renew = self._alive.due(now)
            if renew is not None:
                task = asyncio.get_running_loop().create_task(self._renew(renew), name="renew leases")
                self._renewals.add(task)
                task.add_done_callback(self._renewals.discard)
            self._changed.clear()
            delay_s = max(0, self._alive.deadline_us - now_us()) / 1_000_000
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                pass  # The time has come: that is what was waited for.

    async def _renew(self, renew: Renew) -> None:
        sent_us = now_us()
        timeout_s = max(0.05, (renew.deadline_us - sent_us) / 1_000_000)
        timeout_s = min(timeout_s, self._engine.timeout_s(None))
        operation = kv.LeaseKeepAlive(lease_ids=renew.lease_ids)
        try:
            result = await self._engine.repeatable(operation, kv.LeaseKeepAliveResult, timeout_s)
        except FerriteError:
            self._alive.failed(renew.lease_ids, now_us())
        else:
            self._lose(self._alive.renewed(renew.lease_ids, result.ttls_s, sent_us))
        self._changed.set()

    def _lose(self, lease_ids: tuple[int, ...]) -> None:
        for lease_id in lease_ids:
            lease = self._leases.pop(lease_id, None)
            if lease is not None:
                lease.lost.set()

    async def close(self) -> None:
        """Keep nothing any more: what is left is lost, in a while."""
        self._lose(tuple(self._leases))
        tasks = [*self._renewals, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
