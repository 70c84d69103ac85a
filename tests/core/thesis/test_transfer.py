"""Leadership transfer: thesis 3.10, contract 3 (`Reply` to a transfer) and 8."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite.core import Index, NodeId, RefusalCode, RequestId, Role, Term, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, HEARTBEAT_US, Acts, commands_in, entry


def code_of(answer: Any) -> RefusalCode:
    assert isinstance(answer, actions.Refuse), answer
    return answer.code


def test_the_target_is_told_to_campaign_at_once_when_it_has_everything() -> None:
    """Thesis 3.10: "The prior leader sends a TimeoutNow request to the target server"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.transfer(3)
    assert acts.receivers(messages.TimeoutNow) == [3]
    assert acts.answer(request) is None


def test_a_target_that_is_behind_is_brought_up_to_date_first() -> None:
    """Thesis 3.10: "The prior leader fully updates the target server's log to match its own log"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    _request, acts = bench.transfer(3)
    acts += bench.pass_us(HEARTBEAT_US)
    assert acts.receivers(messages.TimeoutNow) == []
    assert bench.ack(3).receivers(messages.TimeoutNow) == [3]


def test_the_target_is_told_once() -> None:
    """A second TimeoutNow could depose the new leader."""
    bench = Bench()
    bench.lead()
    _, acts = bench.transfer(3)
    for _ in range(5):
        acts += bench.ack(3) + bench.pass_us(HEARTBEAT_US // 2)
    assert acts.receivers(messages.TimeoutNow) == [3]


def test_no_new_entry_is_appended_while_leadership_is_being_handed_over() -> None:
    """Thesis 3.10: "The prior leader stops accepting new client requests"; contract 8: held."""
    bench = Bench()
    bench.lead()
    bench.transfer(3)
    request, acts = bench.propose()
    forwarded = messages.Forward(term=Term(2), proposals=((RequestId(7), b"\x01"),))
    acts += bench.hear(2, forwarded)
    assert acts.answer(request) is None
    assert not any(order.entries for order in acts.of(actions.Persist))


def heard_by_node_2(bench: Bench, beats: int) -> Acts:
    """Let time pass; node 2 answers, node 3 is silent."""
    acts = Acts([])
    for _ in range(beats):
        acts += bench.pass_us(HEARTBEAT_US)
        for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
            acts += bench.beat_ack(2, sent.round)
    return acts


def test_the_transfer_is_given_up_after_an_election_timeout() -> None:
    """Thesis 3.10: "If leadership transfer does not complete after about an election timeout, the prior leader aborts
    the transfer and resumes accepting client requests"."""
    bench = Bench()
    bench.lead()
    transfer, _ = bench.transfer(3, deadline_us=10 * ELECTION_MAX_US)
    write, _ = bench.propose(deadline_us=10 * ELECTION_MAX_US)
    acts = heard_by_node_2(bench, 25)
    assert isinstance(acts.answer(transfer), actions.Abandon), "the target was told to: it still may"
    assert bench.role() is Role.LEADER and bench.status.transfer_target == 0
    appended = [item for order in acts.of(actions.Persist) for item in order.entries]
    assert commands_in(appended) == [write], "what was held is appended after the failure"
    acts = bench.ack(2)
    assert isinstance(acts.answer(write), actions.Reply)


def test_a_transfer_to_a_target_that_never_catches_up_has_certainly_failed() -> None:
    """Contract 6, `TRANSFER_FAILED`: the target was never told, so it will not take over."""
    bench = Bench()
    bench.lead()
    _write, _ = bench.propose()
    bench.ack(2)
    transfer, _ = bench.transfer(3, deadline_us=10 * ELECTION_MAX_US)
    acts = heard_by_node_2(bench, 25)
    assert code_of(acts.answer(transfer)) is RefusalCode.TRANSFER_FAILED
    assert acts.receivers(messages.TimeoutNow) == [] and bench.role() is Role.LEADER


def test_a_transfer_is_done_when_the_new_leader_is_known() -> None:
    """Contract 3, Reply: the result of a transfer is "the leader's id"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.transfer(3)
    vote = messages.RequestVote(term=Term(3), last_log_index=Index(2), last_log_term=Term(2), disrupt=True)
    acts += bench.hear(3, vote)
    acts += bench.beat(3, term=3)
    assert acts.answer(request) == actions.Reply(request=request, result=3)


def test_a_held_write_goes_to_the_new_leader() -> None:
    """Contract 8, "Requests outlive leaders"."""
    bench = Bench()
    bench.lead()
    bench.transfer(3)
    write, acts = bench.propose()
    acts += bench.beat(3, term=3)
    acts += bench.append(3, 2, [entry(3)], term=3, commit=3)
    acts += bench.pass_us(HEARTBEAT_US)
    forwards = [pair for m in acts.sent(messages.Forward, 3) for pair in m.proposals]
    assert [number for number, _ in forwards] == [write]


def test_without_a_named_target_the_best_voter_is_taken() -> None:
    """Contract 2, TransferRequested: "0 = the best voter"."""
    bench = Bench(learners=(4,))
    bench.lead()
    bench.propose()
    bench.ack(3)
    bench.ack(4)
    _, acts = bench.transfer(0)
    assert acts.receivers(messages.TimeoutNow) == [3]


@pytest.mark.parametrize("target", [4, 9])
def test_only_a_voter_can_be_a_target(target: int) -> None:
    """Thesis 4.2.1: a learner cannot lead."""
    bench = Bench(learners=(4,))
    bench.lead()
    request, acts = bench.transfer(target)
    assert code_of(acts.answer(request)) in {
        RefusalCode.UNKNOWN_MEMBER,
        RefusalCode.TRANSFER_FAILED,
        RefusalCode.INVALID_CHANGE,
    }
    assert acts.receivers(messages.TimeoutNow) == []


def test_to_the_leader_itself_is_already_done() -> None:
    bench = Bench()
    bench.lead()
    request, acts = bench.transfer(1)
    assert acts.answer(request) == actions.Reply(request=request, result=1)


def test_a_follower_refuses_a_transfer() -> None:
    """Contract 6, `NOT_LEADER`."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.transfer(3)
    answer = acts.answer(request)
    assert code_of(answer) is RefusalCode.NOT_LEADER and answer.leader == 2


def test_a_second_transfer_meanwhile_is_refused() -> None:
    bench = Bench()
    bench.lead()
    bench.transfer(3)
    request, acts = bench.transfer(2)
    assert isinstance(acts.answer(request), actions.Refuse)


def test_timeout_now_starts_an_election_without_a_pre_vote_and_past_stickiness() -> None:
    """Thesis 3.10: the target "starts a new election"; 4.2.3: with the flag that bypasses the leader check."""
    bench = Bench()
    bench.beat(2)
    acts = bench.hear(2, messages.TimeoutNow(term=Term(1)))
    assert acts.sent(messages.PreVote) == []
    assert {(m.term, m.disrupt) for m in acts.sent(messages.RequestVote)} == {(2, True)}
    assert bench.role() is Role.CANDIDATE


def test_an_ordinary_campaign_does_not_disrupt() -> None:
    """Thesis 4.2.3: only a transfer carries the flag."""
    acts = Bench().stand()
    assert {m.disrupt for m in acts.sent(messages.RequestVote)} == {False}


def test_the_target_campaigns_only_when_all_that_it_acknowledged_is_durable() -> None:
    """openraft #1805: the target must have the leader's last entry durable before it campaigns: its RequestVote says
    what it has."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1, 1])
    acts = bench.hear(2, messages.TimeoutNow(term=Term(1)))
    acts += bench.persist()
    for asked in acts.sent(messages.RequestVote):
        assert asked.last_log_index <= bench.durable_index


def test_a_late_timeout_now_of_an_older_term_is_dropped() -> None:
    """Thesis 3.3: requests with a stale term are rejected."""
    bench = Bench(log=[5])
    bench.beat(3)
    bench.hear(2, messages.TimeoutNow(term=Term(4)))
    assert bench.role() is Role.FOLLOWER and bench.term == 5


def test_timeout_now_is_taken_from_the_leader_alone() -> None:
    """Thesis 3.10: the *prior leader* sends it."""
    bench = Bench()
    bench.beat(2)
    bench.hear(3, messages.TimeoutNow(term=Term(1)))
    assert bench.role() is Role.FOLLOWER


def test_a_learner_does_not_campaign_when_told_to() -> None:
    """Contract 8: "Only a voter campaigns"."""
    bench = Bench(node=4, learners=(4,))
    bench.beat(2)
    acts = bench.hear(2, messages.TimeoutNow(term=Term(1)))
    assert bench.role() is Role.FOLLOWER and acts.sent(messages.RequestVote) == []


def test_a_leader_that_lost_office_during_a_transfer_answers_the_request() -> None:
    """Contract 2: "Every request gets exactly one of `Reply`, `ServeRead`, `Refuse` or `Abandon`"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.transfer(3, deadline_us=3_000_000)
    acts += bench.beat(2, term=3) + bench.pass_us(3_000_000)
    assert acts.answer(request) is not None


def test_reads_go_on_or_wait_but_are_never_wrong_during_a_transfer() -> None:
    """openraft #1747: during a transfer the old leader must not confirm itself from before TimeoutNow."""
    bench = Bench()
    bench.lead()
    old = max(m.round for m in bench.pass_us(HEARTBEAT_US).sent(messages.Heartbeat, 2))
    bench.transfer(3)
    request, _ = bench.read()
    assert bench.beat_ack(2, old).answer(request) is None
    assert bench.beat_ack(3, old).answer(request) is None


def test_a_transfer_that_nobody_could_finish_is_answered_at_its_deadline() -> None:
    """Contract 2: every request gets an answer, also when the leader loses its majority meanwhile."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    request, acts = bench.transfer(3, deadline_us=3_000_000)
    assert bench.status.transfer_target == NodeId(3)
    acts += bench.pass_us(3_000_000)
    assert isinstance(acts.answer(request), actions.Refuse | actions.Abandon)
