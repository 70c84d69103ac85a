"""What the HTTP face needs of the configuration; built from it in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrite.io.config import Config, LimitsConfig

BODY_RATE_BYTES_MIN: Final = 1024  # per second: slower bodies are dribbled, not sent
BODY_RATE_GRACE_MS: Final = 5000  # until then a slow start is only slow
ROOM_WAIT_MS: Final = (
    1000  # for room for a large answer (limits.held_bytes_max); as long as the refusal's Retry-After
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where to listen and what to allow. Times in ms.

    `allowed_hosts`: names accepted in `Host` beside IP addresses and localhost (a web page that rebinds its own name to
    our address is refused); None: any name.
    """

    host: str
    port: int  # 0: any free port
    limits: LimitsConfig
    allowed_hosts: frozenset[str] | None = None
    body_rate_bytes_min: int = BODY_RATE_BYTES_MIN
    body_rate_grace_ms: int = BODY_RATE_GRACE_MS
    room_wait_ms: int = ROOM_WAIT_MS


def http_settings(config: Config) -> HttpSettings:
    """Take what concerns us. Names in `Host` are checked on loopback only: elsewhere proxies and DNS name the node."""
    node = config.node
    names = {
        node.http_addr.host,
        node.advertise_http_addr.host,
        *(peer.http_addr.host for peer in config.cluster.peers),
    }
    return HttpSettings(
        host=node.http_addr.host,
        port=node.http_addr.port,
        limits=config.limits,
        allowed_hosts=frozenset(names) if node.http_addr.is_loopback else None,
    )
