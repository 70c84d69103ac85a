"""Traps 1 to 14: election and term. Each has bitten a real implementation; the source stands in the docstring."""

from __future__ import annotations

import pytest

from ferrite.core import Index, LostTail, NodeId, Role, Term, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, ELECTION_MIN_US, HEARTBEAT_US, Acts, entry, member

VOTE = messages.RequestVote(term=Term(2), last_log_index=Index(9), last_log_term=Term(1))


def test_trap_01_term_and_vote_are_durable_before_any_message_that_reflects_them() -> None:
    """PySyncObj #84, fix PR #202: committed data overwritten after a full-cluster restart; Raft figure 2."""
    bench = Bench(auto_persist=False)
    acts = bench.hear(3, VOTE)
    assert acts.of(actions.Send) == []
    bench.restart()
    assert bench.hear(2, VOTE).of(actions.Send) == [], "and the other candidate's vote waits too"
    acts = bench.persist()
    assert acts.sent(messages.RequestVoteResponse, 2)[0].vote_granted
    bench.restart()
    bench.auto_persist = True
    assert not bench.hear(3, VOTE).sent(messages.RequestVoteResponse, 3)[0].vote_granted


def test_trap_02_the_own_vote_counts_only_once_it_is_durable() -> None:
    """etcd-io/raft raft.go l.1057, TestCandidateSelfVoteAfterLostElection."""
    bench = Bench(auto_persist=False)
    bench.time_out()
    acts = bench.pre_vote(2)
    assert acts.sent(messages.RequestVote) == []
    acts = bench.vote(2)
    assert bench.role() is Role.CANDIDATE, "one foreign vote, and the own one is only in memory"
    acts += bench.persist()
    assert bench.role() is Role.LEADER or acts.sent(messages.RequestVote) != []


def test_trap_02_a_self_vote_that_becomes_durable_after_the_election_was_lost_is_void() -> None:
    """etcd-io/raft TestCandidateSelfVoteAfterLostElection."""
    bench = Bench(auto_persist=False)
    bench.time_out()
    bench.pre_vote(2)
    bench.vote(2)
    bench.beat(3, term=2)
    acts = bench.persist()
    assert bench.role() is Role.FOLLOWER and bench.status.leader == 3
    assert acts.sent(messages.RequestVote) == []


def test_trap_03_distinct_voters_are_counted_not_replies() -> None:
    """PySyncObj syncobj.py `__votesCount += 1`: a duplicated response elects a minority's leader."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    bench.time_out()
    for _ in range(5):
        bench.pre_vote(2)
    assert bench.role() is Role.PRE_CANDIDATE
    bench.pre_vote(3)
    for _ in range(5):
        bench.vote(2)
    assert bench.role() is Role.CANDIDATE
    bench.vote(3)
    assert bench.role() is Role.LEADER


def test_trap_03_votes_of_strangers_and_learners_do_not_count() -> None:
    """Thesis 4.2.1: a learner answers, and is not counted; a stranger neither."""
    bench = Bench(voters=(1, 2, 3), learners=(4, 5))
    bench.time_out()
    for peer in (4, 5, 9):
        bench.pre_vote(peer)
    assert bench.role() is Role.PRE_CANDIDATE
    bench.pre_vote(2)
    for peer in (4, 5, 9):
        bench.vote(peer)
    assert bench.role() is Role.CANDIDATE


def test_trap_04_a_returning_node_disturbs_nobody_who_hears_a_leader() -> None:
    """testdata/prevote_checkquorum.txt: PreVote alone does not stop disruption."""
    bench = Bench()
    bench.lead()
    question = messages.PreVote(term=Term(3), last_log_index=Index(99), last_log_term=Term(2))
    acts = bench.hear(3, question)
    assert not any(m.vote_granted for m in acts.sent(messages.PreVoteResponse))
    follower = Bench()
    follower.beat(2)
    acts = follower.hear(3, question)
    assert not any(m.vote_granted for m in acts.sent(messages.PreVoteResponse))
    assert follower.status.leader == 2


def test_trap_05_a_pre_candidate_does_not_hold_on_to_the_leader_it_lost() -> None:
    """etcd PR #8334, issue #9586; raft-rs PR #84: two pre-candidates that still believe in their leader wait for each
    other for ever."""
    bench = Bench()
    bench.beat(2)
    bench.time_out()
    assert bench.role() is Role.PRE_CANDIDATE and bench.status.leader == 0
    question = messages.PreVote(term=Term(2), last_log_index=Index(1), last_log_term=Term(1))
    acts = bench.hear(3, question)
    assert [m.vote_granted for m in acts.sent(messages.PreVoteResponse, 3)] == [True]


def test_trap_05_two_pre_candidates_elect_one_of_them() -> None:
    """The same as a story: both time out together, each asks the other."""
    first, second = Bench(node=1, seed=1), Bench(node=3, seed=3)
    first.beat(2)
    second.beat(2)
    acts = {1: first.time_out(), 3: second.time_out()}
    first.now_us = second.now_us = max(first.now_us, second.now_us)
    for _ in range(2_000):
        answers = {1: Acts([]), 3: Acts([])}
        for message in acts[1].messages_to(3):
            answers[3] += second.hear(1, message)
        for message in acts[3].messages_to(1):
            answers[1] += first.hear(3, message)
        if Role.LEADER in {first.role(), second.role()}:
            return
        acts = answers
        if not acts[1].messages_to(3) and not acts[3].messages_to(1):
            acts = {1: first.pass_us(10_000), 3: second.pass_us(10_000)}
    raise AssertionError("nobody was elected")


def test_trap_06_a_candidate_that_skips_the_pre_vote_is_answered_all_the_same() -> None:
    """etcd #8501: mixed PreVote on/off during a rolling upgrade wedged a group. Here it is always on; another's
    RequestVote still works."""
    bench = Bench()
    bench.time_out()
    acts = bench.hear(3, VOTE)
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 3)] == [True]
    assert bench.role() is Role.FOLLOWER


def test_trap_06_a_node_with_a_smaller_term_is_not_stuck() -> None:
    """etcd #8243: the leader's message of a lower term is answered, so that it learns of the higher one."""
    bench = Bench(log=[1], term=7)
    assert bench.append(2, 2, [], term=3).sent(messages.AppendEntriesResponse, 2)[0].term == 7
    assert bench.beat(2, term=3, round_=1).messages_to(2)[0].term == 7
    leader = Bench()
    leader.lead()
    leader.hear(3, messages.HeartbeatResponse(term=Term(7), round=1, last_log_index=Index(2)))
    assert leader.term == 7 and leader.role() is Role.FOLLOWER


def test_trap_07_a_refused_pre_vote_with_a_higher_term_is_adopted() -> None:
    """openraft #1796 (d6a6d562): else nodes of a low term retry for ever."""
    bench = Bench()
    bench.time_out()
    refusal = messages.PreVoteResponse(term=Term(8), proposed_term=Term(2), vote_granted=False)
    bench.hear(2, refusal)
    assert bench.term == 8 and bench.role() is Role.FOLLOWER
    acts = bench.time_out()
    assert {m.term for m in acts.sent(messages.PreVote)} == {9}


def test_trap_07_a_granted_pre_vote_changes_no_term() -> None:
    """Contract 4: "but for `PreVote`, a granted `PreVoteResponse`"."""
    bench = Bench()
    bench.time_out()
    bench.hear(2, messages.PreVoteResponse(term=Term(1), proposed_term=Term(7), vote_granted=True))
    assert bench.term == 1


def test_trap_08_a_stale_pre_vote_reply_after_winning_starts_no_second_campaign() -> None:
    """openraft PR #1839 (511f33c7)."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    bench.stand()
    term = bench.term
    late = messages.PreVoteResponse(term=Term(term - 1), proposed_term=Term(term), vote_granted=True)
    acts = bench.hear(4, late) + bench.hear(5, late)
    assert bench.term == term and acts.sent(messages.RequestVote) == []
    for peer in (2, 3):
        bench.vote(peer)
    acts = bench.hear(4, late) + bench.hear(5, late) + bench.vote(4) + bench.vote(5)
    assert bench.role() is Role.LEADER and bench.term == term
    assert acts.sent(messages.RequestVote) == [] and acts.of(actions.Persist) == []


def test_trap_09_a_node_that_sees_only_some_others_does_not_inflate_the_term() -> None:
    """Cloudflare, 2020-11-02: a partial partition and rising terms kept a healthy cluster without a leader for hours."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    for _ in range(6):
        bench.time_out()
        bench.pre_vote(5)
        for peer in (2, 3):
            bench.hear(
                peer, messages.PreVoteResponse(term=Term(1), proposed_term=Term(2), vote_granted=False)
            )
        bench.pass_us(ELECTION_MAX_US)
    assert bench.term == 1


def test_trap_09_a_leader_that_reaches_only_a_minority_makes_room() -> None:
    """The other half: CheckQuorum; without it the followers that still hear the leader never vote."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    bench.lead()
    for _ in range(15):
        acts = bench.pass_us(2 * HEARTBEAT_US)
        if bench.role() is not Role.LEADER:
            break
        for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
            bench.beat_ack(2, sent.round)
    assert bench.role() is not Role.LEADER


def test_trap_10_a_removed_server_that_campaigns_does_not_depose_the_leader() -> None:
    """Thesis 4.2.3; hashicorp TestRaft_RemovePartitionedNode."""
    bench = Bench(voters=(1, 2, 3))
    bench.lead()
    term = bench.term
    for number in range(5):
        bench.hear(
            9,
            messages.RequestVote(
                term=Term(term + number), last_log_index=Index(99), last_log_term=Term(term)
            ),
            source_instance=member(9).instance,
        )
    assert bench.role() is Role.LEADER and bench.term == term


@pytest.mark.parametrize("disrupt", [False, True])
def test_trap_11_a_learner_that_is_asked_votes(disrupt: bool) -> None:
    """etcd PR #10998, campaign_learner_must_vote.txt: it may be a voter already and not know."""
    bench = Bench(node=4, learners=(4,))
    question = messages.RequestVote(
        term=Term(2), last_log_index=Index(9), last_log_term=Term(1), disrupt=disrupt
    )
    acts = bench.hear(2, question)
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 2)] == [True]
    bench = Bench(node=4, learners=(4,))
    asked = messages.PreVote(term=Term(2), last_log_index=Index(9), last_log_term=Term(1))
    assert bench.hear(2, asked).sent(messages.PreVoteResponse, 2)[0].vote_granted


def test_trap_12_a_transferred_candidate_skips_pre_vote_and_the_leader_check() -> None:
    """canonical/raft #203; etcd-io/raft l.1068/1102; braft #262."""
    target = Bench(node=3)
    target.beat(1)
    acts = target.hear(1, messages.TimeoutNow(term=Term(1)))
    voter = Bench(node=2)
    voter.beat(1)
    answers = Acts([])
    for message in acts.messages_to(2):
        answers += voter.hear(3, message)
    assert [m.vote_granted for m in answers.sent(messages.RequestVoteResponse, 3)] == [True]


def test_trap_12_the_old_leader_yields_to_the_transferred_candidate() -> None:
    """The same at the leader, which hears itself."""
    bench = Bench()
    bench.lead()
    bench.transfer(3)
    asked = messages.RequestVote(term=Term(3), last_log_index=Index(2), last_log_term=Term(2), disrupt=True)
    acts = bench.hear(3, asked)
    assert bench.role() is Role.FOLLOWER
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 3)] == [True]


def test_trap_12_a_retry_after_a_failed_transferred_campaign_is_an_ordinary_one() -> None:
    """The flag belongs to one campaign: a later one must not be able to disrupt."""
    bench = Bench()
    bench.beat(2)
    bench.hear(2, messages.TimeoutNow(term=Term(1)))
    acts = bench.pass_us(3 * ELECTION_MAX_US)
    assert not any(m.disrupt for m in acts.sent(messages.RequestVote) if m.term > 2)


def test_trap_13_the_transfer_target_has_the_last_entry_durable() -> None:
    """openraft #1805 (d000ee20): TimeoutNow goes out on an acknowledgement, and that means durable."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    assert bench.transfer(3)[1].sent(messages.TimeoutNow) == []
    assert bench.ack(3, 2).sent(messages.TimeoutNow) == []
    assert len(bench.ack(3, 3).sent(messages.TimeoutNow)) == 1


def test_trap_14_every_attempt_draws_its_timeout_anew() -> None:
    """openraft 5e15946d: timers that drift together collide for ever. There are no ticks here, and each attempt is drawn."""
    waits = []
    bench = Bench()
    bench.time_out()
    last = bench.now_us
    for _ in range(12):
        while True:
            bench.now_us = max(bench.now_us, bench.replica.deadline_us)
            if bench.step().sent(messages.PreVote):
                break
        waits.append(bench.now_us - last)
        last = bench.now_us
    assert len(set(waits)) > 8
    assert all(ELECTION_MIN_US // 2 <= wait <= 2 * ELECTION_MAX_US for wait in waits)


def test_trap_14_the_same_dice_on_two_nodes_do_not_run_in_step_for_ever() -> None:
    """C8, "election timeout randomisation forced equal": a host that gives every node one seed must not get a cluster
    that never elects."""
    first, second = Bench(node=1, seed=3), Bench(node=2, seed=3)
    first.time_out()
    second.time_out()
    later = []
    for bench in (first, second):
        bench.pass_us(6 * ELECTION_MAX_US)
        later.append(bench.replica.deadline_us)
    assert later[0] != later[1]


def test_trap_27_a_wiped_or_torn_log_gives_no_vote() -> None:
    """openraft FAQ 07/04; etcd #3504; braft #292: here as a lost tail behind the durable mark."""
    bench = Bench(lost_tail=LostTail(last_index=Index(9), term=Term(1)))
    acts = bench.hear(2, VOTE)
    assert not any(m.vote_granted for m in acts.sent(messages.RequestVoteResponse))
    assert bench.role() is Role.FOLLOWER and bench.status.node_id == NodeId(1) and entry(1).term == 1
