"""What a replica makes of what the host found on its disk: contract 9."""

from __future__ import annotations

from ferrite.core import Index, LostTail, Role, StopCode, Term, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, entry, membership_of


def test_a_replica_is_made_without_doing_anything() -> None:
    """Contract 1: "nothing is read or written here"."""
    bench = Bench(log=[1, 2], term=5, voted_for=2)
    status = bench.status
    assert (status.term, status.voted_for, status.role) == (5, 2, Role.FOLLOWER)
    assert (status.last_log_index, status.last_log_term, status.persisted_index) == (3, 2, 3)
    assert status.commit_index == status.applied_index == 1, "only what was applied is known to be committed"


def test_the_first_step_announces_where_everybody_is() -> None:
    """Contract 3, Announce: "The transport takes peers' addresses from `membership`": it needs them before it can say
    anything."""
    acts = Bench().step()
    found = acts.of(actions.Announce)
    assert len(found) == 1 and found[0].membership == membership_of((1, 2, 3))


def test_a_state_behind_the_log_catches_up_by_the_log() -> None:
    """Contract 3: the state store loses at most what was not flushed; the log has it."""
    bench = Bench(log=[1, 1, 1], applied=2)
    acts = bench.append(2, 4, [], commit=4)
    assert [(a.first_index, len(a.entries)) for a in acts.of(actions.Apply)] == [(3, 2)]


def test_write_numbers_go_on_where_they_were() -> None:
    """Contract 3: "`write_seq` grows by one", across boots: the mark on disk names it."""
    bench = Bench()
    bench.append(2, 1, [1])
    before = bench.write_seq
    assert before >= 1
    bench.restart()
    order = bench.append(2, 2, [1]).of(actions.Persist)[0]
    assert order.write_seq == before + 1


def test_a_state_ahead_of_the_log_by_an_installed_snapshot_resets_the_log() -> None:
    """Contract 9: "a snapshot was installed and the crash came before the log's `base` record"."""
    bench = Bench(log=[1, 1], applied=20, installed=20)
    acts = bench.step()
    orders = acts.of(actions.Persist)
    assert [order.base for order in orders] == [(20, 1)]
    status = bench.status
    assert (status.last_log_index, status.commit_index, status.applied_index) == (20, 20, 20)
    acts = bench.append(2, 20, [1], commit=21, prev_term=1)
    assert [a.first_index for a in acts.of(actions.Apply)] == [21]


def test_no_other_lead_of_the_state_is_accepted() -> None:
    """Contract 9: "any other lead is corruption (code 12)"."""
    for installed in (0, 5):
        bench = Bench(log=[1, 1], applied=20, installed=installed)
        acts = bench.pass_us(ELECTION_MAX_US)
        assert bench.stopped is not None and bench.stopped.code == StopCode.CORRUPTION
        assert acts.of(actions.Send) == [] and acts.of(actions.Apply) == []


def test_a_hole_between_state_and_log_is_refused() -> None:
    """Contract 9: the entries between the state and the log's base are nowhere: corruption."""
    bench = Bench(base=(10, 1), log=[1], applied=5)
    acts = bench.pass_us(ELECTION_MAX_US)
    assert bench.stopped is not None and bench.stopped.code == StopCode.CORRUPTION
    assert acts.of(actions.Send) == []


def test_a_state_of_another_history_than_the_log_is_refused_or_never_wrong() -> None:
    """The applied entry's term is known on both sides; if they differ, one of them is another node's disk."""
    from ferrite.core import RecoveredState

    bench = Bench(log=[1, 1, 1])
    bench.restart(
        state=RecoveredState(
            applied_index=Index(3), applied_term=Term(7), membership=membership_of((1, 2, 3))
        )
    )
    bench.pass_us(ELECTION_MAX_US)
    assert bench.stopped is not None and bench.stopped.code == StopCode.CORRUPTION


def test_a_restarted_leader_is_a_follower_and_keeps_its_log() -> None:
    """Thesis 3.8: "current term and vote ... log" are persistent, the role is not."""
    bench = Bench()
    bench.lead()
    bench.propose()
    log = list(bench.disk.log)
    bench.restart()
    assert bench.role() is Role.FOLLOWER and bench.term == 2 and bench.disk.log == log
    assert bench.status.voted_for == 1


def test_what_was_not_durable_is_gone_and_was_never_promised() -> None:
    """S10, S11: a crash loses the writes that were not reported."""
    bench = Bench(auto_persist=False)
    acts = bench.append(2, 1, [1, 1])
    bench.restart()
    assert acts.sent(messages.AppendEntriesResponse) == []
    assert bench.status.last_log_index == 1


def test_a_vote_that_was_not_durable_may_be_given_to_another() -> None:
    """The other side of trap 1: it was never sent either."""
    bench = Bench(auto_persist=False)
    vote = messages.RequestVote(term=Term(2), last_log_index=Index(1), last_log_term=Term(1))
    acts = bench.hear(2, vote)
    assert acts.sent(messages.RequestVoteResponse) == []
    bench.restart()
    bench.auto_persist = True
    assert bench.hear(3, vote).sent(messages.RequestVoteResponse, 3)[0].vote_granted


def test_an_uncommitted_suffix_of_the_own_disk_is_sent_as_log_and_not_as_committed() -> None:
    """Thesis 3.6.2: after a restart of the whole cluster the new leader commits it with its own entry only."""
    bench = Bench(log=[1, 1, 1])
    acts = bench.win()
    assert {m.leader_commit for m in acts.sent(messages.AppendEntries)} == {1}
    bench.ack(2)
    assert bench.status.commit_index == 5


def test_a_peers_newer_boot_may_have_lost_its_tail() -> None:
    """Contract 8: "`match_index` never decreases in a term, but when a newer boot of the peer shows that it lost its tail"."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(3)
    assert bench.status.peers[3].match_index == 3
    answer = messages.AppendEntriesResponse(
        term=Term(2),
        success=False,
        prev_log_index=Index(3),
        conflict_index=Index(2),
    )
    acts = bench.hear(3, answer, source_boot=2)
    for _ in range(5):
        more = bench.pass_us(HEARTBEAT)
        acts += more
        for sent in more.sent(messages.Heartbeat, 2)[-1:]:
            acts += bench.beat_ack(2, sent.round)
        for beat in more.sent(messages.Heartbeat, 3)[-1:]:
            reply = messages.HeartbeatResponse(term=Term(2), round=beat.round, last_log_index=Index(1))
            acts += bench.hear(3, reply, source_boot=2)
            acts += bench.hear(3, answer, source_boot=2)
    assert any(m.prev_log_index == 1 and m.entries for m in acts.sent(messages.AppendEntries, 3))


HEARTBEAT = 100_000


def test_a_lost_tail_of_one_member_is_repaired_by_the_others() -> None:
    """Contract 9, the whole way: it follows, takes the entries of a later term, votes again."""
    bench = Bench(lost_tail=LostTail(last_index=Index(4), term=Term(1)))
    bench.append(2, 1, [entry(1, 5), entry(1, 6), entry(1, 7), entry(2, 8)], term=2, commit=5)
    vote = messages.RequestVote(term=Term(3), last_log_index=Index(5), last_log_term=Term(2))
    bench.now_us += ELECTION_MAX_US
    assert bench.hear(3, vote).sent(messages.RequestVoteResponse, 3)[0].vote_granted
