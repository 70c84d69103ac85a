"""What can go wrong on the HTTP face: one table from code to status, and the body that says it (RFC 9457).

A code is stable and means the same on every door. `certainly_not_applied` tells a client whether this request, or an
earlier attempt with the same session pair, may have changed anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.request_path import RequestError
from ferrite.io.validation import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """How a code is answered. `retry_after_s` 0: no `Retry-After` header unless the error brings its own."""

    status: int
    title: str
    certainly_not_applied: bool = True
    retry_after_s: int = 0


def _kind(
    status: int, title: str, *, certainly_not_applied: bool = True, retry_after_s: int = 0
) -> ProblemKind:
    return ProblemKind(
        status=status, title=title, certainly_not_applied=certainly_not_applied, retry_after_s=retry_after_s
    )


PROBLEM_KINDS: Final[dict[str, ProblemKind]] = {
    # -- refused at the door
    "invalid": _kind(400, "The request is not valid"),
    "malformed_http": _kind(400, "This is not well-formed HTTP"),
    "cross_origin": _kind(403, "Requests from web pages of other origins are refused"),
    "not_found": _kind(404, "There is no such path"),
    "method_not_allowed": _kind(405, "The path does not support this method"),
    "request_timeout": _kind(408, "The request came in too slowly"),
    "too_large": _kind(413, "The request is too large"),
    "unsupported_media_type": _kind(415, "The body is not plain JSON"),
    "expectation_failed": _kind(417, "The expectation cannot be met"),
    "wrong_host": _kind(421, "This server does not answer for that host"),
    "headers_too_large": _kind(431, "The request line or a header is too long"),
    "internal": _kind(500, "Ferrite failed; this is a bug", certainly_not_applied=False),
    "too_many_connections": _kind(503, "Too many connections", retry_after_s=1),
    # -- refused by the cluster: the contract's refusal codes, section 6
    "not_leader": _kind(503, "No leader could take the request", retry_after_s=1),
    "overloaded": _kind(429, "The node is overloaded", retry_after_s=1),
    "shutting_down": _kind(503, "The node is shutting down", retry_after_s=1),
    "not_initialized": _kind(503, "The cluster is not initialized"),
    "already_initialized": _kind(409, "The cluster is initialized already"),
    "change_in_progress": _kind(409, "A membership change is in progress"),
    "would_lose_quorum": _kind(409, "The change would lose the quorum"),
    "unknown_member": _kind(404, "There is no such member"),
    "not_caught_up": _kind(409, "The learner has not caught up"),
    "invalid_change": _kind(409, "The membership cannot change like this"),
    "retired_id": _kind(409, "The node id belongs to a removed member"),
    "transfer_failed": _kind(409, "Leadership could not be handed over"),
    "no_quorum": _kind(503, "No quorum confirmed the request in time", retry_after_s=1),
    "too_stale": _kind(503, "The node's data is older than allowed", retry_after_s=1),
    "storage_failed": _kind(503, "The node's storage failed"),
    # -- unknown: it may happen, or have happened
    "unknown_outcome": _kind(504, "The outcome is unknown", certainly_not_applied=False),
    # -- went through the log and changed nothing: the machine's error codes
    "malformed": _kind(400, "The command is malformed"),
    "unsupported_version": _kind(400, "The command's format is not supported"),
    # An earlier attempt with the same pair may have been applied; only its answer is gone.
    "session_expired": _kind(409, "The client session has expired", certainly_not_applied=False),
    "request_forgotten": _kind(
        409, "The request's answer is no longer remembered", certainly_not_applied=False
    ),
    "request_mismatch": _kind(409, "The request id was used for another request"),
    # It ran before; only its answer is gone.
    "reply_too_large": _kind(
        409, "The request was carried out, but its answer was too large to keep", certainly_not_applied=False
    ),
    "key_not_found": _kind(404, "There is no such key"),
    "lease_not_found": _kind(404, "There is no such lease"),
    "lease_exists": _kind(409, "The lease's id is in use"),
    "duplicate_key": _kind(400, "A key would be changed twice"),
    "compacted": _kind(410, "The revision is compacted"),
    "future_revision": _kind(400, "The revision is in the future"),
    "no_space": _kind(507, "The space quota is exceeded"),
}


class HttpProblem(Exception):
    """A request that is answered with a problem. `extra` are further members of the body, `allow` the methods of a 405."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        extra: dict[str, Any] | None = None,
        allow: tuple[str, ...] = (),
        close: bool = False,
    ) -> None:
        """`close`: the connection is not fit for another request."""
        super().__init__(f"{code}: {detail}")
        assert code in PROBLEM_KINDS, code
        self.code = code
        self.detail = detail
        self.extra = extra or {}
        self.allow = allow
        self.close = close


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemAnswer:
    """A problem, ready to be sent: `body` is the JSON object, `headers` come on top of the usual ones."""

    code: str
    status: int
    body: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


def problem_answer(
    code: str, detail: str, *, extra: dict[str, Any] | None = None, retry_after_ms: int = 0
) -> ProblemAnswer:
    """Build the answer for a code of the table; a code that is not in it is answered as `internal`."""
    known = code if code in PROBLEM_KINDS else "internal"
    kind = PROBLEM_KINDS[known]
    body: dict[str, Any] = {
        "type": f"urn:ferrite:problem:{known}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail if known == code else f"{code}: {detail}",
        "code": known,
        "certainly_not_applied": kind.certainly_not_applied,
        **(extra or {}),
    }
    retry_after_s = -(-retry_after_ms // 1000) or kind.retry_after_s
    headers = (("Retry-After", str(retry_after_s)),) if retry_after_s > 0 else ()
    return ProblemAnswer(code=known, status=kind.status, body=body, headers=headers)


def from_http_problem(problem: HttpProblem) -> ProblemAnswer:
    """What the door itself refused."""
    answer = problem_answer(problem.code, problem.detail, extra=problem.extra)
    if not problem.allow:
        return answer
    allow = ("Allow", ", ".join(problem.allow))
    return ProblemAnswer(
        code=answer.code, status=answer.status, body=answer.body, headers=(*answer.headers, allow)
    )


def from_invalid(error: Invalid) -> ProblemAnswer:
    """What the checks of a request's content refused."""
    extra = {"field": error.field, "given": error.given, "expected": error.expected}
    return problem_answer(error.code, str(error), extra=extra)


def from_request_error(error: RequestError) -> ProblemAnswer:
    """What the request path refused, or does not know the outcome of; names the leader when one is known, and the store's
    revision (of "compacted" the oldest one that can be read) where the machine said no.
    """
    extra: dict[str, Any] = {"leader": None}
    if error.leader_id:
        extra["leader"] = {
            "id": error.leader_id,
            "http_addr": error.leader_http_addr,
            "grpc_addr": error.leader_grpc_addr,
        }
    if error.revision:
        extra["oldest_revision" if error.code == "compacted" else "revision"] = error.revision
    return problem_answer(error.code, error.detail, extra=extra, retry_after_ms=error.retry_after_ms)
