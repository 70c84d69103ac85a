"""Bugs that the simulator found in the core, each as its shortest story; the seeds are in the docstrings."""

from ferrite.core import actions
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
