"""Leadership transfer (thesis 3.10), by order, on shutdown and when the leader is removed; and the shutdown itself."""

from __future__ import annotations

from ferrite.core.actions import Abandon
from ferrite.core.events import ShutdownRequested, TransferRequested
from ferrite.core.messages import TimeoutNow
from ferrite.core.progress import SNAPSHOT
from ferrite.core.raft import Raft
from ferrite.core.roles import Leader, Transfer
from ferrite.core.values import NO_NODE, NodeId, RefusalCode, StopCode


def on_transfer_requested(raft: Raft, event: TransferRequested) -> None:
    """Begin to hand over; the request is answered when somebody leads a later term."""
    office = raft.office
    if office is None:
        code = RefusalCode.NOT_LEADER if raft.initialized else RefusalCode.NOT_INITIALIZED
        raft.refuse(event.request, code, "only the leader can hand leadership over")
    elif event.target == raft.node_id:
        raft.reply(event.request, raft.node_id)
    elif office.transfer or office.change:
        raft.refuse(
            event.request, RefusalCode.CHANGE_IN_PROGRESS, "a transfer or a membership change is under way"
        )
    else:
        target = event.target or best_successor(raft, office)
        if target == NO_NODE or target not in raft.membership.voters or target not in office.progress:
            detail = (
                f"node {target} is not a voter" if target else "there is no other voter that was heard from"
            )
            raft.refuse(event.request, RefusalCode.TRANSFER_FAILED, detail)
            return
        _begin(raft, office, target)
        raft.transfer_requests.append((event.request, event.deadline_us))


def best_successor(raft: Raft, office: Leader) -> NodeId:
    """Return the voter that is heard from, preferred by priority, then by how much of the log it has."""
    heard_since_us = raft.now_us - raft.config.election_timeout_min_us
    candidates = [
        (raft.config.priorities.get(node, 50), progress.match_index, -node)
        for node, progress in office.progress.items()
        if node in raft.membership.voters
        and progress.last_heard_us > heard_since_us
        and progress.state is not SNAPSHOT
    ]
    return NodeId(-max(candidates)[2]) if candidates else NO_NODE


def _begin(raft: Raft, office: Leader, target: NodeId) -> None:
    office.transfer = Transfer(target=target, deadline_us=raft.now_us + raft.config.election_timeout_max_us)
    raft.counters["transfers_begun"] += 1


def advance_transfer(raft: Raft, office: Leader) -> None:
    """Once the target holds the whole log durably, tell it to campaign; give up after an election timeout."""
    transfer = office.transfer
    if transfer is None:
        return
    progress = office.progress.get(transfer.target)
    if progress is None or raft.now_us >= transfer.deadline_us:
        office.transfer = None
        raft.counters["transfers_failed"] += 1
        if not transfer.sent:
            _refuse_waiting(raft, transfer.target)
    elif not transfer.sent and progress.match_index == raft.log.last_index:
        transfer.sent = True
        raft.send(transfer.target, TimeoutNow(term=raft.term))


def _refuse_waiting(raft: Raft, target: NodeId) -> None:
    for request, _ in raft.transfer_requests:
        detail = f"node {target} did not catch up in time; it was never told to take over"
        raft.refuse(request, RefusalCode.TRANSFER_FAILED, detail)
    raft.transfer_requests.clear()


def hand_over_on_removal(raft: Raft, office: Leader) -> None:
    """The membership without this leader is committed: tell the best voter to campaign, and lead no more (thesis 4.2.2)."""
    if raft.stepping_down:
        return
    successor = best_successor(raft, office)
    for peer, progress in office.progress.items():
        if progress.match_index >= raft.membership_index and successor == peer:
            raft.send(peer, TimeoutNow(term=raft.term))
    raft.stepping_down = True


def answer_transfers(raft: Raft) -> None:
    """Answer the waiting requests: somebody else leads now, or the time is over."""
    for request, deadline_us in list(raft.transfer_requests):
        office = raft.office
        if raft.leader not in {NO_NODE, raft.node_id}:
            raft.reply(request, raft.leader)
        elif raft.now_us >= deadline_us or (office and office.transfer is None):
            detail = "the target did not take over in time; it still may"
            raft.actions.append(Abandon(request=request, detail=detail))
        else:
            continue
        raft.transfer_requests.remove((request, deadline_us))


def on_shutdown_requested(raft: Raft, event: ShutdownRequested) -> None:
    """Take no more requests; hand leadership over if there is somebody to take it."""
    raft.shutdown_deadline_us = event.deadline_us
    office = raft.office
    if office and office.transfer is None:
        successor = best_successor(raft, office)
        if successor:
            _begin(raft, office, successor)


def advance_shutdown(raft: Raft) -> None:
    """Stop when nothing is left to do here, or when the deadline comes."""
    deadline_us = raft.shutdown_deadline_us
    if deadline_us is None or raft.stopped:
        return
    office = raft.office
    handing_over = office is not None and office.transfer is not None
    if raft.now_us >= deadline_us or (not handing_over and not len(raft.pending)):
        raft.stop(
            StopCode.OK, "shutdown complete" if raft.now_us < deadline_us else "shutdown deadline reached"
        )
