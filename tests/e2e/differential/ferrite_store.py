"""A real Ferrite through its client library, in the machine's words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from ferrite.core import kv
from ferrite.io.client import AsyncClient, Event, FerriteError, InvalidArgument, KeyValue, Watch
from ferrite.io.client.request import LINEARIZABLE
from ferrite.io.client.settings import ProtocolName
from tests.e2e.differential.answers import SILENT, Answer, Failed, Operation, Watched

CALL_TIMEOUT_S: Final = 60.0
_RESULTS: Final[dict[type, type[Any]]] = {
    kv.Put: kv.PutResult,
    kv.DeleteRange: kv.DeleteRangeResult,
    kv.Compact: kv.CompactResult,
    kv.LeaseGrant: kv.LeaseGrantResult,
    kv.LeaseRevoke: kv.LeaseRevokeResult,
}


@dataclass(slots=True)
class _FerriteWatch:
    watch: Watch
    events: list[kv.WatchEvent] = field(default_factory=list)

    async def read(self, last_revision: int) -> Watched:
        try:
            while (self.events[-1].entry.mod_revision if self.events else 0) < last_revision:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    self.events += map(_event, (await anext(self.watch)).events)
            return Watched(tuple(self.events))
        except TimeoutError:
            return Watched(tuple(self.events), SILENT)
        except FerriteError as error:
            return Watched(tuple(self.events), error.code)
        finally:
            await self.watch.close()


class FerriteStore:
    """The client's end, below the methods that users call: these take and return the machine's words. `close` at the end."""

    def __init__(self, address: str, protocol: ProtocolName) -> None:
        """`address` is the node's gRPC or HTTP address."""
        self._client = AsyncClient(f"{protocol}://{address}", protocol=protocol, timeout_s=CALL_TIMEOUT_S)

    async def close(self) -> None:
        """End all calls."""
        await self._client.close()

    async def call(self, operation: Operation) -> Answer:
        try:
            return await self._call(operation)
        except FerriteError as error:
            return Failed(error.code, error.detail)

    async def _call(self, operation: Operation) -> Answer:
        engine = self._client._engine
        match operation:
            case kv.Range():
                return await engine.read(operation, kv.RangeResult, LINEARIZABLE, None)
            case kv.ListLeases():
                return await engine.read(operation, kv.ListLeasesResult, LINEARIZABLE, None)
            case kv.Txn():
                return await engine.txn(operation, None)
            case kv.LeaseKeepAlive():
                return await engine.repeatable(operation, kv.LeaseKeepAliveResult, None)
            case kv.LeaseTimeToLive():
                return await engine.repeatable(operation, kv.LeaseTimeToLiveResult, None)
            case kv.WatchSpec():
                raise TypeError("watches have a method of their own")
            case _:
                answer: Answer = await engine.change(operation, _RESULTS[type(operation)], None)
                return answer

    async def watch(self, spec: kv.WatchSpec) -> _FerriteWatch | Failed:
        watch = self._client.watch(
            spec.key,
            spec.range_end,
            start_revision=spec.start_revision,
            prev_kv=spec.prev_kv,
            puts=not spec.no_puts,
            deletes=not spec.no_deletes,
        )
        try:
            await watch.__aenter__()
        except FerriteError as error:
            await watch.close()
            return Failed(error.code, error.detail)
        refused = _refusal_of(watch)
        if refused is not None:
            await watch.close()
            return refused
        return _FerriteWatch(watch)


def _refusal_of(watch: Watch) -> Failed | None:
    """A watch that the server refused says so to whoever asks for its first batch."""
    asked = watch._next
    if asked is None or not asked.done():
        return None
    error = asked.exception()
    return Failed(error.code, error.detail) if isinstance(error, InvalidArgument) else None


def _event(event: Event) -> kv.WatchEvent:
    prev = None if event.prev_kv is None else _pair(event.prev_kv)
    return kv.WatchEvent(deleted=event.kind == "delete", entry=_pair(event.kv), prev=prev)


def _pair(pair: KeyValue) -> kv.KeyValue:
    return kv.KeyValue(
        key=pair.key,
        value=pair.value,
        create_revision=pair.create_revision,
        mod_revision=pair.mod_revision,
        version=pair.version,
        lease=pair.lease,
    )
