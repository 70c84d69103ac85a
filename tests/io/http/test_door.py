"""The door without an engine: paths, methods, hosts, origins, queries and content types."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from typing import Any

import pytest

from ferrite.io.http.door import Admitted, Door
from ferrite.io.http.exchange import HttpAnswer, RequestHead
from ferrite.io.http.handlers import Handlers
from ferrite.io.http.held_bytes import HeldBytes
from ferrite.io.http.metrics import node_registry
from ferrite.io.http.quiet_log import QuietLog
from tests.io.http.helpers import IDENTITY, LIMITS, SETTINGS, FakeRequestPath

LOOPBACK = replace(SETTINGS, allowed_hosts=frozenset({"127.0.0.1", "node1.example.org"}))


def door(settings: Any = SETTINGS) -> Door:
    path = FakeRequestPath()
    registry, metrics = node_registry(path.status)
    handlers = Handlers(path, LIMITS, lambda: IDENTITY, registry)
    return Door(
        handlers.routes(), settings, metrics, QuietLog(logging.getLogger("test.door"), time.monotonic)
    )


def head(method: str, target: str, *, has_body: bool = False, **headers: str) -> RequestHead:
    named = {name.replace("_", "-").lower(): content for name, content in headers.items()}
    return RequestHead(
        method=method, target=target, headers={"host": "127.0.0.1", **named}, has_body=has_body
    )


def refusal(outcome: Admitted | HttpAnswer) -> tuple[int, str]:
    assert isinstance(outcome, HttpAnswer), outcome
    return outcome.status, json.loads(outcome.body)["code"]


def admitted(outcome: Admitted | HttpAnswer) -> Admitted:
    assert isinstance(outcome, Admitted), outcome
    return outcome


@pytest.mark.parametrize(
    "target",
    [
        "/nowhere", "/WRITE", "/Write", "//write", "/./write", "/../write", "/x/../write", "/write/", "/write//",
        "/%77rite", "/write%2f", "/write%00", "/%ff", "/%25ff", "/write;a=b", "/readyz/", "/readyz/leader/x",
        "/metrics/prometheus/", "/livez/%73erving/..", "", "write", "*", "a:1", "ftp://h/write", "http:/write",
        "/\udcff", "/wr\u00edte", "/" + "a" * 8000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_the_exact_path_is_the_path(method: str, target: str) -> None:
    assert refusal(door().admit(head(method, target))) == (404, "not_found")


def test_a_near_path_is_suggested_and_nothing_of_the_clients_is_echoed() -> None:
    answer = door().admit(head("POST", "/wirte"))
    assert isinstance(answer, HttpAnswer)
    assert 'did you mean "/write"?' in json.loads(answer.body)["detail"]
    assert b"wirte" not in answer.body


@pytest.mark.parametrize(
    "method, target, allow",
    [
        ("GET", "/write", "POST"), ("PUT", "/write", "POST"), ("HEAD", "/write", "POST"), ("OPTIONS", "/write", "POST"),
        ("POST", "/health", "GET, HEAD"), ("DELETE", "/metrics", "GET, HEAD"), ("TRACE", "/", "GET, HEAD"),
        ("get", "/health", "GET, HEAD"), ("POST", "/readyz/leader", "GET, HEAD"), ("BREW", "/init", "POST"),
    ],
)  # fmt: skip
def test_another_method_is_refused_with_those_that_work(method: str, target: str, allow: str) -> None:
    answer = door().admit(head(method, target))
    assert refusal(answer) == (405, "method_not_allowed")
    assert isinstance(answer, HttpAnswer)
    assert ("Allow", allow) in answer.headers


@pytest.mark.parametrize(
    "target", ["/health", "/", "/readyz/leader", "http://127.0.0.1:8001/health", "HTTP://h/"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_gets_are_admitted_also_as_head_and_in_absolute_form(method: str, target: str) -> None:
    assert admitted(door().admit(head(method, target))).route.method == "GET"


@pytest.mark.parametrize(
    "target, code",
    [
        ("/health?x=1", "invalid"), ("/write?timeout_ms=5", "invalid"), ("/readyz?exclud=leader", "invalid"),
        ("/readyz/leader?exclude=leader", "invalid"), ("/readyz?" + "&".join(["verbose"] * 100), "invalid"),
        ("/readyz?%ff=1", "invalid"), ("/metrics?\udcff", "invalid"),
    ],
)  # fmt: skip
def test_unknown_query_parameters_are_refused(target: str, code: str) -> None:
    method = "POST" if target.startswith("/write") else "GET"
    assert refusal(door().admit(head(method, target))) == (400, code)


def test_repeated_query_parameters_all_count() -> None:
    query = admitted(door().admit(head("GET", "/readyz?verbose&exclude=disk&exclude=leader"))).query
    assert query == {"verbose": ("",), "exclude": ("disk", "leader")}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8001", "[::1]:8001", "localhost", "LocalHost:80", "a.localhost", "node1.example.org:1",
     "NODE1.example.org.", "10.1.2.3"],
)  # fmt: skip
def test_our_own_names_and_any_address_are_accepted_as_host(host: str) -> None:
    admitted(door(LOOPBACK).admit(head("GET", "/health", host=host)))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8001", "localhost.evil.example", "127.0.0.1.evil.example", "node1.example.org,evil",
     "", "[::1", "127.0.0.1:80:90", "127.0.0.1@evil", "\udcff", "localhost:x"],
)  # fmt: skip
def test_other_names_are_refused_on_loopback_against_dns_rebinding(host: str) -> None:
    assert refusal(door(LOOPBACK).admit(head("POST", "/write", host=host))) == (421, "wrong_host")


def test_in_absolute_form_the_targets_authority_is_the_host() -> None:
    assert refusal(door(LOOPBACK).admit(head("GET", "http://evil.example/health"))) == (421, "wrong_host")


def test_off_loopback_any_name_is_accepted() -> None:
    admitted(door().admit(head("GET", "/health", host="kv.internal.example")))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://127.0.0.1.evil", "127.0.0.1"])
def test_a_web_page_of_another_origin_may_not_write(origin: str) -> None:
    outcome = door().admit(head("POST", "/init", origin=origin))
    assert refusal(outcome) == (403, "cross_origin")


def test_a_page_of_our_own_may() -> None:
    admitted(door().admit(head("POST", "/init", host="127.0.0.1:8001", origin="http://127.0.0.1:8001")))


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx",
     "application/json; charset=utf-16", "application/json; charset=latin-1", "", "*/*", "application/json, text/plain"],
)  # fmt: skip
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    outcome = door().admit(head("POST", "/write", has_body=True, content_type=content_type))
    assert refusal(outcome) == (415, "unsupported_media_type")
    assert isinstance(outcome, HttpAnswer)
    assert outcome.close, "the body was not read"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', None],
)
def test_json_is_accepted_and_so_is_a_missing_type(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content_type": content_type}
    admitted(door().admit(head("POST", "/write", has_body=True, **headers)))


def test_a_get_has_no_body() -> None:
    assert refusal(door().admit(head("GET", "/health", has_body=True))) == (400, "invalid")


@pytest.mark.parametrize("length", ["1572865", "9" * 19, "9" * 4000])
def test_an_announced_length_over_the_limit_is_refused_unread(length: str) -> None:
    outcome = door().admit(head("POST", "/write", has_body=True, content_length=length))
    assert refusal(outcome) == (413, "too_large")


async def test_an_admitted_request_is_answered_without_any_engine() -> None:
    one = door()
    request = admitted(one.admit(head("POST", "/write", has_body=True, content_type="application/json")))
    assert request.body_bytes_max == LIMITS.request_bytes_max
    answer = await one.answer(request, b'{"Set":{"key":"k","value":"v"}}', HeldBytes(0, wait_s=0).hold())
    assert isinstance(answer, HttpAnswer)
    assert (answer.status, json.loads(answer.body)) == (200, {"revision": 2, "leader": 1})
    refused = await one.answer(request, b'{"Set":{"key":"k","value":NaN}}', HeldBytes(0, wait_s=0).hold())
    assert isinstance(refused, HttpAnswer)
    assert refusal(refused) == (400, "invalid")
    assert not refused.close, "the next request on the connection is fine"


async def test_a_path_with_two_methods_has_a_route_for_each() -> None:
    one = door()
    assert refusal(one.admit(head("PUT", "/watch"))) == (405, "method_not_allowed")
    assert admitted(one.admit(head("POST", "/watch", has_body=True))).route.query == ()
    assert "start_revision" in admitted(one.admit(head("GET", "/watch?key=k"))).route.query


async def test_the_head_of_a_stream_is_told_without_a_stream() -> None:
    one = door()
    answer = await one.answer(
        admitted(one.admit(head("HEAD", "/watch?key=k"))), b"", HeldBytes(0, wait_s=0).hold()
    )
    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.content_type, answer.body) == (200, "application/x-ndjson", b"")


@pytest.mark.parametrize("query", ["key=%ff", "key=%ed%a0%80", "key=\udc80", "key=\xe9"])
def test_a_query_is_utf_8_and_percent_encoded(query: str) -> None:
    assert refusal(door().admit(head("GET", f"/watch?{query}"))) == (400, "invalid")
