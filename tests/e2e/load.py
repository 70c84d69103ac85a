"""Concurrent clients against real nodes, and the ledger of what was acknowledged.

Every client does one write after the other, half of the clients over HTTP and half over gRPC, each on every node in turn. A write
carries a session pair and is repeated, at whatever node, until it is acknowledged; only when that takes longer than `GIVE_UP_S`
is it recorded as unknown. Writes alternate between keys that occur once and a key of the client's own that it
overwrites, so that a loss shows as a missing key and a second application as a version that is too high.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import grpc
import grpc.aio

from ferrite.io.grpc.pb import kv_pb2
from tests.e2e.cluster import Node

ATTEMPT_TIMEOUT_S = 1.0
GIVE_UP_S = 60.0
PAUSE_S = 0.02
SET_PATH = "/ferrite.kv.KvService/Set"
LIST_PATH = "/ferrite.kv.KvService/ListKeys"
UNIQUE_PREFIX = "u/"
OWN_PREFIX = "own/"


@dataclass(frozen=True, slots=True)
class Write:
    """A write and its end: acknowledged at `revision`, or unknown (0). Times are monotonic seconds."""

    key: str
    value: str
    began_s: float
    ended_s: float
    revision: int
    attempts: int


@dataclass(slots=True)
class Ledger:
    """What clients know. `errors` are answers that no healthy cluster gives."""

    writes: list[Write] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    attempts: int = 0

    @property
    def acknowledged(self) -> list[Write]:
        return [write for write in self.writes if write.revision]

    @property
    def unknown(self) -> list[Write]:
        return [write for write in self.writes if not write.revision]


class Refused(Exception):
    """An attempt without an acknowledgement. `permanent`: repeating it is no use."""

    def __init__(self, detail: str, *, permanent: bool = False) -> None:
        super().__init__(detail)
        self.permanent = permanent


class Door(Protocol):
    """One protocol's way to set a key at a node."""

    async def set(self, node: Node, key: str, value: str, client_id: str, request_id: int) -> int: ...

    async def close(self) -> None: ...


class HttpDoor:
    """POST /write."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S))

    async def set(self, node: Node, key: str, value: str, client_id: str, request_id: int) -> int:
        body = {
            "Set": {"key": key, "value": value},
            "client_id": client_id,
            "request_id": request_id,
            "lowest_unacknowledged": request_id,
        }
        try:
            async with self._session.post(f"http://{node.http_addr}/write", json=body) as answer:
                found = await answer.json(content_type=None)
                if answer.status == 200:
                    revision: int = found["revision"]
                    return revision
                raise Refused(
                    f"HTTP {answer.status} {found}", permanent=answer.status in (400, 404, 409, 500)
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Refused(repr(error)) from error

    async def close(self) -> None:
        await self._session.close()


class GrpcDoor:
    """KvService.Set."""

    _PERMANENT = (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNIMPLEMENTED,
    )

    def __init__(self) -> None:
        self._channels: dict[int, grpc.aio.Channel] = {}

    def _channel(self, node: Node) -> grpc.aio.Channel:
        channel = self._channels.get(node.node_id)
        if channel is None:
            options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
            channel = self._channels[node.node_id] = grpc.aio.insecure_channel(
                node.grpc_addr, options=options
            )
        return channel

    async def set(self, node: Node, key: str, value: str, client_id: str, request_id: int) -> int:
        call = self._channel(node).unary_unary(
            SET_PATH,
            request_serializer=kv_pb2.SetRequest.SerializeToString,
            response_deserializer=kv_pb2.SetResponse.FromString,
        )
        request = kv_pb2.SetRequest(
            key=key.encode(),
            value=value.encode(),
            client_id=client_id.encode(),
            request_id=request_id,
            lowest_unacknowledged=request_id,
        )
        try:
            answer = await call(request, timeout=ATTEMPT_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            detail = f"gRPC {error.code().name} {error.details()}"
            raise Refused(detail, permanent=error.code() in self._PERMANENT) from error
        return int(answer.revision)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


class Load:
    """Clients in a thread of their own, from entering to leaving. `nodes` may grow and shrink while they run."""

    def __init__(self, nodes: Sequence[Node], *, clients: int, pause_s: float = 0.0) -> None:
        """`pause_s` is each client's rest between two writes."""
        self.nodes = list(nodes)
        self.ledger = Ledger()
        self._clients = clients
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> Ledger:
        """Let every client finish its write; returns the ledger."""
        self._stopping.set()
        self._thread.join(GIVE_UP_S + 10)
        assert not self._thread.is_alive(), "the clients do not end"
        return self.ledger

    async def _run(self) -> None:
        doors: list[Door] = [HttpDoor(), GrpcDoor()]
        try:
            await asyncio.gather(
                *(self._client(number, doors[number % 2]) for number in range(self._clients))
            )
        finally:
            for door in doors:
                await door.close()

    async def _client(self, number: int, door: Door) -> None:
        client_id = str(uuid.uuid4())
        turn = itertools.count(number)
        for request_id in itertools.count(1):
            if self._stopping.is_set():
                return
            own = request_id % 4 == 0
            key = f"{OWN_PREFIX}{client_id}" if own else f"{UNIQUE_PREFIX}{client_id}/{request_id}"
            write = await self._write(door, turn, key, f"{client_id} {request_id}", client_id, request_id)
            self.ledger.writes.append(write)
            if not write.revision:
                return  # a session goes on only after its last request's end is known
            if self._pause_s:
                await asyncio.sleep(self._pause_s)

    async def _write(
        self, door: Door, turn: itertools.count[int], key: str, value: str, client_id: str, request_id: int
    ) -> Write:
        began_s = time.monotonic()
        for attempts in itertools.count(1):
            nodes = self.nodes
            node = nodes[next(turn) % len(nodes)]
            self.ledger.attempts += 1
            try:
                revision = await door.set(node, key, value, client_id, request_id)
                return Write(key, value, began_s, time.monotonic(), revision, attempts)
            except Refused as refused:
                if refused.permanent:
                    self.ledger.errors.append(f"{key} at node {node.node_id}: {refused}")
                if refused.permanent or time.monotonic() - began_s > GIVE_UP_S:
                    return Write(key, value, began_s, time.monotonic(), 0, attempts)
                await asyncio.sleep(PAUSE_S)
        raise AssertionError("itertools.count never ends")


@dataclass(frozen=True, slots=True)
class Held:
    """A key as a node holds it."""

    value: str
    mod_revision: int
    version: int


def read_all(node: Node, prefix: str, *, linearizable: bool) -> dict[str, Held]:
    """Return every key with this prefix as `node` answers it, page by page over gRPC."""
    consistency = kv_pb2.CONSISTENCY_LINEARIZABLE if linearizable else kv_pb2.CONSISTENCY_SERIALIZABLE
    found: dict[str, Held] = {}
    with grpc.insecure_channel(node.grpc_addr) as channel:
        call = channel.unary_unary(
            LIST_PATH,
            request_serializer=kv_pb2.ListKeysRequest.SerializeToString,
            response_deserializer=kv_pb2.ListKeysResponse.FromString,
        )
        after = b""
        while True:
            request = kv_pb2.ListKeysRequest(
                prefix=prefix.encode(), limit=2000, after=after, with_values=True, consistency=consistency
            )
            page = call(request, timeout=20, wait_for_ready=True)
            for entry in page.entries:
                found[entry.key.decode()] = Held(entry.value.decode(), entry.mod_revision, entry.version)
            if not page.more:
                return found
            after = page.entries[-1].key


def faults(ledger: Ledger, held: dict[str, Held]) -> list[str]:
    """Compare what was acknowledged with what a node holds; an empty list is what must be."""
    return [
        *ledger.errors,
        *_double_revisions(ledger),
        *_unique_key_faults(ledger, held),
        *_own_key_faults(ledger, held),
    ]


def _double_revisions(ledger: Ledger) -> list[str]:
    seen: dict[int, str] = {}
    found = []
    for write in ledger.acknowledged:
        if write.revision in seen:
            found.append(f"revision {write.revision} was given to {seen[write.revision]} and to {write.key}")
        seen[write.revision] = write.key
    return found


def _unique_key_faults(ledger: Ledger, held: dict[str, Held]) -> list[str]:
    found = []
    for write in ledger.acknowledged:
        if not write.key.startswith(UNIQUE_PREFIX):
            continue
        there = held.get(write.key)
        expected = Held(write.value, write.revision, 1)
        if there is None:
            found.append(f"MISSING {write.key}, acknowledged at revision {write.revision}")
        elif there != expected:
            found.append(f"WRONG {write.key}: {there}, expected {expected}")
    written = {write.key for write in ledger.writes}
    found += [f"STRANGE {key}" for key in held if key.startswith(UNIQUE_PREFIX) and key not in written]
    return found


def _own_key_faults(ledger: Ledger, held: dict[str, Held]) -> list[str]:
    """A client overwrites its own key: as many versions as acknowledged writes, and at most the unknown ones more."""
    by_key: dict[str, list[Write]] = {}
    for write in ledger.writes:
        if write.key.startswith(OWN_PREFIX):
            by_key.setdefault(write.key, []).append(write)
    found = []
    for key, writes in by_key.items():
        sure = [write for write in writes if write.revision]
        unsure = len(writes) - len(sure)
        there = held.get(key)
        if there is None:
            found += [f"MISSING {key}, written {len(sure)} times"] if sure else []
            continue
        if not len(sure) <= there.version <= len(sure) + unsure:
            found.append(
                f"TWICE OR LOST {key}: version {there.version}, {len(sure)} acknowledged, {unsure} unknown"
            )
        last = max(sure, key=lambda write: write.revision, default=None)
        if (
            last is not None
            and not unsure
            and (there.value, there.mod_revision) != (last.value, last.revision)
        ):
            found.append(f"WRONG {key}: {there}, the last acknowledged was {last}")
    return found
