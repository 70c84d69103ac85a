import pytest

from ferrite.core import ReplicaConfig
from ferrite.sim import ClientOptions, FaultOptions, NetworkOptions, Options, swarm
from ferrite.sim.bounds import bounds
from ferrite.sim.search.settings import SettingInvalid, apply_settings, flatten


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


@pytest.mark.parametrize(
    "setting, expected",
    [
        ("replica.election_timeout_min_us=999999999", "election timeouts are a range"),
        ("replica.heartbeat_interval_us=1500000", "heartbeats are faster than elections"),
        ("replica.append_entries_max=0", "replica.append_entries_max is 0; expected 1 to"),
        ("clients.value_bytes=99999999999", "clients.value_bytes is 99999999999; expected 0 to 65536"),
        ("network.delay_mean_us=99999999999999999999999", "expected 0 to 3600000000"),
        ("clients.keys=0", "clients.keys is 0; expected 1 to"),
        ("network.codec_every=0", "network.codec_every is 0; expected 1 to"),
        ("events_max=0", "events_max is 0; expected 1 to"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_bounds(setting: str, expected: str) -> None:
    key, _, text = setting.partition("=")
    with pytest.raises(SettingInvalid) as refused:
        apply_settings(Options(), ((key, text),))
    assert expected in str(refused.value)


def test_every_number_is_refused_on_either_side_of_its_bounds() -> None:
    numbers = [key for key, value in flatten(Options()) if type(value) is int]
    assert len(numbers) > 80
    for key in numbers:
        low, high = bounds(key.rpartition(".")[2])
        for text in (low - 1, high + 1):
            with pytest.raises(SettingInvalid, match=rf"{key} is {text}; expected "):
                apply_settings(Options(), ((key, str(text)),))


def test_spares_are_told_of_only_when_the_nodes_are_possible() -> None:
    with pytest.raises(ValueError, match=r"^nodes is 99; expected 1 to 9$"):
        Options(nodes=99, spares=2)
    with pytest.raises(ValueError, match="spares is 2; expected at most 1: with nodes 8 that makes 9"):
        Options(nodes=8, spares=2)


def test_the_replica_is_asked_for_its_rules() -> None:
    with pytest.raises(ValueError, match="election timeouts are a range"):
        Options(replica=ReplicaConfig(election_timeout_min_us=9_000_000))
    assert Options(clients=ClientOptions(value_bytes=0)).clients.value_bytes == 0
