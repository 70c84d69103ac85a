"""Events: facts that the host reports (contract, section 2)."""

from __future__ import annotations

from ferrite.core.membership import Change, Membership
from ferrite.core.messages import Header, Message
from ferrite.core.recovered import RecoveredState
from ferrite.core.values import Consistency, Entry, Index, NodeId, RequestId, SnapshotMeta, value


@value
class MessageReceived:
    """A message of a frame that passed the codec."""

    header: Header
    message: Message


def new_message_received(header: Header, message: Message) -> MessageReceived:
    """Return a `MessageReceived`, which most events are: to call the class with keywords costs three times as much."""
    made = object.__new__(MessageReceived)
    made.header = header  # type: ignore[misc]  # a value is filled here, not changed
    made.message = message  # type: ignore[misc]  # the same
    return made


@value
class PeerUnreachable:
    """The transport lost the connection to this peer."""

    peer: NodeId


@value
class Persisted:
    """This and every earlier `Persist` are durable."""

    write_seq: int


@value
class PersistFailed:
    """A write or sync of the log failed; what it covered is in doubt for ever."""

    write_seq: int
    disk_full: bool
    detail: str


@value
class StorageFailed:
    """The state store, a snapshot file or a read of the log failed."""

    corrupt: bool
    disk_full: bool
    detail: str


@value
class Applied:
    """Every entry up to `applied_index` is in the state store.

    `outcomes` are `(request, result)` of the commands that this boot of this node originated.
    """

    applied_index: Index
    outcomes: tuple[tuple[RequestId, object], ...] = ()


@value
class ApplyStalled:
    """The state store pushed back; nothing of the `Apply` that began at `first_index` was applied."""

    first_index: Index


@value
class StateFlushed:
    """The state up to here survives a power loss without the log."""

    applied_index: Index


@value
class EntriesLoaded:
    """Answer to `LoadEntries`: at least one entry, contiguous from `first_index`."""

    first_index: Index
    entries: tuple[Entry, ...]


@value
class SnapshotSaved:
    """Answer to `SaveSnapshot`."""

    snapshot: SnapshotMeta


@value
class SnapshotLost:
    """A snapshot could not be built (`snapshot_id` is empty), or a saved one cannot be read any more."""

    snapshot_id: bytes
    detail: str


@value
class SnapshotInstalled:
    """Answer to `InstallSnapshot`; when false, nothing changed. `state` is what the store now says of itself."""

    snapshot_id: bytes
    installed: bool
    state: RecoveredState | None = None
    detail: str = ""


@value
class ProposalReceived:
    """A client's command, encoded at the door."""

    request: RequestId
    command: bytes
    deadline_us: int


@value
class ReadRequested:
    """A client wants to read; the query stays with the host."""

    request: RequestId
    deadline_us: int
    consistency: Consistency = Consistency.LINEARIZABLE
    max_staleness_us: int = 0


@value
class MembershipChangeRequested:
    """An operator asks for another membership."""

    request: RequestId
    change: Change
    deadline_us: int


@value
class TransferRequested:
    """Hand leadership to `target`; 0 is the best voter."""

    request: RequestId
    target: NodeId
    deadline_us: int


@value
class BootstrapRequested:
    """The first membership of a new cluster."""

    request: RequestId
    cluster_id: bytes
    membership: Membership


@value
class ShutdownRequested:
    """Stop in good order, at the deadline in any case."""

    deadline_us: int


Event = (
    MessageReceived
    | PeerUnreachable
    | Persisted
    | PersistFailed
    | StorageFailed
    | Applied
    | ApplyStalled
    | StateFlushed
    | EntriesLoaded
    | SnapshotSaved
    | SnapshotLost
    | SnapshotInstalled
    | ProposalReceived
    | ReadRequested
    | MembershipChangeRequested
    | TransferRequested
    | BootstrapRequested
    | ShutdownRequested
)
