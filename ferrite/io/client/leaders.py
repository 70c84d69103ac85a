"""Who won an election, now and from now on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ferrite.io.client.answers import KeyValue
from ferrite.io.client.engine import Engine


async def leader_of(engine: Engine, name: bytes, timeout_s: float | None) -> KeyValue | None:
    """See `AsyncClient.leader_of`."""
    raise NotImplementedError


def observe(engine: Engine, name: bytes) -> AsyncIterator[KeyValue]:
    """See `AsyncClient.observe`."""
    raise NotImplementedError
