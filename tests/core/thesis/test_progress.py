"""How a leader finds where a peer's log agrees and how much it sends: thesis 3.5 and 10.2.2, contract 8."""

from __future__ import annotations

from ferrite.core import NodeId, Role, actions, events, messages
from tests.core.bench import Bench
from tests.core.bench_values import HEARTBEAT_US, Acts, commands_in, entry, terms_of

Response = messages.AppendEntriesResponse


def only(acts: Acts, to: int = 2) -> messages.AppendEntriesResponse:
    answers = acts.sent(Response, to)
    assert len(answers) == 1, answers
    return answers[0]


# -- conflicts


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
    """Thesis 3.5: "one AppendEntries RPC will be required for each term with conflicting entries, rather than one RPC
    per entry"."""
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
    assert (
        not acts.sent(messages.AppendEntries, 2)
        or acts.sent(messages.AppendEntries, 2)[0].prev_log_index == 1
    )
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
    """Thesis 3.5: "when the entry has been safely replicated ... the leader applies the entry to its state machine and
    returns the result"."""
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
    assert bench.role() is Role.LEADER
