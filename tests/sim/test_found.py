"""Bugs that seeds found in Ferrite itself. Seeds mean other runs whenever the dice change, so each bug is planted again in
`tests/sim/mutants`, with a story that catches it; the sentence says what it was.
"""

import pytest

from ferrite.core import HardState, Identity, Index, NodeId, Term, actions
from ferrite.core.disk import LogStore
from ferrite.sim.dice import Dice
from ferrite.sim.disk import PowerLost, SimDisk
from tests.sim.mutants import BY_NUMBER
from tests.sim.test_mutant_scenarios import CAUGHT

FOUND = {
    36: "the answer of a restarted follower to an old leader's heartbeat passed for the loss of its tail",
    37: "a leader without cache ordered a load of entries whose Persist came after it in the same step",
    38: "a paused leader woke behind its quorum's and its request's deadline and answered the change twice",
    39: "power lost while the mark file was created left it short and zero, and the node refused to start for ever",
}


@pytest.mark.parametrize("number", sorted(FOUND))
def test_a_bug_that_was_found_is_planted_again_and_has_its_story(number: int) -> None:
    assert BY_NUMBER[number].number in CAUGHT, FOUND[number]


def test_power_lost_at_any_point_of_the_very_first_write_leaves_a_log_that_opens() -> None:
    """The story of 39: nothing was acknowledged, so nothing may be missing."""
    identity = Identity(node_id=NodeId(1), instance=bytes(15) + b"\x01", boot=1)
    first = actions.Persist(
        write_seq=1, first_index=Index(1), hard_state=HardState(cluster_id=b"c" * 16, term=Term(1))
    )
    for seed in range(60):
        disk = SimDisk(Dice(seed).stream("disk"))
        log, _ = LogStore.open(disk, identity)
        disk.lose_power_after(seed % 12)
        try:
            log.append([first])
            log.sync()
        except PowerLost:
            pass
        disk.power_loss()
        _, recovered = LogStore.open(disk, identity)
        assert recovered.last_write_seq in (0, 1)
