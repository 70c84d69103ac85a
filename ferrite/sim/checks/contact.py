"""Whom one incarnation of a node has heard, as its host saw it: STALE. One English sentence above the check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ferrite.core import Membership, NodeId, RequestId, Term

if TYPE_CHECKING:
    from ferrite.sim.checks.shared import Checks, View


@dataclass(slots=True)
class Contact:
    """All times are the node's own clock; -1: never in this incarnation."""

    now_us: int = 0
    """When the step at hand was."""
    leader_us: int = -1
    """When the replica last took a message of a leader."""
    led: Term = Term(0)  # noqa: RUF009 - a plain number
    """The term that it led last."""
    elected_us: int = -1
    heard_us: dict[NodeId, int] = field(default_factory=dict)
    """Peer -> when it last answered in that term, or became a peer."""
    membership: Membership | None = None
    """The one by which it led, before the step at hand."""
    bounds_us: dict[RequestId, int] = field(default_factory=dict)
    """The reads without an answer that give a bound."""


def leads(contact: Contact, before: View | None, status: View) -> None:
    """A leader is elected, or leads others than before."""
    if contact.led != status.term:
        contact.led, contact.elected_us = status.term, contact.now_us
        contact.heard_us.clear()
    elif before is not None and before.membership is not status.membership:
        for peer in status.membership.members.keys() - before.membership.members.keys():
            contact.heard_us[peer] = contact.now_us


def read_served(checks: Checks, node: NodeId, contact: Contact, status: View, request: RequestId) -> None:
    """A read is served."""
    bound_us = contact.bounds_us.pop(request, 0)
    if not bound_us:
        return
    # A step may have changed the membership after it served the read.
    heard_us = max(
        contact.leader_us,
        *(_quorum_us(contact, by, status.node_id) for by in (contact.membership, status.membership)),
    )
    # S18 for reads that may be stale: a leader was heard within the bound that the client gave, by a leader a quorum.
    if heard_us < 0 or contact.now_us - heard_us > bound_us:
        checks.fail(
            "STALE",
            "A read with a bound is served only by a node that heard a leader, or leads and heard a quorum, within it.",
            f"node {node} at {contact.now_us} us of its clock heard one at {heard_us}, the bound is {bound_us} us",
        )


def _quorum_us(contact: Contact, membership: Membership | None, self_id: NodeId) -> int:
    """When a quorum had last answered the leader of `contact.led`, since then; -1 when this incarnation never led."""
    if membership is None or not contact.led:
        return -1

    def heard_us(voter: NodeId) -> int:
        return contact.now_us if voter == self_id else contact.heard_us.get(voter, contact.elected_us)

    halves = [half for half in (membership.voters, membership.outgoing) if half]
    return min((sorted(map(heard_us, half))[(len(half) - 1) // 2] for half in halves), default=-1)
