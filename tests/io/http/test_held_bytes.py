"""Bodies that do not end and answers that nobody reads: one bound for all of them, refused above it, given back after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ferrite.io.http.answer_sizes import largest_answer_bytes, result_bytes
from ferrite.io.http.held_bytes import SMALL_BYTES, HeldBytes
from ferrite.io.http.kv_json import parse_list
from ferrite.io.http.problems import HttpProblem
from ferrite.io.http.range_json import parse_delete_range, parse_put, parse_range
from ferrite.io.http.txn_json import parse_txn
from tests.io.http.helpers import (
    LIMITS,
    MIB,
    SETTINGS,
    FakeRequestPath,
    Site,
    canned,
    internal_errors,
    serving,
    until,
)
from tests.io.http.wire import parse_reply, request_bytes

pytestmark = pytest.mark.usefixtures("both_ways")
SMALL = {"Set": {"key": "k", "value": "v"}}
LARGE = json.dumps({"Set": {"key": "k", "value": "v" * 900_000}}).encode()
JSON = {"Content-Type": "application/json"}
IMPATIENT = replace(SETTINGS, room_wait_ms=50)
PAGE_BYTES = 16 * MIB  # more than the kernel buffers for a client that does not read


def with_large_keys() -> FakeRequestPath:
    return FakeRequestPath(keys={b"big/%02d" % number: b"v" * MIB for number in range(12)})


@contextlib.asynccontextmanager
async def a_client(
    site: Site, *sent: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Sends this, and never reads what comes unless the test does."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", site.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    try:
        for piece in sent:
            writer.write(piece)
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()


def unfinished(body: bytes) -> bytes:
    return request_bytes("POST", "/write", body, JSON)[:-1]


def listing() -> bytes:
    return request_bytes("POST", "/list", b'{"prefix":"big/","keys_only":false}', JSON, close=False)


# ------------------------------------------------------------------------------------------------ the count


async def test_room_is_given_in_turn_and_what_nobody_waits_for_any_more_is_passed_over() -> None:
    held = HeldBytes(100, wait_s=10)
    first, gone, second, third = (held.hold() for _ in range(4))
    await first.reserve(80, owed=False)
    tasks = [asyncio.ensure_future(one.reserve(60, owed=False)) for one in (gone, second, third)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    first.release()
    await tasks[1]
    assert (gone.size_bytes, second.size_bytes, third.size_bytes, held.total) == (0, 60, 0, 60)
    second.release()
    await tasks[2]
    third.release()
    assert held.total == 0


async def test_who_gives_up_lets_the_next_one_in_that_needs_less() -> None:
    held = HeldBytes(100, wait_s=10)
    first, large, little = (held.hold() for _ in range(3))
    await first.reserve(50, owed=False)
    waits = asyncio.ensure_future(large.reserve(90, owed=False))
    await asyncio.sleep(0)
    also_waits = asyncio.ensure_future(little.reserve(40, owed=False))
    await asyncio.sleep(0)
    assert not also_waits.done(), "in turn"
    waits.cancel()
    await also_waits
    assert held.total == 90


async def test_there_is_an_end_to_waiting() -> None:
    held = HeldBytes(100, wait_s=0)
    await held.hold().reserve(100, owed=False)
    late = held.hold()
    with pytest.raises(HttpProblem, match=r"limits\.held_bytes_max") as refused:
        await late.reserve(1, owed=True)
    assert refused.value.code == "overloaded"
    late.release()
    assert held.total == 100


async def test_the_answer_of_a_change_is_sent_whatever_its_size_and_that_of_a_query_is_not() -> None:
    bound = 4 * SMALL_BYTES
    for owed in (True, False):
        held = HeldBytes(bound, wait_s=0)
        hold = held.hold()
        await hold.reserve(bound, owed=owed)
        if owed:
            hold.answer(bound + 1)
            assert held.total == bound + 1
        else:
            with pytest.raises(HttpProblem):
                hold.answer(bound + 1)
        hold.release()
        assert held.total == 0


def test_what_is_small_is_not_counted() -> None:
    held = HeldBytes(0, wait_s=0)
    hold = held.hold()
    hold.body(SMALL_BYTES)
    hold.answer(SMALL_BYTES)
    assert held.total == 0
    with pytest.raises(HttpProblem):
        hold.body(SMALL_BYTES + 1)


def test_only_what_can_answer_with_much_needs_room_beforehand() -> None:
    page, one = LIMITS.list_bytes_max, LIMITS.value_bytes_max
    many = {"range": {"prefix": "a"}}
    for asked, size_bytes in (
        (parse_range({"key": "a"}, LIMITS).query, 0),
        (parse_range({"prefix": "a", "count_only": True}, LIMITS).query, 0),
        (parse_range({"prefix": "a"}, LIMITS).query, page),
        (parse_list({}, LIMITS).query, page),
        (parse_put({"key": "a", "value": ""}, LIMITS).operation, 0),
        (parse_put({"key": "a", "value": "", "prev_kv": True}, LIMITS).operation, one),
        (parse_delete_range({"prefix": "a"}, LIMITS).operation, 0),
        (parse_delete_range({"key": "a", "prev_kv": True}, LIMITS).operation, one),
        (parse_delete_range({"prefix": "a", "prev_kv": True}, LIMITS).operation, page),
        (parse_txn({"success": [many], "failure": []}, LIMITS).txn, page),
        (parse_txn({"failure": [{"txn": {"success": [many, many]}}]}, LIMITS).txn, page),
        (parse_txn({"success": [{"put": {"key": "a", "value": ""}}]}, LIMITS).txn, 0),
    ):
        assert largest_answer_bytes(asked, LIMITS) == size_bytes, asked


def test_the_size_of_a_result_has_its_parts() -> None:
    """`ENTRY` has a key and a value of a byte each."""
    for asked, size_bytes in (
        (parse_range({"prefix": "a"}, LIMITS).query, 2),
        (parse_delete_range({"key": "a", "prev_kv": True}, LIMITS).operation, 2),
        (parse_delete_range({"key": "a"}, LIMITS).operation, 0),
        (parse_txn({"success": [{"range": {"prefix": "a"}}, {"range": {"key": "a"}}]}, LIMITS).txn, 4),
    ):
        assert result_bytes(canned(asked)) == size_bytes


# ------------------------------------------------------------------------------------------------ bodies


async def test_bodies_over_the_bound_are_refused_until_the_others_are_gone() -> None:
    async with serving(held_bytes_max=2 * MIB) as site, contextlib.AsyncExitStack() as stack:
        held = site.server.held
        for _ in range(2):
            await stack.enter_async_context(a_client(site, unfinished(LARGE)))
        await until(lambda: held.total == 2 * (len(LARGE) - 1))
        refused = await site.ask("POST", "/write", LARGE, JSON)
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "overloaded", "1")
        assert refused.headers["connection"] == "close"
        assert refused.json()["certainly_not_applied"] is True
        assert (await site.post("/write", SMALL)).status == 200, "what is small goes on"
        assert (await site.get("/livez")).status == 200
        await stack.aclose()
        await until(lambda: held.total == 0)
        assert (await site.ask("POST", "/write", LARGE, JSON)).status == 200
        assert held.total == 0
        assert internal_errors(site.server) == 0


async def test_a_body_counts_until_it_is_answered() -> None:
    path = FakeRequestPath(hold=asyncio.Event())
    async with serving(path, held_bytes_max=2 * MIB) as site:
        asked = asyncio.ensure_future(site.ask("POST", "/write", LARGE, JSON))
        await until(lambda: len(path.calls) == 1)
        assert site.server.held.total == len(LARGE)
        assert path.hold is not None
        path.hold.set()
        assert (await asked).status == 200
        assert site.server.held.total == 0


# ------------------------------------------------------------------------------------------------ answers


async def test_pages_over_the_bound_are_refused_before_they_are_read() -> None:
    path = with_large_keys()
    async with serving(
        path, settings=IMPATIENT, list_bytes_max=PAGE_BYTES, held_bytes_max=PAGE_BYTES + 4 * MIB
    ) as site:
        held = site.server.held
        async with a_client(site, listing()):
            await until(lambda: 12 * MIB < held.total < PAGE_BYTES)
            asked_before = len(path.calls)
            refused = await site.post("/list", {"prefix": "big/", "keys_only": False})
            assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "overloaded", "1")
            assert len(path.calls) == asked_before
            assert (await site.post("/read", {"key": "big/01"})).status == 200, "there is room for one key"
            assert (await site.get("/livez")).status == 200
        await until(lambda: held.total == 0)
        assert (await site.post("/list", {"prefix": "big/", "keys_only": False})).status == 200
        assert held.total == 0
        assert internal_errors(site.server) == 0


async def test_a_value_for_which_there_is_no_room_is_dropped() -> None:
    path = FakeRequestPath(keys={b"big": b"v" * MIB})
    async with serving(path, held_bytes_max=MIB // 2) as site:
        refused = await site.post("/read", {"key": "big"})
        assert (refused.status, refused.code) == (429, "overloaded")
        assert site.server.held.total == 0


async def test_a_client_that_takes_nothing_of_its_answer_is_cut() -> None:
    async with serving(with_large_keys(), list_bytes_max=PAGE_BYTES, idle_timeout=200) as site:
        async with a_client(site, listing()):
            await until(lambda: site.server.held.total > 0)
            await until(lambda: site.server.held.total == 0)
        assert internal_errors(site.server) == 0


async def test_nothing_is_refused_below_the_bound_and_nothing_stays_counted() -> None:
    """Eight at once where there is room for one page: the others wait for theirs."""
    patient = replace(SETTINGS, room_wait_ms=60_000)
    async with serving(
        with_large_keys(), settings=patient, list_bytes_max=4 * MIB, held_bytes_max=6 * MIB
    ) as site:
        for _ in range(3):
            replies = await asyncio.gather(
                *(site.post("/list", {"prefix": "big/", "keys_only": False}) for _ in range(8))
            )
            assert [len(reply.json()["entries"]) for reply in replies] == [3] * 8
        assert site.server.held.total == 0


async def test_a_connection_goes_on_after_a_large_answer() -> None:
    async with (
        serving(with_large_keys()) as site,
        a_client(site, listing(), request_bytes("GET", "/livez")) as (reader, _),
    ):
        async with asyncio.timeout(20):
            received = await reader.read(-1)
        first = parse_reply(received)
        assert (first.status, len(first.json()["entries"])) == (200, 3)
        assert b"HTTP/1.1 200 OK" in received[len(first.body) :]
