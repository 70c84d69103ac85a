"""Checks of what is asked of leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ferrite.core.kv import LeaseGrant, LeaseKeepAlive, LeaseRevoke, LeaseTimeToLive, ListLeases
from ferrite.io.config.model import LimitsConfig
from ferrite.io.validation.basics import INT_MAX, Invalid, check_int

LEASE_TTL_S_MAX: Final = 9_000_000_000
"""etcd's: 285 years, and far from any overflow."""


def check_lease_grant(ttl_s: int, lease_id: int = 0) -> LeaseGrant:
    """A new lease; id 0: the node chooses one. What is too short or negative is raised to the least, as in etcd."""
    return LeaseGrant(
        lease_id=check_int("lease_id", lease_id, 0, INT_MAX),
        ttl_s=max(1, check_int("ttl_s", ttl_s, -INT_MAX - 1, LEASE_TTL_S_MAX)),
    )


def check_lease_revoke(lease_id: int) -> LeaseRevoke:
    """A lease to end."""
    return LeaseRevoke(lease_id=_check_lease_id("lease_id", lease_id))


def check_lease_keep_alive(lease_ids: Sequence[int], limits: LimitsConfig) -> LeaseKeepAlive:
    """Leases to keep alive; the same one twice is harmless."""
    if not 1 <= len(lease_ids) <= limits.batch_operations_max:
        raise Invalid("lease_ids", f"{len(lease_ids)} ids", f"1 to {limits.batch_operations_max}")
    return LeaseKeepAlive(
        lease_ids=tuple(
            _check_lease_id(f"lease_ids[{position}]", lease_id) for position, lease_id in enumerate(lease_ids)
        )
    )


def check_lease_time_to_live(lease_id: int, *, with_keys: bool = False) -> LeaseTimeToLive:
    """A lease to ask about."""
    return LeaseTimeToLive(lease_id=_check_lease_id("lease_id", lease_id), with_keys=with_keys)


def check_list_leases(after: int = 0) -> ListLeases:
    """A page of leases; `after` is the last id of the page before."""
    return ListLeases(after=check_int("after", after, 0, INT_MAX))


def _check_lease_id(field: str, lease_id: int) -> int:
    return check_int(field, lease_id, 1, INT_MAX)
