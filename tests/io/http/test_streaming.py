"""Watches over real connections: what arrives, who is cut, what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from ferrite.core.kv import Delivery, WatchEnd, WatchEnded, WatchSpec
from ferrite.io.request_path import RequestRefused
from tests.io.http.helpers import (
    ENDED,
    STATUS,
    FakeRequestPath,
    FakeWatch,
    Site,
    count_of,
    delivery,
    internal_errors,
    put_event,
    serving,
    until,
)
from tests.io.http.wire import parse_reply, request_bytes

BIG = 256 * 1024


@contextlib.asynccontextmanager
async def watching(*, idle_timeout: int = 60_000) -> AsyncIterator[tuple[Site, aiohttp.ClientSession]]:
    """A server whose watches go on until a test ends them, and a real client."""
    async with (
        serving(FakeRequestPath(watching=True), idle_timeout=idle_timeout) as site,
        aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as client,
    ):
        yield site, client
        assert internal_errors(site.server) == 0


async def line(response: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(10):
        content: dict[str, Any] = json.loads(await response.content.readline())
    return content


def streams(site: Site) -> float:
    return count_of(site.server, "ferrite_http_streams")


async def test_changes_arrive_as_they_happen_until_the_client_goes() -> None:
    async with watching() as (site, client):
        async with client.post("/watch", json={"prefix": "a", "prev_kv": True}) as response:
            assert (response.status, response.content_type) == (200, "application/x-ndjson")
            assert response.headers["Cache-Control"] == "no-store"
            assert await line(response) == {"created": True, "revision": 7}
            (watch,) = site.path.watches
            assert watch.spec == WatchSpec(key=b"a", range_end=b"b", prev_kv=True)
            for revision in (8, 9):
                watch.feed(delivery(revision, put_event(b"a", b"v", revision)))
                assert (await line(response))["revision"] == revision
            assert streams(site) == 1
            assert not watch.canceled
            response.close()
        await until(lambda: watch.canceled and streams(site) == 0)


async def test_a_browser_gets_events_and_goes_on_behind_the_last_one_it_saw() -> None:
    async with watching() as (site, client):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": "7"}
        async with client.get("/watch?key=%C3%A9&prev_kv", headers=headers) as response:
            assert response.content_type == "text/event-stream"
            (watch,) = site.path.watches
            assert watch.spec == WatchSpec(key="é".encode(), prev_kv=True, start_revision=8)
            watch.feed(delivery(8, put_event("é".encode(), b"v", 8)), ENDED)
            text = (await response.content.read()).decode()
            assert text.startswith(
                'event: created\nid: 7\ndata: {"created":true,"revision":7}\n\nid: 8\ndata: {'
            )
            assert text.endswith("\n\n")
            assert "event: canceled\nid: 9\n" in text


async def test_two_streams_of_one_delivery_share_its_bytes() -> None:
    async with (
        watching() as (site, client),
        client.get("/watch?key=k") as one,
        client.get("/watch?key=k") as two,
    ):
        shared = delivery(8, put_event(b"k", b"v", 8))
        for watch in site.path.watches:
            watch.feed(shared, ENDED)
        assert (await one.read()) == (await two.read())
        assert len(shared.encoded) == 1


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_a_client_that_goes_ends_its_watch_at_once(how: str) -> None:
    async with watching() as (site, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(request_bytes("GET", "/watch?key=k", close=False))
        await reader.readuntil(b"created")
        (watch,) = site.path.watches
        if how == "half-close":
            writer.write_eof()
        elif how == "reset":
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: watch.canceled and count_of(site.server, "ferrite_http_connections") == 0)
        writer.close()


async def test_a_stream_on_a_connection_that_is_half_closed_already_is_refused() -> None:
    async with watching() as (site, _):
        with socket.create_connection(("127.0.0.1", site.port)) as sock:
            sock.sendall(
                request_bytes("GET", "/watch?key=k")
            )  # blocking, so that both are there when the server looks
            sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            received = b""
            async with asyncio.timeout(10):
                while piece := await asyncio.get_running_loop().sock_recv(sock, 65_536):
                    received += piece
        assert parse_reply(received).code == "invalid"
        assert all(watch.canceled for watch in site.path.watches)
        assert streams(site) == 0


async def test_who_does_not_read_is_cut_and_costs_no_more_than_the_buffers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(idle_timeout=300) as (site, _):
        _, writer = await silent_client(site)
        (watch,) = site.path.watches
        revision = 8
        while not watch.canceled and revision < 1000:
            watch.feed(delivery(revision, put_event(b"k", b"v" * BIG, revision)))
            revision += 1
            await asyncio.sleep(0.005)
        assert watch.canceled
        assert watch.taken * BIG < 64 * 2**20, "the rest stayed with the watch, which has a bound"
        await until(lambda: streams(site) == 0 and count_of(site.server, "ferrite_http_connections") == 0)
        writer.transport.abort()
    assert [record for record in caplog.records if "HTTP stream cut" in record.getMessage()]


async def test_a_slow_reader_that_reads_on_is_told_that_it_was_cut_and_where_to_go_on() -> None:
    async with watching() as (site, _):
        reader, writer = await silent_client(site)
        (watch,) = site.path.watches
        taken = -1
        while taken != watch.taken:  # until the writer waits for the client
            taken = watch.taken
            watch.feed(delivery(8 + taken, put_event(b"k", b"v" * BIG, 8 + taken)))
            await asyncio.sleep(0.05)
        watch.fed = [WatchEnded(reason=WatchEnd.SLOW, detail="too much", revision=7 + taken)]
        async with asyncio.timeout(20):
            received = await reader.read()
        assert received.endswith(b"0\r\n\r\n")
        last = json.loads(received[received.rindex(b'{"canceled"') : received.rindex(b"}") + 1])
        assert last == {"canceled": True, "reason": "slow", "detail": "too much", "revision": 7 + taken}
        writer.close()


async def silent_client(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Asks for a watch, and then takes no more than its own small buffers hold."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", site.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(request_bytes("GET", "/watch?key=k", close=False))
    await until(lambda: bool(site.path.watches))
    return reader, writer


async def test_stop_ends_streams_with_a_last_line_and_waits_for_nothing_else() -> None:
    async with watching() as (site, client):
        async with client.get("/watch?key=k") as response:
            await line(response)
            async with asyncio.timeout(5):
                await site.server.stop(grace_ms=60_000)
            last = await line(response)
            assert (last["canceled"], last["reason"], last["revision"]) == (True, "shutting_down", 7)
            assert await response.content.read() == b""
        assert site.path.watches[0].canceled


async def test_a_stream_does_not_count_as_a_request_in_progress() -> None:
    async with watching() as (site, client), client.get("/watch?key=k") as response:
        await line(response)
        text = (await site.get("/metrics/prometheus")).body.decode()
        assert "ferrite_http_streams 1.0" in text
        assert 'ferrite_http_requests_total{route="/watch",status="200"} 1.0' in text


async def test_a_watch_too_many_is_refused_before_the_stream_begins() -> None:
    failure = RequestRefused("overloaded", "10000 watches (limits.watches_max)")
    async with serving(FakeRequestPath(failure=failure)) as site:
        assert (await site.get("/watch?key=k")).code == "overloaded"
        assert (await site.post("/watch", {"key": "k"})).status == 429


async def test_a_compacted_start_is_gone_and_the_oldest_revision_told() -> None:
    async with serving(FakeRequestPath(present=replace(STATUS, compacted_revision=6))) as site:
        reply = await site.get("/watch?key=k&start_revision=5")
        assert (reply.status, reply.code, reply.json()["oldest_revision"]) == (410, "compacted", 6)


async def test_what_a_client_sends_after_its_watch_is_not_heard() -> None:
    async with watching() as (site, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        pipelined = request_bytes("GET", "/livez", close=False) * 1000
        writer.write(request_bytes("GET", "/watch?key=k", close=False) + pipelined)
        await reader.readuntil(b"created")
        for _ in range(20):
            writer.write(pipelined)
            await writer.drain()
        (watch,) = site.path.watches
        assert not watch.canceled
        watch.feed(ENDED)
        received = b""
        with contextlib.suppress(
            ConnectionResetError
        ):  # the end of a connection on which bytes are left unread
            while piece := await reader.read(65_536):
                received += piece
        assert b"HTTP/1.1" not in received, "one answer, and then the end"
        writer.close()


async def test_a_watch_that_fails_inside_ends_the_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: FakeWatch) -> Sequence[Delivery | WatchEnded]:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(FakeWatch, "take", fails)
    async with watching() as (site, _):
        received = await site.raw(request_bytes("GET", "/watch?key=k"))
        assert b"created" in received
        assert not received.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"
        assert b"secret" not in received
        await until(lambda: streams(site) == 0)
        assert site.path.watches[0].canceled
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1


async def test_an_old_client_reads_lines_until_the_connection_ends() -> None:
    async with serving() as site:
        received = await site.raw(b"GET /watch?key=k HTTP/1.0\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert [json.loads(one)["revision"] for one in body.splitlines()] == [7, 8, 9]


async def test_an_old_client_gets_changes_as_they_happen_and_nothing_around_them() -> None:
    async with watching() as (site, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /watch?key=k HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.readuntil(b'{"created":true,"revision":7}\n')
            for revision in (8, 9):
                site.path.watches[0].feed(delivery(revision))
                assert await reader.readline() == b'{"revision":%d,"events":[]}\n' % revision
        writer.close()
