"""Transports that talk to each other over real loopback streams."""

import asyncio
from functools import partial
from typing import Any

import grpc
import pytest
import structlog
import structlog.testing
from grpc import aio

from ferrite.core import Membership, NodeId, encode_frame, messages
from ferrite.io.grpc.pb import raft_pb2
from tests.io.transport.fakes import Node, beat, running, with_options

pytestmark = pytest.mark.usefixtures("each_engine")


def _rounds(node: Node) -> list[int]:
    return [message.round for _, message in node.got if isinstance(message, messages.Heartbeat)]


def _has_two(node: Node) -> bool:
    return len(node.got) == 2


async def test_messages_reach_the_peer_in_order_with_their_senders_header() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        for number in range(50):
            one.send(2, beat(number))
            await asyncio.sleep(0)
        await two.until(lambda: len(two.got) == 50)
    assert _rounds(two) == list(range(50))
    assert {source for source, _ in two.got} == {1}
    assert one.lost == []


async def test_what_is_sent_in_one_turn_of_the_loop_travels_in_one_frame() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(0))
        await two.until(lambda: two.got)
        for number in range(1, 9):
            one.send(2, beat(number))
        await two.until(lambda: len(two.got) == 9)
    assert two.frames == [1, 8]


async def test_both_directions_have_a_stream_each() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        two.knows(one)
        one.send(2, beat(1))
        two.send(1, beat(2))
        await two.until(lambda: two.got)
        await one.until(lambda: one.got)
        # The peer may have a frame before the sender's call for it returns, and only then it counts as sent.
        await one.until(lambda: one.transport.counters()["transport_frames_sent"])
        (status,) = one.transport.peer_status()
        assert (status.peer, status.address, status.connected, status.refused) == (2, two.addr, True, False)
        counters = one.transport.counters()
        assert (counters["transport_incoming_streams"], counters["transport_connects"]) == (1, 1)
        assert counters["transport_frames_sent"] == counters["transport_frames_received"] == 1
        assert counters["transport_bytes_sent"] > 0


async def test_three_nodes_talk_to_each_other() -> None:
    nodes = [Node(1), Node(2), Node(3)]
    async with running(*nodes):
        for node in nodes:
            node.knows(*(other for other in nodes if other is not node))
        for node in nodes:
            for other in nodes:
                node.send(other.node_id, beat(node.node_id))  # to itself: nowhere to go, and counted
        for node in nodes:
            await node.until(partial(_has_two, node))
            assert sorted(_rounds(node)) == sorted({1, 2, 3} - {node.node_id})
            assert node.transport.counters()["transport_dropped_no_address"] == 1


async def test_a_node_without_a_membership_answers_the_one_that_called_it() -> None:
    one, fresh = Node(1), Node(2)
    async with running(one, fresh):
        fresh.send(1, beat(0))  # nobody knows where
        assert fresh.transport.counters()["transport_dropped_no_address"] == 1
        one.knows(fresh)
        one.send(2, beat(1))
        await fresh.until(lambda: fresh.got)
        fresh.send(1, beat(2))
        await one.until(lambda: one.got)
    assert _rounds(one) == [2]


async def test_the_memberships_address_replaces_the_one_that_a_peer_named() -> None:
    one, liar, two = Node(1), Node(3), Node(2)
    async with running(one, two, liar):
        # Node 1 names the address of node 3 as its own.
        one.transport._own_addr = liar.addr
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        assert two.transport.peer_status()[0].address == liar.addr
        two.knows(one)
        two.send(1, beat(2))
        await one.until(lambda: one.got)
        assert two.transport.peer_status()[0].address == one.addr
    assert liar.got == []


async def test_a_member_that_moved_is_reached_at_its_new_address() -> None:
    one, two, moved = Node(1), Node(2), Node(2)
    async with running(one, two, moved):
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        one.knows(moved)
        one.send(2, beat(2))
        await moved.until(lambda: moved.got)
        assert _rounds(two) == [1]
        assert _rounds(moved) == [2]
        assert one.lost == []
        await one.until(lambda: one.transport.counters()["transport_frames_sent"] == 2)


async def test_a_node_that_left_can_still_be_told_so() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        one.knows()
        one.send(2, beat(2))
        await two.until(lambda: len(two.got) == 2)
        assert one.lost == []


# -------------------------------------------------------------------------------------------------------- refusals


async def test_a_frame_of_another_cluster_is_refused_and_the_sender_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, stranger = Node(1, cluster=bytes(16)), Node(2)
    async with running(one, stranger):
        one.knows(stranger)
        one.send(2, beat(1))
        await one.until(lambda: one.lost)
        (status,) = one.transport.peer_status()
        assert status.refused
        assert status.last_error == "FAILED_PRECONDITION: another cluster"
        assert stranger.got == []
        assert stranger.transport.counters()["transport_frames_refused"] >= 1
        assert one.lost == [2]


async def test_a_frame_for_another_node_is_refused() -> None:
    one, two = Node(1), Node(2)
    async with running(one, two):
        two.node_id = 7  # a swapped data directory: the address answers, but it is not node 2 any more
        one.transport.update_peers(Membership())
        one.transport._learn(NodeId(2), two.addr)
        one.send(2, beat(1))
        await one.until(lambda: one.lost)
        assert "this is node 7" in one.transport.peer_status()[0].last_error
    assert two.got == []


async def test_a_node_that_reaches_itself_is_told() -> None:
    one = Node(1)
    async with running(one):
        one.transport._learn(NodeId(2), one.addr)
        one.send(2, beat(1))
        await one.until(lambda: one.lost)
        assert "this node itself" in one.transport.peer_status()[0].last_error


async def test_a_refusal_ends_when_the_reason_does() -> None:
    one, two = Node(1, cluster=bytes(16)), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(1))
        await one.until(lambda: one.lost)
        one.cluster = two.cluster

        async def insist() -> None:
            while not two.got:
                one.send(2, beat(2))
                await asyncio.sleep(0.01)

        async with asyncio.timeout(15):
            await insist()
        await one.until(lambda: not one.transport.peer_status()[0].refused)
        assert one.transport.peer_status()[0].last_error == ""


def _good_frame(source: int = 1, target: int = 2) -> bytes:
    return encode_frame(Node(source).header_for(NodeId(target)), [beat(1)])


async def _connect_and_send(node: Node, *frames: bytes) -> aio.AioRpcError | None:
    async with aio.insecure_channel(node.addr) as channel:
        connect: Any = channel.stream_unary("/ferrite.raft.RaftService/Connect")
        try:
            await connect((raft_pb2.Frame(data=frame).SerializeToString() for frame in frames), timeout=20)
        except aio.AioRpcError as error:
            return error
    return None


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x00", b"noise" * 100, _good_frame()[:-1], _good_frame()[:-5] + b"\xff" + _good_frame()[-4:]],
    ids=["empty", "short", "noise", "cut", "flipped"],
)
async def test_bytes_that_are_no_frame_end_the_stream_and_are_counted(frame: bytes) -> None:
    two = Node(2)
    async with running(two):
        error = await _connect_and_send(two, _good_frame(), frame, _good_frame())
        assert error is not None
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert two.transport.frames_damaged == 1
        assert len(two.got) == 1  # what came before was good, nothing is taken after


async def test_a_stranger_who_keeps_trying_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    two = Node(2)
    async with running(two):
        log = structlog.testing.CapturingLogger()
        monkeypatch.setattr("ferrite.io.transport.transport._log", log)
        for source in range(3, 8):
            await _connect_and_send(two, b"noise")
            await _connect_and_send(two, _good_frame(source=source, target=9))
        said = [call.args[0] for call in log.calls]
        assert (two.transport.frames_damaged, two.transport.frames_refused) == (5, 5)
    assert said == ["a peer sent bytes that are no frame", "refused a peer's frame"]


async def test_a_stream_cannot_change_its_sender() -> None:
    two = Node(2)
    async with running(two):
        error = await _connect_and_send(two, _good_frame(source=1), _good_frame(source=3))
        assert error is not None
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "began as node 1" in (error.details() or "")
        assert len(two.got) == 1


async def test_a_frame_over_the_size_limit_ends_the_stream() -> None:
    two = Node(2)
    async with running(two):
        error = await _connect_and_send(two, bytes(5 * 2**20))
        assert error is not None
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert two.got == []


async def test_a_stream_that_says_nothing_is_ended() -> None:
    two = Node(2, options=with_options(first_frame_timeout_ms=50))
    async with running(two), aio.insecure_channel(two.addr) as channel:
        connect: Any = channel.stream_unary("/ferrite.raft.RaftService/Connect")
        call = connect(timeout=20)
        async with asyncio.timeout(15):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await call.details() == "no frame within 50 ms"
        assert two.transport.counters()["transport_incoming_streams"] == 0


async def test_a_stream_that_has_spoken_may_fall_silent() -> None:
    one, two = Node(1), Node(2, options=with_options(first_frame_timeout_ms=50))
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        await asyncio.sleep(0.15)
        one.send(2, beat(2))
        await two.until(lambda: len(two.got) == 2)
        assert one.transport.counters()["transport_connects"] == 1


async def test_no_more_streams_are_taken_than_a_cluster_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferrite.io.transport.transport.INCOMING_STREAMS_MAX", 1)
    one, two = Node(1), Node(2)
    async with running(one, two):
        one.knows(two)
        one.send(2, beat(1))
        await two.until(lambda: two.got)
        error = await _connect_and_send(two, _good_frame(source=3))
        assert error is not None
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_that_ends_in_good_order_gets_a_farewell() -> None:
    two = Node(2)
    async with running(two):
        assert await _connect_and_send(two, _good_frame(), _good_frame()) is None
    assert len(two.got) == 2
