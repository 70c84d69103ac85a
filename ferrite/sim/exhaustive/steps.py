"""The steps of a path, in words, and the messages in flight."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from ferrite.core import NodeId, messages

NODE_BASE: Final = 10**12
"""Ids are so large that no other number in a replica can be mistaken for one: that is how nodes are renamed."""
_LONG_ID = re.compile(r"\b10{10}0(\d)\b")


def node_id(number: int) -> NodeId:
    """Return the id of node 1, 2 or 3."""
    return NodeId(NODE_BASE + number)


def number_of(node: NodeId) -> int:
    """Return the number by which people call a node."""
    return node - NODE_BASE


def readable(text: str) -> str:
    """Replace the long ids by the nodes' numbers."""
    return _LONG_ID.sub(r"\1", text)


class Kind(enum.Enum):
    """What can happen, in words."""

    # The default goes through Python to the name's text; searches hash kinds a million times.
    __hash__ = object.__hash__

    DELIVER = "deliver"
    DUPLICATE = "duplicate"
    """Delivered, and still in flight."""
    DROP = "drop"
    TIMEOUT = "times out"
    WAIT = "has heard no leader for long"
    """So long that it no longer sticks to its leader; its own election timer has not run out yet."""
    PROPOSE = "gets proposal"
    SYNC = "finishes its sync"
    KILL = "crashes, all writes survive"
    POWER_LOSS = "loses power"
    RESTART = "restarts"


@dataclass(slots=True, kw_only=True, frozen=True)
class Letter:
    """A message in flight."""

    header: messages.Header
    message: messages.Message

    def __str__(self) -> str:
        link = f"{number_of(self.header.source)}>{number_of(self.header.target)}"
        return f"{_described(self.message)} {link}"


@dataclass(slots=True, kw_only=True, frozen=True)
class Step:
    """One step of a path. `node` is the number of the node that acts; `str` gives a line for people."""

    kind: Kind
    node: int
    letter: Letter | None = None
    number: int = 0
    """Of a proposal: which one it is. Of a node that loses power: how many un-synced writes survive, always the first ones."""
    slow: bool = False
    """What this step writes stays un-synced."""

    def __str__(self) -> str:
        if self.letter is not None:
            text = f"{self.kind.value} {self.letter}"
        elif self.kind is Kind.POWER_LOSS:
            kept = f"all but the first {self.number}" if self.number else "all"
            text = f"{self.node} crashes, {kept} un-synced writes lost"
        elif self.kind is Kind.PROPOSE:
            text = f"{self.node} {self.kind.value} {self.number}"
        else:
            text = f"{self.node} {self.kind.value}"
        return f"{text} ({self.node} does not sync yet)" if self.slow else text


def _described(message: messages.Message) -> str:
    name = type(message).__name__
    match message:
        case messages.PreVoteResponse(proposed_term=term, vote_granted=granted):
            return f"{name} (term {term}, {'granted' if granted else 'refused'})"
        case messages.RequestVoteResponse(term=term, vote_granted=granted):
            return f"{name} (term {term}, {'granted' if granted else 'refused'})"
        case messages.PreVote(term=term) | messages.RequestVote(term=term):
            return f"{name} (term {term}, log to {message.last_log_index} of term {message.last_log_term})"
        case messages.AppendEntries(term=term, prev_log_index=prev, entries=entries, leader_commit=commit):
            held = ", ".join(f"{prev + at} of term {entry.term}" for at, entry in enumerate(entries, 1))
            return (
                f"{name} (term {term}, after {prev} of term {message.prev_log_term}: "
                f"{held or 'nothing'}, commit {commit})"
            )
        case messages.AppendEntriesResponse(term=term, success=success):
            found = f"match {message.match_index}" if success else f"refused {message.prev_log_index}"
            return f"{name} (term {term}, {found})"
        case messages.Heartbeat(term=term, leader_commit=commit, round=number):
            return f"{name} (term {term}, commit {commit}, round {number})"
        case messages.HeartbeatResponse(term=term, round=number):
            return f"{name} (term {term}, round {number})"
        case _:
            return f"{name} (term {message.term})"
