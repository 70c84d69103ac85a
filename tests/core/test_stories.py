"""Bugs that the simulator found in the core, each as its shortest story; the seeds are in the docstrings."""

from ferrite.core import NodeId, actions, messages
from tests.core.bench import Bench
from tests.core.bench_values import HEARTBEAT_US
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
