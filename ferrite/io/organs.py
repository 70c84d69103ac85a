"""What a node drives: the interfaces of log, state, snapshots and transport, as the host loop sees them.

The real ones are `LogThread`, `StateStore`, `SnapshotFiles` and `Transport`; tests give fakes. None of them decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ferrite.core import (
    Entry,
    Index,
    Membership,
    NodeId,
    RecoveredState,
    RequestId,
    SnapshotMeta,
    actions,
    events,
    messages,
)
from ferrite.core.kv import Query, QueryResult

PostEvents = Callable[[list[events.Event]], None]
"""Hands events to the node; callable from any thread."""


class LogOrgan(Protocol):
    """The Raft log behind its thread: nothing here waits for the disk; what happened comes back as events."""

    def persist(self, persist: actions.Persist) -> None: ...

    def load(self, first_index: int, end_index: int, bytes_max: int) -> None: ...

    def discard(self, first_index: int) -> None: ...

    def note_commit(self, commit_index: int) -> None: ...


class StateOrgan(Protocol):
    """The state store. `apply` and `read` run on the loop; `flush` and `install` on a worker thread."""

    def apply(
        self, first_index: Index, entries: Sequence[Entry]
    ) -> tuple[Index, Sequence[tuple[RequestId, object]]]: ...

    def read(self, query: Query) -> QueryResult: ...

    def flush(self) -> Index: ...


class SnapshotOrgan(Protocol):
    """Snapshots of the state. All but `begin_save` runs on worker threads, `store_chunk` and `install` in the order given."""

    def begin_save(self, cluster_id: bytes) -> Callable[[], SnapshotMeta]:
        """Pin the state as it is now; what is returned builds the snapshot, on a worker thread."""
        ...

    def read_chunk(self, snapshot: SnapshotMeta, offset: int, length_max: int) -> tuple[bytes, bool]:
        """Return the piece, and whether it is the last."""
        ...

    def store_chunk(self, snapshot: SnapshotMeta, offset: int, data: bytes) -> None: ...

    def install(self, snapshot: SnapshotMeta, cluster_id: bytes) -> RecoveredState:
        """Verify and put in force, durably. Raises `SnapshotInvalid`: it does not verify, and nothing changed."""
        ...


class TransportOrgan(Protocol):
    """Frames to peers. May lose; never blocks."""

    def send(self, peer: NodeId, batch: Sequence[messages.Message]) -> None: ...

    def update_peers(self, membership: Membership) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Organs:
    """Everything that performs actions for one replica."""

    log: LogOrgan
    state: StateOrgan
    snapshots: SnapshotOrgan
    transport: TransportOrgan
