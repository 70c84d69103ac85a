"""The table of codes: complete, and what a client sees for each of them."""

import grpc
import pytest

from ferrite.core import RefusalCode
from ferrite.core.kv import CommandErrorCode
from ferrite.io.grpc import status
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.grpc.status import STATUS_OF_CODE, StatusCode
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.io.request_path import CommandRejected, OutcomeUnknown, RequestError, RequestRefused
from tests.io.grpc.fakes import call, refusal, serving

_EXPECTED = {
    "not_leader": "UNAVAILABLE",
    "no_quorum": "UNAVAILABLE",
    "shutting_down": "UNAVAILABLE",
    "storage_failed": "UNAVAILABLE",
    "too_stale": "UNAVAILABLE",
    "overloaded": "RESOURCE_EXHAUSTED",
    "not_initialized": "FAILED_PRECONDITION",
    "already_initialized": "FAILED_PRECONDITION",
    "change_in_progress": "FAILED_PRECONDITION",
    "would_lose_quorum": "FAILED_PRECONDITION",
    "not_caught_up": "FAILED_PRECONDITION",
    "invalid_change": "FAILED_PRECONDITION",
    "retired_id": "FAILED_PRECONDITION",
    "unknown_member": "NOT_FOUND",
    "transfer_failed": "ABORTED",
    "too_large": "INVALID_ARGUMENT",
    "malformed": "INVALID_ARGUMENT",
    "invalid": "INVALID_ARGUMENT",
    "unsupported_version": "FAILED_PRECONDITION",
    "session_expired": "FAILED_PRECONDITION",
    "request_forgotten": "FAILED_PRECONDITION",
    "request_mismatch": "FAILED_PRECONDITION",
    "key_not_found": "NOT_FOUND",
    "lease_not_found": "NOT_FOUND",
    "lease_exists": "ALREADY_EXISTS",
    "duplicate_key": "INVALID_ARGUMENT",
    "compacted": "OUT_OF_RANGE",
    "future_revision": "OUT_OF_RANGE",
    "no_space": "RESOURCE_EXHAUSTED",
    "reply_too_large": "FAILED_PRECONDITION",
    "unknown_outcome": "DEADLINE_EXCEEDED",
    "internal": "INTERNAL",
}
_MAYBE_APPLIED = {
    "unknown_outcome",
    "internal",
    "session_expired",
    "request_forgotten",
    "reply_too_large",
}


def test_every_code_of_the_core_and_of_apply_has_a_status() -> None:
    codes = {code.value for code in RefusalCode} | {code.name.lower() for code in CommandErrorCode}
    assert codes | {"unknown_outcome", "internal"} == set(STATUS_OF_CODE)
    assert {code: found.name for code, found in STATUS_OF_CODE.items()} == _EXPECTED


def test_both_doors_agree_on_what_is_certain() -> None:
    assert {code for code in STATUS_OF_CODE if not status.certainly_not_applied(code)} == _MAYBE_APPLIED
    for code in set(STATUS_OF_CODE) & set(PROBLEM_KINDS):
        assert PROBLEM_KINDS[code].certainly_not_applied == status.certainly_not_applied(code), code


def test_status_codes_have_grpcs_names_and_numbers() -> None:
    assert {code.name: int(code) for code in StatusCode} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


def _error_of(code: str) -> RequestError:
    leader = {"leader_id": 3, "leader_http_addr": "h:1", "leader_grpc_addr": "g:1"}
    if code in ("unknown_outcome", "internal"):
        return OutcomeUnknown(code, "why", **leader)  # type: ignore[arg-type]  # a table of mixed keyword arguments
    if code in {known.value for known in RefusalCode}:
        return RequestRefused(code, "why", **leader)  # type: ignore[arg-type]  # as above
    return CommandRejected(code, "why", **leader)  # type: ignore[arg-type]  # as above


async def test_a_client_sees_status_reason_certainty_and_leader_of_every_code() -> None:
    async with serving() as served:
        for code, name in _EXPECTED.items():
            served.path.error = _error_of(code)
            async with refusal() as found:
                await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
            (seen,) = found
            assert (seen.code.name, seen.message, seen.reason) == (name, "why", code)
            assert seen.metadata == {
                "certainly_not_applied": "false" if code in _MAYBE_APPLIED else "true",
                "leader_id": "3",
                "leader_http_addr": "h:1",
                "leader_grpc_addr": "g:1",
            }
            assert (seen.retry_ms > 0) == (code == "overloaded")


async def test_the_nodes_own_advice_when_to_try_again_is_passed_on() -> None:
    async with serving() as served:
        served.path.error = RequestRefused("overloaded", "queue full", retry_after_ms=750)
        async with refusal() as found:
            await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)
    assert found[0].retry_ms == 750
    assert "leader_id" not in found[0].metadata


async def test_a_compacted_revision_is_told_with_the_oldest_that_can_be_read() -> None:
    async with serving() as served:
        served.path.error = CommandRejected("compacted", "history below 7 is gone", revision=7)
        async with refusal() as found:
            await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)
    assert (found[0].code, found[0].metadata["revision"]) == (grpc.StatusCode.OUT_OF_RANGE, "7")


@pytest.mark.parametrize(
    "kind, name, certain",
    [
        (RequestRefused, "UNAVAILABLE", "true"),
        (OutcomeUnknown, "DEADLINE_EXCEEDED", "false"),
        (CommandRejected, "FAILED_PRECONDITION", "true"),
        (RequestError, "INTERNAL", "true"),
    ],
)
async def test_a_code_of_a_later_version_still_tells_what_is_certain(
    kind: type[RequestError], name: str, certain: str
) -> None:
    error = status.of_request_error(kind("from_the_future", "why"))
    assert error.code.name == name
    async with serving() as served:
        served.path.error = kind("from_the_future", "why")
        async with refusal() as found:
            await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)
    assert (found[0].reason, found[0].metadata["certainly_not_applied"]) == ("from_the_future", certain)


async def test_an_unexpected_error_is_internal_and_leaks_nothing() -> None:
    async with serving() as served:
        served.path.error = ZeroDivisionError("secret of /some/path")
        async with refusal() as found:
            await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.INTERNAL, "internal")
        assert found[0].metadata["certainly_not_applied"] == "false"
        assert "secret" not in found[0].message

        served.path.error = None
        answer = await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
        assert answer.revision == 1


async def test_a_long_message_is_cut_rather_than_lost_with_its_trailers() -> None:
    async with serving() as served:
        served.path.error = RequestRefused("not_leader", "x" * 100_000)
        async with refusal() as found:
            await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
    assert (found[0].code, found[0].message, found[0].reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "x" * 1000,
        "not_leader",
    )
