"""The one request path: what the HTTP and the gRPC face call, and what it may answer. Neither face knows more of the node.

Every method validates nothing of the protocol (the faces do) and raises only the exceptions below.
`timeout_ms` None means the configured `network.request_timeout`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ferrite.core import Consistency
from ferrite.core.kv import (
    CommandResult,
    Delivery,
    Operation,
    Query,
    QueryResult,
    Session,
    WatchEnded,
    WatchSpec,
)


class RequestError(Exception):
    """A request that has no good answer. `code` is stable; `detail` is for people; `leader_*` are empty when unknown.

    `revision` is the store's, of "compacted" the oldest that can be read; 0 where it does not matter.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        leader_id: int = 0,
        leader_http_addr: str = "",
        leader_grpc_addr: str = "",
        retry_after_ms: int = 0,
        revision: int = 0,
    ) -> None:
        """Carry the code and what a client can do next."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.leader_id = leader_id
        self.leader_http_addr = leader_http_addr
        self.leader_grpc_addr = leader_grpc_addr
        self.retry_after_ms = retry_after_ms
        self.revision = revision


class RequestRefused(RequestError):
    """Certainly not carried out. `code` is a `RefusalCode` value ("not_leader", "overloaded", "shutting_down", ...)."""


class OutcomeUnknown(RequestError):
    """It may happen, or have happened. `code` is "unknown_outcome"."""


class CommandRejected(RequestError):
    """It was looked at and changed nothing. `code` is a `CommandErrorCode` in lower case ("compacted", "invalid", ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAddress:
    """A node as an operator names it.

    `peer_addr` may be any address of it that answers; empty fields are asked of the node itself.
    """

    node_id: int
    peer_addr: str = ""
    http_addr: str = ""
    grpc_addr: str = ""
    voting: bool = True


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each request
class Answered:
    """A command's or a query's result, and who led when it was answered (0 and empty: unknown)."""

    result: CommandResult | QueryResult
    leader_id: int
    leader_http_addr: str = ""
    leader_grpc_addr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One member as this node sees it. `match_index` and `lag` are known on the leader only (-1 elsewhere)."""

    node_id: int
    http_addr: str
    grpc_addr: str
    peer_addr: str
    instance: str
    voter: bool
    match_index: int = -1
    lag: int = -1
    state: str = ""
    reachable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """Everything that /health, /metrics, /leader and their gRPC twins show; derived from `replica.status()`."""

    node_id: int
    node_name: str
    node_description: str = ""
    cluster_name: str
    cluster_id: str
    instance: str
    boot: int
    version: str
    role: str
    term: int
    leader_id: int
    leader_http_addr: str
    leader_grpc_addr: str
    initialized: bool
    commit_index: int
    applied_index: int
    persisted_index: int
    last_log_index: int
    first_log_index: int
    flushed_index: int
    revision: int
    pending_requests: int
    leader_last_heard_ms: int
    voters: tuple[int, ...]
    outgoing: tuple[int, ...]
    learners: tuple[int, ...]
    members: tuple[MemberStatus, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    shutting_down: bool = False
    compacted_revision: int = 0
    size_bytes: int = 0
    no_space: bool = False
    lease_count: int = 0
    watchers: int = 0


class Watch(Protocol):
    """One watch of one client. Whoever has it takes or cancels: what is not taken is kept only up to a bound."""

    @property
    def revision(self) -> int:
        """Everything up to it counts as delivered: one less than where the watch begins."""
        ...

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Call this on the loop whenever something has come; it must not raise. What is there already is not announced."""
        ...

    def take(self) -> Sequence[Delivery | WatchEnded]:
        """Take all that is there; often nothing. A `WatchEnded` is the last thing."""
        ...

    def request_progress(self) -> None:
        """Ask for a `Delivery` without events, once everything before the present was delivered."""
        ...

    def cancel(self) -> None:
        """End it; nothing is taken any more. Cancelling twice is harmless."""
        ...


class Backup(Protocol):
    """A copy of the store as of one moment, in pieces. Whoever has it closes it."""

    @property
    def name(self) -> str:
        """A name for the file, without a path."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes of the pieces so far."""
        ...

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the pieces so far."""
        ...

    async def next_piece(self) -> bytes:
        """Wait for the next piece; nothing at the end. Raises `RequestRefused`: what came so far is no backup."""
        ...

    def close(self) -> None:
        """Nobody reads any more. Closing twice is harmless."""
        ...


class RequestPath(Protocol):
    """What a node offers to its faces."""

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        """Carry a command through the log. A transaction that only reads belongs to `read`.

        `result` is the operation's own, never a `CommandFailed`: that is raised as `CommandRejected`. A `LeaseGrant` with
        id 0 gets an id chosen here (of a session's request always the same); keep-alives that come together travel as one.
        """
        ...

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        """Answer a query. A `CommandFailed` is raised as `CommandRejected`."""
        ...

    def watch(self, spec: WatchSpec) -> Watch:
        """Begin a watch on this node's state. Raises `RequestRefused` when there are too many, or the node shuts down."""
        ...

    async def initialize(
        self, members: Sequence[MemberAddress] | None, *, timeout_ms: int | None = None
    ) -> NodeStatus:
        """Make a new cluster of these members (None: the configured peers and this node); returns once a leader is known."""
        ...

    async def add_learner(self, member: MemberAddress, *, timeout_ms: int | None = None) -> int:
        """Add a learner and wait until it follows; returns the log index of the membership."""
        ...

    async def change_membership(self, voters: Sequence[int], *, timeout_ms: int | None = None) -> int:
        """Make exactly these the voters; returns the log index of the final membership."""
        ...

    async def remove_member(self, node_id: int, *, timeout_ms: int | None = None) -> int:
        """Take a voter or a learner out of the cluster; returns the log index of the membership without it."""
        ...

    async def transfer_leader(self, target: int, *, timeout_ms: int | None = None) -> int:
        """Hand leadership over (0: to the best voter); returns the new leader's id."""
        ...

    async def backup(
        self, *, consistency: Consistency = Consistency.LINEARIZABLE, timeout_ms: int | None = None
    ) -> Backup:
        """Begin a copy of this node's state. Raises `RequestRefused`.

        `LINEARIZABLE`: everything acknowledged before the call is in it. `SERIALIZABLE`: what this node has, also when
        there is no quorum to ask.
        """
        ...

    def status(self) -> NodeStatus:
        """Return the present status; never blocks."""
        ...


Done = Callable[[Answered | RequestError], None]
"""Gets the one outcome of a request, on the loop, after the call that began it has returned."""


class PipelinedPath(RequestPath, Protocol):
    """A request path that also takes requests without a task for each. What is begun in one turn is decided together."""

    def begin_write(
        self,
        operation: Operation,
        done: Done,
        *,
        session: Session | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """As `write`. Nothing cancels it: whoever does not care any more ignores the outcome."""
        ...

    def begin_read(
        self,
        query: Query,
        done: Done,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> None:
        """As `read`."""
        ...
