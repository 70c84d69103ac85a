"""Frames between nodes: `Transport` is what a node drives, `transport_options` what its configuration makes of it."""

from ferrite.io.transport.link import LinkState, PeerStatus
from ferrite.io.transport.stream import (
    OpenStream,
    PeerStream,
    StreamEnded,
    TransportOptions,
    transport_options,
)
from ferrite.io.transport.transport import Transport

__all__ = [
    "LinkState",
    "OpenStream",
    "PeerStatus",
    "PeerStream",
    "StreamEnded",
    "Transport",
    "TransportOptions",
    "transport_options",
]
