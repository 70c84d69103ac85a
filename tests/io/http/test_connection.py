"""Bytes that are not what they should be: each gets a sane answer or a close, no 500, no traceback, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.io.http.helpers import SETTINGS, FakeRequestPath, Site, count_of, internal_errors, serving, until
from tests.io.http.wire import parse_reply, request_bytes

pytestmark = pytest.mark.usefixtures("both_ways")
SET = b'{"Set":{"key":"k","value":"v"}}'
HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /write HTTP/1.1\r\n" + HOST
JSON = b"Content-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def unshaken(caplog: pytest.LogCaptureFixture, **limits: int) -> AsyncIterator[Site]:
    """Whatever happens inside: afterwards the server answers, nothing was a 500, and the log is short and free of tracebacks."""
    with caplog.at_level(logging.INFO):
        async with serving(FakeRequestPath(), settings=SETTINGS, **limits) as site:
            yield site
            answer = await site.post("/write", SET)
            assert answer.status == 200
            assert internal_errors(site.server) == 0
    assert [record for record in caplog.records if record.exc_info] == []
    assert len([record for record in caplog.records if record.name.startswith(("ferrite", "aiohttp"))]) <= 2


FRAMING = {
    "length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -5\r\n\r\n", 400),
    "a length with a plus": (POST + b"Content-Length: +5\r\n\r\nabcde", 400),
    "a length in hex": (POST + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    "a length of 23 digits": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "a length over the limit": (POST + JSON + b"Content-Length: 9999999999\r\n\r\n", 413),
    "a bad chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n", 400),
    "a huge chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n\r\n", 400),
    "an unknown transfer coding": (POST + b"Transfer-Encoding: banana\r\n\r\n", 400),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "HTTP/9.9": (b"GET /health HTTP/9.9\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /health\r\n\r\n", 400),
    "a bad method": (b"G@T /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no method": (b" /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a TLS hello": (bytes.fromhex("16030100f1010000ed0303") + bytes(range(200)), 400),
    "a redis command": (b"*1\r\n$4\r\nPING\r\n", 400),
    "garbage": (b"\x00\xff\xfe<script>alert(1)</script>\r\n\r\n", 400),
    "a target of 9 KB": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "a header of 9 KB": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "5000 headers": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 5000 + b"\r\n", 400),
    "a NUL in a header": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400),
    "a folded header": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a space before the colon": (b"GET /health HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 404),
}


@pytest.mark.parametrize("name", FRAMING)
async def test_bytes_that_are_no_request_get_a_fixed_answer(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, status = FRAMING[name]
    async with unshaken(caplog) as site:
        answer = await site.raw(sent)
        reply = parse_reply(answer)
        assert (reply.status, bool(reply.code)) == (status, True)
        assert b"script" not in answer, "nothing of the client's is echoed"
        assert site.path.calls == []


async def test_a_thousand_bad_requests_leave_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        for _ in range(100):
            await asyncio.gather(*(site.raw(b"BAD\x1b\r\n\r\n") for _ in range(10)))


async def test_a_broken_chunk_after_the_head_is_answered_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        head = POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
        answer = await asyncio.wait_for(site.raw(head, b"5\r\nab", b"cde\r\nZZ\r\n", pause_s=0.05), 4)
        assert (parse_reply(answer).status, parse_reply(answer).code) == (400, "malformed_http")


async def test_a_chunked_body_in_small_pieces_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        head = POST + JSON + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = [b"1\r\n%c\r\n" % byte for byte in SET]
        assert parse_reply(await site.raw(head, *pieces, b"0\r\n\r\n", pause_s=0.001)).status == 200


async def test_a_chunked_body_over_the_limit_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, request_bytes_max=100_000) as site:
        head = POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        answer = await site.raw(head, *[chunk] * 5)
        assert parse_reply(answer).code == "too_large"


async def test_a_body_over_the_limit_that_came_with_the_head_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog, request_bytes_max=1024) as site:
        chunked = POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n800\r\n" + b" " * 2048 + b"\r\n0\r\n\r\n"
        assert parse_reply(await site.raw(chunked)).code == "too_large"


async def test_two_megabytes_are_refused_while_they_are_being_sent(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        reply = await site.post("/write", b" " * 2_000_000)
        assert (reply.status, reply.code) == (413, "too_large")


@pytest.mark.parametrize(
    "coding, body",
    [
        ("gzip", gzip.compress(bytes(10_000_000), mtime=0)),
        ("deflate", zlib.compress(bytes(10_000_000))),
        ("br", b"\x1b"),
        ("gzip", gzip.compress(SET, mtime=0)[:10]),
        ("gzip", SET),
        ("gzip, gzip", SET),
        ("\u00ff", SET),
    ],
    ids=[
        "gzip bomb",
        "deflate bomb",
        "brotli",
        "truncated gzip",
        "gzip that is none",
        "gzip twice",
        "no ASCII",
    ],
)
async def test_content_codings_are_refused_unread(
    coding: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with unshaken(caplog) as site:
        reply = await site.post("/write", body, **{"Content-Encoding": coding})
        assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_a_dribbled_head_is_cut_off_by_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, header_timeout=200) as site:
        dribble = [b"GET /health HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 40]
        reply = parse_reply(await asyncio.wait_for(site.raw(*dribble, pause_s=0.02), 5))
        assert (reply.status, reply.code) == (408, "request_timeout")


async def test_the_second_head_on_a_connection_has_a_deadline_too(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, header_timeout=200) as site:
        first = request_bytes("GET", "/is-leader", close=False)
        answer = await asyncio.wait_for(site.raw(first, b"GET /hea", pause_s=0.05), 5)
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"408"]


async def test_a_head_in_two_pieces_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, header_timeout=5000) as site:
        request = request_bytes("GET", "/is-leader")
        assert parse_reply(await site.raw(request[:20], request[20:], pause_s=0.02)).status == 200


async def test_a_dribbled_body_is_cut_off_by_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, body_timeout=200) as site:
        head = POST + JSON + b"Content-Length: 1000\r\n\r\n"
        reply = parse_reply(await asyncio.wait_for(site.raw(head, *[b" "] * 30, pause_s=0.02), 5))
        assert (reply.status, reply.code) == (408, "request_timeout")
        assert site.path.calls == []


async def test_a_stalled_body_is_cut_off_and_a_silent_connection_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog, body_timeout=200, idle_timeout=300) as site:
        stalled = site.raw(POST + JSON + b"Content-Length: 10\r\n\r\nabc")
        silent = site.raw()
        served = site.raw(request_bytes("GET", "/is-leader", close=False))
        answers = await asyncio.wait_for(asyncio.gather(stalled, silent, served), 10)
        assert parse_reply(answers[0]).code == "request_timeout"
        assert answers[1] == b""
        assert parse_reply(answers[2]).status == 200


async def test_two_hundred_slow_clients_do_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog, header_timeout=500, body_timeout=500) as site:
        slow = [site.raw(b"GET /hea") for _ in range(100)]
        slow += [site.raw(POST + JSON + b"Content-Length: 10\r\n\r\n") for _ in range(100)]
        waiting = asyncio.gather(*slow)
        await asyncio.sleep(0.1)
        assert (await asyncio.wait_for(site.get("/livez"), 5)).status == 200
        answers = await asyncio.wait_for(waiting, 15)
        assert {parse_reply(answer).status for answer in answers} == {408}


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("pause_s", [0.0, 0.001])
async def test_a_half_closed_client_gets_all_its_answers(
    count: int, pause_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with unshaken(caplog) as site:
        request = request_bytes("POST", "/write", SET, {"Content-Type": "application/json"}, close=False)
        answer = await asyncio.wait_for(site.raw(request * count, eof=True, pause_s=pause_s), 5)
        assert answer.count(b" 200 OK") == count


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_a_half_close_within_the_body_ends_the_wait(
    pause_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with unshaken(caplog) as site:
        sent = POST + JSON + b"Content-Length: 50\r\n\r\nabc"
        answer = await asyncio.wait_for(site.raw(sent, pause_s=pause_s, eof=True), 4)
        assert parse_reply(answer).code == "malformed_http"


async def test_clients_that_vanish_at_any_point_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        request = request_bytes("POST", "/write", SET, {"Content-Type": "application/json"}, close=False)
        for cut in range(0, len(request), 7):
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(request[:cut])
            await asyncio.sleep(0)
            writer.transport.abort()
        await until(lambda: count_of(site.server, "ferrite_http_connections") == 0)


async def test_a_client_that_vanishes_while_its_write_is_in_progress_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hold = asyncio.Event()
    path = FakeRequestPath(hold=hold)
    with caplog.at_level(logging.INFO):
        async with serving(path) as site:
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(request_bytes("POST", "/write", SET, {"Content-Type": "application/json"}))
            await until(lambda: bool(path.calls))
            writer.transport.abort()
            await asyncio.sleep(0.05)
            hold.set()
            assert (await site.post("/write", SET)).status == 200
    assert [record for record in caplog.records if record.exc_info] == []


async def test_expect_100_continue_is_answered_before_the_body(caplog: pytest.LogCaptureFixture) -> None:
    async with unshaken(caplog) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        length = str(len(SET)).encode()
        writer.write(
            POST
            + JSON
            + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: "
            + length
            + b"\r\n\r\n"
        )
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(SET)
        assert parse_reply(await asyncio.wait_for(reader.read(), 5)).status == 200
        writer.close()


async def test_who_expects_leave_for_a_body_that_is_refused_hears_that_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog) as site:
        sent = POST + JSON + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n"
        assert parse_reply(await asyncio.wait_for(site.raw(sent), 5)).code == "too_large"
        stalled = POST + JSON + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\n"
        assert parse_reply(await asyncio.wait_for(site.raw(stalled), 5)).code == "expectation_failed"


async def test_an_upgrade_that_is_not_offered_is_an_ordinary_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog) as site:
        upgrade = {
            "Connection": "Upgrade, close",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "x",
            "Sec-WebSocket-Version": "13",
        }
        assert (await site.get("/is-leader", **upgrade)).json() == {"is_leader": True}
        assert (await site.get("/is-leader", Upgrade="h2c", Connection="Upgrade, close")).status == 200


async def test_headers_that_try_to_be_more_than_they_are_change_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = {
        "X-HTTP-Method-Override": "DELETE",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil.example",
        "Range": "bytes=0-1",
        "Authorization": "Bearer \u00ff\t",
        "Cookie": "; ".join(f"c{n}=v" for n in range(500)),
        "If-None-Match": "*",
    }
    async with unshaken(caplog) as site:
        for name, content in odd.items():
            reply = await site.get("/is-leader", **{name: content})
            assert reply.json() == {"is_leader": True}, name


async def test_a_request_with_garbage_in_its_wake_is_refused_and_not_carried_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog) as site:
        answer = await site.raw(
            request_bytes("POST", "/write", SET, close=False) + b"garbage\r\n\r\n\x00\xff"
        )
        assert parse_reply(answer).code == "malformed_http"
        assert site.path.calls == [], "what is answered as certainly not applied must not be"


async def test_garbage_after_an_answered_request_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with unshaken(caplog) as site:
        answer = await site.raw(
            request_bytes("GET", "/is-leader", close=False), b"\x00\xff\r\n\r\n", pause_s=0.05
        )
        assert json.loads(parse_reply(answer).body) == {"is_leader": True}
        assert b" 400 Bad Request" in answer
