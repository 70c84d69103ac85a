"""Ask an address who is there, not knowing which protocol it speaks: HTTP first, then gRPC.

An operator may name any of a node's addresses (`/add-learner` takes the HTTP address for both); the node itself knows the others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from ferrite.io.config import NetworkConfig
from ferrite.io.grpc.ask import IDENTIFY_PATH, AskFailed, ask_identity
from ferrite.io.node_identity import NodeIdentity, identity_from_json
from ferrite.io.validation import Invalid

ANSWER_BYTES_MAX: Final = (
    16 * 1024
)  # an identity is a few hundred bytes; a stranger's page is not read to its end
REASON_CHARACTERS_MAX: Final = 200


class IdentifyFailed(Exception):
    """Nobody of ours answered. `tried` says what was asked and what came back, one line each."""

    def __init__(self, address: str, tried: list[str]) -> None:
        """Name the address, everything that was tried, and what to do."""
        super().__init__(
            f"no Ferrite node answers at {address}: {'; '.join(tried)}. "
            "Give the HTTP or gRPC address of a running node, as this node can reach it"
        )
        self.address = address
        self.tried = tried


class _NoAnswer(Exception):
    """One attempt failed; the text says how."""


async def identify(address: str, *, timeout_ms: int, tries: int, retry_delay_ms: int) -> NodeIdentity:
    """Return who is at `host:port`. `timeout_ms` bounds each question; all questions are asked `tries` times (1: once).

    Raises `IdentifyFailed`.
    """
    tried: list[str] = []
    for attempt in range(max(1, tries)):
        if attempt:
            await asyncio.sleep(retry_delay_ms / 1000)
        tried = []
        for question, ask in (
            (f"HTTP GET http://{address}/identity", _ask_http),
            (f"gRPC {IDENTIFY_PATH[1:]}", _ask_grpc),
        ):
            try:
                return await _within(timeout_ms, ask, address)
            except _NoAnswer as failure:
                tried.append(f"{question}: {str(failure)[:REASON_CHARACTERS_MAX]}")
    raise IdentifyFailed(address, tried)


def asker(network: NetworkConfig) -> Callable[[str], Awaitable[NodeIdentity]]:
    """Return `identify` with the time-outs and retries of the configuration's section [network]."""

    async def ask(address: str) -> NodeIdentity:
        return await identify(
            address,
            timeout_ms=network.connect_timeout,
            tries=1 + network.max_retries,
            retry_delay_ms=network.retry_delay,
        )

    return ask


async def _within(
    timeout_ms: int, ask: Callable[[str], Awaitable[NodeIdentity]], address: str
) -> NodeIdentity:
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await ask(address)
    except TimeoutError:
        raise _NoAnswer(f"no answer within {timeout_ms} ms") from None
    except Invalid as error:
        raise _NoAnswer(f"an answer that is no identity ({error})") from error


async def _ask_http(address: str) -> NodeIdentity:
    try:
        # Straight to the address: no proxy from the environment, no redirect to somewhere else.
        async with (
            aiohttp.ClientSession(trust_env=False, auto_decompress=False) as session,
            session.get(f"http://{address}/identity", allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise _NoAnswer(f"status {response.status}")
            body = await _read_bounded(response)
    except (aiohttp.ClientError, aiohttp.InvalidURL, OSError, ValueError) as error:
        raise _NoAnswer(str(error) or type(error).__name__) from error
    try:
        return identity_from_json(json.loads(body))
    except (RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _NoAnswer(f"an answer that is no JSON ({error})") from error


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise _NoAnswer(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


async def _ask_grpc(address: str) -> NodeIdentity:
    try:
        return await ask_identity(address, answer_bytes_max=ANSWER_BYTES_MAX)
    except AskFailed as error:
        raise _NoAnswer(str(error)) from error


__all__ = ["IdentifyFailed", "NodeIdentity", "asker", "identify"]
