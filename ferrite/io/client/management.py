"""What operators ask of the cluster and its nodes."""

from __future__ import annotations

from ferrite.io.client.answers import EndpointStatus, Health, Member
from ferrite.io.client.engine import Engine


async def status(engine: Engine, endpoint: str | None, timeout_s: float | None) -> EndpointStatus:
    """See `AsyncClient.status`."""
    raise NotImplementedError


async def health(engine: Engine, endpoint: str, timeout_s: float | None) -> Health:
    """See `AsyncClient.health`."""
    raise NotImplementedError


async def members(engine: Engine, timeout_s: float | None) -> tuple[Member, ...]:
    """See `AsyncClient.members`."""
    raise NotImplementedError


async def add_learner(engine: Engine, node_id: int, addr: str, timeout_s: float | None) -> int:
    """See `AsyncClient.add_learner`."""
    raise NotImplementedError


async def promote(engine: Engine, node_id: int, timeout_s: float | None) -> int:
    """See `AsyncClient.promote`."""
    raise NotImplementedError


async def remove(engine: Engine, node_id: int, timeout_s: float | None) -> int:
    """See `AsyncClient.remove`."""
    raise NotImplementedError


async def transfer_leader(engine: Engine, target: int, timeout_s: float | None) -> int:
    """See `AsyncClient.transfer_leader`."""
    raise NotImplementedError
