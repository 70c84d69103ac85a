"""Network addresses as configuration files write them: `host:port`, IPv6 hosts in brackets."""

import ipaddress
import re
from dataclasses import dataclass

PORT_MAX = 65535
HOST_CHARACTERS_MAX = 253  # RFC 1035: a host name of 255 octets on the wire is 253 characters
_PORT = re.compile(r"[0-9]{1,5}")  # ASCII only: int() would take digits of any script
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")  # an interface name (IFNAMSIZ)


class AddressError(ValueError):
    """The text is no address; the message says what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host (name, IPv4, or IPv6 without brackets; lower case) and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it means "every address of this machine" (0.0.0.0 or ::): good to bind, useless to dial."""
        ip = _ip(self.host)
        return ip is not None and ip.is_unspecified

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. Names other than localhost count as reachable by others."""
        ip = _ip(self.host)
        if ip is None:
            return self.host == "localhost" or self.host.endswith(".localhost")  # RFC 6761
        return ip.is_loopback

    @property
    def is_multicast(self) -> bool:
        ip = _ip(self.host)
        return ip is not None and (ip.is_multicast or str(ip) == "255.255.255.255")

    def overlaps(self, other: "Address") -> bool:
        """Whether listening on both would collide: the same port on the same host, or on all hosts."""
        return self.port == other.port and (self.host == other.host or self.is_wildcard or other.is_wildcard)


def parse_address(text: str) -> Address:
    """The address that `text` writes. Raises `AddressError`."""
    host, separator, port = text.rpartition(":")
    if not separator or host.endswith(":"):
        raise AddressError("write host:port, such as 127.0.0.1:8001, or [::1]:8001 for IPv6")
    if host.startswith("[") and host.endswith("]"):
        return Address(host=_ipv6(host[1:-1]), port=_parse_port(port))
    if ":" in host:
        raise AddressError("write an IPv6 host in brackets and one port after it, such as [::1]:8001")
    return Address(host=_name_or_ipv4(host), port=_parse_port(port))


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= PORT_MAX:
        raise AddressError(
            f"write a port from 1 to {PORT_MAX} after the last colon (0 is not a fixed address)"
        )
    return int(text)


def _ipv6(text: str) -> str:
    _, percent, zone = text.partition("%")
    if percent and not _ZONE.fullmatch(zone):
        raise AddressError("write the name of a network interface after %, such as [fe80::1%eth0]:8001")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise AddressError("write an IPv6 address inside the brackets, such as [::1]:8001") from None


def _name_or_ipv4(text: str) -> str:
    if re.fullmatch(r"[0-9.]+", text):  # only digits and dots can be nothing but IPv4
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise AddressError("write four numbers from 0 to 255, such as 127.0.0.1:8001") from None
    labels = text.removesuffix(".").split(".")
    if len(text) > HOST_CHARACTERS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError("write a host name of letters, digits, - and ., such as node1.example.org:8001")
    return text.removesuffix(".").lower()


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped  # ::ffff:0.0.0.0 is a wildcard and ::ffff:127.0.0.1 is loopback
    return ip
