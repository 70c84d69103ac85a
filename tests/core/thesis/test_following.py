"""A follower's log: thesis 3.5 and 10.2.1, Raft figure 2 and section 5.3, contract 3 (`Persist`, `Apply`)."""

from __future__ import annotations

import pytest

from ferrite.core import Index, Term, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MIN_US, Acts, entries, entry, terms_of

Response = messages.AppendEntriesResponse


def only(acts: Acts, to: int = 2) -> messages.AppendEntriesResponse:
    answers = acts.sent(Response, to)
    assert len(answers) == 1, answers
    return answers[0]


# -- follower


def test_new_entries_are_appended_and_acknowledged_once_durable() -> None:
    """Raft figure 2: "Append any new entries not already in the log"; thesis 3.8: entries are persisted before they
    are acknowledged."""
    bench = Bench(auto_persist=False)
    acts = bench.append(2, 1, [1, 1])
    assert acts.sent(Response) == []
    assert terms_of(acts.of(actions.Persist)[0].entries) == [1, 1]
    answer = only(bench.persist())
    assert answer.success and answer.match_index == 3


def test_a_duplicate_of_what_is_being_written_is_not_acknowledged_early() -> None:
    """Trap 24: "a follower must not ack what is only in memory, including on empty/duplicate appends"."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1, 1])
    acts = bench.append(2, 1, [1, 1]) + bench.append(2, 3, [])
    assert all(m.match_index <= 1 for m in acts.sent(Response) if m.success)
    acts = bench.persist()
    assert max(m.match_index for m in acts.sent(Response) if m.success) == 3


def test_a_follower_refuses_when_it_lacks_the_previous_entry() -> None:
    """Raft figure 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm"."""
    bench = Bench(log=[1])
    answer = only(bench.append(2, 5, [1], prev_term=1))
    assert not answer.success and answer.prev_log_index == 5
    assert (answer.conflict_index, answer.conflict_term) == (3, 0)
    assert bench.image.last_index == 2


def test_a_follower_refuses_when_the_previous_entrys_term_differs_and_names_where_that_term_begins() -> None:
    """Thesis 3.5: "the follower can include the term of the conflicting entry and the first index it stores for that term"."""
    bench = Bench(log=[2, 2, 2], term=3)
    answer = only(bench.append(2, 4, [3], prev_term=3))
    assert not answer.success and answer.prev_log_index == 4
    assert (answer.conflict_index, answer.conflict_term) == (2, 2)
    assert bench.image.last_index == 4, "nothing is deleted before a matching append says so"


def test_a_conflicting_entry_and_all_that_follow_it_are_deleted() -> None:
    """Raft figure 2: "If an existing entry conflicts with a new one (same index but different terms), delete the
    existing entry and all that follow it"."""
    bench = Bench(log=[1, 2, 2, 2], term=3)
    acts = bench.append(2, 2, [3])
    order = acts.of(actions.Persist)[0]
    assert order.truncate and order.first_index == 3
    assert terms_of(bench.disk.log) == [1, 1, 3]
    assert only(acts).match_index == 3


def test_the_deletion_begins_at_the_conflict_and_not_at_the_first_entry_sent() -> None:
    """Raft figure 2: only the conflicting entry and what follows it."""
    bench = Bench(log=[1, 2, 2], term=3)
    acts = bench.append(2, 1, [entry(1, 0), 3])
    order = acts.of(actions.Persist)[0]
    assert order.truncate and order.first_index == 3 and terms_of(order.entries) == [3]


def test_entries_already_there_change_nothing() -> None:
    """Thesis 3.5: AppendEntries is idempotent; "If a follower receives an AppendEntries request that includes log
    entries already present in its log, it ignores those entries" (3.3)."""
    bench = Bench(log=[1, 1, 1])
    acts = bench.append(2, 1, entries(1, 1))
    assert not any(order.truncate or order.entries for order in acts.of(actions.Persist))
    assert bench.disk.last_index == 4
    assert only(acts).match_index == 3, "this request proved 3 entries, not 4"


def test_an_empty_append_deletes_nothing_and_proves_only_prev() -> None:
    """Contract 4: "`match_index` = prev + number of entries of *that* request"."""
    bench = Bench(log=[1, 1, 1])
    acts = bench.append(2, 2, [])
    assert only(acts).match_index == 2 and bench.disk.last_index == 4


def test_overlapping_entries_append_only_what_is_new() -> None:
    """Raft figure 2: "Append any new entries not already in the log"."""
    bench = Bench(log=[1, 1])
    acts = bench.append(2, 1, [*entries(1, 1), entry(1, 7)])
    order = acts.of(actions.Persist)[0]
    assert not order.truncate and order.first_index == 4 and len(order.entries) == 1


def test_the_commit_index_of_a_follower_is_bounded_by_what_the_append_proved() -> None:
    """Raft figure 2: "set commitIndex = min(leaderCommit, index of last new entry)"."""
    bench = Bench(log=[1, 1, 1])
    bench.append(2, 2, [], commit=4)
    assert bench.status.commit_index == 2
    bench.append(2, 2, [entry(1, 1)], commit=4)
    assert bench.status.commit_index == 3


def test_the_commit_index_never_goes_back() -> None:
    """Raft figure 2: commitIndex "increases monotonically"."""
    bench = Bench(log=[1, 1])
    bench.append(2, 3, [], commit=3)
    bench.append(2, 1, [], commit=1)
    bench.beat(2, commit=1)
    assert bench.status.commit_index == 3


def test_a_stale_append_below_the_commit_index_is_acknowledged_and_harmless() -> None:
    """Raft 5.3: requests may be delayed and repeated."""
    bench = Bench(log=[1, 1, 1])
    bench.append(2, 4, [], commit=4)
    acts = bench.append(2, 1, entries(1))
    assert bench.disk.last_index == 4 and bench.status.commit_index == 4
    assert only(acts).success


def test_a_heartbeat_tells_the_commit_index() -> None:
    """Contract 4, Heartbeat: "`leader_commit` = min(commit, match of this peer)"."""
    bench = Bench()
    bench.append(2, 1, [1, 1])
    acts = bench.beat(2, commit=3)
    assert bench.status.commit_index == 3
    assert len(acts.of(actions.Apply)) == 1
    assert acts.sent(messages.HeartbeatResponse) == [], "round 0 asks for no answer"


def test_a_heartbeat_of_a_round_is_answered_with_the_round() -> None:
    """Contract 4, HeartbeatResponse: "confirms leadership as of `round`"."""
    answers = Bench(log=[1]).beat(2, round_=17).sent(messages.HeartbeatResponse, 2)
    assert [(m.term, m.round, m.last_log_index) for m in answers] == [(1, 17, 2)]


def test_a_follower_takes_up_the_term_durably_before_it_answers_the_leader() -> None:
    """Raft figure 2: currentTerm is "Updated on stable storage before responding to RPCs"."""
    bench = Bench(auto_persist=False)
    acts = bench.append(2, 1, [5], term=5) + bench.beat(2, term=5, round_=1)
    assert acts.messages_to(2) == []
    acts = bench.persist()
    assert {type(m) for m in acts.messages_to(2)} == {Response, messages.HeartbeatResponse}


# -- the disk answers late


def test_a_late_report_of_an_older_write_acknowledges_nothing_that_was_cut() -> None:
    """etcd-io/raft async_storage_writes_append_aba_race: same index and term, another write."""
    bench = Bench(auto_persist=False, log=[1])
    first = bench.append(2, 2, [2, 2], term=2).of(actions.Persist)[-1].write_seq
    second = bench.append(3, 2, [3], term=3).of(actions.Persist)[-1].write_seq
    third = bench.append(3, 3, [3], term=3).of(actions.Persist)[-1].write_seq
    acts = bench.persist(first)
    assert [m.match_index for m in acts.sent(Response, 3) if m.success and m.match_index > 2] == []
    assert bench.status.persisted_index <= 2
    acts = bench.persist(second)
    assert max(m.match_index for m in acts.sent(Response, 3) if m.success) == 3
    acts = bench.persist(third)
    assert max(m.match_index for m in acts.sent(Response, 3) if m.success) == 4


def test_one_report_covers_every_earlier_write() -> None:
    """Contract 2, Persisted: "this and every earlier `Persist` are durable"."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1])
    bench.append(2, 2, [1])
    bench.append(2, 3, [1])
    acts = bench.persist()
    assert max(m.match_index for m in acts.sent(Response, 2)) == 4
    assert bench.status.persisted_index == 4


def test_a_cut_entry_returns_with_the_same_index_and_term() -> None:
    """ABA in full: (3, term 2) is written, cut by term 3, and written again by a later leader that has it."""
    bench = Bench(auto_persist=False, log=[1])
    kept = [entry(2, 0)]
    first = bench.append(2, 2, kept, term=2).of(actions.Persist)[-1].write_seq
    bench.append(3, 2, [3], term=3)
    fourth = bench.append(2, 2, [*kept, 4], term=4).of(actions.Persist)[-1].write_seq
    acts = bench.persist(first)
    assert not any(m.success and m.match_index > 2 for m in acts.sent(Response))
    acts = bench.persist(fourth)
    assert max(m.match_index for m in acts.sent(Response, 2) if m.success) == 4
    assert terms_of(bench.disk.log) == [1, 1, 2, 4]


def test_an_acknowledgement_that_waits_for_the_disk_is_not_sent_to_a_deposed_leader() -> None:
    """Trap 19: an answer belongs to the leadership that asked."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1])
    bench.append(3, 1, [2], term=2)
    acts = bench.persist()
    assert not any(m.success for m in acts.sent(Response, 2) if m.term == 2 and m.match_index > 1)
    assert max(m.match_index for m in acts.sent(Response, 3)) == 2


# -- apply


def test_a_follower_applies_what_is_committed_and_durable() -> None:
    """Contract 3: "An entry is applied only when it is committed *and* durable in the own log"."""
    bench = Bench(auto_persist=False)
    acts = bench.append(2, 1, [1, 1], commit=3)
    assert bench.status.commit_index == 3 and acts.of(actions.Apply) == []
    assert [a.first_index for a in bench.persist().of(actions.Apply)] == [2]


def test_one_apply_is_outstanding_and_the_next_follows_it() -> None:
    """Contract 3, Apply: "contiguous with the previous `Apply`; at most one outstanding"."""
    bench = Bench(auto_apply=False)
    acts = bench.append(2, 1, [1], commit=2)
    acts += bench.append(2, 2, [1, 1], commit=4)
    assert [(a.first_index, len(a.entries)) for a in acts.of(actions.Apply)] == [(2, 1)]
    acts = bench.apply()
    assert [(a.first_index, len(a.entries)) for a in acts.of(actions.Apply)] == [(3, 2)]
    assert bench.status.applied_index == 2


def test_an_apply_is_bounded_by_entries_and_by_bytes() -> None:
    """`apply_entries_max`, `apply_bytes_max`: "One Apply: bounds how long the host is busy with it"."""
    bench = Bench(apply_entries_max=3)
    acts = bench.append(2, 1, [1] * 8, commit=9)
    assert [len(a.entries) for a in acts.of(actions.Apply)] == [3, 3, 2]
    bench = Bench(apply_bytes_max=1000)
    acts = bench.append(2, 1, [entry(1, n, size=300) for n in range(8)], commit=9)
    assert all(1 <= len(a.entries) <= 4 for a in acts.of(actions.Apply)) and bench.next_apply == 10


def test_a_stalled_apply_is_ordered_again_later() -> None:
    """Contract 2, ApplyStalled: "The core orders it again later"."""
    bench = Bench(auto_apply=False)
    first = bench.append(2, 1, [1, 1], commit=3).of(actions.Apply)[0]
    acts = bench.stall()
    assert acts.of(actions.Apply) == [], "not at once: the store asked for time"
    acts = bench.pass_us(ELECTION_MIN_US // 2)
    assert acts.of(actions.Apply) == [first]


def test_applied_entries_are_the_committed_ones_in_order() -> None:
    """Thesis 3.2, State Machine Safety."""
    bench = Bench(log=[1])
    sent = entries(1, 1, 2, size=3)
    bench.append(2, 1, [entry(1, 0)], commit=2)
    bench.append(2, 2, sent, term=2, commit=4)
    bench.append(2, 5, [], term=2, commit=5)
    assert bench.applied == [entry(1, 0), *sent]


@pytest.mark.parametrize("answer", [True, False])
def test_an_append_response_to_a_follower_is_dropped(answer: bool) -> None:
    """Raft figure 2: only leaders handle it."""
    bench = Bench(log=[1])
    acts = bench.hear(2, Response(term=Term(1), success=answer, match_index=Index(2)))
    assert acts.of(actions.Send) == [] and bench.status.commit_index == 1
