"""What a replica says of itself: the only window for health, metrics and the simulator's invariants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ferrite.core.membership import Membership
from ferrite.core.values import Index, NodeId, Role, Term, value


@value
class PeerStatus:
    """The leader's view of a peer. `state` is "probe", "replicate" or "snapshot"."""

    match_index: Index
    next_index: Index
    state: str
    inflight_messages: int
    inflight_bytes: int
    last_heard_us: int


class PeerNumbers(Protocol):
    """What a `Glance` shows of a peer: numbers that change with the next step."""

    match_index: Index
    next_index: Index
    inflight_bytes: int

    @property
    def inflight_messages(self) -> int:
        """Appends not yet acknowledged."""
        ...


@value
class Glance:
    """The few numbers of a `ReplicaStatus` that are worth a look after every single step, at a quarter of its cost.

    `peers` are not copied: they are true until the next step.
    """

    node_id: NodeId
    role: Role
    term: Term
    commit_index: Index
    applied_index: Index
    last_log_index: Index
    membership: Membership
    membership_index: Index
    memberships: Sequence[tuple[Index, Membership]]
    """With their indexes: the last one known to be committed, and those after it in the log, which may be cut. The same object
    until it is another list."""
    peers: Mapping[NodeId, PeerNumbers]


@value
class ReplicaStatus:
    """A snapshot of the replica's numbers; indexes as in the contract, times as monotonic microseconds."""

    node_id: NodeId
    cluster_id: bytes
    role: Role
    term: Term
    voted_for: NodeId
    leader: NodeId
    commit_index: Index
    applied_index: Index
    persisted_index: Index
    flushed_index: Index
    last_log_index: Index
    last_log_term: Term
    first_log_index: Index
    membership: Membership
    membership_index: Index
    membership_committed: bool
    memberships: Sequence[tuple[Index, Membership]]
    """As in `Glance`."""
    peers: Mapping[NodeId, PeerStatus]
    leader_last_heard_us: int
    """-1: never since this boot."""
    pending_proposals: int
    pending_reads: int
    pending_bytes: int
    log_bytes: int
    lost_tail: bool
    shutting_down: bool
    stopped: bool
    transfer_target: NodeId
    counters: Mapping[str, int]
    """Monotonic counters since boot: leader_changes, elections_started, messages_dropped_*, proposals, reads, refusals..."""
