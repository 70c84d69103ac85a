"""Requests that change the cluster, and what a status says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ferrite.io.http.cluster_json import (
    leader_answer,
    metrics_answer,
    parse_add_learner,
    parse_change_membership,
    parse_init,
    parse_remove_member,
    parse_transfer_leader,
    store_json,
)
from ferrite.io.request_path import MemberAddress
from ferrite.io.validation import Invalid
from tests.io.http.helpers import STATUS

LEARNER = {"node_id": 2, "rpc_addr": "127.0.0.1:8002", "api_addr": "127.0.0.1:8002"}


def test_init_without_members_means_the_configured_ones() -> None:
    assert parse_init(None) is None


def test_init_takes_both_spellings_of_addresses() -> None:
    members = parse_init([LEARNER, {"node_id": 1, "http_addr": "a:1", "grpc_addr": "b:2", "voting": False}])
    assert members == (
        MemberAddress(node_id=2, peer_addr="127.0.0.1:8002", http_addr="127.0.0.1:8002"),
        MemberAddress(node_id=1, http_addr="a:1", grpc_addr="b:2", voting=False),
    )


@pytest.mark.parametrize(
    "content, words",
    [
        ({}, "array of member objects"),
        ("x", "array of member objects"),
        ([[1, "127.0.0.1:8001"]], "array of member objects"),
        ([1, 2, 3], "array of member objects"),
        ([], "1 to 64 members"),
        ([LEARNER] * 65, "1 to 64 members"),
        ([LEARNER, LEARNER], "more than once"),
        ([{"node_id": 0}], "node_id"),
        ([{"node_id": True}], "node_id"),
        ([{"node_id": "1"}], "node_id"),
        ([{"nodeid": 1}], "did you mean"),
        ([{"node_id": 1, "voting": False}], "one voter at least"),
        ([{"node_id": 1, "voting": "yes"}], "true or false"),
        ([{"node_id": 1, "http_addr": "nowhere"}], "host:port"),
        ([{"node_id": 1, "http_addr": 8001}], "a string"),
        ([{"node_id": 1, "http_addr": "0.0.0.0:80"}], "wildcard"),
        ([{"node_id": 1, "http_addr": "a:1", "api_addr": "a:1"}], "given beside"),
    ],
)
def test_init_refuses_what_is_no_list_of_members(content: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_init(content)


def test_a_learner_has_an_id_and_an_address() -> None:
    request = parse_add_learner({**LEARNER, "timeout_ms": 9000})
    assert request.member == MemberAddress(node_id=2, peer_addr="127.0.0.1:8002", http_addr="127.0.0.1:8002")
    assert request.timeout_ms == 9000


@pytest.mark.parametrize(
    "content, field",
    [
        (None, "body"),
        ([LEARNER], "body"),
        ({"node_id": 2}, "rpc_addr"),
        ({"node_id": 2, "rpc_addr": ""}, "rpc_addr"),
        ({"rpc_addr": "a:1"}, "node_id"),
        ({**LEARNER, "node_id": -1}, "node_id"),
        ({**LEARNER, "node_id": 2**63}, "node_id"),
        ({**LEARNER, "voting": True}, "voting"),
        ({**LEARNER, "rpc_addr": "http://a:1/"}, "rpc_addr"),
        ({**LEARNER, "rpc_addr": "a:1\r\nX: y"}, "rpc_addr"),
        ({**LEARNER, "rpc_addr": "a:99999"}, "rpc_addr"),
    ],
)
def test_a_bad_learner_is_refused_and_the_field_named(content: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_add_learner(content)
    assert caught.value.field == field


@pytest.mark.parametrize("content", [[1, 2, 3], {"members": [1, 2, 3]}])
def test_voters_are_a_list_of_ids(content: Any) -> None:
    assert parse_change_membership(content).voters == (1, 2, 3)


@pytest.mark.parametrize(
    "content",
    [None, {}, [], 1, "123", [1, 1], [0], [-1], [True], [1.0], ["1"], [None], [2**63], [[1]], list(range(1, 66)),
     {"members": None}, {"members": [1], "force": True}],
)  # fmt: skip
def test_anything_else_is_refused(content: Any) -> None:
    with pytest.raises(Invalid):
        parse_change_membership(content)


def test_leadership_goes_to_a_node_or_to_the_best() -> None:
    assert parse_transfer_leader(None).target == 0
    assert parse_transfer_leader({}).target == 0
    assert parse_transfer_leader({"node_id": 3, "timeout_ms": 10}).target == 3


@pytest.mark.parametrize("content", [[], {"node_id": -1}, {"node_id": None}, {"target": 1}])
def test_a_bad_transfer_is_refused(content: Any) -> None:
    with pytest.raises(Invalid):
        parse_transfer_leader(content)


def test_an_unknown_leader_is_null_everywhere() -> None:
    lost = replace(STATUS, leader_id=0, role="follower", leader_http_addr="stale:1")
    assert leader_answer(lost) == {"leader": None, "http_addr": None, "grpc_addr": None, "term": 7}
    assert metrics_answer(lost)["current_leader"] is None


def test_metrics_have_the_names_that_people_grep_for() -> None:
    metrics = metrics_answer(STATUS)
    assert (metrics["state"], metrics["current_leader"], metrics["term"]) == ("leader", 1, 7)
    assert (metrics["last_log_index"], metrics["last_applied"]) == (21, 19)
    assert metrics["membership"]["voters"] == [1, 2, 3]
    assert metrics["membership"]["members"]["2"]["http_addr"] == "127.0.0.1:8002"
    assert set(metrics["replication"]) == {"2", "3"}
    assert metrics["replication"]["2"] == {
        "match_index": 18,
        "lag": 3,
        "state": "replicate",
        "reachable": True,
    }


def test_only_a_leader_knows_of_replication() -> None:
    assert metrics_answer(replace(STATUS, role="follower"))["replication"] is None


def test_a_member_to_remove_is_named_by_its_id() -> None:
    assert parse_remove_member({"node_id": 3, "timeout_ms": 10}).target == 3


@pytest.mark.parametrize(
    "content", [None, [], {}, {"node_id": 0}, {"node_id": "3"}, {"node_id": True}, {"id": 3}]
)
def test_a_member_to_remove_is_never_guessed(content: Any) -> None:
    with pytest.raises(Invalid):
        parse_remove_member(content)


def test_metrics_tell_history_space_leases_and_watches() -> None:
    answer = metrics_answer(STATUS)
    assert {name: answer[name] for name in store_json(STATUS)} == {
        "compacted_revision": 3, "size_bytes": 4096, "no_space": False, "lease_count": 2, "watchers": 5,
    }  # fmt: skip
