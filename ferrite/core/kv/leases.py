"""Leases: granted, kept alive and revoked by commands, ended by a Tick when the cluster time reaches their deadline."""

from __future__ import annotations

from itertools import islice
from typing import Final

from ferrite.core.kv.operations import LeaseGrant, LeaseKeepAlive, LeaseTimeToLive
from ferrite.core.kv.ranges import View
from ferrite.core.kv.records import Lease, StateCorrupt, decode_lease, encode_lease
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import (
    CommandErrorCode,
    LeaseGrantResult,
    LeaseKeepAliveResult,
    LeaseRevokeResult,
    LeaseTimeToLiveResult,
    ListLeasesResult,
)
from ferrite.core.kv.workspace import Workspace
from ferrite.core.values import ID_MAX

LEASE_TTL_MIN_S: Final = 2
"""Shorter ones are raised to it: etcd's bound with its default time-outs. A change of leader takes about as long."""
LEASE_TTL_MAX_S: Final = 9_000_000_000
"""etcd's: 285 years."""
LEASES_ENDED_TOGETHER: Final = 64
"""Most leases that one Tick ends: bounds the work of an entry. The next Tick goes on."""
LEASE_KEYS_MAX: Final = 10_000
"""Most keys that an answer about a lease names: as many as a listing."""
_SECOND_US: Final = 1_000_000


def check_lease(work: Workspace, lease_id: int) -> None:
    """Is this lease there? 0 means none and is right. Raises Refused."""
    if lease_id and _load(work, lease_id) is None:
        raise _not_found(lease_id)


def _not_found(lease_id: int) -> Refused:
    return Refused(CommandErrorCode.LEASE_NOT_FOUND, f"lease {lease_id} is not there; it ended, or never was")


def _load(work: Workspace, lease_id: int) -> Lease | None:
    if not 0 < lease_id <= ID_MAX:
        return None
    data = work.overlay.get(work.layout.lease(lease_id))
    return None if data is None else decode_lease(data)


def grant(work: Workspace, operation: LeaseGrant) -> LeaseGrantResult:
    """Make a lease. Raises Refused."""
    meta, lease_id = work.meta, operation.lease_id
    if not 0 < lease_id <= ID_MAX:
        raise Refused(CommandErrorCode.INVALID, f"lease id {lease_id}; expected 1 to {ID_MAX}")
    if operation.ttl_s > LEASE_TTL_MAX_S:
        raise Refused(CommandErrorCode.INVALID, f"a TTL of {operation.ttl_s} s; at most {LEASE_TTL_MAX_S} s")
    if _load(work, lease_id) is not None:
        raise Refused(CommandErrorCode.LEASE_EXISTS, f"lease {lease_id} is there already; choose another id")
    ttl_s = max(operation.ttl_s, LEASE_TTL_MIN_S)
    deadline_us = _store(work, lease_id, ttl_s)
    meta.lease_deadline_us = min(meta.lease_deadline_us, deadline_us) if meta.lease_count else deadline_us
    meta.lease_count += 1
    return LeaseGrantResult(revision=meta.revision, lease_id=lease_id, ttl_s=ttl_s)


def _store(work: Workspace, lease_id: int, ttl_s: int) -> int:
    """Give a lease its whole time from now; return its deadline."""
    deadline_us = work.meta.time_us + ttl_s * _SECOND_US
    work.overlay.put(work.layout.lease(lease_id), encode_lease(Lease(ttl_s, deadline_us)))
    work.overlay.put(work.layout.deadline(deadline_us, lease_id), b"")
    return deadline_us


def revoke(work: Workspace, lease_id: int) -> LeaseRevokeResult:
    """End a lease and delete its keys at one revision. Raises Refused."""
    lease = _load(work, lease_id)
    if lease is None:
        raise _not_found(lease_id)
    deleted = _end(work, lease_id, lease.deadline_us)
    return LeaseRevokeResult(revision=work.meta.revision, deleted=deleted)


def _end(work: Workspace, lease_id: int, deadline_us: int) -> int:
    """Return how many keys went with it."""
    layout, overlay, meta = work.layout, work.overlay, work.meta
    attached = list(overlay.scan(*layout.attachments(lease_id)))
    for place, _ in attached:
        key = layout.split_attachment(place)
        if work.writer.delete(key) is None:
            raise StateCorrupt(f"key {key!r} is attached to lease {lease_id}, but it is not there")
    work.writer.finish()
    overlay.delete(layout.lease(lease_id))
    overlay.delete(layout.deadline(deadline_us, lease_id))
    meta.lease_count -= 1
    if not meta.lease_count:
        meta.lease_deadline_us = 0
    return len(attached)


def keep_alive(work: Workspace, operation: LeaseKeepAlive) -> LeaseKeepAliveResult:
    """Give the leases that are there their whole time again."""
    return LeaseKeepAliveResult(
        revision=work.meta.revision,
        ttls_s=tuple(_keep_one_alive(work, lease_id) for lease_id in operation.lease_ids),
    )


def _keep_one_alive(work: Workspace, lease_id: int) -> int:
    lease = _load(work, lease_id)
    if lease is None:
        return 0
    # The bound of the next deadline stays true: deadlines only move away.
    work.overlay.delete(work.layout.deadline(lease.deadline_us, lease_id))
    _store(work, lease_id, lease.ttl_s)
    return lease.ttl_s


def time_to_live(work: Workspace, operation: LeaseTimeToLive) -> LeaseTimeToLiveResult:
    """Return a lease's remaining time; one that is due but was not ended yet has none left. Raises Refused."""
    meta, lease_id = work.meta, operation.lease_id
    lease = _load(work, lease_id)
    if lease is None:
        return LeaseTimeToLiveResult(revision=meta.revision, remaining_us=-1)
    keys: tuple[bytes, ...] = ()
    if operation.with_keys:
        attached = islice(work.overlay.scan(*work.layout.attachments(lease_id)), LEASE_KEYS_MAX + 1)
        keys = tuple(work.layout.split_attachment(place) for place, _ in attached)
        if len(keys) > LEASE_KEYS_MAX:
            raise Refused(
                CommandErrorCode.INVALID,
                f"lease {lease_id} has more than {LEASE_KEYS_MAX} keys; ask for its time without them",
            )
    return LeaseTimeToLiveResult(
        revision=meta.revision,
        remaining_us=max(0, lease.deadline_us - meta.time_us),
        granted_ttl_s=lease.ttl_s,
        keys=keys,
    )


def end_due(work: Workspace) -> None:
    """End the leases whose time is over, the first due first, each at its own revision."""
    meta, layout = work.meta, work.layout
    if not meta.lease_count or meta.time_us < meta.lease_deadline_us:
        return
    first = [
        layout.split_deadline(place)
        for place, _ in islice(work.overlay.scan(*layout.deadline_range), LEASES_ENDED_TOGETHER + 1)
    ]
    for deadline_us, lease_id in first[:LEASES_ENDED_TOGETHER]:
        if deadline_us > meta.time_us:
            meta.lease_deadline_us = deadline_us
            return
        _end(work, lease_id, deadline_us)
    if len(first) > LEASES_ENDED_TOGETHER:
        meta.lease_deadline_us = first[-1][0]


def list_leases(view: View, after: int, limit: int) -> ListLeasesResult:
    """Return one page of the leases' ids."""
    start, end = view.layout.leases_after(max(after, 0))
    found = [view.layout.split_lease(place) for place, _ in islice(view.store.scan(start, end), limit + 1)]
    return ListLeasesResult(revision=view.revision, lease_ids=tuple(found[:limit]), more=len(found) > limit)
