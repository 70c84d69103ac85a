"""Reads without the log: thesis 6.4, Raft section 8; rules of contract 8, "Reads"."""

from __future__ import annotations

import pytest

from ferrite.core import (
    Consistency,
    Index,
    NodeId,
    RefusalCode,
    RequestId,
    Role,
    Term,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, ELECTION_MIN_US, HEARTBEAT_US, Acts, entry


def confirm(bench: Bench, acts: Acts, peer: int) -> Acts:
    """The peer answers the newest round among these heartbeats."""
    newest = max(m.round for m in acts.sent(messages.Heartbeat, peer))
    return bench.beat_ack(peer, newest)


def asked(acts: Acts, leader: int) -> list[messages.ReadIndex]:
    return acts.sent(messages.ReadIndex, leader)


def index_answer(
    question: messages.ReadIndex, index: int, *, ready: bool = True
) -> messages.ReadIndexResponse:
    return messages.ReadIndexResponse(
        term=question.term, context=question.context, read_index=Index(index), ready=ready
    )


# -- at the leader


def test_a_read_is_served_after_a_round_of_heartbeats_that_began_after_it() -> None:
    """Thesis 6.4: "The leader needs to make sure it has not been superseded ... It issues a new round of heartbeats
    and waits for their acknowledgments from a majority of the cluster"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.read()
    assert acts.answer(request) is None
    acts = confirm(bench, acts, 2)
    assert acts.of(actions.ServeRead) == [actions.ServeRead(requests=(request,), read_index=Index(2))]


def test_a_round_that_began_before_the_read_does_not_confirm_it() -> None:
    """etcd #20418: an acknowledgement of an earlier round says nothing about this read."""
    bench = Bench()
    bench.lead()
    before = bench.pass_us(HEARTBEAT_US)
    old = max(m.round for m in before.sent(messages.Heartbeat, 2))
    request, acts = bench.read()
    assert bench.beat_ack(2, old).answer(request) is None
    assert bench.beat_ack(3, old).answer(request) is None
    assert confirm(bench, acts, 2).answer(request) is not None


def test_a_read_that_arrives_while_a_round_is_out_waits_for_a_later_one() -> None:
    """Thesis 6.4: the acknowledgements must be of heartbeats sent after the read arrived."""
    bench = Bench()
    bench.lead()
    first, acts = bench.read()
    round_one = max(m.round for m in acts.sent(messages.Heartbeat, 2))
    second, later = bench.read()
    done = bench.beat_ack(2, round_one)
    assert done.answer(first) is not None and done.answer(second) is None
    done += later + bench.pass_us(2 * HEARTBEAT_US)
    assert confirm(bench, done, 3).answer(second) is not None


def test_answers_of_another_term_or_to_no_round_confirm_nothing() -> None:
    """Contract 4: `round` is "growing within a term, never reused"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.read()
    sent = max(m.round for m in acts.sent(messages.Heartbeat, 2))
    stale = messages.HeartbeatResponse(term=Term(1), round=sent, last_log_index=Index(2))
    invented = messages.HeartbeatResponse(term=Term(2), round=sent + 50, last_log_index=Index(2))
    done = bench.hear(2, stale) + bench.hear(3, stale) + bench.beat_ack(2, 0) + bench.hear(2, invented)
    assert done.answer(request) is None, "a round that was never sent cannot have been heard"


def test_one_round_confirms_a_whole_batch() -> None:
    """Thesis 6.4: "the leader can ... amortize its cost: ... a single round of heartbeats for any number of read-only
    queries"."""
    bench = Bench()
    bench.lead()
    facts = [
        events.ReadRequested(request=RequestId(n), deadline_us=bench.now_us + 5_000_000) for n in range(1, 51)
    ]
    acts = bench.step(*facts)
    assert len(acts.sent(messages.Heartbeat, 2)) == 1
    served = confirm(bench, acts, 2).of(actions.ServeRead)
    assert sorted(request for act in served for request in act.requests) == list(range(1, 51))


def test_no_read_before_the_leader_committed_in_its_term() -> None:
    """Thesis 6.4: "If the leader has not yet marked an entry from its current term committed, it waits until it has done so"."""
    bench = Bench(log=[1])
    bench.win()
    _request, acts = bench.read()
    for peer in (2, 3):
        for sent in acts.sent(messages.Heartbeat, peer):
            acts += bench.beat_ack(peer, sent.round, last=1)
    assert acts.of(actions.ServeRead) == []
    acts = bench.ack(2) + bench.pass_us(HEARTBEAT_US)
    for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
        acts += bench.beat_ack(2, sent.round)
    assert [act.read_index for act in acts.of(actions.ServeRead)] == [3]


def test_a_read_waits_for_the_state_machine() -> None:
    """Thesis 6.4: "The leader waits for its state machine to advance at least as far as the readIndex"."""
    bench = Bench()
    bench.lead()
    bench.auto_apply = False
    bench.propose()
    bench.ack(2)
    request, acts = bench.read()
    done = confirm(bench, acts, 2)
    assert done.answer(request) is None
    served = bench.apply().answer(request)
    assert served == actions.ServeRead(requests=(request,), read_index=Index(3))


def test_a_read_does_not_wait_for_what_was_committed_after_it_arrived() -> None:
    """Thesis 6.4: "The leader saves its current commit index in a local variable we'll call readIndex"."""
    bench = Bench()
    bench.lead()
    bench.auto_apply = False
    _request, acts = bench.read()
    bench.propose()
    bench.ack(3)
    assert bench.status.commit_index == 3 and bench.status.applied_index == 2
    served = confirm(bench, acts, 2).of(actions.ServeRead)
    assert [act.read_index for act in served] == [2]


def test_learners_confirm_nothing() -> None:
    """Thesis 4.2.1: a learner is counted in no majority."""
    bench = Bench(learners=(4, 5))
    bench.lead()
    request, acts = bench.read()
    assert (confirm(bench, acts, 4) + confirm(bench, acts, 5)).answer(request) is None


def test_a_single_node_serves_at_once() -> None:
    """Thesis 6.4: its own voice is the majority."""
    bench = Bench(voters=(1,))
    bench.pass_us(2 * ELECTION_MAX_US)
    request, acts = bench.read()
    assert acts.answer(request) == actions.ServeRead(requests=(request,), read_index=Index(2))


def test_a_deposed_leader_serves_nothing_that_was_not_confirmed() -> None:
    """Thesis 6.4: "a leader that has been superseded" must not answer from its state."""
    bench = Bench()
    bench.lead()
    request, acts = bench.read()
    sent = max(m.round for m in acts.sent(messages.Heartbeat, 2))
    acts = bench.beat(3, term=3)
    assert acts.of(actions.ServeRead) == []
    late = messages.HeartbeatResponse(term=Term(2), round=sent, last_log_index=Index(2))
    assert bench.hear(2, late).answer(request) is None


def test_a_read_that_lost_its_leader_is_asked_of_the_next() -> None:
    """Contract 8, "Requests outlive leaders"."""
    bench = Bench()
    bench.lead()
    request, _ = bench.read()
    acts = bench.beat(3, term=3) + bench.pass_us(ELECTION_MIN_US // 2)
    question = asked(acts, 3)[-1]
    done = bench.hear(3, index_answer(question, 2))
    assert done.answer(request) == actions.ServeRead(requests=(request,), read_index=Index(2))


def test_a_read_that_cannot_be_confirmed_is_refused_at_its_deadline() -> None:
    """Contract 6: "`NO_QUORUM` (a read that could not be confirmed before its deadline)"."""
    bench = Bench()
    bench.lead()
    request, acts = bench.read(deadline_us=500_000)
    assert acts.answer(request) is None
    acts = bench.pass_us(500_000)
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.NO_QUORUM


# -- at a follower


def test_a_follower_asks_its_leader_and_serves_from_its_own_state() -> None:
    """Thesis 6.4: "the follower issues a request to the leader that just asks for a current readIndex"; it then waits
    until its own state machine has come so far."""
    bench = Bench()
    bench.append(2, 1, [1, 1])
    request, acts = bench.read()
    question = asked(acts, 2)[0]
    done = bench.hear(2, index_answer(question, 3))
    assert done.answer(request) is None, "index 3 is not applied here yet"
    served = bench.beat(2, commit=3).answer(request)
    assert served == actions.ServeRead(requests=(request,), read_index=Index(3))


def test_the_leader_confirms_before_it_answers_a_follower() -> None:
    """Thesis 6.4: the leader performs steps 1 to 3 for the follower's request too."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, messages.ReadIndex(term=Term(2), context=7))
    assert acts.sent(messages.ReadIndexResponse) == []
    answers = confirm(bench, acts, 2).sent(messages.ReadIndexResponse, 3)
    assert [(m.context, m.read_index, m.ready) for m in answers] == [(7, 2, True)]


def test_a_leader_without_a_commit_of_its_term_gives_no_read_index() -> None:
    """etcd #7331, trap 41."""
    bench = Bench(log=[1])
    bench.win()
    acts = bench.hear(3, messages.ReadIndex(term=Term(2), context=7))
    for peer in (2, 3):
        for sent in acts.sent(messages.Heartbeat, peer):
            acts += bench.beat_ack(peer, sent.round, last=1)
    assert not any(m.ready for m in acts.sent(messages.ReadIndexResponse))


def test_whoever_does_not_lead_says_so() -> None:
    """Contract 4, ReadIndexResponse: "`ready` false: not the leader, or overloaded; ask again"."""
    bench = Bench()
    bench.beat(2)
    acts = bench.hear(3, messages.ReadIndex(term=Term(1), context=7))
    assert not any(m.ready for m in acts.sent(messages.ReadIndexResponse, 3))


def test_each_attempt_has_a_fresh_context() -> None:
    """etcd #20418: "ReadIndex retries must use a fresh id"."""
    bench = Bench()
    bench.beat(2)
    _request, acts = bench.read()
    for _ in range(8):
        acts += bench.pass_us(ELECTION_MIN_US // 4) + bench.beat(2)
    contexts = [m.context for m in asked(acts, 2)]
    assert len(contexts) >= 2, "an unanswered question is asked again"
    assert len(set(contexts)) == len(contexts)


def test_the_answer_to_an_abandoned_attempt_is_dropped() -> None:
    """Contract 8: "Followers ask with a fresh context each time"; an old context may carry an index from before the
    read... of another term."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.read()
    old = asked(acts, 2)[0]
    acts = bench.beat(3, term=2) + bench.pass_us(ELECTION_MIN_US // 2)
    new = asked(acts, 3)[-1]
    assert new.context != old.context
    assert bench.hear(2, index_answer(old, 1)).answer(request) is None
    assert bench.hear(3, index_answer(new, 1)).answer(request) is not None


def test_a_read_asked_while_a_question_is_out_does_not_use_its_answer() -> None:
    """An answer to a question that left before the read arrived may be older than the read."""
    bench = Bench()
    bench.beat(2)
    first, acts = bench.read()
    question = asked(acts, 2)[0]
    second, more = bench.read()
    done = bench.hear(2, index_answer(question, 1))
    assert done.answer(first) is not None and done.answer(second) is None
    more += done + bench.pass_us(ELECTION_MIN_US // 2)
    assert bench.hear(2, index_answer(asked(more, 2)[-1], 1)).answer(second) is not None


def test_a_leader_that_is_not_ready_is_asked_again() -> None:
    """Contract 4: "`ready` false: ... ask again"."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.read()
    acts = bench.hear(2, index_answer(asked(acts, 2)[0], 0, ready=False))
    assert acts.answer(request) is None
    acts = bench.beat(2) + bench.pass_us(ELECTION_MIN_US // 2)
    assert bench.hear(2, index_answer(asked(acts, 2)[-1], 1)).answer(request) is not None


def test_without_a_leader_a_read_waits_for_one() -> None:
    """Contract 8: "Without a leader, a request waits for one until its deadline and is then refused"."""
    bench = Bench()
    request, acts = bench.read()
    assert acts.answer(request) is None
    acts = bench.beat(2)
    acts += bench.pass_us(ELECTION_MIN_US // 2)
    assert bench.hear(2, index_answer(asked(acts, 2)[-1], 1)).answer(request) is not None
    bench = Bench()
    request, _ = bench.read(deadline_us=700_000)
    answer = bench.pass_us(700_000).answer(request)
    assert isinstance(answer, actions.Refuse)


# -- serializable


def test_a_serializable_read_is_served_at_once_from_what_is_applied() -> None:
    """Architecture 4: "`serializable` (local, maybe stale, with a staleness bound) on request"."""
    bench = Bench()
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE)
    assert isinstance(acts.answer(request), actions.ServeRead)
    assert acts.sent(messages.ReadIndex) == []


@pytest.mark.parametrize("silence_us, served", [(100_000, True), (900_000, False)])
def test_a_serializable_read_is_bounded_by_how_long_ago_a_leader_was_heard(
    silence_us: int, served: bool
) -> None:
    """Contract 2, ReadRequested: "`max_staleness_us` bounds how long ago a leader was last heard"."""
    bench = Bench()
    bench.beat(2)
    bench.now_us += silence_us
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=500_000)
    answer = acts.answer(request)
    assert isinstance(answer, actions.ServeRead) == served
    assert served or (isinstance(answer, actions.Refuse) and answer.code is RefusalCode.TOO_STALE)


def test_a_node_that_never_heard_a_leader_is_too_stale_for_any_bound() -> None:
    """The same bound, after a restart: what it has may be arbitrarily old."""
    bench = Bench()
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=10**15)
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.TOO_STALE


def test_a_leader_that_nobody_answers_is_as_stale_as_its_last_confirmation() -> None:
    """The bound is a promise about the data: a leader cut off from its majority may have been replaced."""
    bench = Bench()
    bench.lead()
    served_us = bench.now_us
    while bench.role() is Role.LEADER and bench.now_us < served_us + 2 * ELECTION_MAX_US:
        request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=ELECTION_MIN_US)
        if isinstance(acts.answer(request), actions.ServeRead):
            assert bench.now_us - served_us <= ELECTION_MIN_US + 2 * HEARTBEAT_US
        bench.pass_us(HEARTBEAT_US)


def test_a_confirmed_leader_is_not_stale() -> None:
    """A leader that a majority answers has heard a leader: itself."""
    bench = Bench()
    bench.lead()
    request, acts = bench.read(consistency=Consistency.SERIALIZABLE, max_staleness_us=500_000)
    assert isinstance(acts.answer(request), actions.ServeRead)


def test_a_restarted_node_serves_no_linearizable_read_before_its_log_is_applied_again() -> None:
    """etcd #3879, openraft 97d92771: serving before the log is re-applied is a stale read."""
    bench = Bench(log=[1, 1, 1], applied=1)
    bench.beat(2)
    request, acts = bench.read()
    done = bench.hear(2, index_answer(asked(acts, 2)[0], 4))
    assert done.answer(request) is None
    assert bench.append(2, 4, commit=4).answer(request) is not None


def test_a_read_asks_for_no_write() -> None:
    """Thesis 6.4: reads "bypass the Raft log"."""
    bench = Bench(log=[entry(1)])
    bench.lead()
    before = bench.disk.last_index
    _, acts = bench.read()
    acts += confirm(bench, acts, 2)
    assert acts.of(actions.Persist) == [] and bench.disk.last_index == before
    assert bench.role() is Role.LEADER and bench.status.leader == NodeId(1)
