import json

import pytest

from ferrite.sim import NetworkOptions, swarm
from ferrite.sim.cli import main
from ferrite.sim.cli.meanings import field_docstrings
from ferrite.sim.search.settings import flatten


def test_every_option_is_shown_with_its_value_and_a_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--seed", "3"]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [(key, value) for key, value, _ in rows] == [(key, str(v)) for key, v in flatten(swarm(3))]
    shown = {key: meaning.strip() for key, _, meaning in rows}
    assert shown["network.flip_ppm"] == field_docstrings(NetworkOptions)["flip_ppm"]
    assert "CRC" in shown["network.flip_ppm"]
    assert shown["network.slow_mean_us"] == "slow mean, in microseconds"


def test_the_json_form_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--seed", "3", "--nodes", "5", "--set", "clients.keys=9", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["seed"] == 3
    assert (shown["options"]["nodes"], shown["options"]["clients.keys"]) == (5, 9)
    assert len(shown["options_hash"]) == 12
