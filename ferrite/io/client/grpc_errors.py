"""From a gRPC status to what it means for an attempt (proto/kv.proto, "Errors")."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has stubs but no py.typed
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed
from grpc import aio

from ferrite.io.client.connection import Leader, Lost, Outcome, Refusal

_DETAILS_KEY: Final = "grpc-status-details-bin"
_DOMAIN: Final = "ferrite"
_UNIMPLEMENTED: Final = grpc.StatusCode.UNIMPLEMENTED.value[0]
_RESOURCE_EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


def outcome_of_rpc(error: aio.AioRpcError) -> Outcome:
    """What a failed RPC means."""
    details = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY, b"")
    raw = details if isinstance(details, bytes) else details.encode()
    return outcome_of_status(error.code().value[0], error.details() or error.code().name, raw)


def outcome_of_status(code: int, message: str, details: bytes) -> Outcome:
    """What a status means. Without Ferrite's own details it is the transport's word, and says nothing of the request's fate."""
    info, retry_after_us = _info(details)
    if info is not None:
        return Refusal(
            code=info.reason,
            detail=message,
            certainly_not_applied=info.metadata.get("certainly_not_applied") == "true",
            leader=_leader(info),
            retry_after_us=retry_after_us,
            revision=int(info.metadata.get("revision", "0")),
        )
    if code == _UNIMPLEMENTED:
        return Refusal(code="unsupported", detail=message, certainly_not_applied=True)
    if code == _RESOURCE_EXHAUSTED:  # A message over the limit of either side: trying again is no use.
        return Refusal(code="too_large", detail=message, certainly_not_applied=False)
    return Lost(detail=message, sent=True)


def _info(details: bytes) -> tuple[ErrorInfo | None, int]:
    status, info, retry = Status(), ErrorInfo(), RetryInfo()
    try:
        status.ParseFromString(details)
    except DecodeError:
        return None, 0
    found, retry_after_us = None, 0
    for detail in status.details:
        if detail.Unpack(info) and info.domain == _DOMAIN:
            found = info
        elif detail.Unpack(retry):
            retry_after_us = retry.retry_delay.ToMicroseconds()
    return found, retry_after_us


def _leader(info: ErrorInfo) -> Leader | None:
    node_id = info.metadata.get("leader_id", "")
    if not node_id:
        return None
    return Leader(
        node_id=int(node_id),
        http_addr=info.metadata.get("leader_http_addr", ""),
        grpc_addr=info.metadata.get("leader_grpc_addr", ""),
    )
