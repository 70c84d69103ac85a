"""A leader's log and what is committed: thesis 3.5, 3.6.2 and 10.2.1, Raft figure 2, sections 5.3 and 5.4.2."""

from __future__ import annotations

from ferrite.core import Index, Role, Term, actions, messages, payload_time_us
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, HEARTBEAT_US, Acts

Response = messages.AppendEntriesResponse


def only(acts: Acts, to: int = 2) -> messages.AppendEntriesResponse:
    answers = acts.sent(Response, to)
    assert len(answers) == 1, answers
    return answers[0]


# -- leader


def test_the_leader_sends_before_its_own_write_is_durable() -> None:
    """Thesis 10.2.1: "The leader may write to its disk in parallel with replicating to the followers"."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    _, acts = bench.propose()
    assert len(acts.sent(messages.AppendEntries)) == 2 and len(bench.writes) == 1


def test_the_leader_tells_the_time_that_an_entry_would_bear_and_nobody_else_does() -> None:
    """Contract 7: the cluster time advances by the leader's monotonic clock only."""
    bench = Bench()
    assert bench.replica.cluster_time_us(bench.now_us) is None
    bench.lead()
    told_us = bench.replica.cluster_time_us(bench.now_us)
    assert told_us is not None
    assert bench.replica.cluster_time_us(bench.now_us + 250_000) == told_us + 250_000
    bench.propose()
    assert payload_time_us(bench.image.log[-1].payload) == told_us
    bench.pass_us(10 * ELECTION_MAX_US)
    assert bench.role() is not Role.LEADER, "nobody answered"
    assert bench.replica.cluster_time_us(bench.now_us) is None


def test_the_leader_counts_itself_only_once_its_write_is_durable() -> None:
    """Thesis 10.2.1: an entry may be committed before the leader has written it only if a majority of the followers
    have; the leader counts itself by its persisted index."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    request, acts = bench.propose()
    acts += bench.ack(2)
    assert bench.status.commit_index == 2 and acts.answer(request) is None
    acts = bench.persist()
    assert bench.status.commit_index == 3 and isinstance(acts.answer(request), actions.Reply)


def test_an_entry_may_be_committed_by_the_others_before_the_leader_has_it_on_disk() -> None:
    """Thesis 10.2.1: "the leader may even commit an entry before it has been written to its own disk, if a majority of
    followers have written it to their disks; this is still safe"."""
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
    bench.hear(
        2,
        Response(
            term=Term(2),
            success=False,
            match_index=Index(3),
            prev_log_index=Index(2),
            conflict_index=Index(3),
        ),
    )
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
    """Thesis 3.5: "The leader keeps track of the highest index it knows to be committed, and it includes that index in
    future AppendEntries RPCs"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    acts = bench.ack(2)
    told = [
        m.leader_commit
        for m in acts.messages_to(2)
        if isinstance(m, messages.Heartbeat | messages.AppendEntries)
    ]
    assert 3 in told or any(m.leader_commit == 3 for m in bench.pass_us(HEARTBEAT_US).messages_to(2))


def test_a_heartbeat_never_tells_more_than_the_peer_is_known_to_hold() -> None:
    """etcd-io/raft sendHeartbeat: "the leader MUST NOT forward the follower's commit to an unmatched index"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    acts = bench.pass_us(2 * HEARTBEAT_US)
    assert {m.leader_commit for m in acts.sent(messages.Heartbeat, 3)} == {2}
    assert {m.leader_commit for m in acts.sent(messages.Heartbeat, 2)} == {3}
