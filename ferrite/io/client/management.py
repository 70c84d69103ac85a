"""What operators ask of the cluster and its nodes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

from ferrite.core.client import CallKind
from ferrite.io.client.answers import EndpointStatus, Health, Member
from ferrite.io.client.connection import StreamBroken
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import FerriteError, Unavailable
from ferrite.io.client.request import (
    AddLearner,
    AskHealth,
    AskStatus,
    ChangeVoters,
    ClusterOperation,
    RemoveMember,
    TransferLeader,
)


async def status(engine: Engine, endpoint: str | None, timeout_s: float | None) -> EndpointStatus:
    """See `AsyncClient.status`."""
    return await engine.manage(AskStatus(), EndpointStatus, timeout_s, endpoint=endpoint)


async def health(engine: Engine, endpoint: str, timeout_s: float | None) -> Health:
    """See `AsyncClient.health`."""
    began_s = time.monotonic()
    try:
        found = await engine.manage(AskHealth(), Health, timeout_s, endpoint=endpoint)
    except Unavailable as error:
        found = Health(endpoint=endpoint, healthy=False, problems=(str(error),))
    return replace(found, took_s=time.monotonic() - began_s)


async def members(engine: Engine, timeout_s: float | None) -> tuple[Member, ...]:
    """See `AsyncClient.members`."""
    found = await status(engine, None, timeout_s)
    leader = engine.endpoint_of(found.leader_id)
    if not found.is_leader and leader:
        try:
            found = await status(engine, leader, timeout_s)
        except FerriteError:
            return found.members  # Without the leader's view: nobody else knows how far the others are.
    return found.members


async def add_learner(engine: Engine, node_id: int, addr: str, timeout_s: float | None) -> int:
    """See `AsyncClient.add_learner`."""
    return await _change(engine, AddLearner(node_id=node_id, addr=addr), timeout_s)


async def promote(engine: Engine, node_id: int, timeout_s: float | None) -> int:
    """See `AsyncClient.promote`."""
    voters = {member.node_id for member in await members(engine, timeout_s) if member.voter}
    return await _change(engine, ChangeVoters(voters=tuple(sorted(voters | {node_id}))), timeout_s)


async def remove(engine: Engine, node_id: int, timeout_s: float | None) -> int:
    """See `AsyncClient.remove`."""
    return await _change(engine, RemoveMember(node_id=node_id), timeout_s)


async def transfer_leader(engine: Engine, target: int, timeout_s: float | None) -> int:
    """See `AsyncClient.transfer_leader`."""
    return await _change(engine, TransferLeader(target=target), timeout_s)


async def _change(engine: Engine, operation: ClusterOperation, timeout_s: float | None) -> int:
    return await engine.manage(operation, int, timeout_s, kind=CallKind.UNREPEATABLE)


async def backup(engine: Engine, endpoint: str | None, *, serializable: bool) -> AsyncIterator[bytes]:
    """See `AsyncClient.backup`."""
    _, connection = await engine.any_connection(engine.timeout_s(None), endpoint)
    try:
        async for data in connection.backup(serializable=serializable):
            yield data
    except StreamBroken as error:
        raise Unavailable(f"the backup broke off: {error}", code="unreachable") from None
