"""Linearizable reads without the log: ReadIndex, batched, from any node (thesis 6.4)."""

from __future__ import annotations

from typing import Final

from ferrite.core.actions import ServeRead
from ferrite.core.events import ReadRequested
from ferrite.core.messages import Header, ReadIndex, ReadIndexResponse
from ferrite.core.raft import NEVER_US, Raft
from ferrite.core.replication import quorum_heard_us
from ferrite.core.roles import Leader, ReadBatch
from ferrite.core.values import Consistency, Index, NodeId, RefusalCode, RequestId

ROUNDS_OUTSTANDING_MAX: Final = 4
"""Rounds (or contexts) under way; what arrives meanwhile is the next batch."""
CONTEXT_PATIENCE_INTERVALS: Final = 3
"""Heartbeat intervals after which a question to the leader counts as lost."""
CONTEXTS_WAITING_MAX: Final = 10_000
"""Other nodes' questions at the leader; each node has few outstanding, so more is a fault."""


def on_read(raft: Raft, event: ReadRequested) -> None:
    """Admit a read; a serializable one is served from what is here."""
    if raft.shutting_down:
        raft.refuse(event.request, RefusalCode.SHUTTING_DOWN, "this node is shutting down; ask another one")
    elif not raft.initialized:
        raft.refuse(event.request, RefusalCode.NOT_INITIALIZED, "this node belongs to no cluster yet")
    elif raft.removed:
        detail = f"node {raft.node_id} was removed from the cluster; ask a member"
        raft.refuse(event.request, RefusalCode.NOT_LEADER, detail)
    elif event.consistency is Consistency.SERIALIZABLE:
        _serve_stale(raft, event)
    elif raft.pending.is_full(0):
        detail = "too many requests of this node have no answer yet; try again later"
        raft.refuse(event.request, RefusalCode.OVERLOADED, detail)
    else:
        raft.counters["reads"] += 1
        raft.pending.add_read(event.request, event.deadline_us)


def _serve_stale(raft: Raft, event: ReadRequested) -> None:
    # A leader that slept may have a successor: what counts is when a quorum was heard, not what it believes of itself.
    heard_us = quorum_heard_us(raft, raft.office) if raft.office else raft.leader_heard_us
    bound_us = event.max_staleness_us
    if bound_us and (heard_us is None or raft.now_us - heard_us > bound_us):
        heard = "yet" if heard_us is None else f"for {(raft.now_us - heard_us) // 1000} ms"
        detail = f"no leader was heard {heard}; the bound is {bound_us // 1000} ms"
        raft.refuse(event.request, RefusalCode.TOO_STALE, detail)
        return
    raft.counters["reads_serializable"] += 1
    raft.actions.append(ServeRead(requests=(event.request,), read_index=raft.applied_index))


def advance_reads(raft: Raft) -> None:
    """Begin rounds for waiting reads, take confirmed ones, serve what is applied."""
    pending, office = raft.pending, raft.office
    if office:
        if office.read_batches:
            _take_confirmed(raft, office)
        if pending.reads_waiting or office.waiting_contexts:
            _begin_round(raft, office)
            _take_confirmed(raft, office)  # Alone in the cluster, a node confirms its own round.
    else:
        if pending.contexts:
            _give_up_old_contexts(raft)
        if pending.reads_waiting and raft.leader and raft.leader_connected:
            _ask_leader(raft)
    if pending.reads_confirmed:
        _serve_applied(raft)


def _begin_round(raft: Raft, office: Leader) -> None:
    # Thesis 6.4, step 1: before an entry of its own term is committed, a leader does not know what is.
    if raft.commit_index < office.term_start_index or len(office.read_batches) >= ROUNDS_OUTSTANDING_MAX:
        return
    ask_round(office)
    office.read_batches.append(
        ReadBatch(
            round=office.round,
            read_index=raft.commit_index,
            requests=raft.pending.take_waiting_reads(),
            contexts=tuple(office.waiting_contexts),
        )
    )
    office.waiting_contexts.clear()


def ask_round(office: Leader) -> None:
    """Have heartbeats of a new round sent in this step, if none is due already."""
    if not office.round_due:
        office.round += 1
        office.round_due = True


def _take_confirmed(raft: Raft, office: Leader) -> None:
    progress = office.progress

    def confirmed(node: NodeId) -> int:
        if node == raft.node_id:
            return office.round
        return progress[node].round_confirmed if node in progress else 0

    round_confirmed = raft.membership.committed(confirmed)
    while office.read_batches and office.read_batches[0].round <= round_confirmed:
        batch = office.read_batches.popleft()
        raft.pending.confirmed(batch.read_index, batch.requests)
        for peer, context in batch.contexts:
            response = ReadIndexResponse(
                term=raft.term, context=context, read_index=batch.read_index, ready=True
            )
            raft.send(peer, response)


def _ask_leader(raft: Raft) -> None:
    pending = raft.pending
    if raft.now_us < pending.read_retry_us:
        return
    if len(pending.contexts) < ROUNDS_OUTSTANDING_MAX:
        requests = pending.take_waiting_reads()
        if requests:
            # A fresh context for every attempt: an answer to an earlier one proves nothing for these reads.
            context = pending.new_context(requests, raft.now_us)
            raft.send(raft.leader, ReadIndex(term=raft.term, context=context))


def read_deadline_us(raft: Raft) -> int:
    """Return when a question to the leader is to be asked, or asked anew."""
    pending = raft.pending
    deadline_us = NEVER_US
    if pending.reads_waiting and pending.read_retry_us > raft.now_us:
        deadline_us = pending.read_retry_us
    if pending.contexts:
        lost_us = _oldest_context_us(raft) + CONTEXT_PATIENCE_INTERVALS * raft.config.heartbeat_interval_us
        deadline_us = min(deadline_us, lost_us)
    return deadline_us


def _oldest_context_us(raft: Raft) -> int:
    """When the oldest context was asked: the first one, for they stand in the order in which they were made."""
    for asked_us, _ in raft.pending.contexts.values():
        return asked_us
    return NEVER_US


def _give_up_old_contexts(raft: Raft) -> None:
    contexts = raft.pending.contexts
    asked_before_us = raft.now_us - CONTEXT_PATIENCE_INTERVALS * raft.config.heartbeat_interval_us
    while _oldest_context_us(raft) <= asked_before_us:
        _, requests = contexts.pop(next(iter(contexts)))
        raft.pending.read_again(requests)


def _serve_applied(raft: Raft) -> None:
    confirmed = raft.pending.reads_confirmed
    if raft.snapshots.install_outstanding:
        return
    waiting: list[tuple[Index, tuple[RequestId, ...]]] = []
    for read_index, requests in confirmed:
        if read_index > raft.applied_index:
            waiting.append((read_index, requests))
            continue
        ready = tuple([request for request in requests if raft.pending.reads.pop(request, None) is not None])
        if ready:
            raft.actions.append(ServeRead(requests=ready, read_index=read_index))
    raft.pending.reads_confirmed = waiting


def on_read_index(raft: Raft, header: Header, message: ReadIndex) -> None:
    """Another node asks: its question joins the next round."""
    office = raft.office
    if office and message.term == raft.term and len(office.waiting_contexts) < CONTEXTS_WAITING_MAX:
        office.waiting_contexts.append((header.source, message.context))
        return
    raft.send(
        header.source,
        ReadIndexResponse(term=raft.term, context=message.context, read_index=Index(0), ready=False),
    )


def on_read_index_response(raft: Raft, header: Header, message: ReadIndexResponse) -> None:
    """The leader was the leader after we asked, and this is what was committed then."""
    if header.source != raft.leader:
        return  # Contexts are void when the leader changes, so nobody else was asked.
    asked = raft.pending.contexts.pop(message.context, None)
    if asked is None:
        return
    _, requests = asked
    if message.ready:
        raft.pending.confirmed(message.read_index, requests)
    else:
        raft.pending.read_retry_us = raft.now_us + raft.config.heartbeat_interval_us
        raft.pending.read_again(requests)
