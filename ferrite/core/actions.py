"""Actions: orders that the host performs as soon as it sees them, in the order given (contract, section 3)."""

from __future__ import annotations

from ferrite.core.membership import Membership
from ferrite.core.messages import Message
from ferrite.core.values import (
    Entry,
    HardState,
    Index,
    NodeId,
    RefusalCode,
    RequestId,
    Role,
    SnapshotMeta,
    StopCode,
    Term,
    value,
)


@value
class Persist:
    """Make durable, in this order: hard state, base, truncation, entries. Answered by `Persisted`."""

    write_seq: int
    first_index: Index
    entries: tuple[Entry, ...] = ()
    truncate: bool = False
    base: tuple[Index, Term] | None = None
    hard_state: HardState | None = None


@value
class Apply:
    """Run the KV machine on these entries in one atomic batch. Answered by `Applied` or `ApplyStalled`."""

    first_index: Index
    entries: tuple[Entry, ...]


@value
class ServeRead:
    """Evaluate these reads now: the state store has applied at least `read_index`."""

    requests: tuple[RequestId, ...]
    read_index: Index


@value
class FlushState:
    """Flush the state store. Answered by `StateFlushed`."""


@value
class LoadEntries:
    """Read `[first_index, end_index)` of the own log, at most about `bytes_max` but one entry at least."""

    first_index: Index
    end_index: Index
    bytes_max: int


@value
class DiscardLog:
    """Entries below `first_index` may be deleted."""

    first_index: Index


@value
class SaveSnapshot:
    """Build a snapshot of the applied state. Answered by `SnapshotSaved` or `SnapshotLost`."""


@value
class SendSnapshot:
    """Read a piece of a saved snapshot and send it as the message `InstallSnapshot`."""

    to: NodeId
    term: Term
    snapshot: SnapshotMeta
    offset: int
    length_max: int


@value
class StoreChunk:
    """Write a received piece at `offset`; offset 0 starts the partial file anew."""

    snapshot: SnapshotMeta
    offset: int
    data: bytes


@value
class InstallSnapshot:
    """Verify the received file and replace the state by it. Answered by `SnapshotInstalled`."""

    snapshot: SnapshotMeta


@value
class Send:
    """Send to a peer; may be lost, duplicated, reordered."""

    to: NodeId
    message: Message


def new_send(to: NodeId, message: Message) -> Send:
    """Return a `Send`, of which nearly every step makes some: to call the class with keywords costs three times as much."""
    made = object.__new__(Send)
    made.to = to  # type: ignore[misc]  # a value is filled here, not changed
    made.message = message  # type: ignore[misc]  # the same
    return made


@value
class Reply:
    """The request was carried out."""

    request: RequestId
    result: object


@value
class Refuse:
    """Certainly not carried out, now or later. `leader` is 0 when unknown."""

    request: RequestId
    code: RefusalCode
    detail: str
    leader: NodeId


@value
class Abandon:
    """The outcome is unknown: it may happen, or have happened."""

    request: RequestId
    detail: str


@value
class Announce:
    """One of these changed."""

    role: Role
    term: Term
    leader: NodeId
    membership: Membership


@value
class Stop:
    """End the process with this exit code."""

    code: StopCode
    detail: str


Action = (
    Persist
    | Apply
    | ServeRead
    | FlushState
    | LoadEntries
    | DiscardLog
    | SaveSnapshot
    | SendSnapshot
    | StoreChunk
    | InstallSnapshot
    | Send
    | Reply
    | Refuse
    | Abandon
    | Announce
    | Stop
)
