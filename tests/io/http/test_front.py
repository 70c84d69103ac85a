"""Both ways through the door: ordinary requests are answered by the front, the rest by aiohttp, and nobody can tell."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from typing import Any

import pytest

from ferrite.io.http import ordinary
from ferrite.io.http.connection import ConnectionServer
from ferrite.io.http.held_bytes import SMALL_BYTES
from ferrite.io.request_path import RequestRefused
from tests.io.http.helpers import FakeRequestPath, Site, count_of, serving, until
from tests.io.http.wire import parse_reply, request_bytes

SET = b'{"Set":{"key":"k","value":"v"}}'
GET = b'{"key":"k"}'
_DATE = re.compile(rb"Date: [^\r]+")


def post(target: str, body: bytes, *, close: bool = False, **headers: str) -> bytes:
    return request_bytes(
        "POST", target, body, {name.replace("_", "-"): text for name, text in headers.items()}, close=close
    )


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes with which connections were left to aiohttp."""
    given: list[bytes] = []
    take_over = ConnectionServer.take_over

    def spy(self: ConnectionServer, transport: asyncio.Transport, ip: str, data: bytes) -> Any:
        given.append(data)
        return take_over(self, transport, ip, data)

    monkeypatch.setattr(ConnectionServer, "take_over", spy)
    return given


async def replies(site: Site, *pieces: bytes, count: int, pause_s: float = 0.0) -> list[bytes]:
    """What comes for the pieces, until it has so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        answers: list[bytes] = []
        async with asyncio.timeout(10):
            while len(answers) < count:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                answers.append(head + await reader.readexactly(int(length[1]) if length else 0))
        return answers
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/write", SET),
        ("/read", GET),
        ("/list", b"{}"),
        ("/kv/range", b'{"prefix":""}'),
        ("/write", b"{"),
        ("/write", b'{"Set":{"key":"","value":"v"}}'),
        ("/read", b'{"key":"k","consistency":"maybe"}'),
    ],
)
@pytest.mark.parametrize(
    "failure", [None, RequestRefused("not_leader", "x", leader_id=2, leader_http_addr="a:1")]
)
async def test_both_ways_give_the_same_bytes(
    target: str,
    body: bytes,
    failure: Exception | None,
    handed_over: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = post(target, body)
    async with serving(FakeRequestPath(failure=failure)) as site:
        [quick] = await replies(site, request, count=1)
    assert handed_over == []
    monkeypatch.setattr(ordinary.OrdinaryHeads, "find", lambda *_: None)
    async with serving(FakeRequestPath(failure=failure)) as site:
        [slow] = await replies(site, request, count=1)
    assert handed_over == [request]
    assert _DATE.sub(b"", quick) == _DATE.sub(b"", slow)


@pytest.mark.parametrize(
    "odd",
    [
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /write HTTP/1.0\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 031\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length:\t31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nTransfer-Encoding: chunked\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nExpect: 100-continue\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nUpgrade: h2c\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nContent-Encoding: gzip\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nX : y\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n X: y\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\nX: \x7f\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST http://a/write HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /watch HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + GET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nContent-Length: 31\r\n\r\n" + SET,
        b"POST /write HTTP/1.1\r\nHost: a\r\nX: "
        + b"y" * ordinary.HEAD_BYTES_MAX
        + b"\r\nContent-Length: 31\r\n\r\n"
        + SET,
    ],
)
async def test_whatever_is_odd_is_left_to_aiohttp_with_all_its_bytes(
    odd: bytes, handed_over: list[bytes]
) -> None:
    async with serving() as site:
        await replies(site, odd, count=1)
    assert handed_over == [odd]


async def test_requests_behind_each_other_are_answered_in_order(handed_over: list[bytes]) -> None:
    count = 1500  # so many that the client is read in several turns
    bodies = [b'{"Set":{"key":"%d","value":"v"}}' % number for number in range(count)]
    async with serving() as site:
        answers = await replies(site, b"".join(post("/write", body) for body in bodies), count=count)
        revisions = [json.loads(parse_reply(answer).body)["revision"] for answer in answers]
        assert revisions == list(range(2, count + 2))
        written = [call[1].key for call in site.path.calls]
        assert written == [b"%d" % number for number in range(count)]
    assert handed_over == []


async def test_a_request_in_pieces_is_waited_for_a_moment(handed_over: list[bytes]) -> None:
    request = post("/write", SET)
    async with serving() as site:
        for cut in (3, 20, len(request) - len(SET), len(request) - 1):
            [answer] = await replies(site, request[:cut], request[cut:], count=1)
            assert parse_reply(answer).status == 200
        assert len(site.path.calls) == 4


async def test_a_request_whose_rest_is_late_is_whole_all_the_same(handed_over: list[bytes]) -> None:
    request = post("/write", SET)
    async with serving() as site:
        [first, second] = await replies(site, request + request[:40], request[40:], count=2, pause_s=0.1)
        assert (parse_reply(first).status, parse_reply(second).status) == (200, 200)
    assert handed_over == [request[:40]], "the first was answered, and only the second left to aiohttp"


async def test_after_a_handing_over_the_connection_goes_on(handed_over: list[bytes]) -> None:
    health = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving() as site:
        answers = await replies(site, post("/write", SET), health, post("/read", GET), count=3, pause_s=0.05)
        assert [parse_reply(answer).status for answer in answers] == [200, 200, 200]
        assert count_of(site.server, "ferrite_http_connections") == 1
        await until(lambda: count_of(site.server, "ferrite_http_connections") == 0)
    assert len(handed_over) == 1


async def test_a_client_that_half_closes_has_its_answer_and_then_the_end(handed_over: list[bytes]) -> None:
    hold = asyncio.Event()
    async with serving(FakeRequestPath(hold=hold)) as site:
        answer = asyncio.ensure_future(site.raw(post("/write", SET), eof=True))
        await until(lambda: bool(site.path.calls))
        await asyncio.sleep(0.05)
        hold.set()
        assert parse_reply(await answer).status == 200
    assert handed_over == []


async def test_a_client_that_asks_for_the_end_gets_it(handed_over: list[bytes]) -> None:
    async with serving() as site:
        answer = await site.raw(post("/write", SET, close=True))
        assert parse_reply(answer).headers["connection"] == "close"
    assert handed_over == []


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    hold = asyncio.Event()
    async with serving(FakeRequestPath(hold=hold)) as site:
        for target in ("/write", "/list"):
            site.path.calls.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(post(target, SET if target == "/write" else b"{}"))
            await until(lambda: bool(site.path.calls))
            peer = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
            writer.transport.abort()
            await until(lambda: count_of(site.server, "ferrite_http_connections") == 0)
        hold.set()
        assert parse_reply(await site.raw(post("/write", SET, close=True))).status == 200


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(handed_over: list[bytes]) -> None:
    async with serving(idle_timeout=200) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for _ in range(6):
            writer.write(post("/write", SET))
            await reader.readuntil(b"}\n")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    assert handed_over == []


async def test_who_does_not_read_large_answers_is_served_no_further_and_cut(handed_over: list[bytes]) -> None:
    async with serving(idle_timeout=400) as site:
        site.path.keys[b"k"] = b"x" * 1_000_000
        _, writer = await asyncio.open_connection(
            "127.0.0.1", site.port, limit=1
        )  # it reads no more than a little
        for _ in range(50):
            writer.write(post("/read", GET))
        async with asyncio.timeout(10):
            await until(lambda: count_of(site.server, "ferrite_http_connections") == 0)
        assert len(site.path.calls) < 50
        assert site.server.held.total == 0
        writer.close()
    assert handed_over == []


async def test_who_reads_slowly_gets_all_of_it(handed_over: list[bytes]) -> None:
    async with serving() as site:
        site.path.keys[b"k"] = b"x" * 1_000_000
        answers = await replies(site, *[post("/read", GET)] * 5, count=5, pause_s=0.02)
        assert [len(json.loads(parse_reply(answer).body)["value"]) for answer in answers] == [1_000_000] * 5
        await until(lambda: site.server.held.total == 0)
    assert handed_over == []


async def test_a_stop_lets_the_request_in_progress_finish_and_closes_the_idle() -> None:
    hold = asyncio.Event()
    async with serving(FakeRequestPath(hold=hold)) as site:
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", site.port)
        busy = asyncio.ensure_future(site.raw(post("/write", SET)))
        await until(lambda: bool(site.path.calls))
        stopping = asyncio.ensure_future(site.server.stop(grace_ms=5000))
        await asyncio.sleep(0.05)
        hold.set()
        reply = parse_reply(await busy)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        await stopping
        assert await idle_reader.read() == b""
        idle_writer.close()


async def test_as_many_heads_as_there_are_do_not_fill_memory(handed_over: list[bytes]) -> None:
    async with serving() as site:
        for batch in range(3):
            requests = [post("/write", SET, x=f"{batch}-{number}") for number in range(500)]
            await replies(site, b"".join(requests), count=500)
        known = site.server.heads
        assert 0 < len(known) <= 1024
    assert handed_over == []


async def test_a_body_of_more_than_a_little_is_left_to_aiohttp(handed_over: list[bytes]) -> None:
    body = b'{"Set":{"key":"k","value":"%b"}}' % (b"v" * SMALL_BYTES)
    async with serving() as site:
        [answer] = await replies(site, post("/write", body), count=1)
        assert parse_reply(answer).status == 200
    assert len(handed_over) == 1
