"""The keys of [network] act, between nodes that talk over loopback: a changed value reaches the transport, and it obeys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from ferrite.core import NodeId
from ferrite.io.identify import IdentifyFailed, asker
from ferrite.io.transport import transport_options
from ferrite.io.transport.grpc_stream import open_stream
from ferrite.io.transport.link import LinkEvents, PeerLink
from ferrite.io.transport.stream import StreamEnded
from tests.io.grpc.fakes import make_config, refusal
from tests.io.grpc.fakes import serving as grpc_serving
from tests.io.test_requests import config_of
from tests.io.transport.fakes import Node, beat, chunk, running

KIB: Final = 1024
MIB: Final = 1024 * KIB


async def test_asking_an_address_is_repeated_as_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """network.connect_timeout, network.max_retries, network.retry_delay."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def answer_nothing(_: str) -> Any:
        await asyncio.Event().wait()

    config = config_of(
        tmp_path, network__connect_timeout="50", network__max_retries="2", network__retry_delay="4000"
    )
    monkeypatch.setattr("ferrite.io.identify.asyncio.sleep", sleep)
    monkeypatch.setattr("ferrite.io.identify._ask_http", answer_nothing)
    monkeypatch.setattr("ferrite.io.identify._ask_grpc", answer_nothing)
    with pytest.raises(IdentifyFailed, match="no answer within 50 ms"):
        await asker(config.network)("127.0.0.1:9")
    assert pauses == [4.0, 4.0]


@contextlib.asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """Somebody who accepts connections on loopback; all are cut at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_dialing_a_peer_is_given_up_in_time(tmp_path: Path) -> None:
    options = transport_options(config_of(tmp_path, network__connect_timeout="60").network)

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with _listening(say_nothing) as address:
        with pytest.raises(StreamEnded, match=f"no connection to {address} within 60 ms"):
            await open_stream(address, "127.0.0.1:9001", options)


async def test_a_silent_connection_is_pinged(tmp_path: Path) -> None:
    """network.keep_alive_interval, by a listener that speaks as much HTTP/2 as a ping needs."""
    options = transport_options(config_of(tmp_path, network__keep_alive_interval="1000").network)
    pinged = asyncio.Event()

    async def await_ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # SETTINGS, empty
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == 6 and not head[4] & 1:  # PING, no answer to one
                pinged.set()

    async with _listening(await_ping) as address:
        stream = await open_stream(address, "127.0.0.1:9001", options)
        async with asyncio.timeout(8):  # with the default of 10 s there is none within this time
            await pinged.wait()
        await stream.close()


@pytest.mark.parametrize("delay_ms", [40, 7000])
async def test_a_lost_peer_is_tried_again_after_the_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay_ms: int
) -> None:
    pauses_s: list[float] = []
    patience = asyncio.timeout

    def at_once(delay_s: float) -> asyncio.Timeout:
        pauses_s.append(delay_s)
        return patience(0)

    options = transport_options(config_of(tmp_path, network__retry_delay=str(delay_ms)).network)
    deaf = LinkEvents(lost=lambda *_: None, overflowed=lambda _: None, too_large=lambda *_: None)
    link = PeerLink(
        NodeId(2), "127.0.0.1:9", "127.0.0.1:8", encode=lambda *_: b"", open_stream=open_stream, events=deaf, options=options
    )  # fmt: skip
    link._note_failure(StreamEnded("gone", refused=False))
    monkeypatch.setattr("ferrite.io.transport.link.asyncio.timeout", at_once)
    await link._pause()
    assert len(pauses_s) == 1
    assert delay_ms / 2 <= pauses_s[0] * 1000 <= delay_ms


def _has(node: Node, count: int) -> bool:
    return len(node.got) == count


async def test_compressed_streams_are_smaller_on_the_wire(tmp_path: Path) -> None:
    """network.enable_compression: a snapshot's piece of 1 MB of zeros, counted between the nodes."""
    sent = {}
    for compressed in ("true", "false"):
        options = transport_options(config_of(tmp_path, network__enable_compression=compressed).network)
        one, two = Node(1, options=options), Node(2)
        async with running(one, two), _counting(two.addr) as (address, passed):
            one.transport._learn(NodeId(2), address)
            one.send(2, chunk(MIB), beat(5))
            await two.until(partial(_has, two, 2))
            sent[compressed] = passed()
    assert sent["true"] < 64 * KIB < MIB < sent["false"]


@contextlib.asynccontextmanager
async def _counting(target: str) -> AsyncIterator[tuple[str, Callable[[], int]]]:
    """A way to `target` that counts the bytes towards it."""
    count = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        nonlocal count
        while data := await reader.read(65536):
            count += len(data) if counted else 0
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        with contextlib.closing(forth):
            await asyncio.gather(pass_on(reader, forth, counted=True), pass_on(back, writer, counted=False))

    async with _listening(relay) as address:
        yield address, lambda: count


async def test_a_message_over_the_configured_size_is_not_taken(tmp_path: Path) -> None:
    """network.max_message_size: our own refusal has a reason, the one of a message that nobody read has none."""
    smaller = make_config(network__max_message_size=2 * MIB, limits__list_bytes_max=MIB)
    refused = []
    for config in (make_config(), smaller):
        async with grpc_serving(config) as served:
            async with refusal() as found:
                await served.raw(
                    "/ferrite.kv.KvService/Set", b"\x0a\x01k\x12\x80\x80\xc0\x01" + bytes(3 * MIB)
                )
            refused.append((found[0].code, found[0].reason))
    assert refused[0][1] == "too_large"
    assert refused[1] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    options = transport_options(config_of(tmp_path, network__max_message_size=str(8 * MIB)).network)
    assert options.message_bytes_max == 8 * MIB
