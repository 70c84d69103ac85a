"""What all checks share: the ghost state, what was seen of each incarnation, and how a contradiction is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ferrite.core import Glance, Membership, NodeId, ReplicaConfig, ReplicaStatus, RequestId, Role, Term
from ferrite.sim.checks.commands import Commands
from ferrite.sim.checks.contact import Contact
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.checks.marks import Marks
from ferrite.sim.violation import Violation

View = Glance | ReplicaStatus
"""What the checks see of a replica after a step; a status shows more than they need."""

# By plain names: looking an enum's member up costs more than the comparison, and this runs in every step.
FOLLOWER: Final = Role.FOLLOWER
CANDIDATE: Final = Role.CANDIDATE
PRE_CANDIDATE: Final = Role.PRE_CANDIDATE
LEADER: Final = Role.LEADER


@dataclass(slots=True, kw_only=True)
class Sending:
    """The piece of a snapshot that was sent to a peer last."""

    piece: tuple[int, bytes, int]
    """(term, snapshot, offset)."""
    asked_back: bool = False
    """Has an answer arrived since then that asks for an earlier one?"""
    deaf: int = 0
    """How often it was sent again all the same."""


Question = RequestId | tuple[NodeId, int]
"""A read of a node's own client, or `(follower, context)` of a question."""


@dataclass(slots=True)
class Confirming:
    """What one incarnation of a node has asked and heard as the leader of `term`. Moments count what happened here."""

    term: int = 0
    moment: int = 0
    sent: list[int] = field(default_factory=list)
    """The moments at which rounds left for the first time, ascending."""
    rounds: list[int] = field(default_factory=list)
    """Those rounds, ascending."""
    heard: dict[NodeId, int] = field(default_factory=dict)
    """Peer -> the highest round it has answered."""
    asked: dict[Question, list[tuple[int, Membership]]] = field(default_factory=dict)
    """Question -> when it arrived, and the membership of then; more than once when its frame was duplicated."""

    def enter(self, term: int) -> None:
        """Begin anew in another term."""
        if term != self.term:
            self.term = term
            self.sent.clear()
            self.rounds.clear()
            self.heard.clear()
            self.asked.clear()


@dataclass(slots=True)
class Facts:
    """What one incarnation of a node was told, as its host saw it."""

    contact: Contact = field(default_factory=Contact)
    commands: Commands = field(default_factory=Commands)


@dataclass(slots=True)
class Seen:
    """What the checks remember of one incarnation of a node."""

    boot: int
    status: View | None = None
    match: dict[NodeId, int] = field(default_factory=dict)
    applied_index: int = 0
    apply_outstanding: bool = False
    membership_index: int = -1
    membership_due: bool = True
    """What decides the membership in force may have moved since it was looked at: the log, its base, a snapshot, the replica."""
    chunks: dict[tuple[NodeId, bytes, int], tuple[int, int]] = field(default_factory=dict)
    """(peer, snapshot, offset) -> (when, how often) this piece was sent since then, within one heartbeat interval."""
    sendings: dict[NodeId, Sending] = field(default_factory=dict)
    unasked: tuple[Term, tuple[NodeId, ...]] | None = None
    """Its last campaign, when that began without a quorum of pre-votes: the term, and whose it had, the own included."""
    proved: dict[Term, int] | None = None
    """Term -> how far the appends of its leader fit the log; None where arrivals are not shown to the checks."""
    confirming: Confirming = field(default_factory=Confirming)
    facts: Facts | None = None
    """None where what replicas are told is not shown to the checks."""
    tail_lost: set[NodeId] = field(default_factory=set)
    """Peers that came back without their tail: the one case in which match_index may fall within a term (contract 8)."""


@dataclass(slots=True, kw_only=True)
class Checks:
    """`now` gives (time_us, event number)."""

    config: ReplicaConfig
    now: Callable[[], tuple[int, int]]
    ghost: Ghost = field(default_factory=Ghost)
    marks: Marks = field(default_factory=Marks)
    committed: Callable[[NodeId, int, int, int], None] | None = None
    """Told of each stretch (leader, first, last, term) when it is committed for the first time."""
    seen: dict[NodeId, Seen] = field(default_factory=dict)

    def fail(self, name: str, sentence: str, facts: str) -> None:
        """Raise the violation."""
        time_us, event_number = self.now()
        raise Violation(name, sentence, facts, time_us=time_us, event_number=event_number)
