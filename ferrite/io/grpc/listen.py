"""Can we listen there? grpcio says no more than "failed to bind"; this says why, before anything is started."""

from __future__ import annotations

import asyncio
import errno
import socket


class AddressInUse(OSError):
    """Another process listens on the address. `errno` is EADDRINUSE."""

    def __init__(self, address: str) -> None:
        """Name the address and what to do."""
        super().__init__(
            errno.EADDRINUSE,
            f"gRPC address {address} is in use by another process: stop that one, or choose another node.grpc_addr",
        )


class CannotListen(OSError):
    """The address cannot be bound for another reason: not of this machine, a privileged port, a name that does not resolve."""


async def check_can_listen(host: str, port: int) -> None:
    """Bind every address that `host` stands for, for a moment. Raises `AddressInUse` or `CannotListen`.

    A name may stand for several (localhost: 127.0.0.1 and ::1); grpcio is content with one of them, we are not.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(
            error.errno, f"gRPC address {host}:{port} does not resolve: {error.strerror}"
        ) from error
    for family, kind, protocol, _, address in found:
        _check_bind(family, kind, protocol, address)


def _check_bind(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> None:
    shown = f"{address[0]}:{address[1]}"
    try:
        probe = socket.socket(family, kind, protocol)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:  # a machine without IPv6, where localhost still names ::1
            return
        raise
    with probe:
        # As grpcio binds: connections in TIME_WAIT do not stand in the way, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(shown) from error
            if error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET6:
                return  # IPv6 is switched off: the name's other address serves
            raise CannotListen(error.errno, f"gRPC cannot listen on {shown}: {error.strerror}") from error
