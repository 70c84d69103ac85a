import pytest

from ferrite.sim import FaultOptions, NetworkOptions, Options, swarm


def test_every_wrong_option_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"nodes is 0.*loss_ppm is 2000000.*crash_every_us is -1"):
        Options(nodes=0, network=NetworkOptions(loss_ppm=2_000_000), faults=FaultOptions(crash_every_us=-1))


def test_a_seed_always_draws_the_same_options_and_seeds_differ() -> None:
    assert swarm(5) == swarm(5)
    assert len({repr(swarm(seed)) for seed in range(20)}) == 20


def test_each_fault_is_off_in_some_seeds_and_on_in_others() -> None:
    drawn = [swarm(seed) for seed in range(60)]
    for name in ("crash_every_us", "pause_every_us", "partition_every_us", "membership_every_us"):
        assert {bool(getattr(options.faults, name)) for options in drawn} == {True, False}
