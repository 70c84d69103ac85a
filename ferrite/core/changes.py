"""Membership changes: learners, joint consensus, and what follows from them (thesis, chapter 4).

A membership is in force from the moment it is in the log. One uncommitted change at a time; voters change through joint consensus
always, so any set can become any other.
"""

from __future__ import annotations

from dataclasses import replace

from ferrite.core.actions import Abandon
from ferrite.core.events import BootstrapRequested, MembershipChangeRequested
from ferrite.core.membership import (
    AddLearner,
    Change,
    ChangeVoters,
    Member,
    Membership,
    RemoveLearner,
    UpdateAddress,
    encode_membership,
    enter_joint,
    leave_joint,
)
from ferrite.core.progress import REPLICATE
from ferrite.core.proposals import cluster_time_us
from ferrite.core.raft import NEVER_US, Raft
from ferrite.core.reads import ask_round
from ferrite.core.roles import ChangeInProgress, Leader
from ferrite.core.transfer import hand_over_on_removal
from ferrite.core.values import (
    NO_CLUSTER,
    NO_INSTANCE,
    Entry,
    EntryKind,
    Index,
    NodeId,
    RefusalCode,
    RequestId,
    Term,
    encode_payload,
)


def on_bootstrap(raft: Raft, event: BootstrapRequested) -> None:
    """Make the first membership the first entry of the log. Every other member joins when it is first spoken to."""
    if raft.initialized or raft.log.last_index:
        raft.refuse(event.request, RefusalCode.ALREADY_INITIALIZED, "this node already belongs to a cluster")
        return
    wrong = _wrong_bootstrap(raft, event)
    if wrong:
        raft.refuse(event.request, RefusalCode.INVALID_CHANGE, wrong)
        return
    raft.adopt_cluster(event.cluster_id)
    raft.set_term(Term(1))
    raft.append(
        [Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(event.membership)))]
    )
    raft.bootstrap_request = event.request
    raft.election_deadline_us = raft.now_us


def _wrong_bootstrap(raft: Raft, event: BootstrapRequested) -> str | None:
    membership = event.membership
    own = membership.members.get(raft.node_id)
    if event.cluster_id == NO_CLUSTER:
        return "a cluster id of 16 zero bytes"
    if raft.node_id not in membership.voters or own is None or own.instance != raft.identity.instance:
        return f"node {raft.node_id} itself must be one of the voters"
    if membership.joint or set(membership.members) != {*membership.voters, *membership.learners}:
        return "every member is either a voter or a learner"
    return next((wrong for m in membership.members.values() if (wrong := _wrong_member(m))), None)


def _wrong_member(member: Member) -> str | None:
    if member.node_id <= 0 or member.instance == NO_INSTANCE or not member.peer_addr:
        return (
            f"member {member.node_id} needs a positive id, the instance of its data directory and an address"
        )
    return None


def on_change_requested(raft: Raft, event: MembershipChangeRequested) -> None:
    """Take a change, or refuse it before anything has happened."""
    office = raft.office
    if office is None or raft.shutting_down:
        code = RefusalCode.NOT_LEADER if raft.initialized else RefusalCode.NOT_INITIALIZED
        raft.refuse(event.request, code, "membership changes are made by the leader")
    elif office.change or office.transfer:
        raft.refuse(
            event.request, RefusalCode.CHANGE_IN_PROGRESS, "another change, or a transfer, is under way"
        )
    else:
        refusal = _refusal(raft, office, event.change)
        if refusal:
            raft.refuse(event.request, *refusal)
            return
        office.change = ChangeInProgress(
            request=event.request,
            change=event.change,
            deadline_us=event.deadline_us,
            target_index=raft.log.last_index,
            asked_us=raft.now_us,
        )
        ask_round(office)


def _refusal(raft: Raft, office: Leader, change: Change) -> tuple[RefusalCode, str] | None:
    membership = raft.membership
    match change:
        case AddLearner(member=member):
            return _learner_refusal(membership, member)
        case ChangeVoters(voters=voters):
            return _voters_refusal(raft, office, voters)
        case UpdateAddress(member=member):
            known = membership.members.get(member.node_id)
            if known is None:
                return RefusalCode.UNKNOWN_MEMBER, f"node {member.node_id} is not a member"
            if known.instance != member.instance:
                return (
                    RefusalCode.INVALID_CHANGE,
                    f"node {member.node_id} answers with another data directory",
                )
        case RemoveLearner(node_id=node):
            if node not in membership.learners:
                return RefusalCode.UNKNOWN_MEMBER, _why_no_learner(membership, node)
    return None


def _why_no_learner(membership: Membership, node: NodeId) -> str:
    if node in membership.members:
        return f"node {node} is a voter, not a learner; change the voters to take it out"
    return f"node {node} is not a member"


def _learner_refusal(membership: Membership, member: Member) -> tuple[RefusalCode, str] | None:
    wrong = _wrong_member(member)
    if wrong:
        return RefusalCode.INVALID_CHANGE, wrong
    known = membership.members.get(member.node_id)
    if known and known.instance != member.instance:
        detail = f"node {member.node_id} is a member with another data directory; a new node needs a new id"
        return RefusalCode.INVALID_CHANGE, detail
    if membership.retired.get(member.node_id, member.instance) != member.instance:
        detail = (
            f"node {member.node_id} was removed, and ids are never used again; give the new node a new id"
        )
        return RefusalCode.RETIRED_ID, detail
    return None


def _voters_refusal(raft: Raft, office: Leader, voters: tuple[NodeId, ...]) -> tuple[RefusalCode, str] | None:
    if not voters or len(set(voters)) != len(voters):
        return RefusalCode.INVALID_CHANGE, "name at least one voter, each once"
    unknown = [node for node in voters if node not in raft.membership.members]
    if unknown:
        return RefusalCode.UNKNOWN_MEMBER, f"not a member: {unknown}; add it as a learner first"
    heard_since_us = raft.now_us - raft.config.election_timeout_min_us

    def alive(node: NodeId) -> bool:
        return node == raft.node_id or (
            node in office.progress and office.progress[node].last_heard_us > heard_since_us
        )

    if not Membership(voters=voters).has_quorum(alive):
        silent = [node for node in voters if not alive(node)]
        return RefusalCode.WOULD_LOSE_QUORUM, f"not heard from: {silent}; the new voters would have no quorum"
    return None


def advance_changes(raft: Raft, office: Leader) -> None:
    """Do the next step of whatever change is under way; leave the joint state, also a predecessor's."""
    if raft.commit_index < office.term_start_index or raft.membership_index > raft.commit_index:
        return
    if raft.membership.joint:
        index = _append_membership(raft, office, leave_joint(raft.membership))
        if office.change and office.change.appended_index:
            office.change.appended_index = index
        return
    if office.change:
        _advance_change(raft, office, office.change)
    if raft.office and not raft.membership.is_voter(raft.node_id):
        hand_over_on_removal(raft, office)


def _advance_change(raft: Raft, office: Leader, change: ChangeInProgress) -> None:
    if not change.appended_index:
        # Asked for under an older membership, perhaps: what was right then may not be now.
        refusal = _refusal(raft, office, change.change)
        if refusal:
            office.change = None
            raft.refuse(change.request, *refusal)
        elif not _unready(raft, office, change)[1]:
            _begin(raft, office, change)
    elif (
        change.request
        and isinstance(change.change, AddLearner)
        and not _follows(office, change.change.member.node_id, change)
    ):
        return  # Its client waits until the learner follows.
    elif raft.commit_index >= change.appended_index:
        office.change = None
        raft.reply(change.request, change.appended_index)


def _unready(raft: Raft, office: Leader, change: ChangeInProgress) -> tuple[list[NodeId], bool]:
    """Return whom the change still waits for, and whether it must wait.

    Learners that shall vote must have caught up with where the log was when it was asked (thesis 4.2.1); of the voters, a
    quorum must also have been heard since then: one that died a moment ago must not be counted on.
    """
    if not isinstance(change.change, ChangeVoters):
        return [], False

    def ready(node: NodeId) -> bool:
        progress = office.progress.get(node)
        return node == raft.node_id or (
            progress is not None
            and progress.state is REPLICATE
            and progress.match_index >= change.target_index
            and progress.last_heard_us >= change.asked_us
        )

    voters = change.change.voters
    unready = [node for node in voters if not ready(node)]
    learners_wait = any(node in raft.membership.learners for node in unready)
    return unready, learners_wait or not Membership(voters=voters).has_quorum(ready)


def _follows(office: Leader, node: NodeId, change: ChangeInProgress) -> bool:
    progress = office.progress.get(node)
    return progress is not None and progress.match_index >= change.appended_index


def _begin(raft: Raft, office: Leader, change: ChangeInProgress) -> None:
    new = _changed(raft.membership, change.change)
    if new == raft.membership:
        office.change = None
        raft.reply(change.request, raft.membership_index)
    else:
        change.appended_index = _append_membership(raft, office, new)


def _changed(current: Membership, change: Change) -> Membership:
    match change:
        case AddLearner(member=member) | UpdateAddress(member=member):
            members = {**current.members, member.node_id: member}
            retired = {node: instance for node, instance in current.retired.items() if node != member.node_id}
            learners = current.learners
            if not current.is_voter(member.node_id):
                learners = tuple(sorted({*current.learners, member.node_id}))
            return replace(current, learners=learners, members=members, retired=retired)
        case ChangeVoters(voters=voters):
            if set(voters) == set(current.voters):
                return current
            return enter_joint(current, voters)
        case RemoveLearner(node_id=node):
            learners = tuple(learner for learner in current.learners if learner != node)
            return leave_joint(replace(current, learners=learners))


def _append_membership(raft: Raft, office: Leader, membership: Membership) -> Index:
    time_us = cluster_time_us(raft, office, raft.now_us)
    raft.append(
        [Entry(raft.term, encode_payload(EntryKind.MEMBERSHIP, time_us, encode_membership(membership)))]
    )
    raft.counters["membership_changes"] += 1
    return raft.log.last_index


def expire_change(raft: Raft, office: Leader) -> None:
    """A change whose deadline passed: refused while nothing was appended, else it goes on without its client."""
    change = office.change
    if change is None or raft.now_us < change.deadline_us:
        return
    if not change.appended_index:
        office.change = None
        unready, _ = _unready(raft, office, change)
        if any(node in raft.membership.learners for node in unready):
            raft.refuse(
                change.request, RefusalCode.NOT_CAUGHT_UP, f"not caught up with the leader in time: {unready}"
            )
        elif unready:
            detail = f"not heard from in time: {unready}; the new voters would have no quorum"
            raft.refuse(change.request, RefusalCode.WOULD_LOSE_QUORUM, detail)
        else:
            detail = "an earlier change of the membership was not committed in time"
            raft.refuse(change.request, RefusalCode.CHANGE_IN_PROGRESS, detail)
        return
    if change.request:
        detail = "the change was begun and goes on; it was not complete before the deadline"
        raft.actions.append(Abandon(request=change.request, detail=detail))
        change.request = RequestId(0)
    change.deadline_us = NEVER_US
