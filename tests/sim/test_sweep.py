"""A short sweep: ordinary seeds, every fault, every check. Long sweeps are for the night."""

from dataclasses import replace

import pytest

from ferrite.sim import Cluster, swarm


@pytest.mark.parametrize("seed", range(16))
def test_a_seed_of_the_swarm_is_clean(seed: int) -> None:
    result = Cluster(seed, swarm(seed)).run()
    assert result.violation is None, result.violation
    assert result.operations > 0


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_short_seed_is_clean_with_all_checks_after_every_step(seed: int) -> None:
    options = replace(swarm(seed, seconds=2), deep_check_every=1, state_hash_every=1)
    result = Cluster(seed, options).run()
    assert result.violation is None, result.violation
