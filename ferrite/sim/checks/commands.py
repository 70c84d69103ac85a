"""What became of clients' commands, as their host saw it: FORWARD, ANSWER. One English sentence above each check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    NodeId,
    RequestId,
    Term,
    actions,
    messages,
    payload_kind,
)
from ferrite.core.kv import CommandInvalid, Origin, decode_command

if TYPE_CHECKING:
    from ferrite.sim.checks.shared import Checks


@dataclass(slots=True)
class Appended:
    """The commands that one incarnation of a node appended as the leader of one term; decoded when they are asked for."""

    entries: list[Entry] = field(default_factory=list)
    _origins: set[Origin] = field(default_factory=set)

    def origins(self) -> set[Origin]:
        """Where they came from."""
        for entry in self.entries:
            if payload_kind(entry.payload) == EntryKind.COMMAND:
                try:
                    self._origins.add(decode_command(entry.payload[PAYLOAD_HEADER_BYTES:]).origin)
                except CommandInvalid:
                    continue  # It has no origin: nobody waits for it.
        self.entries.clear()
        return self._origins


@dataclass(slots=True)
class Commands:
    """What one incarnation of a node appended, and sent for its own clients."""

    appended: dict[Term, Appended] = field(default_factory=dict)
    waiting: dict[RequestId, Term] = field(default_factory=dict)
    """Own clients' commands without an answer -> the term in which somebody may have appended it; 0: certainly nobody."""
    refused: set[tuple[RequestId, Term]] = field(default_factory=set)
    applied_term: Term = Term(0)  # noqa: RUF009 - a plain number
    skipped: tuple[Term, tuple[RequestId, ...]] | None = None
    """The last term of a snapshot that was installed before the step at hand, and which commands it leaves without an answer."""


def appended(commands: Commands, term: Term, entries: Sequence[Entry]) -> None:
    """A leader of this term orders a write."""
    own = [entry for entry in entries if entry.term == term]
    if own:
        commands.appended.setdefault(term, Appended()).entries.extend(own)


def forward_sent(commands: Commands, message: messages.Forward) -> None:
    """Commands leave for the leader."""
    for request, _ in message.proposals:
        # One that was refused is not appended there any more, however often it is sent.
        if request in commands.waiting and (request, message.term) not in commands.refused:
            commands.waiting[request] = message.term


def refusal_sent(
    checks: Checks, node: NodeId, commands: Commands, to: NodeId, message: messages.ForwardRefused
) -> None:
    """A node says that it did not append."""
    log = commands.appended.get(message.term)
    if log is None:
        return
    origins = log.origins()
    for request in message.requests:
        # Contract 4: what is refused was certainly not appended.
        if Origin(to, message.boot, request) in origins:
            checks.fail(
                "FORWARD",
                "A node refuses only forwarded commands that it did not append.",
                f"node {node} refuses {request} of node {to}, which it appended as the leader of term {message.term}",
            )


def refusal_arrived(commands: Commands, boot: int, message: messages.ForwardRefused) -> None:
    """A leader says that it did not append; perhaps to a boot of this node that is no more."""
    if message.boot != boot:
        return
    for request in message.requests:
        if commands.waiting.get(request) == message.term:
            commands.waiting[request] = Term(0)
            commands.refused.add((request, message.term))


def applied_to(commands: Commands, term: Term) -> None:
    """The replica was told that an entry of this term is applied: what was sent in earlier ones never will be."""
    if term > commands.applied_term:
        commands.applied_term = term
        for request, sent in commands.waiting.items():
            if sent < term:
                commands.waiting[request] = Term(0)


def state_skipped_to(commands: Commands, self_id: NodeId, boot: int, last_term: Term) -> None:
    """The replica is told, in the step at hand, that a snapshot with this last term is its state."""
    waiting = commands.waiting
    for term, log in commands.appended.items():
        if commands.applied_term <= term <= last_term:
            for origin in log.origins():
                if origin[:2] == (self_id, boot) and origin.request in waiting:
                    waiting[origin.request] = max(waiting[origin.request], term)
    skipped = tuple([request for request, sent in waiting.items() if 0 < sent <= last_term])
    commands.skipped = (last_term, skipped)
    commands.applied_term = max(commands.applied_term, last_term)


def answered(
    checks: Checks, node: NodeId, commands: Commands, action: actions.Reply | actions.Refuse | actions.Abandon
) -> None:
    """A replica tells a client what became of its command."""
    sent = commands.waiting.pop(action.request, Term(0))
    # Contract 6: a refused command is certainly not carried out, now or later.
    if sent and type(action) is actions.Refuse:
        checks.fail(
            "ANSWER",
            "A command is refused only while certainly nobody appended it.",
            f"node {node} refuses {action.request} with {action.code.value}, which it forwarded in term {sent}",
        )


def skipped_are_answered(checks: Checks, node: NodeId, commands: Commands) -> None:
    """The step in which a replica was told of its new state is over."""
    if commands.skipped is None:
        return
    (last_term, skipped), commands.skipped = commands.skipped, None
    left = [request for request in skipped if request in commands.waiting]
    # Contract 8: a snapshot that skips entries makes the outcome of what was sent until its last term unknown.
    if left:
        checks.fail(
            "ANSWER",
            "Commands sent up to the last term of a snapshot are answered when it is installed: nobody else will.",
            f"node {node} installed a snapshot of term {last_term}; its requests {left} have no answer",
        )
