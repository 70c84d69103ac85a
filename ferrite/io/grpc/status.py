"""How a refused call looks on the wire: one table from our stable codes to gRPC's status codes, and the details that go along.

Knows nothing of the engine that sends it. The shapes are google.rpc's (Status, ErrorInfo, RetryInfo, BadRequest), so that any
client library can read them; proto/kv.proto explains them to clients.
"""

from __future__ import annotations

import enum
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtoMessage
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has stubs but no py.typed
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has stubs but no py.typed

from ferrite.core import RefusalCode
from ferrite.core.kv import CommandErrorCode
from ferrite.io.request_path import CommandRejected, OutcomeUnknown, RequestError, RequestRefused
from ferrite.io.validation import Invalid

ERROR_DOMAIN: Final = "ferrite"
DETAILS_METADATA_KEY: Final = "grpc-status-details-bin"
MESSAGE_CHARACTERS_MAX: Final = 1000  # trailers share the 16 KiB of metadata that peers accept
RETRY_AFTER_MS_DEFAULT: Final = 100  # an overloaded node that names no time: a few round trips


class StatusCode(enum.IntEnum):
    """The status codes of gRPC, by the numbers of its specification."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call that ends without an answer. `details` repeats code and message and carries what a program needs."""

    def __init__(self, code: StatusCode, message: str, details: Status | None = None) -> None:
        """`message` is for people and goes over the wire: nothing internal in it."""
        message = message[:MESSAGE_CHARACTERS_MAX]
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.details = details if details is not None else Status(code=code, message=message)


# A refusal by the core: certainly not applied. UNAVAILABLE invites a client to try again, perhaps elsewhere;
# FAILED_PRECONDITION says that trying again without changing something is pointless.
_REFUSAL_STATUS: Final[dict[RefusalCode, StatusCode]] = {
    RefusalCode.NOT_LEADER: StatusCode.UNAVAILABLE,
    RefusalCode.NO_QUORUM: StatusCode.UNAVAILABLE,
    RefusalCode.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
    RefusalCode.STORAGE_FAILED: StatusCode.UNAVAILABLE,
    RefusalCode.TOO_STALE: StatusCode.UNAVAILABLE,
    RefusalCode.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    RefusalCode.NOT_INITIALIZED: StatusCode.FAILED_PRECONDITION,
    RefusalCode.ALREADY_INITIALIZED: StatusCode.FAILED_PRECONDITION,
    RefusalCode.CHANGE_IN_PROGRESS: StatusCode.FAILED_PRECONDITION,
    RefusalCode.WOULD_LOSE_QUORUM: StatusCode.FAILED_PRECONDITION,
    RefusalCode.NOT_CAUGHT_UP: StatusCode.FAILED_PRECONDITION,
    RefusalCode.INVALID_CHANGE: StatusCode.FAILED_PRECONDITION,
    RefusalCode.RETIRED_ID: StatusCode.FAILED_PRECONDITION,
    RefusalCode.UNKNOWN_MEMBER: StatusCode.NOT_FOUND,
    RefusalCode.TRANSFER_FAILED: StatusCode.ABORTED,
    RefusalCode.TOO_LARGE: StatusCode.INVALID_ARGUMENT,
}

# Errors of apply: this attempt changed nothing. The second column: may an earlier attempt of the same request have been applied?
_COMMAND_STATUS: Final[dict[CommandErrorCode, tuple[StatusCode, bool]]] = {
    CommandErrorCode.MALFORMED: (StatusCode.INVALID_ARGUMENT, False),
    CommandErrorCode.UNSUPPORTED_VERSION: (StatusCode.FAILED_PRECONDITION, False),
    CommandErrorCode.SESSION_EXPIRED: (StatusCode.FAILED_PRECONDITION, True),
    CommandErrorCode.REQUEST_FORGOTTEN: (StatusCode.FAILED_PRECONDITION, True),
    CommandErrorCode.INVALID: (StatusCode.INVALID_ARGUMENT, False),
    CommandErrorCode.REQUEST_MISMATCH: (StatusCode.FAILED_PRECONDITION, False),
    CommandErrorCode.KEY_NOT_FOUND: (StatusCode.NOT_FOUND, False),
    CommandErrorCode.LEASE_NOT_FOUND: (StatusCode.NOT_FOUND, False),
    CommandErrorCode.LEASE_EXISTS: (StatusCode.ALREADY_EXISTS, False),
    CommandErrorCode.DUPLICATE_KEY: (StatusCode.INVALID_ARGUMENT, False),
    CommandErrorCode.COMPACTED: (StatusCode.OUT_OF_RANGE, False),
    CommandErrorCode.FUTURE_REVISION: (StatusCode.OUT_OF_RANGE, False),
    CommandErrorCode.NO_SPACE: (StatusCode.RESOURCE_EXHAUSTED, False),
    CommandErrorCode.REPLY_TOO_LARGE: (StatusCode.FAILED_PRECONDITION, True),
}

UNKNOWN_OUTCOME: Final = "unknown_outcome"
INVALID: Final = "invalid"
TOO_LARGE: Final = "too_large"
INTERNAL: Final = "internal"
OVERLOADED: Final = RefusalCode.OVERLOADED.value

STATUS_OF_CODE: Final[dict[str, StatusCode]] = {
    **{code.value: status for code, status in _REFUSAL_STATUS.items()},
    **{code.name.lower(): status for code, (status, _) in _COMMAND_STATUS.items()},
    UNKNOWN_OUTCOME: StatusCode.DEADLINE_EXCEEDED,
    INTERNAL: StatusCode.INTERNAL,
}
"""Every stable code that a client may see as `reason`, and the status it comes with."""

_MAYBE_APPLIED: Final[frozenset[str]] = frozenset(
    {
        UNKNOWN_OUTCOME,
        INTERNAL,
        *(code.name.lower() for code, (_, earlier) in _COMMAND_STATUS.items() if earlier),
    }
)


def certainly_not_applied(code: str) -> bool:
    """Has a request that ended with this code no effect, now and for ever, no earlier attempt of it included?"""
    return code not in _MAYBE_APPLIED


def of_request_error(error: RequestError) -> RpcError:
    """What the client of a refused, rejected or unanswered request sees."""
    status = STATUS_OF_CODE.get(error.code)
    if status is None:
        # A code that this version does not know yet: the class still says what is certain.
        status = _status_of_class(error)
    not_applied = not isinstance(error, OutcomeUnknown) and certainly_not_applied(error.code)
    metadata = {"certainly_not_applied": _truth(not_applied)}
    if error.leader_id:
        metadata["leader_id"] = str(error.leader_id)
        if error.leader_http_addr:
            metadata["leader_http_addr"] = error.leader_http_addr
        if error.leader_grpc_addr:
            metadata["leader_grpc_addr"] = error.leader_grpc_addr
    if error.revision:
        metadata["revision"] = str(error.revision)
    details: list[ProtoMessage] = [ErrorInfo(reason=error.code, domain=ERROR_DOMAIN, metadata=metadata)]
    if error.retry_after_ms or error.code == OVERLOADED:
        details.append(_retry_info(error.retry_after_ms or RETRY_AFTER_MS_DEFAULT))
    return _rpc_error(status, error.detail, details)


def of_invalid(error: Invalid) -> RpcError:
    """An argument that was refused at the door."""
    violation = BadRequest.FieldViolation(
        field=error.field, description=f"{error.given}; expected {error.expected}"
    )
    info = ErrorInfo(
        reason=error.code,
        domain=ERROR_DOMAIN,
        metadata={"certainly_not_applied": "true", "field": error.field},
    )
    return _rpc_error(
        StatusCode.INVALID_ARGUMENT, str(error), [info, BadRequest(field_violations=[violation])]
    )


def overloaded(detail: str) -> RpcError:
    """Refused before anything was looked at: too much is in progress."""
    return of_request_error(RequestRefused(OVERLOADED, detail))


def internal() -> RpcError:
    """An error nobody expected. What it was stands in this node's log, not on the wire."""
    detail = "an unexpected error in the server; its log has the details"
    return of_request_error(OutcomeUnknown(INTERNAL, detail))


def _status_of_class(error: RequestError) -> StatusCode:
    match error:
        case OutcomeUnknown():
            return StatusCode.DEADLINE_EXCEEDED
        case RequestRefused():
            return StatusCode.UNAVAILABLE
        case CommandRejected():
            return StatusCode.FAILED_PRECONDITION
        case _:
            return StatusCode.INTERNAL


def _rpc_error(status: StatusCode, message: str, details: list[ProtoMessage]) -> RpcError:
    packed = Status(code=status, message=message[:MESSAGE_CHARACTERS_MAX])
    for detail in details:
        packed.details.add().Pack(detail)
    return RpcError(status, message, packed)


def _retry_info(retry_after_ms: int) -> RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(retry_after_ms)
    return RetryInfo(retry_delay=delay)


def _truth(flag: bool) -> str:  # noqa: FBT001 - the only argument of a converter
    return "true" if flag else "false"
