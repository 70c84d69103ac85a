"""Clients' commands: admission, appending, forwarding to the leader, and their answers.

The node that took a request answers it when *it* applies the entry, so a forwarded command needs no reply. A command sent
in term T that was not applied here before an entry of a later term certainly never will be (terms never decrease along the
log): it is proposed again. That is what makes a change of leader invisible to most clients.
"""

from __future__ import annotations

from typing import Final

from ferrite.core.actions import Abandon
from ferrite.core.events import Applied, ProposalReceived
from ferrite.core.messages import Forward, ForwardRefused, Header
from ferrite.core.pending import PendingProposal
from ferrite.core.raft import Raft
from ferrite.core.roles import Leader, SeenFrom
from ferrite.core.values import (
    Entry,
    EntryKind,
    RefusalCode,
    RequestId,
    Term,
    encode_payload,
)

FORWARDS_REMEMBERED: Final = 20_000
"""Per origin and term; more than can be pending at one node."""


def on_proposal(raft: Raft, event: ProposalReceived) -> None:
    """Admit a client's command, or refuse it before anything has happened."""
    code = _refusal(raft, len(event.command))
    if code:
        raft.refuse(event.request, code[0], code[1])
        return
    raft.counters["proposals"] += 1
    raft.pending.add_proposal(event.request, event.command, event.deadline_us)


def _refusal(raft: Raft, size: int) -> tuple[RefusalCode, str] | None:
    if raft.shutting_down:
        return RefusalCode.SHUTTING_DOWN, "this node is shutting down; ask another one"
    if not raft.initialized:
        return (
            RefusalCode.NOT_INITIALIZED,
            "this node belongs to no cluster yet: POST /init, or add it to one",
        )
    if raft.removed:
        return RefusalCode.NOT_LEADER, f"node {raft.node_id} was removed from the cluster; ask a member"
    if size > raft.config.pending_bytes_max:
        return (
            RefusalCode.TOO_LARGE,
            f"a command of {size} bytes; at most {raft.config.pending_bytes_max} may wait",
        )
    if raft.pending.is_full(size):
        return RefusalCode.OVERLOADED, "too many requests of this node have no answer yet; try again later"
    if raft.office and _behind(raft):
        return (
            RefusalCode.OVERLOADED,
            "entries are committed or appended faster than they are applied; try again later",
        )
    return None


def _behind(raft: Raft) -> bool:
    gap_max = raft.config.apply_gap_max
    uncommitted = raft.log.last_index - raft.commit_index
    if raft.commit_index - raft.applied_index > gap_max or uncommitted > 4 * gap_max:
        return True
    bytes_max = raft.config.pending_bytes_max
    return raft.log.bytes > bytes_max and raft.log.bytes_above(raft.commit_index) > bytes_max


def send_waiting(raft: Raft) -> None:
    """Append what waits when leading, forward it when somebody else leads."""
    pending = raft.pending
    office = raft.office
    if office:
        if office.transfer is None and (pending.proposals_waiting or office.held_forwards):
            _append_waiting(raft, office)
    elif raft.leader and raft.leader_connected and (pending.proposals_waiting or pending.resend_us):
        overdue = pending.take_overdue(raft.term) if pending.resend_us else []
        _forward(raft, overdue + pending.take_waiting_proposals())


def _append_waiting(raft: Raft, office: Leader) -> None:
    taken = raft.pending.take_waiting_proposals()
    commands = [proposal.command for _, proposal in taken]
    for _, proposal in taken:
        proposal.term_sent = raft.term
    commands.extend(office.held_forwards)
    raft.counters["forwards_appended"] += len(office.held_forwards)
    office.held_forwards.clear()
    term, header = raft.term, encode_payload(EntryKind.COMMAND, cluster_time_us(raft, office, raft.now_us))
    raft.append([Entry(term, header + command) for command in commands])


def cluster_time_us(raft: Raft, office: Leader, now_us: int) -> int:
    """Return the time that new entries bear: never decreasing, advancing by this leader's monotonic clock only."""
    return max(raft.last_time_us, office.time_base_us + now_us - office.elected_us)


def _forward(raft: Raft, taken: list[tuple[RequestId, PendingProposal]]) -> None:
    batch: list[tuple[RequestId, bytes]] = []
    size = 0
    for request, proposal in taken:
        proposal.term_sent, proposal.sent_to, proposal.sent_us = raft.term, raft.leader, raft.now_us
        if batch and size + len(proposal.command) > raft.config.append_bytes_max:
            raft.send(raft.leader, Forward(term=raft.term, proposals=tuple(batch)))
            batch, size = [], 0
        batch.append((request, proposal.command))
        size += len(proposal.command)
    if batch:
        raft.send(raft.leader, Forward(term=raft.term, proposals=tuple(batch)))


def on_heartbeat_heard(raft: Raft) -> None:
    """Forward again what may have been lost on the way; the leader of one term takes each once."""
    pending = raft.pending
    if pending.proposals and not pending.resend_us:
        pending.resend_us = raft.now_us - raft.config.election_timeout_min_us // 2


def on_forward(raft: Raft, header: Header, message: Forward) -> None:
    """Append another node's commands, each at most once; refuse only what certainly was not appended."""
    office = raft.office
    leading = office is not None and message.term == raft.term
    unknown = header.source not in raft.membership.members
    if unknown or (not leading and message.term != raft.forwards_seen.term):
        raft.counters["forwards_dropped"] += 1
        return  # Led in an earlier term or boot, perhaps: what became of it is not known here.
    new = _not_seen(raft, header, message)
    if not new:
        return
    if office and leading:
        if not _behind(raft) and len(office.held_forwards) <= raft.config.apply_gap_max:
            office.held_forwards.extend(command for _, command in new)
            return
        refused = RefusalCode.OVERLOADED, "the leader appends faster than it can apply; try again later"
    else:
        refused = RefusalCode.NOT_LEADER, f"node {raft.node_id} no longer leads term {message.term}"
    requests = tuple([request for request, _ in new])
    boot, (code, detail) = header.source_boot, refused
    answer = ForwardRefused(term=message.term, boot=boot, requests=requests, code=code, detail=detail)
    raft.send(header.source, answer)


def _not_seen(raft: Raft, header: Header, message: Forward) -> list[tuple[RequestId, bytes]]:
    seen = raft.forwards_seen.seen.get(header.source)
    if seen is None or seen.boot != header.source_boot:
        seen = raft.forwards_seen.seen[header.source] = SeenFrom(header.source_boot, RequestId(0))
    new = [
        (request, command)
        for request, command in message.proposals
        if request > seen.floor and request not in seen.requests
    ]
    seen.requests.update(request for request, _ in new)
    if len(seen.requests) > FORWARDS_REMEMBERED:
        # Numbers grow, so the oldest are the smallest; one so old is past every deadline.
        seen.floor = sorted(seen.requests)[FORWARDS_REMEMBERED // 2]
        seen.requests = {request for request in seen.requests if request > seen.floor}
    return new


def on_forward_refused(raft: Raft, header: Header, message: ForwardRefused) -> None:
    """Refused for load: tell the client. Refused because leadership moved: wait for the next leader."""
    if message.boot != raft.identity.boot:
        return  # About requests that died with an earlier boot: ours by the same numbers may well be appended.
    pending = raft.pending
    mine = [
        request
        for request in message.requests
        if (proposal := pending.proposals.get(request))
        and (proposal.term_sent, proposal.sent_to) == (message.term, header.source)
    ]
    if message.code is RefusalCode.OVERLOADED:
        for request in mine:
            pending.finish_proposal(request)
            raft.refuse(request, message.code, message.detail)
        return
    pending.propose_again(mine)
    if header.source == raft.leader:
        # It still answers for this term but takes nothing: asking again at once would spin.
        raft.leader_connected = False


def on_applied_outcomes(raft: Raft, event: Applied, applied_term: Term) -> None:
    """Answer the clients whose commands were applied; propose again what now never will be."""
    for request, result in event.outcomes:
        if raft.pending.finish_proposal(request):
            raft.reply(request, result)
    if applied_term > raft.applied_term:
        raft.applied_term = applied_term
        raft.pending.propose_again(raft.pending.sent_before(applied_term))


def abandon_skipped(raft: Raft, last_term: Term) -> None:
    """A snapshot skipped entries up to this term: what became of commands sent until then is not known."""
    for request in raft.pending.sent_before(Term(last_term + 1)):
        raft.pending.finish_proposal(request)
        detail = "the answer was skipped by a snapshot; the command may have been applied"
        raft.actions.append(Abandon(request=request, detail=detail))


def expire(raft: Raft) -> None:
    """Answer requests whose deadline passed: refused when certainly not applied, else unknown."""
    proposals, reads = raft.pending.expired(raft.now_us)
    for request, proposal in proposals:
        if proposal.term_sent:
            detail = "no answer before the deadline; the command may have been applied, or may be later"
            raft.actions.append(Abandon(request=request, detail=detail))
        else:
            raft.refuse(request, RefusalCode.NOT_LEADER, "no leader was found before the deadline")
    for request in reads:
        raft.refuse(
            request, RefusalCode.NO_QUORUM, "the read could not be confirmed by a quorum before its deadline"
        )
