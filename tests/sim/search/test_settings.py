import pytest

from ferrite.sim import Options, swarm
from ferrite.sim.search.settings import (
    RunChoice,
    SettingInvalid,
    apply_settings,
    flatten,
    options_hash,
    parse_setting,
)


def test_a_setting_changes_its_option_and_nothing_else() -> None:
    before, after = Options(), apply_settings(Options(), (("network.loss_ppm", "7"),))
    changed = {
        key for (key, old), (_, new) in zip(flatten(before), flatten(after), strict=True) if old != new
    }
    assert changed == {"network.loss_ppm"}
    assert after.network.loss_ppm == 7


def test_settings_that_need_each_other_are_judged_together_and_the_last_word_wins() -> None:
    settings = (("nodes", "9"), ("spares", "8"), ("replica.auto_flush", "false"), ("nodes", "1"))
    made = apply_settings(Options(spares=2), settings)
    assert (made.nodes, made.spares, made.replica.auto_flush) == (1, 8, False)


@pytest.mark.parametrize(
    "key, text, message",
    [
        ("loss_ppm", "1", "unknown option 'loss_ppm'; did you mean network.loss_ppm?"),
        ("netwrk.loss_ppm", "1", "did you mean network.loss_ppm"),
        ("qqqq", "1", "ferrite-sim options"),
        ("network.loss_ppm", "x", "expected a whole number such as 0"),
        ("network.loss_ppm", "1000001", "loss_ppm is 1000001; expected 0 to 1000000"),
        ("replica.auto_flush", "1", "expected true or false"),
        ("replica.priorities", "1", "cannot be set on the command line"),
        ("spares", "9", "spares is 9"),
    ],
)
def test_a_bad_setting_is_refused_with_what_was_expected(key: str, text: str, message: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        apply_settings(Options(), ((key, text),))
    assert message in str(refused.value)


@pytest.mark.parametrize("text", ["", "nodes", "=3"])
def test_text_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid, match="expected KEY=VALUE"):
        parse_setting(text)


def test_the_replay_command_says_all_that_was_chosen() -> None:
    choice = RunChoice(nodes=5, seconds=7, settings=(("network.loss_ppm", "7"), ("clients.keys", "2")))
    assert choice.replay_command(11) == (
        "ferrite-sim run --seed 11 --nodes 5 --seconds 7 --set network.loss_ppm=7 --set clients.keys=2"
    )


def test_equal_options_have_equal_hashes() -> None:
    assert options_hash(swarm(1)) == options_hash(swarm(1))
    assert options_hash(swarm(1)) != options_hash(swarm(2))
