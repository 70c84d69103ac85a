"""Who won an election, now and from now on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ferrite.core import kv
from ferrite.core.client import holder_of, holder_query, prefix_end, queue_prefix
from ferrite.io.client.answers import KeyValue, key_value
from ferrite.io.client.engine import Engine
from ferrite.io.client.request import LINEARIZABLE, WatchSpec
from ferrite.io.client.watching import something_happens


async def leader_of(engine: Engine, name: bytes, timeout_s: float | None) -> KeyValue | None:
    """See `AsyncClient.leader_of`."""
    holder = holder_of(await engine.read(holder_query(name), kv.RangeResult, LINEARIZABLE, timeout_s))
    return None if holder is None else key_value(holder)


async def observe(engine: Engine, name: bytes) -> AsyncIterator[KeyValue]:
    """See `AsyncClient.observe`."""
    prefix = queue_prefix(name)
    shown = 0
    while True:
        result = await engine.read(holder_query(name), kv.RangeResult, LINEARIZABLE, None)
        holder = holder_of(result)
        if holder is not None and holder.mod_revision != shown:
            shown = holder.mod_revision
            yield key_value(holder)
        spec = WatchSpec(key=prefix, range_end=prefix_end(prefix), start_revision=result.revision + 1)
        await something_happens(engine, spec)
