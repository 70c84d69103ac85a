"""Fakes around a node: a replica that answers from a script, organs that record what they were ordered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ferrite.core import (
    Entry,
    Identity,
    Index,
    Member,
    Membership,
    NodeId,
    RecoveredState,
    ReplicaStatus,
    RequestId,
    Role,
    SnapshotMeta,
    Term,
    actions,
    events,
    messages,
)
from ferrite.core.kv import (
    AppliedBatch,
    Change,
    GetResult,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    MachineFacts,
    Query,
    QueryResult,
    SnapshotInvalid,
    WatchLimits,
)
from ferrite.io.node import Node, now_us
from ferrite.io.organs import Organs
from ferrite.io.watches import WatchedState, Watches

FAR_US = 3_600_000_000
INSTANCE = bytes(range(16))
SNAPSHOT = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(9), last_term=Term(2), size_bytes=10)

INSTALLED = RecoveredState(applied_index=Index(9), applied_term=Term(2))

Answer = Callable[[list[events.Event]], list[actions.Action]]


def member(node_id: int) -> Member:
    return Member(
        node_id=NodeId(node_id),
        instance=bytes([node_id]) * 16,
        peer_addr=f"127.0.0.1:90{node_id:02}",
        http_addr=f"127.0.0.1:80{node_id:02}",
        grpc_addr=f"127.0.0.1:90{node_id:02}",
    )


def membership(*node_ids: int) -> Membership:
    return Membership(
        voters=tuple(NodeId(node_id) for node_id in node_ids),
        members={NodeId(node_id): member(node_id) for node_id in node_ids},
    )


def announce(
    leader: int, *, node_ids: Sequence[int] = (1, 2, 3), role: Role = Role.FOLLOWER
) -> actions.Announce:
    return actions.Announce(role=role, term=Term(4), leader=NodeId(leader), membership=membership(*node_ids))


def status(**changes: object) -> ReplicaStatus:
    fields: dict[str, object] = {
        "node_id": NodeId(1), "cluster_id": b"c" * 16, "role": Role.FOLLOWER, "term": Term(4), "voted_for": NodeId(0),
        "leader": NodeId(2), "commit_index": Index(8), "applied_index": Index(7), "persisted_index": Index(8),
        "flushed_index": Index(5), "last_log_index": Index(9), "last_log_term": Term(4), "first_log_index": Index(1),
        "membership": membership(1, 2, 3), "membership_index": Index(1), "membership_committed": True, "memberships": (),
        "peers": {},
        "leader_last_heard_us": now_us(), "pending_proposals": 0, "pending_reads": 0, "pending_bytes": 0, "log_bytes": 0,
        "lost_tail": False, "shutting_down": False, "stopped": False, "transfer_target": NodeId(0),
        "counters": {"proposals": 3},
    }  # fmt: skip
    return ReplicaStatus(**{**fields, **changes})  # type: ignore[arg-type]  # a table of fields


@dataclass
class FakeReplica:
    """Answers each step by `answer`, and records what it was told."""

    answer: Answer = field(default=lambda _: [])
    deadline_us: int = field(default_factory=lambda: now_us() + FAR_US)
    steps: list[list[events.Event]] = field(default_factory=list)
    now: ReplicaStatus = field(default_factory=status)
    leads_at_us: int | None = None

    def step(self, facts: list[events.Event], at_us: int) -> list[actions.Action]:
        self.steps.append(list(facts))
        return self.answer(facts)

    def status(self) -> ReplicaStatus:
        return self.now

    def cluster_time_us(self, at_us: int) -> int | None:
        return self.leads_at_us

    @property
    def seen(self) -> list[events.Event]:
        return [fact for facts in self.steps for fact in facts]


@dataclass
class FakeLog:
    orders: list[object] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    def persist(self, persist: actions.Persist) -> None:
        self.orders.append(persist)

    def load(self, first_index: int, end_index: int, bytes_max: int) -> None:
        self.orders.append(("load", first_index, end_index, bytes_max))

    def discard(self, first_index: int) -> None:
        self.orders.append(("discard", first_index))

    def note_commit(self, commit_index: int) -> None:
        self.committed.append(commit_index)


@dataclass
class FakeState:
    error: Exception | None = None
    outcomes: tuple[tuple[RequestId, object], ...] = ()
    reads: list[Query] = field(default_factory=list)

    def apply(
        self, first_index: Index, entries: Sequence[Entry]
    ) -> tuple[Index, Sequence[tuple[RequestId, object]]]:
        if self.error is not None:
            raise self.error
        return Index(first_index + len(entries) - 1), self.outcomes

    def read(self, query: Query) -> QueryResult:
        if self.error is not None:
            raise self.error
        self.reads.append(query)
        return GetResult(revision=7, entry=None)

    def flush(self) -> Index:
        if self.error is not None:
            raise self.error
        return Index(12)


def facts(**changes: int | bool) -> MachineFacts:
    fields = {
        "time_us": 0, "revision": 77, "compacted_revision": 0, "compaction_pending": False, "lease_count": 0,
        "next_deadline_us": 0, "size_bytes": 0, "no_space": False,
    }  # fmt: skip
    return MachineFacts(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


@dataclass
class FakeWatchedState:
    """Gives what a test puts in; keeps who listens."""

    facts: MachineFacts = field(default_factory=facts)
    pieces: list[HistoryPiece | None] = field(default_factory=list)
    error: Exception | None = None
    read: list[HistoryRead] = field(default_factory=list)
    on_applied: Callable[[AppliedBatch], None] = lambda _: None
    on_installed: Callable[[MachineFacts], None] = lambda _: None

    def listen(
        self, on_applied: Callable[[AppliedBatch], None], on_installed: Callable[[MachineFacts], None]
    ) -> None:
        self.on_applied, self.on_installed = on_applied, on_installed

    def previous(self, change: Change) -> KeyValue | None:
        return None

    def history(self, read: HistoryRead, *, bytes_max: int) -> HistoryPiece | None:
        self.read.append(read)
        if self.error is not None:
            raise self.error
        return self.pieces.pop(0)


def watches(state: WatchedState, node: Node, *, progress_interval_ms: int = 3_600_000) -> Watches:
    return Watches(
        state, loop=asyncio.get_running_loop(), post=node.post_threadsafe, limits=WatchLimits(),
        progress_interval_ms=progress_interval_ms,
    )  # fmt: skip


@dataclass
class FakeSnapshots:
    error: Exception | None = None
    refused: str | None = None
    done: list[object] = field(default_factory=list)

    def _do(self, what: object) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)

    def begin_save(self, cluster_id: bytes) -> Callable[[], SnapshotMeta]:
        self.done.append("pin")

        def save() -> SnapshotMeta:
            self._do("save")
            return SNAPSHOT

        return save

    def read_chunk(self, snapshot: SnapshotMeta, offset: int, length_max: int) -> tuple[bytes, bool]:
        self._do(("read", offset))
        data = b"0123456789"[offset : offset + length_max]
        return data, offset + len(data) == snapshot.size_bytes

    def store_chunk(self, snapshot: SnapshotMeta, offset: int, data: bytes) -> None:
        self._do(("store", offset, data))

    def install(self, snapshot: SnapshotMeta, cluster_id: bytes) -> RecoveredState:
        self._do("install")
        if self.refused is not None:
            raise SnapshotInvalid(self.refused)
        return INSTALLED


@dataclass
class FakeTransport:
    calls: list[object] = field(default_factory=list)

    def send(self, peer: NodeId, batch: Sequence[messages.Message]) -> None:
        self.calls.append((peer, tuple(batch)))

    def update_peers(self, members: Membership) -> None:
        self.calls.append(("peers", tuple(members.members)))


class Rig:
    """A started node on the running loop."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.replica = FakeReplica()
        if answer is not None:
            self.replica.answer = answer
        self.log, self.state, self.snapshots, self.transport = (
            FakeLog(),
            FakeState(),
            FakeSnapshots(),
            FakeTransport(),
        )
        self.stops: list[tuple[int, str]] = []
        self.record: list[tuple[list[events.Event], list[actions.Action]]] = []
        self.node = Node(
            self.replica,
            loop=asyncio.get_running_loop(),
            on_stop=lambda code, detail: self.stops.append((code, detail)),
            recorder=lambda _, facts, orders: self.record.append((facts, orders)),
        )
        self.node.start(
            Organs(log=self.log, state=self.state, snapshots=self.snapshots, transport=self.transport)
        )

    def orders(self, *orders: actions.Action) -> None:
        """Give these at the next step, once."""
        left = [list(orders)]
        self.replica.answer = lambda _: left.pop() if left else []
        self.node.post(events.PeerUnreachable(peer=NodeId(9)))

    async def until(self, ready: Callable[[], object]) -> None:
        """Let the loop turn until `ready`; bounded."""
        async with asyncio.timeout(10):
            while not ready():  # noqa: ASYNC110 - what is waited for is a field of a fake, not an event
                await asyncio.sleep(0.001)

    async def told(self, kind: type) -> events.Event:
        """Return the first event of this kind that the replica was told."""
        await self.until(lambda: any(isinstance(fact, kind) for fact in self.replica.seen))
        return next(fact for fact in self.replica.seen if isinstance(fact, kind))


def identity() -> Identity:
    return Identity(node_id=NodeId(1), instance=INSTANCE, boot=3)
