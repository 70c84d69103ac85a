"""Requests and answers of /lease/*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ferrite.core.kv import (
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseRevokeResult,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    ListLeases,
    ListLeasesResult,
    PutResult,
    Session,
)
from ferrite.io.http.lease_json import (
    lease_answer,
    list_leases_answer,
    parse_lease_grant,
    parse_lease_keep_alive,
    parse_lease_revoke,
    parse_lease_time_to_live,
    parse_list_leases,
)
from ferrite.io.request_path import Answered
from ferrite.io.validation import Invalid
from tests.io.http.helpers import LIMITS

LARGEST = 2**63 - 1


def test_a_grant_has_a_ttl_and_an_id_or_leaves_it_to_the_node() -> None:
    assert parse_lease_grant({"ttl_s": 60}).operation == LeaseGrant(lease_id=0, ttl_s=60)
    request = parse_lease_grant({"ttl_s": 60, "lease_id": str(LARGEST), "client_id": "c", "request_id": 2})
    assert request.operation == LeaseGrant(lease_id=LARGEST, ttl_s=60)
    assert request.options.session == Session(client_id=b"c", request_id=2)


@pytest.mark.parametrize("ttl_s", [0, -1, -(2**63)])
def test_a_ttl_that_is_too_short_is_raised_and_no_error(ttl_s: int) -> None:
    assert parse_lease_grant({"ttl_s": ttl_s}).operation == LeaseGrant(lease_id=0, ttl_s=1)


def test_leases_are_revoked_kept_alive_and_asked_about() -> None:
    assert parse_lease_revoke({"lease_id": 7}).operation == LeaseRevoke(lease_id=7)
    kept = parse_lease_keep_alive({"lease_ids": ["7", 8], "timeout_ms": 5}, LIMITS)
    assert (kept.operation, kept.options.timeout_ms) == (LeaseKeepAlive(lease_ids=(7, 8)), 5)
    asked = parse_lease_time_to_live({"lease_id": "7", "with_keys": True})
    assert asked.operation == LeaseTimeToLive(lease_id=7, with_keys=True)
    assert parse_list_leases({"after": "7"}).query == ListLeases(after=7)
    assert parse_list_leases({}).query == ListLeases()


BAD: dict[str, tuple[Callable[[Any], object], Any, str]] = {
    "no ttl": (parse_lease_grant, {}, "ttl_s"),
    "a ttl of 10**18": (parse_lease_grant, {"ttl_s": 10**18}, "ttl_s"),
    "a ttl as text": (parse_lease_grant, {"ttl_s": "60"}, "ttl_s"),
    "a ttl of 1.5": (parse_lease_grant, {"ttl_s": 1.5}, "ttl_s"),
    "a wrong name": (parse_lease_grant, {"ttl": 60}, "ttl"),
    "lease -1": (parse_lease_grant, {"ttl_s": 60, "lease_id": -1}, "lease_id"),
    "revoking none": (parse_lease_revoke, {"lease_id": 0}, "lease_id"),
    "revoking none as text": (parse_lease_revoke, {"lease_id": "0"}, "lease_id"),
    "revoking nothing": (parse_lease_revoke, {}, "lease_id"),
    "asking about none": (parse_lease_time_to_live, {"lease_id": 0}, "lease_id"),
    "asking by a list": (parse_lease_time_to_live, {"lease_id": [7]}, "lease_id"),
    "keeping no list alive": (lambda one: parse_lease_keep_alive(one, LIMITS), {"lease_ids": 7}, "lease_ids"),
    "keeping none alive": (lambda one: parse_lease_keep_alive(one, LIMITS), {"lease_ids": []}, "lease_ids"),
    "keeping 129 alive": (
        lambda one: parse_lease_keep_alive(one, LIMITS),
        {"lease_ids": [7] * 129},
        "lease_ids",
    ),
    "keeping nonsense alive": (
        lambda one: parse_lease_keep_alive(one, LIMITS),
        {"lease_ids": [7, "x"]},
        "lease_ids[1]",
    ),
    "a keep-alive in a session": (
        lambda one: parse_lease_keep_alive(one, LIMITS),
        {"lease_ids": [7], "client_id": "c"},
        "client_id",
    ),
    "listing after nonsense": (parse_list_leases, {"after": "x"}, "after"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_is_refused_and_the_field_named(name: str) -> None:
    parse, content, field = BAD[name]
    with pytest.raises(Invalid) as caught:
        parse(content)
    assert caught.value.field == field


def answer(result: Any, **request: Any) -> dict[str, Any]:
    asked = parse_lease_time_to_live({"lease_id": 7, **request})
    return lease_answer(asked, Answered(result=result, leader_id=1))


def test_ids_come_back_as_digits_that_no_client_can_round() -> None:
    granted = answer(LeaseGrantResult(revision=3, lease_id=LARGEST, ttl_s=60))
    assert granted == {"lease_id": "9223372036854775807", "ttl_s": 60, "revision": 3, "leader": 1}
    listed = list_leases_answer(
        Answered(result=ListLeasesResult(revision=3, lease_ids=(5, LARGEST), more=True), leader_id=0)
    )
    assert listed == {"lease_ids": ["5", "9223372036854775807"], "more": True, "revision": 3, "leader": None}


def test_revocations_and_keep_alives_answer_with_their_numbers() -> None:
    assert answer(LeaseRevokeResult(revision=3, deleted=2)) == {"deleted": 2, "revision": 3, "leader": 1}
    assert answer(LeaseKeepAliveResult(revision=3, ttls_s=(60, 0)))["ttls_s"] == [60, 0]


def test_a_lease_that_is_gone_is_not_found_and_no_error() -> None:
    assert answer(LeaseTimeToLiveResult(revision=3, remaining_us=-1)) == {
        "found": False, "remaining_ms": 0, "granted_ttl_s": 0, "keys": [], "revision": 3, "leader": 1,
    }  # fmt: skip


def test_remaining_time_is_whole_milliseconds_never_more_than_there_are() -> None:
    left = answer(LeaseTimeToLiveResult(revision=3, remaining_us=1_999, granted_ttl_s=60, keys=(b"k",)))
    assert (left["found"], left["remaining_ms"], left["keys"]) == (True, 1, ["k"])
    assert "encoding" not in left


def test_keys_are_all_in_base64_when_one_of_them_is_no_text() -> None:
    result = LeaseTimeToLiveResult(revision=3, remaining_us=5, granted_ttl_s=60, keys=(b"k", b"\xff"))
    left = answer(result)
    assert (left["keys"], left["encoding"]) == (["aw==", "/w=="], "base64")
    asked = answer(
        LeaseTimeToLiveResult(revision=3, remaining_us=5, granted_ttl_s=60, keys=()), encoding="base64"
    )
    assert asked["encoding"] == "base64"


def test_a_result_of_another_kind_is_a_bug_and_no_answer() -> None:
    with pytest.raises(TypeError):
        answer(PutResult(revision=1))
    with pytest.raises(TypeError):
        list_leases_answer(Answered(result=PutResult(revision=1), leader_id=1))
