"""What every engine serves, and the limits that no engine leaves at a library's default (SEC23, SEC26)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from ferrite.io.grpc.call_limits import CallLimits
from ferrite.io.grpc.drain import Drain
from ferrite.io.grpc.service import Method

CONCURRENT_STREAMS_MAX: Final = 1000  # of one connection; SEC26
CONNECTION_AGE_MS_MAX: Final = (
    45 * 60_000
)  # so that balancers may rebalance; peers renew their streams sooner (transport)
CONNECTION_AGE_GRACE_MS: Final = 5 * 60_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000  # silence after a ping that makes a connection dead
PING_INTERVAL_MS_MIN: Final = 900
"""Between pings on a connection without traffic; faster ones end it (SEC26). Just under the least `network.keep_alive_interval`,
because a peer that pings by its own configuration must not lose its stream over ours; floods are a thousand times faster."""
PING_STRIKES_MAX: Final = 2
STREAM_WINDOW_BYTES: Final = 512 * 1024
"""How much a sender may have under way on one stream. Fixed, because a window that grows with the measured bandwidth lets
snapshot pieces fill seconds of a slow link in front of a heartbeat. This is 0.4 s at 10 Mbit/s, and 7 MB/s at 75 ms of delay."""
ANSWER_MESSAGES: Final = 2
"""What a client may send may come back twice, as a value and the one before it. Our own answers are cut well below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Methods, and what their calls share."""

    methods: tuple[Method, ...]
    limits: CallLimits
    drain: Drain


class Engine(Protocol):
    """A listener that serves methods. Started once, stopped once."""

    async def start(self, host: str, port: int) -> int:
        """Listen and serve; returns the port. Raises `AddressInUse` or `CannotListen`, both OSError."""
        ...

    async def stop(self, grace_ms: int) -> None:
        """Take no new calls, let those in progress finish for `grace_ms`, then end them."""
        ...
