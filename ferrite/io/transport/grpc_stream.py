"""The outgoing half of `RaftService.Connect` over grpcio: one channel, one stream, frames as bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc import aio

from ferrite.io.grpc.handlers import PEER_ADDR_METADATA_KEY
from ferrite.io.grpc.pb import raft_pb2
from ferrite.io.transport.stream import StreamEnded, TransportOptions

CONNECT_PATH: Final = "/ferrite.raft.RaftService/Connect"
KEEPALIVE_TIMEOUT_MS: Final = 10_000  # silence after a ping that makes the connection dead
FAREWELL_TIMEOUT_S: Final = 1.0  # for the peer's answer when the stream ends in good order
REASON_CHARACTERS_MAX: Final = 300
# What a peer answers when it read a frame and wants no more of the kind; the rest is weather.
_REFUSALS: Final = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT})


class GrpcPeerStream:
    """An open stream. Made by `open_stream`."""

    def __init__(self, channel: aio.Channel, own_addr: str) -> None:
        """The channel must be connected; it belongs to the stream from here on."""
        self._channel = channel
        connect: Any = channel.stream_unary(CONNECT_PATH, request_serializer=_serialize)
        self._call: Any = connect(metadata=((PEER_ADDR_METADATA_KEY, own_addr),))

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back, once, when the other side has ended the stream."""
        self._call.add_done_callback(lambda _: callback())

    @property
    def ended(self) -> bool:
        return bool(self._call.done())

    async def send(self, frame: bytes) -> None:
        """Hand a frame over; returns when flow control lets it go. Raises `StreamEnded`."""
        try:
            await self._call.write(frame)
        except (aio.AioRpcError, asyncio.InvalidStateError, grpc.RpcError) as error:
            raise await self.why_ended() from error

    async def why_ended(self) -> StreamEnded:
        """Why the other side has ended the stream. Only for a stream that has ended."""
        code = await self._call.code()
        details = await self._call.details() or "no reason given"
        if code is grpc.StatusCode.OK:
            return StreamEnded("the peer closed the stream", refused=False)
        return StreamEnded(f"{code.name}: {details[:REASON_CHARACTERS_MAX]}", refused=code in _REFUSALS)

    async def finish(self) -> None:
        """End in good order: everything sent so far arrives."""
        with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError, grpc.RpcError, TimeoutError):
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                await self._call.done_writing()
                await self._call.code()
        await self.close()

    async def close(self) -> None:
        """End at once."""
        self._call.cancel()
        await self._channel.close()


async def open_stream(address: str, own_addr: str, options: TransportOptions) -> GrpcPeerStream:
    """Connect and open the stream. Raises `StreamEnded` when the peer cannot be reached within the connect time-out."""
    channel = aio.insecure_channel(
        address,
        options=_channel_options(options),
        compression=grpc.Compression.Gzip if options.compression else grpc.Compression.NoCompression,
    )
    try:
        async with asyncio.timeout(options.connect_timeout_ms / 1000):
            await _connected(channel)
        return GrpcPeerStream(channel, own_addr)
    except TimeoutError:
        await channel.close()
        raise StreamEnded(
            f"no connection to {address} within {options.connect_timeout_ms} ms", refused=False
        ) from None
    except BaseException:
        await channel.close()
        raise


async def _connected(channel: aio.Channel) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise StreamEnded("nobody answers at the address", refused=False)
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


def _channel_options(options: TransportOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.use_local_subchannel_pool", 1),  # a new attempt is a new connection, not an old one's back-off
        ("grpc.enable_http_proxy", 0),  # nodes talk to nodes, whatever the environment says
        ("grpc.enable_retries", 0),  # a lost frame is the core's to repeat
        ("grpc.max_send_message_length", options.message_bytes_max),
        ("grpc.max_receive_message_length", options.message_bytes_max),
        ("grpc.keepalive_time_ms", options.keep_alive_interval_ms),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def _serialize(frame: bytes) -> bytes:
    return raft_pb2.Frame(data=frame).SerializeToString()
