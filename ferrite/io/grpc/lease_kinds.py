"""Leases as kinds: LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive, LeaseList."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import (
    LeaseGrantResult,
    LeaseKeepAliveResult,
    LeaseRevokeResult,
    LeaseTimeToLiveResult,
    ListLeasesResult,
)
from ferrite.io.grpc.kinds import HEAVY, LIGHT, Kind, Read, Settings, Write, read_of, session_of
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import (
    check_lease_grant,
    check_lease_keep_alive,
    check_lease_revoke,
    check_lease_time_to_live,
    check_list_leases,
)


def _decode_grant(request: kv_pb2.LeaseGrantRequest, _settings: Settings) -> Write:
    grant = check_lease_grant(request.ttl_s, request.lease_id)
    return Write(operation=grant, session=session_of(request))


def _encode_grant(
    result: LeaseGrantResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.LeaseGrantResponse:
    return kv_pb2.LeaseGrantResponse(
        lease_id=result.lease_id, ttl_s=result.ttl_s, revision=result.revision, leader=leader
    )


def _decode_revoke(request: kv_pb2.LeaseRevokeRequest, _settings: Settings) -> Write:
    return Write(operation=check_lease_revoke(request.lease_id), session=session_of(request))


def _encode_revoke(
    result: LeaseRevokeResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.LeaseRevokeResponse:
    return kv_pb2.LeaseRevokeResponse(deleted=result.deleted, revision=result.revision, leader=leader)


def _decode_keep_alive(request: kv_pb2.LeaseKeepAliveRequest, settings: Settings) -> Write:
    return Write(operation=check_lease_keep_alive(request.lease_ids, settings.limits))


def _encode_keep_alive(
    result: LeaseKeepAliveResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.LeaseKeepAliveResponse:
    return kv_pb2.LeaseKeepAliveResponse(ttls_s=result.ttls_s, revision=result.revision, leader=leader)


def _decode_time_to_live(request: kv_pb2.LeaseTimeToLiveRequest, _settings: Settings) -> Write:
    operation = check_lease_time_to_live(request.lease_id, with_keys=request.with_keys)
    return Write(operation=operation, weight=HEAVY if request.with_keys else LIGHT)


def _encode_time_to_live(
    result: LeaseTimeToLiveResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.LeaseTimeToLiveResponse:
    found = result.remaining_us >= 0
    return kv_pb2.LeaseTimeToLiveResponse(
        found=found,
        remaining_ms=result.remaining_us // 1000 if found else 0,
        granted_ttl_s=result.granted_ttl_s,
        keys=result.keys,
        revision=result.revision,
        leader=leader,
    )


def _decode_list(request: kv_pb2.LeaseListRequest, _settings: Settings) -> Read:
    return read_of(check_list_leases(request.after), request)


def _encode_list(
    result: ListLeasesResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.LeaseListResponse:
    return kv_pb2.LeaseListResponse(
        lease_ids=result.lease_ids, more=result.more, revision=result.revision, leader=leader
    )


LEASE_GRANT: Final = Kind(
    rpc="LeaseGrant", decode=_decode_grant, result_type=LeaseGrantResult, encode=_encode_grant
)
LEASE_REVOKE: Final = Kind(
    rpc="LeaseRevoke", decode=_decode_revoke, result_type=LeaseRevokeResult, encode=_encode_revoke
)
LEASE_KEEP_ALIVE: Final = Kind(
    rpc="LeaseKeepAlive",
    decode=_decode_keep_alive,
    result_type=LeaseKeepAliveResult,
    encode=_encode_keep_alive,
)
LEASE_TIME_TO_LIVE: Final = Kind(
    rpc="LeaseTimeToLive",
    decode=_decode_time_to_live,
    result_type=LeaseTimeToLiveResult,
    encode=_encode_time_to_live,
)
LEASE_LIST: Final = Kind(
    rpc="LeaseList", decode=_decode_list, result_type=ListLeasesResult, encode=_encode_list
)

LEASE_KINDS: Final = (LEASE_GRANT, LEASE_REVOKE, LEASE_KEEP_ALIVE, LEASE_TIME_TO_LIVE, LEASE_LIST)
