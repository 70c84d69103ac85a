"""One endpoint over HTTP: JSON calls on connections that are kept, watches as streams of lines."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any, Final

import aiohttp

from ferrite.core import kv
from ferrite.core.client import Failure
from ferrite.io.client.cluster_guard import ClusterGuard, WrongCluster
from ferrite.io.client.connection import (
    Answered,
    Done,
    Ended,
    Leader,
    Lost,
    Outcome,
    Refusal,
    StreamBroken,
    WatchPiece,
)
from ferrite.io.client.errors import FerriteError, error_of
from ferrite.io.client.http_management import CLUSTER_OPERATIONS, cluster_request, cluster_result
from ferrite.io.client.http_words import body_of, leases_result, result_of, watch_body, watch_piece
from ferrite.io.client.request import Request, WatchSpec

ANSWER_MARGIN_S: Final = 0.1
"""Kept for the answer's way back, as over gRPC."""
CONNECTIONS_MAX: Final = 100
"""To one endpoint; further calls wait for one of them."""
WATCH_SILENCE_S: Final = 30.0
"""Servers give a sign of life every 10 s."""
BACKUP_SILENCE_S: Final = 60.0
"""The next piece of a backup takes milliseconds; longer than a stall of the node's disk."""
LINE_BYTES_MAX: Final = 256 << 20
"""Of one revision of a watch: a bound against nonsense. A transaction of 128 values of 1 MiB, in base64, is below."""
RETRY_AFTER_S_MAX: Final = 60
"""A node that asks for more is asked again earlier, or another one is."""
TOO_MANY_REQUESTS: Final = 429
"""Of a node with too much work, which says how long to leave it alone. Other refusals send us to another node, at once."""
_JSON: Final = {"Content-Type": "application/json"}
_NO_ANSWER: Final = (KeyError, TypeError, ValueError, AttributeError)


class HttpConnection:
    """A pool of connections to one node."""

    def __init__(self, address: str, connect_timeout_s: float, guard: ClusterGuard) -> None:
        """`address`: host:port."""
        self._address = address
        self._guard = guard
        self._connect_timeout_s = connect_timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._verifier: aiohttp.ClientSession | None = None
        """Asks which cluster it is, before `_session` makes a new connection."""
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: Request, session: kv.Session | None, timeout_s: float, done: Done) -> None:
        """See `Connection`."""
        self._spawn(self._attempt(request, session, timeout_s, done))

    async def _attempt(
        self, request: Request, session: kv.Session | None, timeout_s: float, done: Done
    ) -> None:
        done(await self._ask(request, session, timeout_s))

    async def _ask(self, request: Request, session: kv.Session | None, timeout_s: float) -> Outcome:
        timeout_ms = max(1, int(1000 * max(timeout_s - ANSWER_MARGIN_S, timeout_s / 2)))
        operation = request.operation
        method, path, body, query = "POST", "", None, None
        if isinstance(operation, CLUSTER_OPERATIONS):
            method, path, body = cluster_request(operation, timeout_ms)
        elif isinstance(operation, kv.ListLeases):
            method, path, query = "GET", "/lease/list", {"after": str(operation.after)}
        else:
            path, body = body_of(request, session, timeout_ms)
        try:
            status, found, retry_after_us = await self._exchange(method, path, body, query, timeout_s)
        except WrongCluster as error:
            return Lost(detail=str(error), sent=False)
        except aiohttp.ClientConnectorError as error:
            return Lost(detail=f"{self._address}: {error}", sent=False)
        except aiohttp.ConnectionTimeoutError as error:
            return Lost(detail=f"{self._address}: no connection: {error}", sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Lost(detail=f"{self._address}: {error!r}", sent=True)
        except ValueError as error:
            return Lost(detail=f"{self._address}: an answer that is no JSON: {error}", sent=True)
        outcome = _outcome(operation, path, status, found, self._address)
        if isinstance(outcome, Refusal) and status == TOO_MANY_REQUESTS:
            return replace(outcome, retry_after_us=retry_after_us)
        return outcome

    async def _exchange(
        self, method: str, path: str, body: Any, query: dict[str, str] | None, timeout_s: float
    ) -> tuple[int, Any, int]:
        """Status, JSON, and what `Retry-After` asks for, in microseconds."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(timeout_s, self._connect_timeout_s))
        # As a file: the library sends what is large piece by piece.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        asked = self._open().request(
            method, path, data=data, headers=_JSON if data else {}, params=query, timeout=timeout
        )
        async with asked as answer:
            found = await answer.json(content_type=None)
            return answer.status, found, _retry_after_us(answer.headers.get("Retry-After", ""))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            watching = aiohttp.TraceConfig()
            watching.on_connection_create_start.append(self._check_cluster)
            self._session = self._new_session([watching])
        return self._session

    def _new_session(self, traces: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            f"http://{self._address}",
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            headers={"Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=traces,
        )

    async def _check_cluster(self, *_: object) -> None:
        """Called by the library just before it makes a connection. Raises `WrongCluster`."""
        if self._verifier is None:
            self._verifier = self._new_session([])
        timeout = aiohttp.ClientTimeout(total=self._connect_timeout_s)
        try:
            async with self._verifier.get("/metrics", timeout=timeout) as answer:
                found = await answer.json(content_type=None)
                self._guard.check(self._address, found["cluster_id"])
        except (aiohttp.ClientError, TimeoutError, OSError, *_NO_ANSWER) as error:
            raise WrongCluster(f"{self._address} does not say its cluster: {error!r}") from None

    async def watch(self, spec: WatchSpec) -> AsyncIterator[WatchPiece]:
        """See `Connection`."""
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._connect_timeout_s, sock_read=WATCH_SILENCE_S
        )
        headers = {"Accept": "application/x-ndjson"}
        try:
            asked = self._open().post(
                "/watch", json=watch_body(spec), timeout=timeout, headers=headers, read_bufsize=1 << 18
            )
            async with asked as answer:
                if answer.status != 200:
                    yield _ended(await answer.json(content_type=None))
                    return
                async for line in _lines(answer):
                    yield watch_piece(line)
        except WrongCluster as error:
            raise StreamBroken(str(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError, *_NO_ANSWER) as error:
            raise StreamBroken(f"{self._address}: {error!r}") from None

    async def backup(self, *, serializable: bool) -> AsyncIterator[bytes]:
        """See `Connection`. The file's own footer says whether it is whole."""
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._connect_timeout_s, sock_read=BACKUP_SILENCE_S
        )
        query = {"consistency": "serializable"} if serializable else {}
        seal = kv.SealCheck()
        try:
            async with self._open().get("/backup", params=query, timeout=timeout) as answer:
                if answer.status != 200:
                    raise _refused(await answer.json(content_type=None))
                async for data in answer.content.iter_any():
                    seal.update(data)
                    yield data
        except WrongCluster as error:
            raise StreamBroken(str(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError, *_NO_ANSWER) as error:
            raise StreamBroken(f"{self._address}: {error!r}") from None
        if not seal.whole:
            raise StreamBroken(f"{self._address}: the backup is not whole, or not the bytes that were sent")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """See `Connection`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for open_session in (self._session, self._verifier):
            if open_session is not None:
                await open_session.close()


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines; the library's own reader refuses long ones."""
    rest = bytearray()
    async for data in answer.content.iter_any():
        rest += data
        if b"\n" in data:
            *lines, last = bytes(rest).split(b"\n")
            for line in lines:
                yield line
            rest = bytearray(last)
        elif len(rest) > LINE_BYTES_MAX:
            raise ValueError(f"a line of more than {LINE_BYTES_MAX} bytes")


def _outcome(operation: object, path: str, status: int, found: Any, address: str) -> Outcome:
    try:
        if isinstance(operation, CLUSTER_OPERATIONS) and "code" not in found:
            return Answered(result=cluster_result(operation, found, status, address))
        if status != 200:
            return _refusal(found)
        if isinstance(operation, kv.ListLeases):
            return Answered(result=leases_result(found), leader=_leader(found))
        return Answered(result=result_of(path, found), leader=_leader(found))
    except _NO_ANSWER as error:
        return Lost(detail=f"{address}: HTTP {status} with an answer of another kind: {error!r}", sent=True)


def _refusal(problem: dict[str, Any]) -> Refusal:
    """A problem (RFC 9457) as Ferrite's servers have it."""
    code = problem["code"]
    return Refusal(
        code="unsupported" if code in ("not_found", "method_not_allowed") else code,
        detail=problem["detail"],
        certainly_not_applied=problem["certainly_not_applied"],
        leader=_leader(problem),
        revision=problem.get("oldest_revision", problem.get("revision", 0)),
    )


def _ended(problem: dict[str, Any]) -> WatchPiece:
    """A watch that was refused, in the words of one that ended."""
    refusal = _refusal(problem)
    revision = refusal.revision - 1 if refusal.code == "compacted" else 0
    return Ended(reason=refusal.code, detail=refusal.detail, revision=revision)


def _retry_after_us(header: str) -> int:
    """0 for the form with a date, which Ferrite's servers do not write, and for nonsense."""
    return min(int(header), RETRY_AFTER_S_MAX) * 1_000_000 if header.isascii() and header.isdigit() else 0


def _leader(found: dict[str, Any]) -> Leader | None:
    """An answer names the leader by its id, a problem with its addresses."""
    leader = found.get("leader")
    if not leader:
        return None
    if isinstance(leader, int):
        return Leader(node_id=leader)
    return Leader(node_id=leader["id"], http_addr=leader["http_addr"], grpc_addr=leader["grpc_addr"])


def _refused(problem: dict[str, Any]) -> FerriteError:
    refusal = _refusal(problem)
    return error_of(Failure(code=refusal.code, detail=refusal.detail, certainly_not_applied=True))
