"""Bugs that the simulator found in the core, each as its shortest story; the seeds are in the docstrings."""

from ferrite.core import (
    ChangeVoters,
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    LostTail,
    Membership,
    NodeId,
    Recovered,
    RecoveredLog,
    RecoveredState,
    RefusalCode,
    Replica,
    ReplicaConfig,
    StopCode,
    Term,
    actions,
    encode_membership,
    encode_payload,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import CLUSTER, ELECTION_MAX_US, HEARTBEAT_US, Acts, entry, instance_of, member
from tests.core.thesis.test_snapshots import behind, leader, received, sending


def test_a_duplicated_answer_sends_no_second_chunk() -> None:
    """Seeds 47 (three nodes) and 176 (five): each duplicate sent a chunk, each chunk an answer, ever more of them."""
    bench = leader()
    snapshot = sending(bench)
    assert [chunk.offset for chunk in received(bench, snapshot, 1000).of(actions.SendSnapshot)] == [1000]
    again = [received(bench, snapshot, offset) for offset in (1000, 0, 1000, 1000, 0)]
    assert [acts.of(actions.SendSnapshot) for acts in again] == [[], [], [], [], []]
    later = bench.pass_us(4 * HEARTBEAT_US)
    assert [chunk.offset for chunk in later.of(actions.SendSnapshot)] == [1000]


def test_a_peer_whose_disk_went_back_in_time_is_brought_up_to_date_again() -> None:
    """An older copy of a data directory, with the boot that the leader knows: it acknowledged more than it has now."""
    bench = Bench()
    bench.lead()
    bench.propose()
    bench.ack(2)
    assert bench.status.peers[NodeId(2)].match_index == 3
    late = bench.pass_us(HEARTBEAT_US).sent(messages.Heartbeat, 2)[-1]
    bench.beat_ack(2, late.round, last=3)
    assert bench.status.peers[NodeId(2)].match_index == 3
    later = bench.pass_us(HEARTBEAT_US).sent(messages.Heartbeat, 2)[-1]
    acts = bench.beat_ack(2, later.round, last=1)
    assert bench.status.peers[NodeId(2)].match_index == 0
    assert acts.sent(messages.AppendEntries, 2), "probed at once"


def test_a_voter_that_died_a_moment_ago_is_not_counted_on() -> None:
    """Removing the only other live voter right after a kill must be refused by name, not begun and stuck."""
    bench = Bench()
    bench.lead()
    bench.pass_us(HEARTBEAT_US // 2)
    request, acts = bench.change(ChangeVoters(voters=(NodeId(1), NodeId(3))), deadline_us=5 * HEARTBEAT_US)
    for _ in range(6):
        for beat in acts.sent(messages.Heartbeat, 2):
            bench.beat_ack(2, beat.round)
        acts = bench.pass_us(HEARTBEAT_US)
        if acts.answer(request):
            break
    refusal = acts.answer(request)
    assert isinstance(refusal, actions.Refuse)
    assert refusal.code is RefusalCode.WOULD_LOSE_QUORUM
    assert "[3]" in refusal.detail


def test_a_state_from_a_snapshot_does_not_excuse_a_log_that_is_gone() -> None:
    """Emptying log/ behind an installed snapshot makes the node forget its term and vote: it must not start."""
    membership = Membership(voters=(NodeId(1),), members={NodeId(1): member(1)})
    state = RecoveredState(
        applied_index=Index(10), applied_term=Term(3), membership=membership, installed_index=Index(10)
    )
    identity = Identity(node_id=NodeId(1), instance=instance_of(1), boot=2)
    for hard_state, stops in ((HardState(), True), (HardState(cluster_id=CLUSTER, term=Term(3)), False)):
        recovered = Recovered(identity=identity, log=RecoveredLog(hard_state=hard_state), state=state)
        orders = Replica(ReplicaConfig(), recovered, 0).step([], 0)
        assert [order.code for order in orders if isinstance(order, actions.Stop)] == [
            StopCode.CORRUPTION
        ] * stops


def test_a_node_that_was_removed_refuses_at_once_and_names_the_reason() -> None:
    """It would wait for a leader that never speaks to it again, and its clients with it."""
    bench = Bench(membership=Membership(voters=(NodeId(2),), members={NodeId(2): member(2)}))
    for request, acts in (bench.propose(), bench.read()):
        answer = acts.answer(request)
        assert isinstance(answer, actions.Refuse)
        assert answer.code is RefusalCode.NOT_LEADER
        assert "removed" in answer.detail


def test_a_heartbeat_commits_nothing_that_no_append_of_this_boot_has_proved() -> None:
    """A lost truncation brings overwritten entries back; the leader still counts what was acknowledged before the crash."""
    lost = LostTail(last_index=Index(5), term=Term(3))
    bench = Bench(log=[2, 2, 2, 2], term=3, lost_tail=lost)
    bench.beat(2, commit=5)
    assert bench.status.commit_index == 1
    bench.append(2, 1, [3, 3, 3, 3], prev_term=1)
    bench.beat(2, commit=5)
    assert bench.status.commit_index == 5
    assert bench.status.last_log_term == 3


def test_a_change_is_judged_by_the_membership_it_meets() -> None:
    """Accepted in a predecessor's joint state, begun after that removed the voter it names."""
    joint = Membership(
        voters=(NodeId(1), NodeId(2), NodeId(4)),
        outgoing=(NodeId(1), NodeId(2), NodeId(3)),
        members={NodeId(node): member(node) for node in (1, 2, 3, 4)},
    )
    bench = Bench(membership=joint)
    bench.lead()
    request, acts = bench.change(ChangeVoters(voters=(NodeId(1), NodeId(2), NodeId(3))))
    for _ in range(4):
        for peer in (2, 3, 4):
            acts += bench.ack(peer)
        acts += bench.pass_us(HEARTBEAT_US)
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse)
    assert answer.code is RefusalCode.UNKNOWN_MEMBER
    assert bench.status.membership.voters == (1, 2, 4)


def test_a_removed_voter_that_alone_holds_the_removal_still_campaigns() -> None:
    """Thesis 4.2.2: else one more dead node, and nobody could ever win."""
    without = Membership(
        voters=(NodeId(2), NodeId(3)),
        members={NodeId(node): member(node) for node in (2, 3)},
        retired={NodeId(1): instance_of(1)},
    )
    payload = encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(without))
    bench = Bench(log=[Entry(Term(1), payload)])
    acts = bench.pass_us(3 * ELECTION_MAX_US)
    assert acts.sent(messages.PreVote, 2)
    assert acts.sent(messages.PreVote, 3)


def heartbeat_interval(bench: Bench) -> Acts:
    """Let one pass; the others still follow."""
    acts = bench.pass_us(HEARTBEAT_US)
    for beat in acts.sent(messages.Heartbeat, 2)[-1:]:
        acts += bench.beat_ack(2, beat.round)
    return acts


def test_a_snapshot_that_the_receiver_refused_is_sent_again_from_its_beginning() -> None:
    """Its answers come quickly, so none of them is overdue; it was stuck at the last chunk for ever."""
    bench = leader()
    snapshot = sending(bench)
    for offset in (1000, 2000, snapshot.size_bytes, 0):
        received(bench, snapshot, offset)
    offsets: list[int] = []
    for _ in range(40):
        for chunk in heartbeat_interval(bench).of(actions.SendSnapshot):
            acts = received(bench, snapshot, 0)
            offsets += [chunk.offset, *(again.offset for again in acts.of(actions.SendSnapshot))]
    assert 0 in offsets


def test_a_snapshot_that_cannot_be_built_is_not_ordered_in_a_loop() -> None:
    bench = leader()
    acts = behind(bench)
    for _ in range(20):
        acts += bench.step(events.SnapshotLost(snapshot_id=b"", detail="no space"))
    assert len(acts.of(actions.SaveSnapshot)) == 1
    later = heartbeat_interval(bench) + heartbeat_interval(bench)
    assert len(later.of(actions.SaveSnapshot)) == 1


def test_the_loss_of_an_old_file_does_not_end_a_build_that_is_under_way() -> None:
    """Else a second build is ordered, and an installation takes the state store for quiet."""
    bench = leader()
    assert len(behind(bench).of(actions.SaveSnapshot)) == 1
    acts = bench.step(events.SnapshotLost(snapshot_id=b"an-old-one-16-by", detail="EIO"))
    for _ in range(3):
        acts += heartbeat_interval(bench)
    assert acts.of(actions.SaveSnapshot) == []


def test_payloads_do_not_pile_up_while_the_state_store_stalls() -> None:
    bench = Bench(node=2, auto_apply=False, cache_bytes_max=1 << 20)
    bench.follow(1, term=2)
    prev = 1
    for _ in range(60):
        bench.append(
            1, prev, [entry(2, prev + at, size=1000) for at in range(100)], commit=prev + 100, term=2
        )
        prev += 100
        if bench.applying:
            bench.stall()
        bench.pass_us(30_000)
    assert bench.status.applied_index == 1
    assert bench.replica._raft.log.cached_from > prev - 3000, "about two bounds of payloads are kept"


def test_a_leader_whose_followers_do_not_acknowledge_takes_only_so_many_bytes() -> None:
    """Proposals expire and free their place, but their entries stay in the log."""
    bench = Bench(pending_bytes_max=1 << 20)
    bench.lead()
    refused = 0
    for _ in range(60):
        request, acts = bench.propose(size=100_000, deadline_us=10_000)
        refused += isinstance(acts.answer(request), actions.Refuse)
        for beat in bench.pass_us(40_000).sent(messages.Heartbeat, 2)[-1:]:
            bench.beat_ack(2, beat.round)
    assert bench.status.commit_index + 16 > bench.status.last_log_index
    assert refused > 40


def test_apply_does_not_wait_behind_a_peer_that_catches_up_from_disk() -> None:
    bench = Bench(
        log=[entry(1, at, size=1000) for at in range(600)], applied=300, tail_entries=5, auto_load=False,
        append_bytes_max=10_000, apply_bytes_max=10_000,
    )  # fmt: skip
    bench.win()
    bench.ack(2)
    bench.refuse_append(3, bench.status.peers[NodeId(3)].next_index - 1, hint=2)
    held = 1
    for _ in range(30):
        for sent in bench.load().sent(messages.AppendEntries, 3):
            held = max(held, sent.prev_log_index + len(sent.entries))
        bench.ack(3, held)
    assert bench.status.applied_index > 400
    assert held > 50
