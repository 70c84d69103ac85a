"""The running server: every route, every code, limits, start and stop."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import Consistency, RefusalCode
from ferrite.core.kv import CommandErrorCode, ListLeases, Session
from ferrite.io.http import AddressInUse, CannotListen, HttpServer
from ferrite.io.http.problems import PROBLEM_KINDS
from ferrite.io.request_path import CommandRejected, OutcomeUnknown, RequestRefused
from tests.io.http.helpers import (
    IDENTITY,
    SETTINGS,
    STATUS,
    FakeRequestPath,
    Site,
    count_of,
    internal_errors,
    serving,
    until,
)
from tests.io.http.wire import Reply, parse_reply, request_bytes

pytestmark = pytest.mark.usefixtures("both_ways")
SET = {"Set": {"key": "mykey", "value": "myvalue"}}


async def test_the_commands_of_the_readme_work() -> None:
    async with serving() as site:
        assert (await site.post("/write", SET)).json() == {"revision": 2, "leader": 1}
        read = (await site.post("/read", {"key": "mykey"})).json()
        assert (read["key"], read["value"]) == ("mykey", "myvalue")
        assert (await site.post("/write", {"Delete": {"key": "mykey"}})).json() == {
            "revision": 3,
            "existed": True,
            "leader": 1,
        }
        assert (await site.post("/read", {"key": "mykey"})).json()["value"] is None
        assert (await site.get("/health")).json()["status"] == "healthy"
        assert (await site.get("/metrics")).json()["current_leader"] == 1
        assert (await site.get("/is-leader")).json() == {"is_leader": True}
        assert (await site.get("/leader")).json()["leader"] == 1


async def test_cluster_requests_reach_the_request_path() -> None:
    async with serving() as site:
        assert (await site.ask("POST", "/init")).status == 200
        assert (await site.post("/init", None)).status == 200
        learner = {"node_id": 2, "rpc_addr": "127.0.0.1:8002", "api_addr": "127.0.0.1:8002"}
        assert (await site.post("/add-learner", learner)).json() == {"node_id": 2, "log_index": 31}
        assert (await site.post("/change-membership", [3, 1])).json() == {"voters": [1, 3], "log_index": 32}
        assert (await site.post("/transfer-leader", {"node_id": 3})).json() == {"leader": 3}
        assert (await site.ask("POST", "/transfer-leader")).json() == {"leader": 2}
        names = [call[0] for call in site.path.calls]
        assert names == [
            "initialize",
            "initialize",
            "add_learner",
            "change_membership",
            *["transfer_leader"] * 2,
        ]


async def test_changes_go_through_the_log_and_reads_do_not() -> None:
    async with serving() as site:
        read, put = {"range": {"key": "k"}}, {"put": {"key": "k", "value": "v"}}
        await site.post(
            "/kv/put", {"key": "k", "value": "v", "client_id": "c", "request_id": 1, "timeout_ms": 7}
        )
        await site.post("/kv/range", {"key": "k", "consistency": "serializable", "timeout_ms": 8})
        await site.post("/kv/txn", {"success": [put], "client_id": "c", "request_id": 2, "timeout_ms": 9})
        await site.post("/kv/txn", {"success": [read], "client_id": "c", "request_id": 3, "timeout_ms": 10})
        await site.get("/lease/list?after=5&consistency=serializable&max_staleness_ms=6&timeout_ms=11")
        assert [(call[0], call[-1]) for call in site.path.calls] == [
            ("write", 7),
            ("read", 8),
            ("write", 9),
            ("read", 10),
            ("read", 11),
        ]
        assert site.path.calls[0][2] == Session(client_id=b"c", request_id=1)
        assert site.path.calls[-1][1:4] == (ListLeases(after=5), Consistency.SERIALIZABLE, 6)


async def test_a_member_is_removed_by_its_id() -> None:
    async with serving() as site:
        assert (await site.post("/remove-member", {"node_id": 3})).json() == {"node_id": 3, "log_index": 33}
        assert site.path.calls == [("remove_member", 3, None)]


async def test_a_listing_needs_no_body_but_takes_no_other_value_than_an_object() -> None:
    async with serving() as site:
        await site.post("/write", SET)
        assert [one["key"] for one in (await site.ask("POST", "/list")).json()["entries"]] == ["mykey"]
        for body in (b"[]", b"null", b"0", b"false", b'""'):
            assert (await site.post("/list", body)).code == "invalid"


async def test_the_state_of_the_node_is_told_as_it_is() -> None:
    async with serving(FakeRequestPath(present=replace(STATUS, leader_id=0, role="candidate"))) as site:
        health = await site.get("/health")
        assert (health.status, health.json()["status"]) == (503, "unhealthy")
        assert (await site.get("/livez")).status == 200
        assert (await site.get("/readyz")).status == 503
        assert (await site.get("/readyz?exclude=leader")).status == 200
        assert (await site.get("/readyz/leader")).status == 503
        assert (await site.get("/readyz/disk?verbose")).body.startswith(b"[+]disk ok\n")
        assert (await site.get("/readyz/nothing")).code == "not_found"
        assert b"[-]leader failed" in (await site.get("/readyz?verbose")).body
        assert (await site.get("/is-leader")).json() == {"is_leader": False}
        assert (await site.get("/leader")).json()["leader"] is None


async def test_a_node_says_who_it_is_and_what_it_serves() -> None:
    async with serving() as site:
        identity = (await site.get("/identity")).json()
        assert (identity["node_id"], identity["instance"], identity["cluster_id"]) == (1, "ab" * 16, "")
        index = (await site.get("/")).json()
        assert "POST /write" in index["paths"]
        assert "GET /readyz/{check}" in index["paths"]


@pytest.mark.parametrize(
    "accept, content_type",
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;q=0.2,application/json;q=0.9", "application/json"),
        ("text/plain;q=0", "application/json"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=evil;q=x;;=,",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_metrics_come_in_the_format_that_is_asked_for(accept: str, content_type: str) -> None:
    async with serving() as site:
        reply = await site.get("/metrics", Accept=accept)
        assert (reply.status, reply.headers["content-type"]) == (200, content_type)


async def test_every_answer_forbids_caching_and_sniffing_and_names_no_versions() -> None:
    async with serving() as site:
        for reply in (await site.post("/write", SET), await site.get("/nowhere"), await site.get("/livez")):
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["server"] == "ferrite"
            assert "access-control-allow-origin" not in reply.headers


CODES = [
    *(RequestRefused(one.value, "why") for one in RefusalCode),
    *(CommandRejected(one.name.lower(), "why") for one in CommandErrorCode),
    OutcomeUnknown("unknown_outcome", "why"),
]


@pytest.mark.parametrize("failure", CODES, ids=lambda failure: failure.code)
async def test_every_code_of_the_request_path_is_answered_by_the_table(failure: Any) -> None:
    async with serving(FakeRequestPath(failure=failure)) as site:
        reply = await site.post("/write", SET)
        assert reply.code == failure.code
        assert reply.status == PROBLEM_KINDS[failure.code].status
        assert reply.json()["certainly_not_applied"] is PROBLEM_KINDS[failure.code].certainly_not_applied
        assert ("retry-after" in reply.headers) == (PROBLEM_KINDS[failure.code].retry_after_s > 0)
        assert count_of(site.server, "ferrite_rejected_total", reason=failure.code) == 1


async def test_a_refusal_names_the_leader_in_fields_of_its_own() -> None:
    failure = RequestRefused("not_leader", "why", leader_id=2, leader_http_addr="a:1", leader_grpc_addr="b:2")
    async with serving(FakeRequestPath(failure=failure)) as site:
        reply = await site.post("/read", {"key": "k"})
        assert reply.json()["leader"] == {"id": 2, "http_addr": "a:1", "grpc_addr": "b:2"}


async def test_a_bug_of_ours_is_a_500_without_its_inside_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(FakeRequestPath(failure=ZeroDivisionError("secret inside"))) as site:
        replies = [await site.post("/write", SET) for _ in range(3)]
        assert {reply.code for reply in replies} == {"internal"}
        assert all(b"secret" not in reply.body for reply in replies)
        assert replies[0].json()["certainly_not_applied"] is False
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1


async def test_connections_are_kept_and_pipelined_requests_answered_in_order() -> None:
    async with serving() as site:
        requests = [
            request_bytes(
                "POST", "/write", json.dumps({"Set": {"key": f"k{n}", "value": ""}}).encode(), close=n == 999
            )
            for n in range(1000)
        ]
        answer = await site.raw(b"".join(requests))
        revisions = [
            json.loads(part.partition(b"\r\n\r\n")[2])["revision"] for part in answer.split(b"HTTP/1.1 ")[1:]
        ]
        assert revisions == list(range(2, 1002))


async def test_requests_and_refusals_are_counted_by_route_and_reason() -> None:
    async with serving() as site:
        await site.post("/write", SET)
        await site.post("/write", {})
        await site.get("/no/such/path")
        await site.get("/secret-key-in-path")
        text = (await site.get("/metrics/prometheus")).body.decode()
        assert 'ferrite_http_requests_total{route="/write",status="200"} 1.0' in text
        assert 'ferrite_http_requests_total{route="/write",status="400"} 1.0' in text
        assert 'ferrite_http_requests_total{route="none",status="404"} 2.0' in text
        assert 'ferrite_rejected_total{reason="invalid"} 1.0' in text
        assert 'ferrite_http_request_duration_seconds_count{route="/write"} 2.0' in text
        assert "secret" not in text


async def test_connections_are_limited_in_all_and_released() -> None:
    async with serving(connections_max=10) as site:
        await _fill(site, 10)
        await _until_answered(site)
        assert count_of(site.server, "ferrite_rejected_total", reason="too_many_connections") >= 1


async def test_connections_are_limited_by_address() -> None:
    async with serving(connections_per_ip_max=3) as site:
        await _fill(site, 3)
        await _until_answered(site)


async def _fill(site: Site, count: int) -> None:
    """Open `count` connections, prove that one more is refused, close them."""
    writers = [(await asyncio.open_connection("127.0.0.1", site.port))[1] for _ in range(count)]
    await until(lambda: count_of(site.server, "ferrite_http_connections") == count)
    over = parse_reply(await site.raw())
    assert (over.status, over.code) == (503, "too_many_connections")
    assert over.headers["retry-after"] == "1"
    for writer in writers:
        writer.close()
    await until(lambda: count_of(site.server, "ferrite_http_connections") == 0)


async def _until_answered(site: Site) -> Reply:
    reply = await site.get("/livez")
    assert reply.status == 200
    return reply


async def test_an_address_in_use_is_an_error_of_its_own() -> None:
    async with serving() as site:
        second = HttpServer(FakeRequestPath(), replace(SETTINGS, port=site.port), lambda: IDENTITY)
        with pytest.raises(AddressInUse, match="in use by another process"):
            await second.start()
        await second.stop(grace_ms=10)


async def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    server = HttpServer(FakeRequestPath(), replace(SETTINGS, host="192.0.2.1"), lambda: IDENTITY)
    with pytest.raises(CannotListen, match=r"node\.http_addr"):
        await server.start()


async def test_stop_lets_requests_in_progress_finish_and_accepts_no_more() -> None:
    hold = asyncio.Event()
    async with serving(FakeRequestPath(hold=hold)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(request_bytes("POST", "/write", json.dumps(SET).encode(), close=False))
        await until(lambda: bool(site.path.calls))
        stopping = asyncio.ensure_future(site.server.stop(grace_ms=10_000))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", site.port)
        assert not stopping.done()
        hold.set()
        answer = parse_reply(await asyncio.wait_for(reader.read(), 5))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(idle_reader.read(), 5) == b""
        await asyncio.wait_for(stopping, 5)
        for one in (writer, idle_writer):
            one.close()


async def test_stop_ends_at_the_grace_whatever_is_in_progress() -> None:
    async with serving(FakeRequestPath(hold=asyncio.Event())) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(request_bytes("POST", "/write", json.dumps(SET).encode(), close=False))
        await until(lambda: bool(site.path.calls))
        await asyncio.wait_for(site.server.stop(grace_ms=50), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b"", "no answer is better than a false one"
        await site.server.stop(grace_ms=50)
        writer.close()


async def test_many_nodes_live_in_one_process_with_metrics_of_their_own() -> None:
    async with serving() as one, serving() as two:
        await one.post("/write", SET)
        assert count_of(one.server, "ferrite_http_requests_total", route="/write", status="200") == 1
        assert count_of(two.server, "ferrite_http_requests_total", route="/write", status="200") == 0
        assert internal_errors(one.server) == 0
