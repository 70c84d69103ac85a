"""`Client`: the methods of `AsyncClient` for code that is not asynchronous. An event loop in a thread of its own does the
work.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ferrite.io.client.answers import PutAnswer, TxnAnswer, WatchBatch
from ferrite.io.client.async_client import CONNECT_TIMEOUT_S, TIMEOUT_S, AsyncClient
from ferrite.io.client.blocking import LoopThread
from ferrite.io.client.holding import Lock, Office
from ferrite.io.client.keeping import Lease
from ferrite.io.client.selection import Data
from ferrite.io.client.settings import ProtocolName
from ferrite.io.client.transactions import Condition, Step, Transaction
from ferrite.io.client.watching import Watch

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _blocking(
    method: Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[Client, _P], _T]:
    """The method that waits for a coroutine method of `AsyncClient`: same parameters, same answer, same documentation."""

    @functools.wraps(method)
    def run(self: Client, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._wait(method(self._client, *args, **kwargs))

    return run


def _iterating(
    method: Callable[Concatenate[AsyncClient, _P], AsyncIterator[_T]],
) -> Callable[Concatenate[Client, _P], Iterator[_T]]:
    """The method that walks through an async iterator of `AsyncClient`."""

    @functools.wraps(method)
    def run(self: Client, /, *args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
        return self._walk(method(self._client, *args, **kwargs))

    return run


class BlockingLease:
    """As `Lease`; `lost` is a `threading.Event`."""

    def __init__(self, lease: Lease, thread: LoopThread) -> None:
        self.lease_id = lease.lease_id
        self.ttl_s = lease.ttl_s
        self.lost = threading.Event()
        self._following = thread.start(_follow(lease.lost, self.lost))

    def forget(self) -> None:
        """It was given back: `lost` is not set any more."""
        self._following.cancel()


class BlockingLock:
    """As `Lock`; `lost` is a `threading.Event`."""

    def __init__(self, lock: Lock, thread: LoopThread) -> None:
        self.token = lock.token
        self.key = lock.key
        self.lease = BlockingLease(lock.lease, thread)
        self.lost = self.lease.lost
        self.fence: Callable[[], Condition] = lock.fence
        self._lock = lock
        self._thread = thread

    def write(self, *steps: Step, timeout_s: float | None = None) -> TxnAnswer:
        """As `Lock.write`."""
        return self._thread.wait(self._lock.write(*steps, timeout_s=timeout_s))


class BlockingOffice:
    """As `Office`; `lost` is a `threading.Event`."""

    def __init__(self, office: Office, thread: LoopThread) -> None:
        self.token = office.token
        self.key = office.key
        self.lease = BlockingLease(office.lease, thread)
        self.lost = self.lease.lost
        self.fence: Callable[[], Condition] = office.fence
        self._office = office
        self._thread = thread

    def proclaim(self, value: Data, *, timeout_s: float | None = None) -> PutAnswer:
        """As `Office.proclaim`."""
        return self._thread.wait(self._office.proclaim(value, timeout_s=timeout_s))

    def write(self, *steps: Step, timeout_s: float | None = None) -> TxnAnswer:
        """As `Office.write`."""
        return self._thread.wait(self._office.write(*steps, timeout_s=timeout_s))


class BlockingWatch:
    """As `Watch`, an ordinary iterator and context manager. `close` from another thread ends a loop that waits."""

    def __init__(self, watch: Watch, thread: LoopThread) -> None:
        self._watch = watch
        self._thread = thread

    @property
    def revision(self) -> int:
        """Everything up to it was delivered."""
        return self._watch.revision

    def __enter__(self) -> Self:
        self._thread.wait(self._watch.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchBatch:
        batch = self._thread.wait(_batch(self._watch, None))
        if batch is None:
            raise StopIteration
        return batch

    def next(self, timeout_s: float | None = None) -> WatchBatch | None:
        """The next batch; None when none came within the time, or when the watch is closed. Nothing is lost by asking in vain."""
        return self._thread.wait(_batch(self._watch, timeout_s))

    def close(self) -> None:
        """End the watch. May be called again."""
        self._thread.wait(self._watch.close())


async def _batch(watch: Watch, timeout_s: float | None) -> WatchBatch | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(watch, None)
    except TimeoutError:
        return None


async def _follow(lost: asyncio.Event, told: threading.Event) -> None:
    await lost.wait()
    told.set()


class Client:
    """`AsyncClient` for code that is not asynchronous; may be used from any thread.

        with Client("127.0.0.1:8001") as client:
            client.put("greeting", "hello")

    Parameters as of `AsyncClient`.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        protocol: ProtocolName = "auto",
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        client_id: bytes | None = None,
    ) -> None:
        self._client = AsyncClient(
            endpoints,
            protocol=protocol,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            client_id=client_id,
        )
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, and end the thread. May be called again."""
        self._thread.close(self._client.close())

    def _wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self._thread.wait(coroutine)

    def _walk(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        return self._thread.walk(items)

    put = _blocking(AsyncClient.put)
    get = _blocking(AsyncClient.get)
    range = _blocking(AsyncClient.range)
    scan = _iterating(AsyncClient.scan)
    delete = _blocking(AsyncClient.delete)
    increment = _blocking(AsyncClient.increment)
    compact = _blocking(AsyncClient.compact)
    lease_grant = _blocking(AsyncClient.lease_grant)
    lease_revoke = _blocking(AsyncClient.lease_revoke)
    lease_keep_alive = _blocking(AsyncClient.lease_keep_alive)
    lease_time_to_live = _blocking(AsyncClient.lease_time_to_live)
    leases = _blocking(AsyncClient.leases)
    leader_of = _blocking(AsyncClient.leader_of)
    observe = _iterating(AsyncClient.observe)
    endpoints = _blocking(AsyncClient.endpoints)
    status = _blocking(AsyncClient.status)
    health = _blocking(AsyncClient.health)
    members = _blocking(AsyncClient.members)
    add_learner = _blocking(AsyncClient.add_learner)
    promote = _blocking(AsyncClient.promote)
    remove = _blocking(AsyncClient.remove)
    transfer_leader = _blocking(AsyncClient.transfer_leader)
    backup = _iterating(AsyncClient.backup)

    def txn(self) -> Transaction[TxnAnswer]:
        """As `AsyncClient.txn`; `commit()` waits for the answer."""
        return Transaction(self._commit)

    def _commit(self, transaction: Transaction[TxnAnswer], timeout_s: float | None) -> TxnAnswer:
        return self._thread.wait(self._client.commit(transaction, timeout_s))

    @contextmanager
    def lease(self, ttl_s: int, *, timeout_s: float | None = None) -> Iterator[BlockingLease]:
        """As `AsyncClient.lease`."""
        with self._thread.hold(self._client.lease(ttl_s, timeout_s=timeout_s)) as lease:
            held = BlockingLease(lease, self._thread)
            try:
                yield held
            finally:
                held.forget()

    @contextmanager
    def lock(self, name: Data, *, ttl_s: int = 10, wait_s: float | None = None) -> Iterator[BlockingLock]:
        """As `AsyncClient.lock`."""
        with self._thread.hold(self._client.lock(name, ttl_s=ttl_s, wait_s=wait_s)) as lock:
            held = BlockingLock(lock, self._thread)
            try:
                yield held
            finally:
                held.lease.forget()

    @contextmanager
    def elect(
        self, name: Data, value: Data = b"", *, ttl_s: int = 10, wait_s: float | None = None
    ) -> Iterator[BlockingOffice]:
        """As `AsyncClient.elect`."""
        with self._thread.hold(self._client.elect(name, value, ttl_s=ttl_s, wait_s=wait_s)) as office:
            held = BlockingOffice(office, self._thread)
            try:
                yield held
            finally:
                held.lease.forget()

    def watch(
        self,
        key: Data = b"",
        range_end: Data = b"",
        *,
        prefix: Data | None = None,
        from_key: bool = False,
        start_revision: int = 0,
        prev_kv: bool = False,
        puts: bool = True,
        deletes: bool = True,
        progress: bool = False,
    ) -> BlockingWatch:
        """As `AsyncClient.watch`."""
        watch = self._client.watch(
            key,
            range_end,
            prefix=prefix,
            from_key=from_key,
            start_revision=start_revision,
            prev_kv=prev_kv,
            puts=puts,
            deletes=deletes,
            progress=progress,
        )
        return BlockingWatch(watch, self._thread)
