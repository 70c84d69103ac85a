"""One table says what each code means on HTTP; nothing can be refused without a row in it."""

from __future__ import annotations

import pytest

from ferrite.core import RefusalCode
from ferrite.core.kv import CommandErrorCode
from ferrite.io.http.problems import (
    PROBLEM_KINDS,
    HttpProblem,
    from_http_problem,
    from_invalid,
    from_request_error,
    problem_answer,
)
from ferrite.io.request_path import CommandRejected, OutcomeUnknown, RequestRefused
from ferrite.io.validation import Invalid

STATUSES = {
    "not_leader": 503, "overloaded": 429, "shutting_down": 503, "not_initialized": 503, "already_initialized": 409,
    "change_in_progress": 409, "would_lose_quorum": 409, "unknown_member": 404, "not_caught_up": 409,
    "invalid_change": 409, "retired_id": 409, "transfer_failed": 409, "no_quorum": 503, "too_stale": 503,
    "too_large": 413, "storage_failed": 503, "malformed": 400, "unsupported_version": 400, "session_expired": 409,
    "request_forgotten": 409, "invalid": 400, "request_mismatch": 409, "unknown_outcome": 504,
    "key_not_found": 404, "lease_not_found": 404, "lease_exists": 409, "duplicate_key": 400, "compacted": 410,
    "future_revision": 400, "no_space": 507, "reply_too_large": 409,
}  # fmt: skip


@pytest.mark.parametrize(
    "code", [*(one.value for one in RefusalCode), *(one.name.lower() for one in CommandErrorCode)]
)
def test_every_code_of_the_cluster_has_its_status(code: str) -> None:
    assert PROBLEM_KINDS[code].status == STATUSES[code]
    assert from_request_error(RequestRefused(code, "why")).status == STATUSES[code]


@pytest.mark.parametrize("code", [one.value for one in RefusalCode])
def test_a_refusal_is_certainly_not_applied(code: str) -> None:
    assert from_request_error(RequestRefused(code, "why")).body["certainly_not_applied"] is True


@pytest.mark.parametrize(
    "code", ["unknown_outcome", "internal", "session_expired", "request_forgotten", "reply_too_large"]
)
def test_what_may_have_happened_is_not_called_certain(code: str) -> None:
    """A forgotten or expired session: an earlier attempt with the same pair may have been applied."""
    assert problem_answer(code, "why").body["certainly_not_applied"] is False


def test_a_time_out_and_a_refusal_are_different() -> None:
    unknown = from_request_error(OutcomeUnknown("unknown_outcome", "no answer in time"))
    assert (unknown.status, unknown.code) == (504, "unknown_outcome")


def test_the_leader_is_named_when_known() -> None:
    error = RequestRefused("not_leader", "why", leader_id=2, leader_http_addr="a:1", leader_grpc_addr="b:2")
    assert from_request_error(error).body["leader"] == {"id": 2, "http_addr": "a:1", "grpc_addr": "b:2"}
    assert from_request_error(RequestRefused("not_leader", "why")).body["leader"] is None


def test_a_compaction_names_the_oldest_revision_that_is_left() -> None:
    body = from_request_error(CommandRejected("compacted", "why", revision=7)).body
    assert body["oldest_revision"] == 7
    assert "revision" not in body


def test_a_revision_in_the_future_names_the_present_one() -> None:
    body = from_request_error(CommandRejected("future_revision", "why", revision=7)).body
    assert body["revision"] == 7
    assert "oldest_revision" not in body


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert from_request_error(RequestRefused("overloaded", "", retry_after_ms=1001)).headers == (
        ("Retry-After", "2"),
    )
    assert from_request_error(RequestRefused("overloaded", "")).headers == (("Retry-After", "1"),)
    assert from_request_error(RequestRefused("would_lose_quorum", "")).headers == ()
    assert from_request_error(CommandRejected("invalid", "")).headers == ()


def test_an_unheard_of_code_is_our_bug_and_names_itself() -> None:
    answer = problem_answer("nonsense", "why")
    assert (answer.status, answer.code) == (500, "internal")
    assert "nonsense" in answer.body["detail"]


def test_invalid_input_is_told_by_field_given_and_expected() -> None:
    body = from_invalid(Invalid("Set.key", "empty", "1 to 4096 bytes")).body
    assert (body["field"], body["given"], body["expected"]) == ("Set.key", "empty", "1 to 4096 bytes")
    assert from_invalid(Invalid("value", "9 bytes", "8", code="too_large")).status == 413


def test_a_405_says_what_is_allowed() -> None:
    answer = from_http_problem(HttpProblem("method_not_allowed", "why", allow=("GET", "HEAD")))
    assert (answer.status, answer.headers) == (405, (("Allow", "GET, HEAD"),))
