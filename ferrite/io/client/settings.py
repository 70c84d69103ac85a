"""What a client is told at its making, checked."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from ferrite.io.client.errors import InvalidArgument
from ferrite.io.config import AddressError, parse_address

ProtocolName = Literal["auto", "grpc", "http"]
CLIENT_ID_BYTES_MAX: Final = 40
"""Of the 64 that a session's name may have: a client has one session after the other, and numbers them."""
ENDPOINTS_MAX: Final = 64
TIMEOUT_S_MAX: Final = 600.0
"""The servers' own limit for one request: longer waits are the caller's to repeat."""
_SCHEMES: Final = ("grpc", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """`endpoints`: (scheme, "host:port"); the scheme is "" where it has to be found out."""

    endpoints: tuple[tuple[str, str], ...]
    protocol: ProtocolName
    timeout_s: float
    connect_timeout_s: float
    client_id: bytes

    @classmethod
    def checked(
        cls,
        endpoints: str | Sequence[str],
        protocol: ProtocolName,
        timeout_s: float,
        connect_timeout_s: float,
        client_id: bytes | None,
    ) -> Self:
        """Raises `InvalidArgument`."""
        given = [endpoints] if isinstance(endpoints, str) else list(endpoints)
        if not 1 <= len(given) <= ENDPOINTS_MAX:
            raise _invalid("endpoints", f"{len(given)} given", f"1 to {ENDPOINTS_MAX}")
        if protocol not in get_args(ProtocolName):
            raise _invalid("protocol", repr(protocol), "auto, grpc or http")
        chosen = uuid.uuid4().hex.encode() if client_id is None else client_id
        if not 1 <= len(chosen) <= CLIENT_ID_BYTES_MAX or not chosen.isascii():
            raise _invalid(
                "client_id", repr(chosen), f"1 to {CLIENT_ID_BYTES_MAX} bytes of ASCII, as HTTP carries them"
            )
        return cls(
            endpoints=tuple(parse_endpoint(text, protocol) for text in given),
            protocol=protocol,
            timeout_s=checked_timeout_s(timeout_s),
            connect_timeout_s=checked_timeout_s(connect_timeout_s, "connect_timeout_s"),
            client_id=chosen,
        )


def parse_endpoint(text: str, protocol: ProtocolName = "auto") -> tuple[str, str]:
    """(scheme, "host:port") of `host:port` or `scheme://host:port`. Raises `InvalidArgument`."""
    scheme, separator, address = text.strip().rpartition("://")
    if separator and scheme not in _SCHEMES:
        raise _invalid("endpoints", repr(text), "host:port, http://host:port or grpc://host:port")
    if separator and protocol not in ("auto", scheme):
        raise _invalid("endpoints", repr(text), f"endpoints of protocol {protocol} only")
    try:
        parsed = parse_address(address.removesuffix("/"))
    except AddressError as error:
        raise _invalid("endpoints", repr(text), str(error)) from None
    return scheme or protocol.replace("auto", ""), str(parsed)


def checked_timeout_s(given: float, name: str = "timeout_s") -> float:
    """Raises `InvalidArgument`."""
    if not 0 < given <= TIMEOUT_S_MAX:
        raise _invalid(name, f"{given!r}", f"more than 0 and at most {TIMEOUT_S_MAX:g} seconds")
    return given


def _invalid(name: str, given: str, expected: str) -> InvalidArgument:
    return InvalidArgument(f"{name}: {given}; expected {expected}", code="invalid")
