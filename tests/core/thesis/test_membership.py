"""Cluster membership: thesis chapter 4 (joint consensus, 4.3), contract 7 and 8."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite.core import (
    AddLearner,
    ChangeVoters,
    Index,
    NodeId,
    RefusalCode,
    RemoveLearner,
    Role,
    Term,
    UpdateAddress,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import (
    ELECTION_MAX_US,
    ELECTION_MIN_US,
    HEARTBEAT_US,
    entry,
    instance_of,
    member,
    membership_entry,
    membership_of,
)
from tests.core.thesis.changes import code_of, configs_in, everybody, voters

# -- joint consensus


def test_voters_change_through_a_joint_configuration() -> None:
    """Thesis 4.3: "the cluster first switches to a transitional configuration we call joint consensus; once the joint
    consensus has been committed, the system then transitions to the new configuration"."""
    bench = Bench(learners=(4,))
    bench.lead()
    request, acts = bench.change(voters(1, 2, 4))
    joint = bench.status.membership
    assert (joint.voters, joint.outgoing) == ((1, 2, 4), (1, 2, 3))
    assert not bench.status.membership_committed and acts.answer(request) is None
    acts = everybody(bench)
    final = bench.status.membership
    assert (final.voters, final.outgoing) == ((1, 2, 4), ())
    acts += everybody(bench)
    reply = acts.answer(request)
    assert isinstance(reply, actions.Reply) and reply.result == bench.status.membership_index
    assert bench.status.membership_committed and 3 not in bench.status.membership.members
    assert bench.status.membership.retired[NodeId(3)] == instance_of(3)


def test_a_joint_entry_needs_both_majorities() -> None:
    """Thesis 4.3: "Agreement (for elections and entry commitment) requires majorities from both the old and new
    configurations"."""
    bench = Bench(voters=(1, 2, 3), learners=(4, 5))
    bench.lead()
    bench.change(voters(1, 4, 5))
    joint_index = bench.status.last_log_index
    bench.ack(4)
    bench.ack(5)
    assert bench.status.commit_index < joint_index, "all of the new voters, one of the old"
    bench.ack(2)
    assert bench.status.commit_index == joint_index
    bench = Bench(voters=(1, 2, 3), learners=(4, 5))
    bench.lead()
    bench.change(voters(1, 4, 5))
    bench.ack(2)
    bench.ack(3)
    assert bench.status.commit_index < joint_index, "all of the old voters, one of the new"


def test_a_configuration_is_used_from_the_moment_it_is_in_the_log() -> None:
    """Thesis 4.1: "a server always uses the latest configuration in its log, regardless of whether the entry is committed"."""
    bench = Bench()
    new = membership_of((1, 2, 3), learners=(4,))
    bench.append(2, 1, [membership_entry(1, new)])
    assert bench.status.membership == new
    assert bench.status.membership_index == 2 and not bench.status.membership_committed


def test_a_configuration_that_is_cut_off_is_rolled_back() -> None:
    """Thesis 4.1: "a server must be prepared to fall back to the previous configuration in its log"."""
    bench = Bench()
    first = membership_of((1, 2, 3), learners=(4,))
    joint = membership_of((1, 2, 4), outgoing=(1, 2, 3))
    bench.append(2, 1, [membership_entry(1, first), membership_entry(1, joint)])
    assert bench.status.membership == joint
    acts = bench.append(3, 2, [entry(2)], term=2)
    assert bench.status.membership == first and bench.status.membership_index == 2
    assert acts.of(actions.Announce)[-1].membership == first
    bench.append(3, 1, [entry(3)], term=3)
    assert bench.status.membership == membership_of((1, 2, 3))


def test_a_restart_finds_the_uncommitted_configuration_again_and_can_still_roll_back() -> None:
    """Thesis 4.1 across a crash: the log decides, not the state machine."""
    joint = membership_of((1, 2, 4), outgoing=(1, 2, 3))
    bench = Bench()
    bench.append(2, 1, [membership_entry(1, joint)])
    bench.restart()
    assert bench.status.membership == joint
    bench.append(3, 1, [entry(2)], term=2)
    assert bench.status.membership == membership_of((1, 2, 3))


def test_a_new_leader_leaves_the_joint_state() -> None:
    """Contract 8: "The leader leaves the joint state by itself, also a later leader"."""
    joint = membership_of((1, 2, 4), outgoing=(1, 2, 3))
    bench = Bench(log=[membership_entry(1, joint)])
    bench.win()
    everybody(bench)
    everybody(bench)
    assert bench.status.membership == membership_of((1, 2, 4), retired=(3,))
    assert bench.status.membership_committed


def test_the_joint_state_is_not_left_before_it_is_committed() -> None:
    """Thesis 4.3: C_new is appended "once the joint consensus has been committed"."""
    bench = Bench(learners=(4,))
    bench.lead()
    bench.change(voters(1, 2, 4))
    count = len(configs_in(bench))
    for _ in range(5):
        acts = bench.pass_us(HEARTBEAT_US)
        for peer in (2, 3, 4):
            for sent in acts.sent(messages.Heartbeat, peer)[-1:]:
                bench.beat_ack(peer, sent.round, last=2)
    assert len(configs_in(bench)) == count


# -- which changes


def test_one_change_at_a_time() -> None:
    """Contract 8: "one uncommitted change at a time"."""
    bench = Bench()
    bench.lead()
    bench.change(AddLearner(member=member(4)))
    request, acts = bench.change(AddLearner(member=member(5)))
    assert code_of(acts.answer(request)) is RefusalCode.CHANGE_IN_PROGRESS
    everybody(bench)
    request, acts = bench.change(AddLearner(member=member(5)))
    assert acts.answer(request) is None and len(configs_in(bench)) == 3


def test_two_changes_in_one_step_are_one_change() -> None:
    """The same, in one batch."""
    bench = Bench()
    bench.lead()
    facts = [
        {"request": 101, "change": AddLearner(member=member(4))},
        {"request": 102, "change": AddLearner(member=member(5))},
    ]
    acts = bench.step(
        *(events.MembershipChangeRequested(deadline_us=bench.now_us + 10**7, **fact) for fact in facts)  # type: ignore[arg-type]  # a table
    )
    assert acts.answer(101) is None
    assert code_of(acts.answer(102)) is RefusalCode.CHANGE_IN_PROGRESS


def test_no_change_is_appended_before_the_leader_committed_in_its_term() -> None:
    """Ongaro, raft-dev 2015: a leader must not append a new configuration entry until it has committed an entry from
    its current term; contract 8: "refused until the leader has committed in its term"."""
    bench = Bench(log=[1])
    bench.win()
    request, acts = bench.change(AddLearner(member=member(4)))
    assert len(configs_in(bench)) == 1
    answer = acts.answer(request)
    assert answer is None or code_of(answer) in {RefusalCode.CHANGE_IN_PROGRESS, RefusalCode.NOT_LEADER}


def test_a_new_leader_takes_an_inherited_uncommitted_configuration_as_pending() -> None:
    """etcd-io/raft pendingConfIndex: "Conservatively set ... we may have uncommitted config entries"."""
    bench = Bench(log=[membership_entry(1, membership_of((1, 2, 3), learners=(4,)))])
    bench.win()
    request, acts = bench.change(AddLearner(member=member(5)))
    assert len(configs_in(bench)) == 2
    assert acts.answer(request) is None or isinstance(acts.answer(request), actions.Refuse)


def test_a_learner_gets_the_log_and_no_vote() -> None:
    """Thesis 4.2.1: the new server "joins the cluster as a non-voting member"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.change(AddLearner(member=member(4)))
    assert acts.sent(messages.AppendEntries, 4) != []
    acts = bench.ack(4)
    assert acts.answer(request) is None and not bench.status.membership_committed
    acts = bench.ack(2)
    assert isinstance(acts.answer(request), actions.Reply)
    assert bench.status.membership.learners == (4,) and bench.status.membership.voters == (1, 2, 3)


def test_a_learner_that_never_appears_blocks_other_changes_only_until_the_deadline() -> None:
    """The client of `AddLearner` waits for a learner that follows; the cluster does not wait for ever."""
    bench = Bench()
    bench.lead()
    first, acts = bench.change(AddLearner(member=member(4)), deadline_us=500_000)
    acts += bench.ack(2) + bench.ack(3)
    assert bench.status.membership_committed
    acts += bench.pass_us(500_000)
    assert isinstance(acts.answer(first), actions.Reply | actions.Abandon)
    second, acts = bench.change(RemoveLearner(node_id=NodeId(4)))
    acts += bench.ack(2) + bench.ack(3)
    assert isinstance(acts.answer(second), actions.Reply) and bench.status.membership.learners == ()


def test_a_learner_is_promoted_only_once_it_has_caught_up() -> None:
    """Thesis 4.2.1: "the leader must ... wait until the new server has caught up"; contract 8."""
    bench = Bench(log=[1] * 50, learners=(4,))
    bench.win()
    bench.ack(2)
    bench.ack(3)
    request, acts = bench.change(voters(1, 2, 3, 4))
    assert bench.status.membership.voters == (1, 2, 3), "node 4 has nothing yet"
    answer = acts.answer(request)
    if answer is None:
        bench.ack(4)
        assert bench.status.membership.voters == (1, 2, 3, 4)
    else:
        assert code_of(answer) is RefusalCode.NOT_CAUGHT_UP


def test_a_learner_that_never_catches_up_is_not_promoted_and_the_request_ends_at_its_deadline() -> None:
    """Thesis 4.2.1: "the leader aborts the change if the new server is unavailable or ... so slow that it will never
    catch up"."""
    bench = Bench(log=[1] * 50, learners=(4,))
    bench.win()
    bench.ack(2)
    bench.ack(3)
    request, acts = bench.change(voters(1, 2, 3, 4), deadline_us=3 * ELECTION_MAX_US)
    for _ in range(16):
        more = bench.pass_us(ELECTION_MAX_US // 4)
        acts += more
        for peer in (2, 3):
            for sent in more.sent(messages.Heartbeat, peer)[-1:]:
                acts += bench.beat_ack(peer, sent.round)
    assert code_of(acts.answer(request)) is RefusalCode.NOT_CAUGHT_UP
    assert bench.status.membership.voters == (1, 2, 3)
    request, acts = bench.change(RemoveLearner(node_id=NodeId(4)))
    assert bench.status.membership.learners == (), "the failed change blocks no other"


def test_a_change_that_would_leave_no_working_majority_is_refused() -> None:
    """Architecture 5: "a dry run that refuses a change which would lose quorum"; etcd design-learner.md (1 to 2)."""
    bench = Bench(voters=(1, 2, 3), learners=(4, 5))
    bench.lead()
    for _ in range(12):
        acts = bench.pass_us(ELECTION_MIN_US // 4)
        for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
            bench.beat_ack(2, sent.round)  # nobody has heard of 3, 4 and 5 for three seconds
    request, acts = bench.change(voters(1, 3))
    assert code_of(acts.answer(request)) is RefusalCode.WOULD_LOSE_QUORUM
    assert bench.status.membership.voters == (1, 2, 3)
    request, acts = bench.change(voters(1, 2))
    assert acts.answer(request) is None, "removing a dead member is what it is for"


@pytest.mark.parametrize(
    "change, code",
    [
        (ChangeVoters(voters=()), RefusalCode.INVALID_CHANGE),
        (ChangeVoters(voters=(NodeId(1), NodeId(2), NodeId(9))), RefusalCode.UNKNOWN_MEMBER),
        (RemoveLearner(node_id=NodeId(9)), RefusalCode.UNKNOWN_MEMBER),
        (UpdateAddress(member=member(9)), RefusalCode.UNKNOWN_MEMBER),
    ],
    ids=["no voters", "a stranger as voter", "no such learner", "no such member"],
)
def test_impossible_changes_are_refused(change: Any, code: RefusalCode) -> None:
    """Contract 6."""
    bench = Bench()
    bench.lead()
    request, acts = bench.change(change)
    assert code_of(acts.answer(request)) is code
    assert len(configs_in(bench)) == 1


@pytest.mark.parametrize(
    "node, detail",
    [
        (9, "node 9 is not a member"),
        (2, "node 2 is a voter, not a learner; change the voters to take it out"),
    ],
    ids=["a stranger", "a voter"],
)
def test_who_is_no_learner_is_told_what_it_is(node: int, detail: str) -> None:
    bench = Bench()
    bench.lead()
    request, acts = bench.change(RemoveLearner(node_id=NodeId(node)))
    answer = acts.answer(request)
    assert code_of(answer) is RefusalCode.UNKNOWN_MEMBER
    assert answer.detail == detail


@pytest.mark.parametrize(
    "change",
    [RemoveLearner(node_id=NodeId(2)), AddLearner(member=member(2))],
    ids=["a voter is no learner", "a voter is not demoted by adding it"],
)
def test_a_voter_does_not_lose_its_vote_by_a_learners_change(change: Any) -> None:
    """Contract 8: "joint consensus always for voters"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.change(change)
    assert isinstance(acts.answer(request), actions.Refuse | actions.Reply)
    assert bench.status.membership.voters == (1, 2, 3)


def test_a_new_address_changes_nothing_else() -> None:
    """etcd #21694: an update of a member silently promoted a learner."""
    bench = Bench(learners=(4,))
    bench.lead()
    moved = member(4, http_addr="elsewhere:80")
    request, acts = bench.change(UpdateAddress(member=moved))
    acts += everybody(bench)
    assert isinstance(acts.answer(request), actions.Reply)
    now = bench.status.membership
    assert (now.voters, now.learners) == ((1, 2, 3), (4,)) and now.members[NodeId(4)] == moved


def test_a_new_address_is_no_way_to_another_data_directory() -> None:
    """Membership: "The member moved; its instance stays what it is"."""
    bench = Bench()
    bench.lead()
    impostor = member(9)
    impostor = type(impostor)(node_id=NodeId(3), instance=impostor.instance, peer_addr="x:1")
    _request, acts = bench.change(UpdateAddress(member=impostor))
    acts += everybody(bench)
    assert bench.status.membership.members[NodeId(3)].instance == instance_of(3)


def test_a_retired_id_comes_back_only_with_its_old_data_directory() -> None:
    """Contract 7: "`retired` ... whose ids come back only with the same data directory"."""
    bench = Bench(membership=membership_of((1, 2, 3), retired=(4,)))
    bench.lead()
    wiped = type(member(4))(node_id=NodeId(4), instance=instance_of(99), peer_addr="host4:1")
    request, acts = bench.change(AddLearner(member=wiped))
    assert code_of(acts.answer(request)) is RefusalCode.RETIRED_ID
    request, acts = bench.change(AddLearner(member=member(4)))
    acts += everybody(bench)
    assert isinstance(acts.answer(request), actions.Reply)


def test_an_id_in_use_is_not_given_to_another_data_directory() -> None:
    """Trap 27 and 36: ids are never reused."""
    bench = Bench(learners=(4,))
    bench.lead()
    other = type(member(4))(node_id=NodeId(4), instance=instance_of(99), peer_addr="host4:1")
    request, acts = bench.change(AddLearner(member=other))
    assert isinstance(acts.answer(request), actions.Refuse)
    assert bench.status.membership.members[NodeId(4)].instance == instance_of(4)


# -- the leader itself


def test_a_removed_leader_steps_down_after_the_commit() -> None:
    """Thesis 4.2.2: "a leader that is removed from the configuration steps down once the C_new entry is committed"."""
    bench = Bench(voters=(1, 2, 3))
    bench.lead()
    request, _ = bench.change(voters(2, 3))
    acts = everybody(bench)
    assert bench.role() is Role.LEADER, "C_new is appended, not committed"
    assert bench.status.membership.voters == (2, 3)
    index = bench.status.last_log_index
    acts += bench.ack(2)
    assert bench.status.commit_index < index, "node 1 does not count itself any more"
    acts += bench.ack(3)
    acts += bench.pass_us(ELECTION_MAX_US)
    assert bench.status.commit_index == index and bench.role() is not Role.LEADER
    assert isinstance(acts.answer(request), actions.Reply)
    assert bench.pass_us(4 * ELECTION_MAX_US).sent(messages.PreVote) == [], "it is no voter any more"


def test_a_removed_leader_hands_over() -> None:
    """Contract 8: "A leader not in the new voters steps down after the commit, handing over"."""
    bench = Bench()
    bench.lead()
    bench.change(voters(2, 3))
    acts = everybody(bench)
    acts += everybody(bench)
    acts += bench.pass_us(HEARTBEAT_US)
    assert len(acts.receivers(messages.TimeoutNow)) == 1


def test_a_leader_that_becomes_a_non_voter_does_not_count_itself() -> None:
    """Thesis 4.2.2: "it does not include itself in majorities" while it manages a cluster that it is not part of."""
    bench = Bench(voters=(1, 2))
    bench.lead()
    bench.change(voters(2))
    bench.ack(2)
    index = bench.status.last_log_index
    assert bench.status.membership.voters == (2,) and bench.status.commit_index < index
    bench.ack(2)
    assert bench.status.commit_index == index


def test_a_removed_member_is_told_of_its_removal_or_left_alone() -> None:
    """Thesis 4.2.3: disruption by removed servers is prevented by the check for a current leader, not by the removed
    server's insight."""
    bench = Bench()
    bench.lead()
    bench.change(voters(1, 2))
    everybody(bench)
    everybody(bench)
    assert bench.status.membership.voters == (1, 2)
    term = bench.term
    pre = messages.PreVote(term=Term(term + 1), last_log_index=Index(9), last_log_term=Term(term))
    vote = messages.RequestVote(term=Term(term + 1), last_log_index=Index(9), last_log_term=Term(term))
    bench.hear(3, pre, vote)
    assert bench.role() is Role.LEADER and bench.term == term


def test_growth_from_one_to_three_and_back() -> None:
    """Thesis 4.1: any number of changes, one after the other; B6."""
    bench = Bench(voters=(1,))
    bench.pass_us(2 * ELECTION_MAX_US)
    for node in (2, 3):
        bench.change(AddLearner(member=member(node)))
        everybody(bench)
        request, acts = bench.change(voters(*range(1, node + 1)))
        for _ in range(3):
            acts += everybody(bench)
        assert isinstance(acts.answer(request), actions.Reply), node
    assert bench.status.membership.voters == (1, 2, 3)
    for rest in ((1, 2), (1,)):
        request, acts = bench.change(voters(*rest))
        for _ in range(3):
            acts += everybody(bench)
        assert isinstance(acts.answer(request), actions.Reply), rest
    assert bench.status.membership.voters == (1,) and set(bench.status.membership.retired) == {2, 3}


def test_the_same_membership_asked_for_twice_is_the_same_membership() -> None:
    """A retry after a time-out must not do harm."""
    bench = Bench()
    bench.lead()
    request, acts = bench.change(voters(1, 2, 3))
    for _ in range(3):
        acts += everybody(bench)
    assert acts.answer(request) is not None
    assert bench.status.membership.voters == (1, 2, 3) and not bench.status.membership.joint


def test_a_change_that_was_cut_off_with_its_leader_is_not_reported_as_done() -> None:
    """Contract 3: `Reply` = carried out; `Abandon` = unknown."""
    bench = Bench()
    bench.lead()
    request, acts = bench.change(AddLearner(member=member(4)), deadline_us=3_000_000)
    acts += bench.append(3, 2, [entry(3)], term=3, prev_term=2, commit=3)
    assert bench.status.membership.learners == ()
    acts += bench.pass_us(3_000_000)
    assert isinstance(acts.answer(request), actions.Refuse | actions.Abandon)


def test_a_follower_sends_an_operator_to_the_leader() -> None:
    """Contract 6, `NOT_LEADER`, with the leader's id where it is known."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.change(AddLearner(member=member(4)))
    answer = acts.answer(request)
    assert code_of(answer) is RefusalCode.NOT_LEADER and answer.leader == 2
