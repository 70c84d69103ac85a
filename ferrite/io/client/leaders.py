"""Who won an election, now and from now on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from ferrite.core import kv
from ferrite.core.client import holder_of, holder_query, prefix_end, queue_prefix
from ferrite.io.client.answers import Event, KeyValue, key_value
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import Compacted
from ferrite.io.client.request import LINEARIZABLE, WatchSpec
from ferrite.io.client.watching import Watch


async def leader_of(engine: Engine, name: bytes, timeout_s: float | None) -> KeyValue | None:
    """See `AsyncClient.leader_of`."""
    holder = holder_of(await engine.read(holder_query(name), kv.RangeResult, LINEARIZABLE, timeout_s))
    return None if holder is None else key_value(holder)


async def observe(engine: Engine, name: bytes) -> AsyncIterator[KeyValue]:
    """See `AsyncClient.observe`. One holder after the other: its key is watched until it is gone, and whose key was then the
    oldest is asked at that very revision. Only where that is compacted, the present state stands for what is lost.
    """
    revision, shown = 0, (b"", 0)
    while True:
        query = replace(holder_query(name), revision=revision)
        try:
            result = await engine.read(query, kv.RangeResult, LINEARIZABLE, None)
        except Compacted:
            revision = 0
            continue
        revision = revision or result.revision
        holder = holder_of(result)
        if holder is not None and (holder.key, holder.mod_revision) != shown:
            shown = holder.key, holder.mod_revision
            yield key_value(holder)
        try:
            async with aclosing(_events(engine, _watched(name, holder, revision + 1))) as events:
                async for event in events:
                    revision = event.kv.mod_revision
                    if holder is None or event.kind == "delete":
                        break  # Somebody else's turn.
                    shown = event.kv.key, revision
                    yield event.kv
        except Compacted:
            revision = 0


def _watched(name: bytes, holder: kv.KeyValue | None, start_revision: int) -> WatchSpec:
    """The holder's key; where there is none, whoever comes first."""
    if holder is not None:
        return WatchSpec(key=holder.key, start_revision=start_revision)
    prefix = queue_prefix(name)
    return WatchSpec(key=prefix, range_end=prefix_end(prefix), start_revision=start_revision, deletes=False)


async def _events(engine: Engine, spec: WatchSpec) -> AsyncGenerator[Event, None]:
    watch = Watch(engine, spec)
    try:
        async for batch in watch:
            for event in batch.events:
                yield event
    finally:
        await watch.close()
