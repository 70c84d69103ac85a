"""Every seed that found a bug stays here, with the story in one sentence."""

import pytest

from ferrite.core import Identity, NodeId
from ferrite.core.disk import LogStore
from ferrite.sim import Cluster, swarm
from ferrite.sim.dice import Dice
from ferrite.sim.disk import PowerLost, SimDisk

FOUND = {
    7: "a leader without cache ordered a load of entries whose Persist came after it in the same step",
    54: "the same on another way",
    90: "a paused leader woke behind its quorum's and its request's deadline and answered the change twice",
    515: "the same while a read was pending",
    214: "power lost while the mark file was created left it short and zero, and the node refused to start for ever",
    674: "the answer of a restarted follower to an old leader's heartbeat passed for the loss of its tail",
}


@pytest.mark.parametrize("seed", sorted(FOUND))
def test_a_seed_that_found_a_bug_is_clean_now(seed: int) -> None:
    violation = Cluster(seed, swarm(seed, seconds=10)).run().violation
    assert violation is None, f"{FOUND[seed]}: {violation}"


def test_power_lost_at_any_point_of_the_very_first_write_leaves_a_log_that_opens() -> None:
    """The story of seed 214: nothing was acknowledged, so nothing may be missing."""
    from ferrite.core import HardState, Index, Term, actions

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
