"""Asking an address who it is, over whichever protocol it speaks."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from ferrite.io.identify import IdentifyFailed, identify
from ferrite.io.node_identity import NodeIdentity, checked_identity, identity_from_json
from ferrite.io.validation import Invalid
from tests.io.grpc.fakes import IDENTITY, serving


@contextlib.asynccontextmanager
async def _http(*answers: tuple[int, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP server that gives these answers in turn, the last one for ever. Yields its address and what was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        status, body = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=status, text=body, headers={"Location": "http://127.0.0.1:1/identity"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def _ask(address: str, *, timeout_ms: int = 5000, tries: int = 1) -> NodeIdentity:
    return await identify(address, timeout_ms=timeout_ms, tries=tries, retry_delay_ms=1)


async def test_an_http_address_answers_with_its_identity() -> None:
    async with _http((200, json.dumps(IDENTITY.as_json()))) as (address, asked):
        assert await _ask(address) == IDENTITY
    assert asked == ["/identity"]


async def test_a_grpc_address_answers_with_its_identity() -> None:
    async with serving() as served:
        assert await _ask(f"127.0.0.1:{served.port}") == IDENTITY


async def test_a_node_without_a_cluster_has_a_cluster_id_of_zeros() -> None:
    async with _http((200, json.dumps({**IDENTITY.as_json(), "cluster_id": ""}))) as (address, _):
        assert await _ask(address) == replace(IDENTITY, cluster_id=bytes(16))


@pytest.mark.parametrize(
    "status, body, told",
    [
        (404, "no", "status 404"),
        (302, "elsewhere", "status 302"),
        (200, "<html>", "no JSON"),
        (200, "[" * 5000, "no JSON"),
        (200, "[]", "expected a JSON object"),
        (200, "x" * 20_000, "more than 16384 bytes"),
        (200, json.dumps({**IDENTITY.as_json(), "instance": "zz"}), "hexadecimal"),
        (200, json.dumps({**IDENTITY.as_json(), "instance": "00"}), "16 bytes"),
        (200, json.dumps({**IDENTITY.as_json(), "node_id": True}), "node_id"),
        (200, json.dumps({**IDENTITY.as_json(), "node_id": 0}), "node_id"),
        (200, json.dumps({**IDENTITY.as_json(), "http_addr": "nowhere"}), "http_addr"),
        (200, json.dumps({**IDENTITY.as_json(), "peer_addr": ""}), "peer_addr"),
        (200, json.dumps({**IDENTITY.as_json(), "version": "v" * 100}), "version"),
        (200, json.dumps({**IDENTITY.as_json(), "version": 1}), "version"),
    ],
)
async def test_a_stranger_is_told_apart(status: int, body: str, told: str) -> None:
    async with _http((status, body)) as (address, _):
        with pytest.raises(IdentifyFailed, match=f"no Ferrite node answers at {address}") as found:
            await _ask(address, timeout_ms=2000)
    http, grpc = found.value.tried
    assert told in http
    assert grpc.startswith("gRPC ferrite.raft.RaftService/Identify: ")
    assert "Give the HTTP or gRPC address of a running node" in str(found.value)


async def test_nobody_there_is_told_after_all_tries() -> None:
    with pytest.raises(IdentifyFailed, match=r"no Ferrite node answers at 127\.0\.0\.1:1:"):
        await _ask("127.0.0.1:1", tries=2)


async def test_a_failing_node_is_asked_again() -> None:
    good = json.dumps(IDENTITY.as_json())
    async with _http((503, "not yet"), (200, good)) as (address, asked):
        assert await _ask(address, timeout_ms=2000, tries=3) == IDENTITY
    assert [path for path in asked if path == "/identity"] == ["/identity"] * 2


async def test_an_address_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    open_writers = []

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(IdentifyFailed) as found:
            await _ask(f"127.0.0.1:{port}", timeout_ms=100)
        for writer in open_writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    assert all("no answer within 100 ms" in line for line in found.value.tried)


def test_an_identity_survives_json() -> None:
    assert identity_from_json(json.loads(json.dumps(IDENTITY.as_json()))) == IDENTITY


def test_an_identity_without_a_dialable_address_is_refused() -> None:
    with pytest.raises(Invalid, match="grpc_addr"):
        checked_identity(replace(IDENTITY, grpc_addr="0.0.0.0:9001"))
