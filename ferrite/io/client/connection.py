"""What a transport is to the engine: one endpoint, attempts begun and reported, watches, backups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ferrite.core import kv
from ferrite.io.client.answers import EndpointStatus, Event, Health
from ferrite.io.client.request import Request, WatchSpec

Scheme = Literal["grpc", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who led, as an answer says. An empty address is unknown."""

    node_id: int
    http_addr: str = ""
    grpc_addr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A good answer; `result` is the machine's, or what a cluster operation returns."""

    result: kv.CommandResult | kv.QueryResult | EndpointStatus | Health | int
    leader: Leader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer with a stable code."""

    code: str
    detail: str
    certainly_not_applied: bool
    leader: Leader | None = None
    retry_after_us: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """No answer. Not `sent`: the server has certainly seen nothing of it."""

    detail: str
    sent: bool


Outcome = Answered | Refusal | Lost
Done = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The server has the watch; `revision` is everything it counts as delivered."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Everything up to `revision`."""

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The server ended the watch: "compacted", "slow", "invalid", "overloaded" or "shutting_down"."""

    reason: str
    detail: str
    revision: int


WatchPiece = Created | Delivered | Ended


class StreamBroken(Exception):
    """A watch or a backup lost its connection; the text says how."""


class Connection(Protocol):
    """One endpoint over one protocol. Connects when it is first used, and again after it broke."""

    def begin(self, request: Request, session: kv.Session | None, timeout_s: float, done: Done) -> None:
        """Send an attempt and call `done` once, soon after `timeout_s` at the latest, never within this call. Must not raise."""
        ...

    def watch(self, spec: WatchSpec) -> AsyncIterator[WatchPiece]:
        """One watch, until its end. Raises `StreamBroken`."""
        ...

    def backup(self, *, serializable: bool) -> AsyncIterator[bytes]:
        """The bytes of a backup, verified at the end. Raises `StreamBroken`, and `FerriteError` when it is refused."""
        ...

    async def close(self) -> None:
        """Break everything off: what is under way is reported as lost."""
        ...
