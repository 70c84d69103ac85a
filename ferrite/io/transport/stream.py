"""What the transport needs of a connection to a peer, whatever carries it, and the transport's limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ferrite.io.config import NetworkConfig

FRAME_ROOM_BYTES: Final = 4096  # of a gRPC message: what header, framing and CRC take at most
RETRY_DELAY_MS_MAX: Final = 1000  # a restarted peer is found soon enough for an election


class StreamEnded(Exception):
    """No connection, or none any more. `refused`: the peer answers, but wants nothing of this node; the reason says why."""

    def __init__(self, reason: str, *, refused: bool) -> None:
        """`reason` is for people."""
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """Times in milliseconds, sizes in bytes."""

    connect_timeout_ms: int
    retry_delay_ms: int  # before the first new attempt; doubles up to `retry_delay_ms_max`
    retry_delay_ms_max: int = RETRY_DELAY_MS_MAX
    keep_alive_interval_ms: int
    stall_timeout_ms: int  # one frame that the peer's flow control holds back for so long ends the stream
    compression: bool
    message_bytes_max: int  # of gRPC; a frame is smaller by `FRAME_ROOM_BYTES`
    frame_bytes_target: int = 128 * 1024
    """Bulk is added to a frame up to this: what an urgent message waits for at most, a single larger message apart."""
    queue_bytes_max: int = 32 * 1024 * 1024  # bulk that waits for one peer: half a default window of appends
    queue_messages_max: int = 8192  # and its number, for each lane
    first_frame_timeout_ms: int = (
        10_000  # an incoming stream that says nothing is no peer's: those speak when they connect
    )
    renew_interval_ms: int = (
        30 * 60_000
    )  # a fresh stream in good order, before the peer's server ends it by age

    @property
    def frame_bytes_max(self) -> int:
        """Nothing larger is sent."""
        return self.message_bytes_max - FRAME_ROOM_BYTES


def transport_options(network: NetworkConfig) -> TransportOptions:
    """The options that the configuration's section [network] asks for."""
    return TransportOptions(
        connect_timeout_ms=network.connect_timeout,
        retry_delay_ms=network.retry_delay,
        retry_delay_ms_max=max(RETRY_DELAY_MS_MAX, network.retry_delay),
        keep_alive_interval_ms=network.keep_alive_interval,
        stall_timeout_ms=network.keep_alive_interval,
        compression=network.enable_compression,
        message_bytes_max=network.max_message_size,
    )


class PeerStream(Protocol):
    """An open stream of frames to one peer."""

    @property
    def ended(self) -> bool: ...

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back, once, when the other side has ended the stream."""
        ...

    async def send(self, frame: bytes) -> None:
        """Return when the connection has taken the frame. Raises `StreamEnded`."""
        ...

    async def why_ended(self) -> StreamEnded:
        """Why the other side has ended it."""
        ...

    async def finish(self) -> None:
        """End in good order: everything sent so far arrives."""
        ...

    async def close(self) -> None:
        """End at once."""
        ...


OpenStream = Callable[[str, str, TransportOptions], Awaitable[PeerStream]]
"""(the peer's address, the own one, options) -> an open stream. Raises `StreamEnded`."""
