"""Leases in JSON: requests to the machine's words, results to answers. Pure.

A lease's id has 63 bits, more than JavaScript's numbers: answers write it as a string of decimal digits, requests may use either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.core.kv import (
    LeaseGrantResult,
    LeaseKeepAliveResult,
    LeaseRevokeResult,
    LeaseTimeToLiveResult,
    ListLeases,
    ListLeasesResult,
)
from ferrite.io.config import LimitsConfig
from ferrite.io.http.entries import as_base64, as_text
from ferrite.io.http.fields import Encoding, JsonObject, describe, parse_lease_id
from ferrite.io.http.options import (
    READ_FIELDS,
    WRITE_FIELDS,
    ReadOptions,
    WriteOptions,
    leader_json,
    parse_read_options,
    parse_timeout,
    parse_write_options,
)
from ferrite.io.http.range_json import ChangeRequest
from ferrite.io.request_path import Answered
from ferrite.io.validation import (
    INT_MAX,
    LEASE_TTL_S_MAX,
    Invalid,
    check_lease_grant,
    check_lease_keep_alive,
    check_lease_revoke,
    check_lease_time_to_live,
    check_list_leases,
)

TTL_S_MIN: Final = -INT_MAX - 1  # what is too short is raised to the least, as in etcd
LIST_FIELDS: Final = ("after", *(name for name in READ_FIELDS if name != "encoding"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLeasesRequest:
    """What /lease/list asks for."""

    query: ListLeases
    options: ReadOptions


def parse_lease_grant(given: Any) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", ("ttl_s", "lease_id", *WRITE_FIELDS))
    ttl_s = request.integer("ttl_s", TTL_S_MIN, LEASE_TTL_S_MAX)
    return ChangeRequest(
        operation=check_lease_grant(ttl_s, request.lease("lease_id", default=0)),
        encoding=request.encoding(),
        options=parse_write_options(request),
    )


def parse_lease_revoke(given: Any) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", ("lease_id", *WRITE_FIELDS))
    return ChangeRequest(
        operation=check_lease_revoke(request.lease("lease_id")),
        encoding=request.encoding(),
        options=parse_write_options(request),
    )


def parse_lease_keep_alive(given: Any, limits: LimitsConfig) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", ("lease_ids", "timeout_ms"))
    ids = request.raw("lease_ids")
    if not isinstance(ids, list):
        raise Invalid("lease_ids", describe(ids), "an array of lease ids")
    lease_ids = [parse_lease_id(one, f"lease_ids[{position}]") for position, one in enumerate(ids)]
    return ChangeRequest(
        operation=check_lease_keep_alive(lease_ids, limits),
        encoding="utf-8",
        options=WriteOptions(session=None, timeout_ms=parse_timeout(request)),
    )


def parse_lease_time_to_live(given: Any) -> ChangeRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", ("lease_id", "with_keys", "encoding", "timeout_ms"))
    with_keys = request.boolean("with_keys", default=False)
    return ChangeRequest(
        operation=check_lease_time_to_live(request.lease("lease_id"), with_keys=with_keys),
        encoding=request.encoding(),
        options=WriteOptions(session=None, timeout_ms=parse_timeout(request)),
    )


def parse_list_leases(given: Any) -> ListLeasesRequest:
    """Raises `Invalid`."""
    request = JsonObject(given, "", LIST_FIELDS)
    return ListLeasesRequest(
        query=check_list_leases(request.lease("after", default=0)), options=parse_read_options(request)
    )


def lease_answer(request: ChangeRequest, answered: Answered) -> dict[str, Any]:
    """The answer of /lease/grant, /lease/revoke, /lease/keep-alive and /lease/time-to-live."""
    content: dict[str, Any]
    match answered.result:
        case LeaseGrantResult() as result:
            content = {"lease_id": str(result.lease_id), "ttl_s": result.ttl_s}
        case LeaseRevokeResult() as result:
            content = {"deleted": result.deleted}
        case LeaseKeepAliveResult() as result:
            content = {"ttls_s": list(result.ttls_s)}
        case LeaseTimeToLiveResult() as result:
            content = _time_to_live(result, request.encoding)
        case other:
            raise TypeError(f"the request path answered a lease's command with {type(other).__name__}")
    return {**content, "revision": result.revision, **leader_json(answered)}


def list_leases_answer(answered: Answered) -> dict[str, Any]:
    """The answer of /lease/list."""
    result = answered.result
    if not isinstance(result, ListLeasesResult):
        raise TypeError(f"the request path answered a list of leases with {type(result).__name__}")
    return {
        "lease_ids": [str(lease_id) for lease_id in result.lease_ids],
        "more": result.more,
        "revision": result.revision,
        **leader_json(answered),
    }


def _time_to_live(result: LeaseTimeToLiveResult, encoding: Encoding) -> dict[str, Any]:
    """`encoding` is there when all keys are in base64: asked for, or one of them is no text."""
    texts = [None if encoding == "base64" else as_text(key) for key in result.keys]
    found = result.remaining_us >= 0
    content: dict[str, Any] = {
        "found": found,
        "remaining_ms": result.remaining_us // 1000 if found else 0,
        "granted_ttl_s": result.granted_ttl_s,
        "keys": texts,
    }
    if encoding == "base64" or None in texts:
        content.update(encoding="base64", keys=[as_base64(key) for key in result.keys])
    return content
