"""Bugs that the simulator found in the core, each as its shortest story; the seeds are in the docstrings."""

from ferrite.core import (
    ChangeVoters,
    HardState,
    Identity,
    Index,
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
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import CLUSTER, HEARTBEAT_US, instance_of, member
from tests.core.thesis.test_snapshots import leader, received, sending


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
