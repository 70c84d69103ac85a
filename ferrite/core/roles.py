"""The four roles. Data that exists only in one role lives in that role's object."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ferrite.core.membership import Change, Membership
from ferrite.core.progress import Progress
from ferrite.core.values import NO_INDEX, NO_TERM, Index, NodeId, RequestId, Role, Term


@dataclass(slots=True)
class Follower:
    """Listens."""

    role = Role.FOLLOWER


@dataclass(slots=True)
class PreCandidate:
    """Asks whether a campaign could succeed (thesis 9.6). Its own pre-vote counts at once: nothing is promised."""

    role = Role.PRE_CANDIDATE
    granted: set[NodeId] = field(default_factory=set)
    refused: set[NodeId] = field(default_factory=set)


@dataclass(slots=True)
class Candidate:
    """Campaigns. Its own vote counts only once it is durable."""

    role = Role.CANDIDATE
    disrupt: bool = False
    granted: set[NodeId] = field(default_factory=set)
    refused: set[NodeId] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class ReadBatch:
    """Reads that one round confirms: local requests, and the contexts of other nodes."""

    round: int
    read_index: Index
    requests: tuple[RequestId, ...]
    contexts: tuple[tuple[NodeId, int], ...]


@dataclass(slots=True, kw_only=True)
class ChangeInProgress:
    """A membership change that this leader carries out. `request` 0: nobody waits for it."""

    request: RequestId
    change: Change
    deadline_us: int
    target_index: Index
    """Learners that shall vote must have come this far first (thesis 4.2.1)."""
    asked_us: int
    appended_index: Index = NO_INDEX
    """The entry that completes it once committed; 0 while nothing has been appended."""


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Leadership is being handed to `target`; no new entries are appended meanwhile (thesis 3.10)."""

    target: NodeId
    deadline_us: int
    sent: bool = False


@dataclass(slots=True, kw_only=True)
class Leader:
    """Leads its term."""

    role = Role.LEADER
    term_start_index: Index
    """Its first entry; until that is committed nothing is known to be committed (Raft 8)."""
    elected_us: int
    time_base_us: int
    heartbeat_due_us: int
    quorum_due_us: int = 0
    """CheckQuorum is not due before this: to hear from a peer only moves it later, another membership sets it to 0."""
    progress: dict[NodeId, Progress] = field(default_factory=dict)
    memberships: list[tuple[Index, Membership]] | None = None
    """Those that `progress` has the peers of."""
    round: int = 0
    round_due: bool = False
    """A heartbeat of a new round is to be sent in this settle."""
    read_batches: deque[ReadBatch] = field(default_factory=deque)
    waiting_contexts: list[tuple[NodeId, int]] = field(default_factory=list)
    held_forwards: list[bytes] = field(default_factory=list)
    """Other nodes' commands, appended at the end of the step, or after a transfer that failed."""
    change: ChangeInProgress | None = None
    transfer: Transfer | None = None


RoleState = Follower | PreCandidate | Candidate | Leader


@dataclass(slots=True)
class SeenFrom:
    """Requests forwarded by one boot of a node; numbers up to `floor` count as seen."""

    boot: int
    floor: RequestId
    requests: set[RequestId] = field(default_factory=set)


@dataclass(slots=True)
class ForwardsSeen:
    """What was forwarded to this node in the last term it led: a duplicate is dropped, never appended twice."""

    term: Term = NO_TERM
    seen: dict[NodeId, SeenFrom] = field(default_factory=dict)
