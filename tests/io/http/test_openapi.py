"""The OpenAPI document and the running server say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import RefusalCode
from ferrite.io.http.cluster_json import (
    parse_add_learner,
    parse_change_membership,
    parse_init,
    parse_remove_member,
    parse_transfer_leader,
)
from ferrite.io.http.json_body import parse_json
from ferrite.io.http.kv_json import parse_list, parse_read, parse_write
from ferrite.io.http.lease_json import (
    parse_lease_grant,
    parse_lease_keep_alive,
    parse_lease_revoke,
    parse_lease_time_to_live,
)
from ferrite.io.http.openapi import openapi_document
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.io.http.range_json import parse_compact, parse_delete_range, parse_put, parse_range
from ferrite.io.http.txn_json import parse_txn
from ferrite.io.http.watch_json import parse_watch
from ferrite.io.request_path import OutcomeUnknown, RequestRefused
from ferrite.io.validation import Invalid
from tests.io.http.helpers import LIMITS, STATUS, FakeRequestPath, Site, serving
from tests.io.http.schema import mismatches
from tests.io.http.test_cluster_json import LEARNER
from tests.io.http.test_kv_json import BAD_READS, BAD_WRITES
from tests.io.http.test_range_json import BAD_PUTS, BAD_RANGES
from tests.io.http.test_txn_json import BAD_TXNS, COMPARE
from tests.io.http.test_watch_json import BAD_WATCHES
from tests.io.http.wire import Reply

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi_document("0.1.0", LIMITS)))
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def assert_documented(method: str, path: str, reply: Reply) -> None:
    """Status, content type and shape of an answer stand in the document."""
    responses = operation(method, path)["responses"]
    assert str(reply.status) in responses, f"{method} {path} answered {reply.status}, which is not documented"
    media_type = reply.headers["content-type"].partition(";")[0]
    content = responses[str(reply.status)]["content"]
    assert media_type in content, f"{method} {path} {reply.status} answered {media_type}"
    if media_type == "application/x-ndjson":
        for line in reply.body.splitlines():
            assert mismatches(json.loads(line), content[media_type]["schema"], DOCUMENT) == []
    elif media_type.endswith("json"):
        assert mismatches(reply.json(), content[media_type]["schema"], DOCUMENT) == []
        if media_type == "application/problem+json":
            assert f"`{reply.code}`" in responses[str(reply.status)]["description"]


async def send(site: Site, method: str, path: str, **headers: str) -> Reply:
    described = operation(method, path)
    for parameter in described.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace("{check}", parameter["schema"]["enum"][-1])
    if method == "get":
        return await site.get(f"{path}?key=k" if path == "/watch" else path, **headers)
    content = described["requestBody"]["content"]["application/json"]
    return await site.post(path, content.get("example"), **headers)


async def test_every_served_route_is_documented_and_every_documented_route_is_served() -> None:
    async with serving() as site:
        served = {(route.method.lower(), route.label) for route in site.server.handlers.routes()}
        assert served == set(OPERATIONS)
        assert (await site.get("/openapi.json")).json() == DOCUMENT


@pytest.mark.parametrize("method, path", OPERATIONS)
async def test_a_documented_request_is_answered_as_documented(method: str, path: str) -> None:
    async with serving() as site:
        reply = await send(site, method, path)
        assert reply.status == 200
        assert_documented(method, path, reply)


@pytest.mark.parametrize("method, path", OPERATIONS)
async def test_a_node_in_trouble_answers_as_documented(method: str, path: str) -> None:
    lost = replace(
        STATUS, leader_id=0, role="candidate", initialized=False, problems=("disk: full",), members=()
    )
    async with serving(FakeRequestPath(present=lost)) as site:
        assert_documented(method, path, await send(site, method, path))


@pytest.mark.parametrize("method, path", OPERATIONS)
async def test_wrong_requests_are_answered_as_documented(method: str, path: str) -> None:
    async with serving() as site:
        target = path.replace("{check}", "serving")
        assert_documented(method, path, await site.ask("PUT", target))
        assert_documented(method, path, await site.ask(method.upper(), f"{target}?nonsense=1"))
        if method == "post":
            for body in (b"[", b'"x"', b'{"unknown":1}', b" " * 2_000_000):
                assert_documented(method, path, await site.post(target, body))
            assert_documented(
                method, path, await site.ask("POST", target, b"x=1", {"Content-Type": "text/plain"})
            )
            assert_documented(method, path, await site.post(target, {}, Origin="http://evil.example"))


@pytest.mark.parametrize("method, path", [one for one in OPERATIONS if one[0] == "post"])
async def test_refusals_of_the_cluster_are_answered_as_documented(method: str, path: str) -> None:
    """What any request may meet; the codes of changes and reads are documented where they occur."""
    async with serving() as site:
        for code in (RefusalCode.NOT_LEADER, RefusalCode.OVERLOADED, RefusalCode.SHUTTING_DOWN,
                     RefusalCode.NOT_INITIALIZED, RefusalCode.STORAGE_FAILED):  # fmt: skip
            site.path.failure = RequestRefused(code.value, "why", leader_id=2)
            assert_documented(method, path, await send(site, method, path))
        if path not in ("/read", "/list", "/kv/range", "/watch"):
            site.path.failure = OutcomeUnknown("unknown_outcome", "why")
            assert_documented(method, path, await send(site, method, path))


def test_every_code_is_documented_at_some_route() -> None:
    text = json.dumps(DOCUMENT["paths"])
    assert [code for code in PROBLEM_KINDS if f"`{code}`" not in text] == []


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    names = DOCUMENT["components"]["schemas"]
    pointed = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert pointed == set(names)


GOOD_WRITES: list[Any] = [
    {"Set": {"key": "k", "value": ""}},
    {"Delete": {"key": "k"}, "encoding": "utf-8", "timeout_ms": 5},
    {
        "Batch": [{"Set": {"key": "k", "value": "v"}}],
        "client_id": "c",
        "request_id": 1,
        "lowest_unacknowledged": 1,
    },
]
TRIED: list[tuple[str, Any, list[Any]]] = [
    ("WriteRequest", lambda content: parse_write(content, LIMITS), GOOD_WRITES),
    (
        "ReadRequest",
        lambda content: parse_read(content, LIMITS),
        [{"key": "k"}, {"key": "k", "timeout_ms": 1}],
    ),
    (
        "ListRequest",
        lambda content: parse_list(content, LIMITS),
        [{}, {"prefix": "", "limit": 0}, {"limit": -1}, []],
    ),
    (
        "PutRequest",
        lambda content: parse_put(content, LIMITS),
        [
            {"key": "k", "value": ""},
            {"key": "k", "ignore_value": True, "lease": 5},
            {"key": "k", "value": "", "lease": "0"},
            {"key": "k", "ignore_value": False},
            {"key": "k", "value": "", "lease": "05"},
        ],
    ),
    (
        "RangeRequest",
        lambda content: parse_range(content, LIMITS),
        [
            {"prefix": ""},
            {"key": "a", "range_end": "b", "from_key": False},
            {"key": "a", "range_end": "b", "from_key": True},
            {"key": "a", "prefix": "b"},
            {"prefix": "a", "range_end": "b"},
            {"sort_order": "ascend"},
        ],
    ),
    ("DeleteRangeRequest", lambda content: parse_delete_range(content, LIMITS), [{"prefix": "a"}, {}]),
    ("CompactRequest", parse_compact, [{"revision": 1}, {"revision": 0}, {}]),
    (
        "TxnRequest",
        lambda content: parse_txn(content, LIMITS),
        [
            {},
            {"compares": [{**COMPARE, "target": "lease", "operand": "7"}], "success": [{"txn": {}}]},
            {"compares": [{**COMPARE, "operand": "7"}]},
            {"compares": [{**COMPARE, "target": "value", "operand": 7}]},
            {"success": [{}]},
            {"failure": [{"get": {"key": "k"}}]},
        ],
    ),
    ("LeaseGrantRequest", parse_lease_grant, [{"ttl_s": -5}, {"ttl_s": 10**18}, {"lease_id": 1}]),
    ("LeaseRevokeRequest", parse_lease_revoke, [{"lease_id": "7"}, {"lease_id": 0}, {"lease_id": "0"}, {}]),
    (
        "LeaseKeepAliveRequest",
        lambda content: parse_lease_keep_alive(content, LIMITS),
        [{"lease_ids": [7, "8"]}, {"lease_ids": []}, {"lease_ids": ["x"]}, {}],
    ),
    (
        "LeaseTimeToLiveRequest",
        parse_lease_time_to_live,
        [{"lease_id": 7, "with_keys": True}, {"lease_id": None}],
    ),
    (
        "WatchRequest",
        lambda content: parse_watch(content, LIMITS),
        [
            {"key": "k"},
            {"prefix": "", "start_revision": 5, "progress": True},
            {"key": "k", "prefix": "k"},
            {},
        ],
    ),
    ("RemoveMemberRequest", parse_remove_member, [{"node_id": 3}, {}, None]),
    ("InitRequest", parse_init, [None, [LEARNER], [], {}, "x", [1]]),
    ("AddLearnerRequest", parse_add_learner, [LEARNER, {"node_id": 2}, {}, [], None]),
    ("ChangeMembershipRequest", parse_change_membership, [[1], {"members": [2]}, [], {}, [0], [1, 1], 1]),
    ("TransferLeaderRequest", parse_transfer_leader, [None, {}, {"node_id": 0}, [], {"x": 1}]),
]
CASES = [(name, content, parse) for name, parse, contents in TRIED for content in contents]


@pytest.mark.parametrize("name, content, parse", CASES)
def test_the_parsers_accept_exactly_what_the_schemas_do(name: str, content: Any, parse: Any) -> None:
    accepted = True
    try:
        parse(parse_json(json.dumps(content).encode()))
    except Invalid:
        accepted = False
    assert accepted == (mismatches(content, DOCUMENT["components"]["schemas"][name], DOCUMENT) == [])


BEYOND_SCHEMAS = (
    "in bytes",
    "too long",
    "bad base64",
    "key twice",
    "lowest above",
    "a long client",
    "staleness of",
    "1.0",
    "to ignore",
    "2**63 as text",
    "an empty key",
    "consistency of one",
    "level too deep",
    "nothing left",
)
BAD: list[tuple[str, str, Any]] = [
    (schema, name, content)
    for schema, table in (
        ("WriteRequest", BAD_WRITES),
        ("ReadRequest", BAD_READS),
        ("PutRequest", BAD_PUTS),
        ("RangeRequest", BAD_RANGES),
        ("TxnRequest", BAD_TXNS),
        ("WatchRequest", BAD_WATCHES),
    )
    for name, (content, _) in table.items()
    if not any(word in name for word in BEYOND_SCHEMAS)
]


@pytest.mark.parametrize("schema, name, content", BAD, ids=[f"{one[0]}: {one[1]}" for one in BAD])
def test_bad_requests_do_not_fit_the_schema_either(schema: str, name: str, content: Any) -> None:
    assert mismatches(content, DOCUMENT["components"]["schemas"][schema], DOCUMENT), name
