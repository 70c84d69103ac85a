"""Log replication as a follower and as a leader: thesis 3.5, 3.6.2, 10.2.1, 11.1, Raft figure 2, sections 5.3 and 5.4.2."""

from __future__ import annotations

import pytest

from ferrite.core import Index, NodeId, Role, Term, actions, events, messages
from tests.core.bench import (
    ELECTION_MIN_US,
    HEARTBEAT_US,
    Acts,
    Bench,
    commands_in,
    entries,
    entry,
    terms_of,
)

Response = messages.AppendEntriesResponse


def only(acts: Acts, to: int = 2) -> messages.AppendEntriesResponse:
    answers = acts.sent(Response, to)
    assert len(answers) == 1, answers
    return answers[0]


# -- follower


def test_new_entries_are_appended_and_acknowledged_once_durable() -> None:
    """Raft figure 2: "Append any new entries not already in the log"; thesis 3.8: entries are persisted before they are acknowledged."""
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
    """Raft figure 2: "If an existing entry conflicts with a new one (same index but different terms), delete the existing entry and all that follow it"."""
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
    """Thesis 3.5: AppendEntries is idempotent; "If a follower receives an AppendEntries request that includes log entries already present in its log, it ignores those entries" (3.3)."""
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


# -- leader


def test_the_leader_sends_before_its_own_write_is_durable() -> None:
    """Thesis 10.2.1: "The leader may write to its disk in parallel with replicating to the followers"."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    _, acts = bench.propose()
    assert len(acts.sent(messages.AppendEntries)) == 2 and len(bench.writes) == 1


def test_the_leader_counts_itself_only_once_its_write_is_durable() -> None:
    """Thesis 10.2.1: an entry may be committed before the leader has written it only if a majority of the followers have; the leader counts itself by its persisted index."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    request, acts = bench.propose()
    acts += bench.ack(2)
    assert bench.status.commit_index == 2 and acts.answer(request) is None
    acts = bench.persist()
    assert bench.status.commit_index == 3 and isinstance(acts.answer(request), actions.Reply)


def test_an_entry_may_be_committed_by_the_others_before_the_leader_has_it_on_disk() -> None:
    """Thesis 10.2.1: "the leader may even commit an entry before it has been written to its own disk, if a majority of followers have written it to their disks; this is still safe"."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    request, _ = bench.propose()
    acts = bench.ack(2) + bench.ack(3)
    assert bench.status.commit_index == 3
    assert acts.of(actions.Apply) == [], "contract 3: applied only when committed and durable in the own log"
    acts = bench.persist()
    assert isinstance(acts.answer(request), actions.Reply)


def test_a_single_node_answers_only_what_is_durable() -> None:
    """etcd #14370: a single-node cluster lost an acknowledged write at a crash."""
    bench = Bench(voters=(1,))
    bench.pass_us(3_000_000)
    bench.auto_persist = False
    request, acts = bench.propose()
    assert acts.answer(request) is None and bench.status.commit_index == 2
    assert isinstance(bench.persist().answer(request), actions.Reply)


def test_only_entries_of_the_leaders_own_term_are_committed_by_counting() -> None:
    """Thesis 3.6.2: "Raft never commits log entries from previous terms by counting replicas"; figure 3.7 (Raft figure 8)."""
    bench = Bench(log=[2, 2], term=3)
    bench.win()
    assert bench.term == 4
    bench.ack(2, 3)
    bench.ack(3, 3)
    assert bench.status.commit_index == 1, "index 3 is on everybody's disk, and still not committed"
    bench.ack(2, 4)
    assert bench.status.commit_index == 4, "the entry of term 4 takes all before it along"


def test_a_minority_does_not_commit() -> None:
    """Thesis 3.5: "once the leader that created the entry has replicated it on a majority of the servers"."""
    bench = Bench(voters=(1, 2, 3, 4, 5))
    bench.lead()
    request, _ = bench.propose()
    assert bench.ack(2).answer(request) is None
    assert bench.ack(2).answer(request) is None, "the same server twice is one"
    assert isinstance(bench.ack(3).answer(request), actions.Reply)


def test_learners_do_not_commit() -> None:
    """Thesis 4.2.1: new servers are "not yet counted towards majorities"."""
    bench = Bench(learners=(4, 5))
    bench.lead()
    request, _ = bench.propose()
    acts = bench.ack(4) + bench.ack(5)
    assert acts.answer(request) is None and bench.status.commit_index == 2


def test_an_acknowledgement_of_an_older_term_does_not_count() -> None:
    """Thesis 3.3: responses with a stale term are ignored."""
    bench = Bench()
    bench.lead()
    request, _ = bench.propose()
    acts = bench.hear(2, Response(term=Term(1), success=True, match_index=Index(3)))
    assert acts.answer(request) is None


def test_a_refusal_moves_no_match_index() -> None:
    """Mutant 10, CCF: "commit advance on AE-NACK"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.hear(2, Response(term=Term(2), success=False, match_index=Index(3), prev_log_index=Index(2), conflict_index=Index(3)))
    assert bench.status.commit_index == 2 and bench.status.peers[2].match_index == 2


def test_match_index_never_decreases_and_stays_below_next_index() -> None:
    """Contract 8: "Always `match_index < next_index`, and `match_index` never decreases in a term"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2, 3)
    bench.ack(2, 2)
    bench.refuse_append(2, 1, hint=1)
    peer = bench.status.peers[2]
    assert peer.match_index == 3 < peer.next_index


def test_an_acknowledgement_beyond_the_log_is_not_believed() -> None:
    """S12: the match index is the peer's matching prefix; nobody can match what was never sent."""
    bench = Bench()
    bench.lead()
    bench.ack(2, 99)
    bench.ack(3, 99)
    assert bench.status.commit_index <= bench.status.last_log_index
    assert bench.status.peers[2].match_index <= 2


def test_followers_hear_of_the_commit() -> None:
    """Thesis 3.5: "The leader keeps track of the highest index it knows to be committed, and it includes that index in future AppendEntries RPCs"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    acts = bench.ack(2)
    told = [m.leader_commit for m in acts.messages_to(2) if isinstance(m, messages.Heartbeat | messages.AppendEntries)]
    assert 3 in told or any(
        m.leader_commit == 3 for m in bench.pass_us(HEARTBEAT_US).messages_to(2)
    )


def test_a_heartbeat_never_tells_more_than_the_peer_is_known_to_hold() -> None:
    """etcd-io/raft sendHeartbeat: "the leader MUST NOT forward the follower's commit to an unmatched index"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    acts = bench.pass_us(2 * HEARTBEAT_US)
    assert {m.leader_commit for m in acts.sent(messages.Heartbeat, 3)} == {2}
    assert {m.leader_commit for m in acts.sent(messages.Heartbeat, 2)} == {3}


def converge(bench: Bench, peer: int, follower: Bench, limit: int = 50) -> int:
    """Deliver between a leader and one follower until it holds the leader's log; return the round trips."""
    acts = bench.pass_us(HEARTBEAT_US)
    for trips in range(limit):
        if bench.status.peers[peer].match_index == bench.status.last_log_index:
            return trips
        back = Acts([])
        for message in acts.messages_to(peer):
            back += follower.hear(bench.node, message)
        acts = Acts([])
        for message in back.messages_to(bench.node):
            acts += bench.hear(peer, message)
        if not acts.messages_to(peer):
            acts += bench.pass_us(HEARTBEAT_US)
    raise AssertionError(f"not converged in {limit} round trips")


def test_a_long_divergence_is_found_in_one_round_trip_a_term() -> None:
    """Thesis 3.5: "one AppendEntries RPC will be required for each term with conflicting entries, rather than one RPC per entry"."""
    leader = Bench(log=[1] * 10 + [4] * 200 + [6] * 50)
    follower = Bench(node=2, log=[1] * 10 + [2] * 100 + [3] * 300)
    leader.win()
    assert converge(leader, 2, follower) <= 6
    assert terms_of(follower.disk.log) == terms_of(leader.disk.log)


def test_a_follower_that_is_only_behind_is_found_in_one_round_trip() -> None:
    """Contract 8: "log too short: `conflict_index` = last + 1"."""
    leader = Bench(log=[1] * 500)
    follower = Bench(node=2, log=[1])
    leader.win()
    assert converge(leader, 2, follower) <= 3


def test_the_hint_uses_the_leaders_own_entries_of_the_conflicting_term() -> None:
    """Contract 8: "The leader goes to the end of that term in its own log if it has it, else to `conflict_index`"."""
    bench = Bench(log=[1, 2, 2, 4, 4])
    bench.win()
    acts = bench.refuse_append(2, 6, hint=3, hint_term=2)
    assert acts.sent(messages.AppendEntries, 2)[0].prev_log_index == 4
    acts = bench.refuse_append(3, 6, hint=3, hint_term=3)
    assert acts.sent(messages.AppendEntries, 3)[0].prev_log_index == 2


def test_a_hint_that_makes_no_sense_is_survived() -> None:
    """Contract 1: "`step` never raises for anything another node ... did"."""
    for hint, hint_term in [(0, 0), (99, 0), (0, 9), (99, 1), (2**63, 2**63)]:
        bench = Bench(log=[1, 1])
        bench.win()
        bench.refuse_append(2, 3, hint=hint, hint_term=hint_term)
        peer = bench.status.peers[2]
        assert 0 <= peer.match_index < peer.next_index <= bench.status.last_log_index + 1


# -- progress and flow control


def test_a_probed_peer_gets_one_append_until_it_answers() -> None:
    """Contract 8: "`PROBE` (one append outstanding, again at each heartbeat)"."""
    bench = Bench()
    bench.win()
    acts = bench.propose()[1] + bench.propose()[1]
    assert bench.status.peers[2].state == "probe" and acts.sent(messages.AppendEntries, 2) == []
    assert len(bench.pass_us(HEARTBEAT_US).sent(messages.AppendEntries, 2)) <= 1
    acts = bench.ack(2, 2)
    assert bench.status.peers[2].state == "replicate"
    assert commands_in(acts.sent(messages.AppendEntries, 2)[0].entries) == [1, 2]


def test_a_lost_probe_is_sent_again_with_the_heartbeats() -> None:
    """Contract 8, PROBE; thesis 3.5: "the leader retries AppendEntries RPCs indefinitely"."""
    bench = Bench()
    bench.win()
    acts = bench.pass_us(3 * HEARTBEAT_US)
    assert not acts.sent(messages.AppendEntries, 2) or acts.sent(messages.AppendEntries, 2)[0].prev_log_index == 1
    for sent in acts.sent(messages.Heartbeat, 2)[-1:]:
        acts += bench.beat_ack(2, sent.round, last=1)
    acts += bench.pass_us(2 * HEARTBEAT_US)
    assert acts.sent(messages.AppendEntries, 2) != []


def test_replication_is_pipelined_up_to_the_window_of_messages() -> None:
    """Thesis 10.2.2, with a bound: at most `inflight_messages_max` unanswered messages."""
    bench = Bench(inflight_messages_max=3)
    bench.lead()
    acts = Acts([])
    for _ in range(6):
        acts += bench.propose()[1]
    sent = acts.sent(messages.AppendEntries, 2)
    assert [m.prev_log_index for m in sent] == [2, 3, 4]
    assert bench.status.peers[2].inflight_messages == 3
    acts = bench.ack(2, 3)
    more = acts.sent(messages.AppendEntries, 2)
    assert [m.prev_log_index for m in more] == [5] and bench.status.peers[2].inflight_messages <= 3


def test_replication_is_bounded_by_bytes_in_flight() -> None:
    """Contract 8: `REPLICATE` is "pipelined, bounded by messages and bytes"."""
    bench = Bench(inflight_bytes_max=1000, append_bytes_max=500)
    bench.lead()
    acts = Acts([])
    for _ in range(8):
        acts += bench.propose(size=400)[1]
    sent = acts.sent(messages.AppendEntries, 2)
    assert 2 <= len(sent) <= 3 and bench.status.peers[2].inflight_bytes <= 1500
    assert bench.ack(2, 4).sent(messages.AppendEntries, 2) != []
    assert bench.status.peers[2].inflight_bytes <= 1500


def test_one_message_is_bounded_by_entries_and_by_bytes() -> None:
    """`append_entries_max`, `append_bytes_max`: "One message: small enough to keep heartbeats flowing"."""
    bench = Bench(log=[1] * 40, append_entries_max=10)
    bench.win()
    acts = bench.refuse_append(2, 41, hint=2)
    while bench.status.peers[2].match_index < bench.status.last_log_index:
        for sent in acts.sent(messages.AppendEntries, 2):
            assert len(sent.entries) <= 10
        last = acts.sent(messages.AppendEntries, 2)[-1]
        acts = bench.ack(2, last.prev_log_index + len(last.entries))
    bench = Bench(log=[entry(1, n, size=300) for n in range(40)], append_bytes_max=1000)
    bench.win()
    acts = bench.refuse_append(2, 41, hint=2)
    acts += bench.ack(2, 4)
    for sent in acts.sent(messages.AppendEntries, 2):
        assert 1 <= len(sent.entries) <= 4


def test_an_entry_larger_than_a_message_is_sent_alone() -> None:
    """A bound must not make an entry unsendable."""
    bench = Bench(append_bytes_max=1000, inflight_bytes_max=1000)
    bench.lead()
    acts = bench.propose(size=5000)[1]
    assert [len(m.entries) for m in acts.sent(messages.AppendEntries, 2)] == [1]


def test_an_append_lost_on_the_way_is_repaired_without_a_new_write() -> None:
    """etcd-io/raft heartbeat_resp_recovers_from_probing: a quiet cluster must converge by its heartbeats."""
    leader, follower = Bench(), Bench(node=3)
    leader.win()
    converge(leader, 3, follower)
    leader.propose()  # what goes out now is lost
    assert follower.disk.last_index == 2
    assert converge(leader, 3, follower) <= 6
    assert follower.disk.log == leader.disk.log


def test_a_full_window_that_was_lost_is_repaired() -> None:
    """The same, when the window is full and nothing more may be sent."""
    leader, follower = Bench(inflight_messages_max=2), Bench(node=3)
    leader.win()
    converge(leader, 3, follower)
    for _ in range(5):
        leader.propose()
    assert leader.status.peers[3].inflight_messages == 2
    assert converge(leader, 3, follower) <= 8
    assert follower.disk.log == leader.disk.log


def test_lost_acknowledgements_are_repaired_without_a_new_write() -> None:
    """The same, when the entries arrived and the answers did not."""
    leader, follower = Bench(inflight_messages_max=2), Bench(node=3)
    leader.win()
    converge(leader, 3, follower)
    for _ in range(2):
        for message in leader.propose()[1].messages_to(3):
            follower.hear(1, message)
    assert follower.disk.last_index == 4 and leader.status.peers[3].match_index == 2
    assert converge(leader, 3, follower) <= 4


def test_a_lost_connection_makes_the_leader_probe_again() -> None:
    """Contract 2, PeerUnreachable: "what was in flight may be lost"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.step(events.PeerUnreachable(peer=NodeId(3)))
    assert bench.status.peers[3].state == "probe" and bench.status.peers[3].next_index == 3
    acts = bench.pass_us(2 * HEARTBEAT_US)
    assert any(m.prev_log_index == 2 and m.entries for m in acts.sent(messages.AppendEntries, 3))


def test_a_refusal_while_replicating_goes_back_to_probing() -> None:
    """Contract 8: progress is PROBE until the peer's log is known to match."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.propose()
    acts = bench.refuse_append(3, 3, hint=3)
    assert bench.status.peers[3].state == "probe"
    assert [m.prev_log_index for m in acts.sent(messages.AppendEntries, 3)][:1] == [2]


def test_a_late_refusal_of_an_answered_request_is_dropped() -> None:
    """openraft cecb5de8: "late acks and conflicts from an older request ... must be dropped"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(3)
    acts = bench.refuse_append(3, 1, hint=1)
    assert bench.status.peers[3].state == "replicate" and bench.status.peers[3].next_index == 4
    assert acts.sent(messages.AppendEntries, 3) == []


def test_proposals_of_one_step_are_one_write_and_one_message_a_peer() -> None:
    """Architecture 2.3: "N proposals in one step cost one Persist and one AppendEntries per peer"."""
    bench = Bench()
    bench.lead()
    acts = bench.step(*(bench.proposal(n) for n in range(1, 21)))
    assert len(acts.of(actions.Persist)) == 1
    assert [len(m.entries) for m in acts.sent(messages.AppendEntries, 2)] == [20]
    assert len(acts.sent(messages.AppendEntries, 3)) == 1


def test_every_proposal_is_answered_once_and_in_order() -> None:
    """Thesis 3.5: "when the entry has been safely replicated ... the leader applies the entry to its state machine and returns the result"."""
    bench = Bench()
    bench.lead()
    bench.step(*(bench.proposal(n) for n in range(1, 21)))
    acts = bench.ack(2)
    assert [reply.request for reply in acts.of(actions.Reply)] == list(range(1, 21))
    assert acts.of(actions.Reply)[4].result == ("applied at", 7)


def test_a_leader_never_overwrites_its_log() -> None:
    """Thesis 3.2, Leader Append-Only: "a leader never overwrites or deletes entries in its log; it only appends new entries"."""
    bench = Bench(log=[1, 1])
    bench.lead()
    acts = bench.append(2, 1, [2, 2, 2])
    acts += bench.append(2, 1, [1], term=1)
    assert not any(order.truncate for order in acts.of(actions.Persist))
    assert bench.role is Role.LEADER


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
