"""Leader election: thesis 3.3, 3.4, 3.6.1, 4.2.3, 6.2 and 9.6, Raft 5.1, 5.2, 5.4.1."""

from __future__ import annotations

import pytest

from ferrite.core import HardState, Index, LostTail, NodeId, Role, Term, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import CLUSTER, ELECTION_MAX_US, ELECTION_MIN_US, HEARTBEAT_US, membership_of


def request_vote(term: int, last: int, last_term: int, *, disrupt: bool = False) -> messages.RequestVote:
    return messages.RequestVote(
        term=Term(term), last_log_index=Index(last), last_log_term=Term(last_term), disrupt=disrupt
    )


def pre_vote(term: int, last: int, last_term: int) -> messages.PreVote:
    return messages.PreVote(term=Term(term), last_log_index=Index(last), last_log_term=Term(last_term))


# -- standing up


def test_a_server_begins_as_a_follower() -> None:
    """Thesis 3.4: "When servers start up, they begin as followers"."""
    bench = Bench()
    assert bench.step().of(actions.Send) == []
    assert bench.role() is Role.FOLLOWER


def test_a_follower_that_hears_nothing_asks_before_it_campaigns() -> None:
    """Thesis 9.6: "a candidate only increments its term if it first learns from a majority of the cluster that they
    would be willing to grant the candidate their votes"."""
    bench = Bench()
    acts = bench.time_out()
    assert bench.role() is Role.PRE_CANDIDATE
    assert sorted(acts.receivers(messages.PreVote)) == [2, 3]
    assert {m.term for m in acts.sent(messages.PreVote)} == {2}
    assert acts.sent(messages.RequestVote) == [] and acts.of(actions.Persist) == []
    assert bench.term == 1


def test_a_follower_stays_one_as_long_as_it_hears_a_leader() -> None:
    """Thesis 3.4: "A server remains in the follower state as long as it receives valid RPCs from a leader or candidate"."""
    bench = Bench()
    for _ in range(40):
        bench.beat(2)
        assert bench.pass_us(ELECTION_MIN_US // 2).sent(messages.PreVote) == []
    assert bench.role() is Role.FOLLOWER


@pytest.mark.parametrize("seed", range(8))
def test_the_election_timeout_lies_in_the_configured_interval(seed: int) -> None:
    """Thesis 3.4: "election timeouts are chosen randomly from a fixed interval"."""
    bench = Bench(seed=seed)
    bench.beat(2)
    heard_us = bench.now_us
    bench.time_out()
    assert ELECTION_MIN_US <= bench.now_us - heard_us <= ELECTION_MAX_US


def test_election_timeouts_differ_between_servers_and_between_elections() -> None:
    """Thesis 3.4: "This spreads out the servers so that in most cases only a single server will time out"."""
    waits = set()
    for node in (1, 2, 3):
        bench = Bench(node=node, seed=node)
        for leader in [n for n in (1, 2, 3) if n != node] * 2:
            bench.beat(leader, term=bench.term + 1)
            heard_us = bench.now_us
            bench.time_out()
            waits.add(bench.now_us - heard_us)
    assert len(waits) > 6


def test_the_pre_candidate_campaigns_once_a_majority_would_vote_for_it() -> None:
    """Thesis 9.6: the term is incremented and RequestVote sent only after the pre-vote is won."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    bench.time_out()
    assert bench.pre_vote(2).sent(messages.RequestVote) == []
    acts = bench.pre_vote(3)
    assert sorted(acts.receivers(messages.RequestVote)) == [2, 3, 4, 5]
    assert bench.role() is Role.CANDIDATE and bench.term == 2
    assert bench.disk.hard_state == HardState(cluster_id=CLUSTER, term=Term(2), voted_for=NodeId(1))


def test_a_pre_candidate_tries_again_when_nobody_answers() -> None:
    """Thesis 3.4: "each candidate will time out and start a new election"."""
    bench = Bench()
    bench.time_out()
    acts = bench.pass_us(2 * ELECTION_MAX_US)
    assert acts.receivers(messages.PreVote).count(2) >= 1
    assert bench.term == 1, "a node that reaches nobody must not inflate its term"


def test_a_candidate_whose_election_times_out_tries_again() -> None:
    """Thesis 3.4: "each candidate will time out and start a new election by incrementing its term"."""
    bench = Bench()
    bench.stand()
    acts = bench.pass_us(2 * ELECTION_MAX_US)
    assert acts.sent(messages.PreVote) != [] or acts.sent(messages.RequestVote) != []
    asked = {m.term for m in acts.sent(messages.PreVote)} | {m.term for m in acts.sent(messages.RequestVote)}
    assert 3 in asked


def test_the_answer_to_an_older_pre_vote_round_is_dropped() -> None:
    """Contract 4: "`proposed_term` echoes the request: answers to another round are dropped"."""
    bench = Bench()
    bench.time_out()
    old = messages.PreVoteResponse(term=Term(1), proposed_term=Term(1), vote_granted=True)
    assert bench.hear(2, old).sent(messages.RequestVote) == []
    assert bench.role() is Role.PRE_CANDIDATE


def test_refusals_of_a_majority_end_a_candidacy_only_by_time_or_a_leader() -> None:
    """Thesis 3.4: a candidate that does not win waits; it never leads."""
    bench = Bench()
    bench.stand()
    bench.vote(2, granted=False)
    bench.vote(3, granted=False)
    assert bench.role() is not Role.LEADER
    bench.vote(2, granted=False)
    assert bench.role() is not Role.LEADER


def test_a_candidate_follows_the_leader_of_its_own_term() -> None:
    """Thesis 3.4: "If the leader's term (included in its RPC) is at least as large as the candidate's current term,
    then the candidate recognizes the leader as legitimate and returns to follower state"."""
    bench = Bench()
    bench.stand()
    bench.beat(2)
    assert bench.role() is Role.FOLLOWER and bench.status.leader == 2 and bench.term == 2


def test_a_pre_candidate_follows_the_leader_of_its_term() -> None:
    """Thesis 9.6 with 3.4: the term's leader is alive after all."""
    bench = Bench()
    bench.time_out()
    bench.append(2, 1)
    assert bench.role() is Role.FOLLOWER and bench.status.leader == 2
    assert bench.pre_vote(3).sent(messages.RequestVote) == []


def test_a_candidate_ignores_a_leader_of_an_older_term() -> None:
    """Thesis 3.4: "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects the
    RPC and continues in candidate state"."""
    bench = Bench()
    bench.stand()
    acts = bench.append(2, 1, term=1)
    assert bench.role() is Role.CANDIDATE
    assert [(m.term, m.success) for m in acts.sent(messages.AppendEntriesResponse, 2)] == [(2, False)]


def test_a_sole_voter_elects_itself() -> None:
    """Thesis 3.4: "A candidate wins an election if it receives votes from a majority": one of one, its own."""
    bench = Bench(voters=(1,))
    bench.pass_us(2 * ELECTION_MAX_US)
    assert bench.role() is Role.LEADER and bench.status.commit_index == 2


def test_a_sole_voter_leads_only_once_its_vote_is_durable() -> None:
    """Raft figure 2: votedFor is "Updated on stable storage before responding to RPCs": its own vote included."""
    bench = Bench(voters=(1,), auto_persist=False)
    bench.time_out()
    assert bench.role() is not Role.LEADER
    bench.persist()
    assert bench.role() is Role.LEADER


# -- becoming leader


def test_a_new_leader_tells_everybody_at_once_and_appends_an_entry_of_its_term() -> None:
    """Thesis 3.4: "It then sends heartbeat messages to all of the other servers"; 6.4: "a blank no-op entry into the
    log at the start of its term"."""
    bench = Bench(log=[1], learners=(4,))
    acts = bench.win()
    first = {to: acts.sent(messages.AppendEntries, to)[0] for to in (2, 3, 4)}
    assert {(m.term, m.prev_log_index, m.prev_log_term) for m in first.values()} == {(2, 2, 1)}
    assert all(m.entries[-1].payload[0] == 0 and m.entries[-1].term == 2 for m in first.values())


def test_a_leader_repeats_its_heartbeat_at_the_interval() -> None:
    """Thesis 3.4: "Leaders send periodic heartbeats ... to all followers in order to maintain their authority"."""
    bench = Bench()
    bench.lead()
    acts = bench.pass_us(5 * HEARTBEAT_US)
    assert 4 <= acts.receivers(messages.Heartbeat).count(2) <= 6
    assert 4 <= acts.receivers(messages.Heartbeat).count(3) <= 6


def test_a_leader_that_hears_no_majority_for_an_election_timeout_steps_down() -> None:
    """Thesis 6.2: "a leader in Raft steps down if an election timeout elapses without a successful round of heartbeats
    to a majority of its cluster"."""
    bench = Bench()
    bench.lead()
    bench.pass_us(2 * ELECTION_MAX_US)
    assert bench.role() is not Role.LEADER and bench.status.leader == 0


def test_a_leader_that_hears_a_majority_stays() -> None:
    """Thesis 6.2, the other half."""
    bench = Bench()
    bench.lead()
    for _ in range(40):
        acts = bench.pass_us(ELECTION_MIN_US // 4)
        for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
            bench.beat_ack(2, sent.round)
    assert bench.role() is Role.LEADER


def test_learners_do_not_keep_a_leader_in_office() -> None:
    """Thesis 6.2 with 4.2.1: the majority is one of voters."""
    bench = Bench(learners=(4, 5))
    bench.lead()
    for _ in range(20):
        acts = bench.pass_us(ELECTION_MIN_US // 4)
        for learner in (4, 5):
            for sent in acts.sent(messages.Heartbeat, learner)[-1:]:
                if bench.role() is Role.LEADER:
                    bench.beat_ack(learner, sent.round)
    assert bench.role() is not Role.LEADER


# -- granting


def test_a_vote_is_granted_once_it_is_durable() -> None:
    """Raft figure 2: currentTerm and votedFor are "Updated on stable storage before responding to RPCs"."""
    bench = Bench(auto_persist=False)
    bench.pass_us(0)
    acts = bench.hear(2, request_vote(2, 1, 1))
    assert acts.messages_to(2) == []
    acts = bench.persist()
    assert acts.messages_to(2) == [messages.RequestVoteResponse(term=Term(2), vote_granted=True)]


def test_each_server_votes_for_at_most_one_candidate_in_a_term() -> None:
    """Thesis 3.4: "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis"."""
    bench = Bench()
    assert bench.hear(2, request_vote(2, 1, 1)).sent(messages.RequestVoteResponse, 2)[0].vote_granted
    assert not bench.hear(3, request_vote(2, 9, 1)).sent(messages.RequestVoteResponse, 3)[0].vote_granted


def test_two_candidates_in_one_step_get_one_vote() -> None:
    """Thesis 3.4, with both requests in the same batch and the disk slow."""
    bench = Bench(auto_persist=False)
    both = [bench.fact(2, request_vote(2, 1, 1)), bench.fact(3, request_vote(2, 1, 1))]
    acts = bench.step(*both) + bench.persist()
    granted = [m.vote_granted for m in acts.sent(messages.RequestVoteResponse)]
    assert granted.count(True) == 1


def test_a_repeated_request_gets_the_same_vote_again() -> None:
    """Raft figure 2: "If votedFor is null or candidateId"."""
    bench = Bench()
    bench.hear(2, request_vote(2, 1, 1))
    again = bench.hear(2, request_vote(2, 1, 1))
    assert again.sent(messages.RequestVoteResponse, 2)[0].vote_granted


def test_a_vote_is_remembered_across_a_restart() -> None:
    """Raft figure 2: votedFor is persistent state."""
    bench = Bench()
    bench.hear(2, request_vote(2, 1, 1))
    bench.restart()
    assert bench.status.voted_for == 2 and bench.term == 2
    assert not bench.hear(3, request_vote(2, 9, 1)).sent(messages.RequestVoteResponse, 3)[0].vote_granted
    assert bench.hear(2, request_vote(2, 1, 1)).sent(messages.RequestVoteResponse, 2)[0].vote_granted


def test_a_candidate_votes_for_itself_and_for_nobody_else() -> None:
    """Thesis 3.4: "It then votes for itself"."""
    bench = Bench()
    bench.stand()
    answer = bench.hear(3, request_vote(2, 9, 1)).sent(messages.RequestVoteResponse, 3)
    assert [a.vote_granted for a in answer] == [False]


@pytest.mark.parametrize(
    "last, last_term, granted",
    [(3, 2, True), (4, 2, True), (2, 2, False), (9, 1, False), (1, 3, True), (3, 3, True)],
)
def test_votes_go_to_logs_that_are_at_least_as_up_to_date(last: int, last_term: int, granted: bool) -> None:
    """Thesis 3.6.1: "If the logs have last entries with different terms, then the log with the later term is more up-
    to-date. If the logs end with the same term, then whichever log is longer is more up-to-date"."""
    bench = Bench(log=[1, 2])
    vote = bench.hear(2, request_vote(5, last, last_term)).sent(messages.RequestVoteResponse, 2)
    assert [m.vote_granted for m in vote] == [granted]
    assert bench.term == 5
    pre = Bench(log=[1, 2]).hear(2, pre_vote(5, last, last_term)).sent(messages.PreVoteResponse, 2)
    assert [(m.vote_granted, m.proposed_term) for m in pre] == [(granted, 5)]


def test_what_is_not_durable_yet_counts_as_own_log_in_the_comparison() -> None:
    """Thesis 3.6.1: the voter denies its vote if its own log is more up-to-date; entries being written may be
    acknowledged at any moment."""
    bench = Bench(auto_persist=False)
    bench.append(3, 1, [1, 1])
    bench.now_us += ELECTION_MIN_US  # the leader is not heard any more, but the vote is asked first
    acts = bench.hear(2, request_vote(2, 1, 1)) + bench.persist()
    assert not any(m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 2))


def test_a_pre_vote_promises_and_persists_nothing() -> None:
    """Thesis 9.6: the pre-vote changes no term and no vote."""
    bench = Bench()
    acts = bench.hear(2, pre_vote(7, 1, 1)) + bench.hear(3, pre_vote(7, 1, 1))
    assert [m.vote_granted for m in acts.sent(messages.PreVoteResponse)] == [True, True]
    assert bench.term == 1 and acts.of(actions.Persist) == [] and bench.status.voted_for == 0


def test_a_pre_vote_for_a_term_that_is_not_new_is_refused() -> None:
    """Thesis 9.6: it asks whether a vote would be granted in that term; in an older one it would not."""
    bench = Bench(log=[5])
    answer = bench.hear(2, pre_vote(4, 9, 5)).sent(messages.PreVoteResponse, 2)
    assert [(m.vote_granted, m.term) for m in answer] == [(False, 5)]


@pytest.mark.parametrize("question", [request_vote(2, 9, 1), pre_vote(2, 9, 1)])
def test_whoever_hears_a_leader_grants_nothing_and_keeps_its_term(
    question: messages.RequestVote | messages.PreVote,
) -> None:
    """Thesis 4.2.3: "If a server receives a RequestVote request within the minimum election timeout of hearing from a
    current leader, it does not update its term or grant its vote"."""
    bench = Bench()
    bench.beat(2)
    bench.pass_us(ELECTION_MIN_US - 1)
    acts = bench.hear(3, question)
    assert bench.term == 1
    assert not any(m.vote_granted for m in acts.sent(messages.RequestVoteResponse))
    assert not any(m.vote_granted for m in acts.sent(messages.PreVoteResponse))
    acts = acts + bench.pass_us(0)
    assert bench.status.leader == 2


def test_a_minimum_election_timeout_after_the_leader_was_heard_votes_are_granted() -> None:
    """Thesis 4.2.3: only "within the minimum election timeout"."""
    bench = Bench()
    bench.beat(2)
    bench.now_us += ELECTION_MIN_US
    acts = bench.hear(3, request_vote(2, 9, 1))
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 3)] == [True]


def test_a_working_leader_is_not_deposed_by_a_vote_request() -> None:
    """Thesis 4.2.3: as long as the leader can get heartbeats to its cluster, it is not deposed by larger term numbers."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, request_vote(9, 9, 9))
    assert bench.role() is Role.LEADER and bench.term == 2
    assert not any(m.vote_granted for m in acts.sent(messages.RequestVoteResponse))


def test_a_transfer_overrides_stickiness() -> None:
    """Thesis 4.2.3: "It can then include a special flag in its RequestVote requests to bypass this mechanism"."""
    bench = Bench()
    bench.beat(2)
    acts = bench.hear(3, request_vote(2, 9, 1, disrupt=True))
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 3)] == [True]


def test_a_node_with_a_lost_tail_neither_votes_nor_campaigns() -> None:
    """Contract 8: "A node with a lost tail (section 9) neither votes nor campaigns"."""
    bench = Bench(lost_tail=LostTail(last_index=Index(5), term=Term(1)))
    acts = bench.hear(2, request_vote(2, 9, 2)) + bench.hear(2, pre_vote(3, 9, 2))
    acts += bench.pass_us(4 * ELECTION_MAX_US)
    assert not any(m.vote_granted for m in acts.sent(messages.RequestVoteResponse))
    assert not any(m.vote_granted for m in acts.sent(messages.PreVoteResponse))
    assert acts.sent(messages.PreVote) == [] and acts.sent(messages.RequestVote) == []
    assert bench.status.lost_tail


def test_a_lost_tail_is_healed_by_a_leader_of_a_later_term_past_the_mark() -> None:
    """Contract 9: "refuses to vote and to campaign until a leader of a later term has brought it past the mark"."""
    bench = Bench(lost_tail=LostTail(last_index=Index(3), term=Term(1)))
    bench.append(2, 1, [1, 1, 1], term=1)
    assert bench.status.lost_tail, "the leader of the same term may rely on what was lost"
    bench.append(2, 4, [2], term=2, commit=5)
    assert not bench.status.lost_tail
    assert bench.time_out().sent(messages.PreVote) != []


def test_a_sole_voter_with_a_lost_tail_stops() -> None:
    """Contract 9: "alone it stops with code 12"."""
    bench = Bench(voters=(1,), lost_tail=LostTail(last_index=Index(3), term=Term(1)))
    bench.pass_us(2 * ELECTION_MAX_US)
    assert bench.stopped is not None and bench.stopped.code == 12


# -- terms


@pytest.mark.parametrize("role", ["follower", "candidate", "leader"])
def test_a_higher_term_makes_everybody_a_follower_of_it(role: str) -> None:
    """Thesis 3.3: "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state"."""
    bench = Bench()
    if role == "candidate":
        bench.stand()
    if role == "leader":
        bench.lead()
    bench.hear(3, messages.AppendEntriesResponse(term=Term(9), success=False))
    assert bench.role() is Role.FOLLOWER and bench.term == 9 and bench.status.voted_for == 0
    assert bench.disk.hard_state.term == 9


def test_a_request_with_a_stale_term_is_rejected_with_the_own_term() -> None:
    """Thesis 3.3: "If a server receives a request with a stale term number, it rejects the request"; contract 4:
    "answered with the own term where the sender needs it"."""
    bench = Bench(log=[5])
    vote = bench.hear(2, request_vote(4, 9, 4)).sent(messages.RequestVoteResponse, 2)
    assert [(m.term, m.vote_granted) for m in vote] == [(5, False)]
    append = bench.append(2, 1, [4], term=4).sent(messages.AppendEntriesResponse, 2)
    assert [(m.term, m.success) for m in append] == [(5, False)]
    assert bench.beat(2, term=4, round_=3).messages_to(2)[0].term == 5
    assert bench.status.leader == 0


def test_a_deposed_leaders_heartbeat_is_no_reason_to_wait() -> None:
    """Thesis 3.4: only RPCs "from the current leader" reset the election timer."""
    bench = Bench(log=[5])
    end = bench.now_us + 2 * ELECTION_MAX_US
    while bench.now_us < end and bench.role() is Role.FOLLOWER:
        bench.beat(2, term=4)
        bench.pass_us(HEARTBEAT_US)
    assert bench.role() is not Role.FOLLOWER


def test_a_second_leader_of_the_same_term_is_not_obeyed() -> None:
    """Thesis 3.2, Election Safety: "at most one leader can be elected in a given term"; contract 1: nothing that
    another node did raises."""
    bench = Bench()
    bench.lead()
    acts = bench.beat(3, round_=1) + bench.append(3, 1, [2, 2])
    assert bench.role() is Role.LEADER and bench.status.leader == 1
    assert not any(m.success for m in acts.sent(messages.AppendEntriesResponse))
    assert acts.sent(messages.HeartbeatResponse) == [] and acts.of(actions.Persist) == []


# -- who may


def test_only_a_voter_campaigns() -> None:
    """Thesis 4.2.1: a learner is not yet counted for voting purposes; contract 8: "Only a voter campaigns"."""
    bench = Bench(node=4, learners=(4,))
    acts = bench.pass_us(5 * ELECTION_MAX_US)
    assert acts.sent(messages.PreVote) == [] and acts.sent(messages.RequestVote) == []


def test_a_preferred_voter_stands_up_earlier() -> None:
    """Architecture 5, "priority": a voter waits longer for each one that is preferred to it."""
    for seed in range(4):
        low = Bench(node=1, seed=seed, priorities={NodeId(1): 10, NodeId(2): 90, NodeId(3): 50})
        high = Bench(node=2, seed=seed, priorities={NodeId(1): 10, NodeId(2): 90, NodeId(3): 50})
        low.beat(3)
        high.beat(3)
        low.time_out()
        high.time_out()
        assert high.now_us < low.now_us


def test_priority_does_not_change_who_may_be_elected() -> None:
    """Thesis 3.6.1 alone decides about votes; a preference must not cost availability."""
    bench = Bench(node=1, priorities={NodeId(1): 0, NodeId(2): 100, NodeId(3): 100})
    acts = bench.hear(3, request_vote(2, 9, 1))
    assert [m.vote_granted for m in acts.sent(messages.RequestVoteResponse, 3)] == [True]
    bench = Bench(node=1, priorities={NodeId(1): 0, NodeId(2): 100, NodeId(3): 100})
    bench.lead()
    assert bench.role() is Role.LEADER


def test_a_candidate_in_a_joint_configuration_needs_both_majorities() -> None:
    """Thesis 4.3: "Agreement (for elections and entry commitment) requires majorities from both the old and new
    configurations"."""
    joint = membership_of((1, 4, 5), outgoing=(1, 2, 3))
    bench = Bench(membership=joint)
    bench.time_out()
    bench.pre_vote(4)
    assert bench.role() is Role.PRE_CANDIDATE
    bench.pre_vote(2)
    assert bench.role() is Role.CANDIDATE
    bench.vote(2)
    bench.vote(3)
    assert bench.role() is Role.CANDIDATE
    bench.vote(5)
    assert bench.role() is Role.LEADER
