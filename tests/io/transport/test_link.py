"""Losing a peer, finding it again, and a peer that takes nothing: over real loopback streams."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc import aio

from ferrite.core import messages
from ferrite.io.transport import LinkState
from tests.io.transport.fakes import Node, beat, chunk, running, with_options


def _rounds(node: Node) -> list[int]:
    return [message.round for _, message in node.got if isinstance(message, messages.Heartbeat)]


async def test_an_end_of_the_stream_is_reported_once_and_the_next_message_connects_again() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        port = two.port
        await two.stop()
        await one.until(lambda: one.lost)
        assert one.lost == [2]
        assert one.transport.peer_status()[0].state in (LinkState.WAITING, LinkState.IDLE)

        await two.start(port)
        async with asyncio.timeout(15):
            while len(two.got) < 2:
                one.send(2, beat(2))
                await asyncio.sleep(0.01)
        assert one.transport.counters()["transport_connects"] == 2
        assert one.lost[0] == 2


async def test_a_peer_that_is_not_there_is_reported_at_each_attempt_and_costs_nothing_in_between() -> None:
    one, two = Node(1), Node(2)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        two.port = probe.getsockname()[1]
    async with running(one):
        one.knows(two)
        async with asyncio.timeout(15):
            while len(one.lost) < 3:
                one.send(2, beat(1))
                await asyncio.sleep(0.005)
        (status,) = one.transport.peer_status()
        assert status.waiting_messages <= 1
        assert not status.connected
        assert not status.refused
        assert status.last_error
        assert one.transport.counters()["transport_failures"] == len(one.lost)


async def test_a_peer_that_is_heard_from_is_tried_again_at_once() -> None:
    one, two = Node(1, options=with_options(retry_delay_ms=60_000, retry_delay_ms_max=60_000)), Node(2)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        two.port = probe.getsockname()[1]
    async with running(one):
        one.knows(two)
        one.send(2, beat(1))
        await one.until(lambda: one.lost)
        async with contextlib.AsyncExitStack() as stack:
            await two.start(two.port)
            stack.push_async_callback(two.stop)
            two.knows(one)
            two.send(1, beat(2))
            await one.until(lambda: one.got)
            async with asyncio.timeout(15):  # far below the minute of back-off
                while not two.got:
                    one.send(2, beat(3))
                    await asyncio.sleep(0.01)


async def test_a_stream_is_renewed_in_good_order_without_losing_a_message() -> None:
    one, two = Node(1, options=with_options(renew_interval_ms=60)), Node(2)
    async with running(one, two):
        one.knows(two)
        sent = 0
        async with asyncio.timeout(20):
            while one.transport.counters()["transport_connects"] < 4:
                one.send(2, beat(sent))
                sent += 1
                await asyncio.sleep(0.001)
        await two.until(lambda: len(two.got) == sent)
    assert _rounds(two) == list(range(sent))
    assert one.lost == []


async def test_closing_sends_what_waits_and_ends_the_peers_streams_without_an_error() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        two.knows(one)
        two.send(1, beat(0))
        await one.until(lambda: one.got)
        one.send(2, beat(1), beat(2))
        await one.transport.close()
        await two.until(lambda: len(two.got) == 2 and two.lost)
        assert two.transport.peer_status()[0].last_error == "the peer closed the stream"
        one.send(2, beat(3))
        assert one.transport.counters()["transport_incoming_streams"] == 0
    assert len(two.got) == 2


# -------------------------------------------------------------------------------------------------------- bounds


@contextlib.asynccontextmanager
async def _silent_peer() -> AsyncIterator[Node]:
    """Accepts connections and the stream, and never reads a frame."""

    async def never_read(_: object, context: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    server = aio.server(options=[("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)])
    handlers: Any = {"Connect": grpc.stream_unary_rpc_method_handler(never_read)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("ferrite.raft.RaftService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    peer = Node(2)
    peer.port = port
    try:
        yield peer
    finally:
        await server.stop(0)


async def test_a_peer_that_never_reads_fills_a_bounded_queue_and_is_reported() -> None:
    limit = 4 * 2**20
    one = Node(1, options=with_options(queue_bytes_max=limit))
    async with running(one), _silent_peer() as silent:
        one.knows(silent)
        for number in range(400):
            one.send(2, chunk(65536, number * 65536), beat(number))
            await asyncio.sleep(0.001)
        (status,) = one.transport.peer_status()
        assert status.waiting_bytes <= limit
        assert status.counters.dropped_full > 100
        assert one.lost == [2]
        # Little is outside our queue: flow control holds the rest back, so a heartbeat waits for no more than that.
        assert status.counters.bytes_sent < 2 * 2**20


async def test_a_peer_that_takes_nothing_for_too_long_is_given_up() -> None:
    one = Node(1, options=with_options(stall_timeout_ms=150))
    async with running(one), _silent_peer() as silent:
        one.knows(silent)
        for number in range(40):
            one.send(2, chunk(65536, number * 65536))
        await one.until(lambda: one.lost)
        assert one.transport.peer_status()[0].last_error == "the peer took nothing for 150 ms"
        assert one.transport.peer_status()[0].waiting_messages == 0


async def test_heartbeats_overtake_what_waits_of_a_snapshot() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, *(chunk(2**19, number * 2**19) for number in range(20)), beat(7))
        await two.until(lambda: len(two.got) == 21)
    kinds = [type(message).__name__ for _, message in two.got]
    assert kinds.index("Heartbeat") == 0
    offsets = [message.offset for _, message in two.got if isinstance(message, messages.InstallSnapshot)]
    assert offsets == sorted(offsets)


async def test_a_message_that_fits_no_frame_is_dropped_and_reported() -> None:
    one, two = Node(1, options=with_options(message_bytes_max=2 * 2**20)), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, chunk(2 * 2**20))
        await one.until(lambda: one.lost)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        assert one.transport.counters()["transport_dropped_too_large"] == 1
    assert _rounds(two) == [1]


async def test_compressed_streams_carry_the_same_frames() -> None:
    one, two = Node(1, options=with_options(compression=True)), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, chunk(2**20), beat(5))
        await two.until(lambda: len(two.got) == 2)
    assert _rounds(two) == [5]
