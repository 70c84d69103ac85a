"""Reading a large range page by page, all pages at one revision."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from ferrite.core import kv
from ferrite.io.client.answers import KeyValue, key_value
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import InvalidArgument
from ferrite.io.client.request import LINEARIZABLE


def scan(
    engine: Engine,
    selected: tuple[bytes, bytes],
    revision: int,
    page: int,
    timeout_s: float | None,
    *,
    keys_only: bool,
) -> AsyncIterator[KeyValue]:
    """Raises `InvalidArgument` at once, the rest on the way."""
    if page < 1:
        raise InvalidArgument(f"page: {page}; expected 1 key or more", code="invalid")
    query = kv.Range(
        key=selected[0], range_end=selected[1], limit=page, revision=revision, keys_only=keys_only
    )
    return _pages(engine, query, timeout_s)


async def _pages(engine: Engine, query: kv.Range, timeout_s: float | None) -> AsyncIterator[KeyValue]:
    while True:
        result = await engine.read(query, kv.RangeResult, LINEARIZABLE, timeout_s)
        for entry in result.entries:
            yield key_value(entry)
        if not result.more or not result.entries:
            return
        # The first page decides on the revision of all.
        query = replace(
            query, key=result.entries[-1].key + b"\x00", revision=query.revision or result.revision
        )
