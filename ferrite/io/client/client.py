"""`Client`: the methods of `AsyncClient` for code that is not asynchronous. An event loop in a thread of its own does the
work.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ferrite.io.client.answers import PutAnswer, TxnAnswer, WatchBatch
from ferrite.io.client.async_client import CONNECT_TIMEOUT_S, TIMEOUT_S, AsyncClient
from ferrite.io.client.selection import Data
from ferrite.io.client.settings import ProtocolName
from ferrite.io.client.transactions import Condition, Transaction

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

    lease_id: int
    ttl_s: int
    lost: threading.Event


class BlockingLock:
    """As `Lock`; `lost` is a `threading.Event`."""

    token: int
    key: bytes
    lost: threading.Event

    def fence(self) -> Condition:
        """As `Lock.fence`."""
        raise NotImplementedError


class BlockingOffice:
    """As `Office`; `lost` is a `threading.Event`."""

    token: int
    key: bytes
    lost: threading.Event

    def fence(self) -> Condition:
        """As `Office.fence`."""
        raise NotImplementedError

    def proclaim(self, value: Data, *, timeout_s: float | None = None) -> PutAnswer:
        """As `Office.proclaim`."""
        raise NotImplementedError


class BlockingWatch:
    """As `Watch`, an ordinary iterator and context manager. `close` from another thread ends a loop that waits."""

    @property
    def revision(self) -> int:
        """Everything up to it was delivered."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchBatch:
        raise NotImplementedError

    def next(self, timeout_s: float | None = None) -> WatchBatch | None:
        """The next batch; None when none came within the time."""
        raise NotImplementedError

    def close(self) -> None:
        """End the watch. May be called again."""
        raise NotImplementedError


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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, and end the thread. May be called again."""
        raise NotImplementedError

    def _wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        raise NotImplementedError

    def _walk(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        raise NotImplementedError

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
        raise NotImplementedError

    def lease(self, ttl_s: int, *, timeout_s: float | None = None) -> AbstractContextManager[BlockingLease]:
        """As `AsyncClient.lease`."""
        raise NotImplementedError

    def lock(
        self, name: Data, *, ttl_s: int = 10, wait_s: float | None = None
    ) -> AbstractContextManager[BlockingLock]:
        """As `AsyncClient.lock`."""
        raise NotImplementedError

    def elect(
        self, name: Data, value: Data = b"", *, ttl_s: int = 10, wait_s: float | None = None
    ) -> AbstractContextManager[BlockingOffice]:
        """As `AsyncClient.elect`."""
        raise NotImplementedError

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
        raise NotImplementedError
