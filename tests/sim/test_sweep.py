"""A short sweep: ordinary seeds, every fault, every check. Long sweeps are for the night."""

import pytest

from ferrite.sim import Cluster, swarm


@pytest.mark.parametrize("seed", range(16))
def test_a_seed_of_the_swarm_is_clean(seed: int) -> None:
    result = Cluster(seed, swarm(seed, seconds=6)).run()
    assert result.violation is None, result.violation
    assert result.operations_ok > 0
