"""What an HTTP/2 connection asks of those who serve its streams, and what it grants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ferrite.io.grpc.http2 import Http2Connection

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits:
    """What a connection may do and for how long."""

    streams_max: int
    metadata_bytes_max: int
    handshake_s: float
    idle_s: float
    age_s: float
    age_grace_s: float
    keep_alive_s: float
    keep_alive_timeout_s: float
    ping_interval_s_min: float


class Stream(Protocol):
    """One call, as its connection sees it."""

    def data_received(self, data: bytes, *, ended: bool) -> None:
        """Bytes of the request. Their window is given back by `Http2Connection.consume`."""
        ...

    def room_made(self) -> None:
        """What the stream has queued is down to `UNSENT_BYTES_MAX`, after `Http2Connection.has_room` was false."""
        ...

    def closed(self) -> None:
        """Nothing comes and nothing goes any more. Called once."""
        ...


class Hub(Protocol):
    """What all connections share."""

    @property
    def limits(self) -> Http2Limits: ...

    def admit(self, connection: Http2Connection) -> bool:
        """Count one more connection, which `release` takes back, or do not."""
        ...

    def release(self, connection: Http2Connection) -> None:
        """It is gone."""
        ...

    def settled(self, connection: Http2Connection) -> None:
        """It has said its last word; nothing of it is in progress."""
        ...

    def flush_soon(self, connection: Http2Connection) -> None:
        """Call `flush` once in this turn of the loop, or in the next."""
        ...

    def open(self, connection: Http2Connection, stream_id: int, headers: tuple[Header, ...]) -> Stream | None:
        """A request begins. None: it was refused, and answered."""
        ...
