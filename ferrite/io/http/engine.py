"""What all connections of one server share, whatever protocol serves them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from ferrite.io.http.door import Door
from ferrite.io.http.held_bytes import HeldBytes
from ferrite.io.http.quiet_log import QuietLog
from ferrite.io.http.settings import HttpSettings
from ferrite.io.http.streaming import OpenStreams

if TYPE_CHECKING:
    from ferrite.io.http.front import Front


@dataclass(slots=True, kw_only=True)
class ConnectionCounts:
    """Open connections, in all and by address."""

    connections_max: int
    per_ip_max: int
    gauge: Gauge
    total: int = 0
    by_ip: dict[str, int] = field(default_factory=dict)

    def admit(self, ip: str) -> str:
        """Count one more; or say which limit it would pass."""
        if self.total >= self.connections_max:
            return f"{self.connections_max} connections (limits.connections_max, or the process's limit of open files)"
        if self.by_ip.get(ip, 0) >= self.per_ip_max:
            return f"{self.per_ip_max} connections from one address (limits.connections_per_ip_max)"
        self.total += 1
        self.by_ip[ip] = self.by_ip.get(ip, 0) + 1
        self.gauge.set(self.total)
        return ""

    def release(self, ip: str) -> None:
        """One that was admitted is gone."""
        self.total -= 1
        self.gauge.set(self.total)
        left = self.by_ip[ip] - 1
        if left:
            self.by_ip[ip] = left
        else:
            del self.by_ip[ip]


@dataclass(slots=True, kw_only=True)
class Engine:
    """What all connections of one server share."""

    door: Door
    settings: HttpSettings
    counts: ConnectionCounts
    log: QuietLog
    streams: OpenStreams
    held: HeldBytes
    fronts: set[Front] = field(default_factory=set)
    """Connections that have only asked what is ordinary."""
    draining: bool = False
    in_flight: int = 0
    idle: asyncio.Event

    @property
    def busy(self) -> bool:
        """Is a request without its answer, or a stream without its end?"""
        return self.in_flight > 0 or len(self.streams) > 0
