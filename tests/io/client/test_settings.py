from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ferrite import AsyncClient
from ferrite.client import InvalidArgument, Mod, Put, Range, Value
from ferrite.io.client.recognise import NotRecognised, recognise
from ferrite.io.client.settings import parse_endpoint
from tests.io.client.served import serving


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("127.0.0.1:1", ("", "127.0.0.1:1")),
        ("http://a.example:8001/", ("http", "a.example:8001")),
        ("grpc://[::1]:9", ("grpc", "[::1]:9")),
    ],
)
def test_endpoints_are_read(given: str, found: tuple[str, str]) -> None:
    assert parse_endpoint(given) == found


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoints": []},
        {"endpoints": "nowhere"},
        {"endpoints": "https://a:1"},
        {"endpoints": "http://a:1", "protocol": "grpc"},
        {"endpoints": "a:1", "protocol": "carrier pigeon"},
        {"endpoints": "a:1", "timeout_s": 0},
        {"endpoints": "a:1", "timeout_s": 601},
        {"endpoints": "a:1", "connect_timeout_s": -1},
        {"endpoints": "a:1", "client_id": b""},
        {"endpoints": "a:1", "client_id": bytes(41)},
        {"endpoints": "a:1", "client_id": b"\xff"},
    ],
)
def test_what_cannot_work_is_refused_at_the_door(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="expected"):
        AsyncClient(**arguments)


async def test_wrong_arguments_of_calls_are_refused_before_anything_is_sent() -> None:
    wrong: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("put", ("",), {}),
        ("put", (7,), {}),
        ("put", ("\ud800",), {}),
        ("get", ("k",), {"timeout_s": -1}),
        ("get", ("k",), {"consistency": "eventual"}),
        ("get", ("k",), {"max_staleness_s": 1}),
        ("range", ("k",), {"prefix": "p"}),
        ("range", ("k", "l"), {"from_key": True}),
        ("range", (), {"sort_by": "colour"}),
        ("scan", (), {"page": 0}),
        ("delete", (), {}),
    ]
    async with serving() as served, AsyncClient(served.endpoints("grpc")) as client:
        await client.endpoints()
        for name, arguments, options in wrong:
            with pytest.raises(InvalidArgument):
                await getattr(client, name)(*arguments, **options)
        assert not served.machine.operations


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Value("k") == 7,
        lambda: Mod("k") == "x",
        lambda: Mod("k") < -1,
        lambda: Put(""),
        lambda: Range("a", prefix="b"),
        lambda: AsyncClient("a:1").txn().if_(True),  # type: ignore[arg-type]  # what is tested
    ],
)
def test_conditions_and_steps_say_what_they_expect(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        wrong()


async def test_both_ports_are_recognised_and_others_are_not() -> None:
    async with serving() as served:
        assert await recognise(served.doors[0].grpc_addr, 2) == "grpc"
        assert await recognise(served.doors[0].http_addr, 2) == "http"
    with pytest.raises(NotRecognised, match="cannot be reached"):
        await recognise("127.0.0.1:1", 2)


def test_importing_ferrite_or_its_client_loads_neither_grpc_nor_aiohttp() -> None:
    probe = (
        "import sys, ferrite; assert 'asyncio' not in sys.modules; from ferrite import AsyncClient, Client;"
        "import ferrite.client; AsyncClient('a:1'); Client('a:1');"
        "print([name for name in ('grpc', 'aiohttp') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"
