"""Global options: before the command, after it, in the environment."""

import pytest

from ferrite.io.cli.ctl.settings import parse_duration_s
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient


@pytest.mark.parametrize(
    "text, seconds",
    [("5s", 5), ("1m30s", 90), ("500ms", 0.5), ("2", 2), ("0.25", 0.25), ("1.5s", 1.5), ("100us", 1e-4)],
)
def test_durations_are_gos_or_plain_seconds(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5x", "5s x", "-1s", "0", "0s", "11m", "nan", "inf", "1s-"])
def test_what_is_no_duration_or_not_allowed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_duration_s(text)


def test_defaults_find_a_node_on_this_machine(run_ctl: Ctl, fake: FakeClient) -> None:
    assert run_ctl("get", "k").code == 0
    assert fake.settings is not None
    assert fake.settings.endpoints == ("127.0.0.1:8001",)
    assert (fake.settings.dial_timeout_s, fake.settings.command_timeout_s) == (2, 5)
    assert (fake.settings.write_out, fake.settings.hex, fake.settings.protocol) == ("simple", False, "auto")


@pytest.mark.parametrize("after", [False, True])
def test_global_options_stand_before_or_after_the_command(
    run_ctl: Ctl, fake: FakeClient, after: bool
) -> None:
    words = [
        "--endpoints",
        "a:1, b:2",
        "--dial-timeout",
        "1s",
        "--command-timeout",
        "3s",
        "-w",
        "json",
        "--hex",
    ]
    words += ["--protocol", "http"]
    assert run_ctl(*(["get", "k", *words] if after else [*words, "get", "k"])).code == 0
    assert fake.settings is not None
    assert fake.settings.endpoints == ("a:1", "b:2")
    assert (fake.settings.dial_timeout_s, fake.settings.command_timeout_s) == (1, 3)
    assert (fake.settings.write_out, fake.settings.hex, fake.settings.protocol) == ("json", True, "http")


def test_the_option_nearest_to_the_arguments_wins_and_the_environment_comes_last(
    run_ctl: Ctl, fake: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERRITECTL_ENDPOINTS", "environment:1")
    monkeypatch.setenv("FERRITECTL_WRITE_OUT", "json")
    monkeypatch.setenv("FERRITECTL_HEX", "true")
    monkeypatch.setenv("FERRITECTL_COMMAND_TIMEOUT", "7s")
    monkeypatch.setenv("FERRITECTL_DIAL_TIMEOUT", "1s")
    monkeypatch.setenv("FERRITECTL_PROTOCOL", "grpc")
    run_ctl("-w", "fields", "get", "k", "-w", "simple")
    assert fake.settings is not None
    assert (fake.settings.endpoints, fake.settings.write_out) == (("environment:1",), "simple")
    assert (fake.settings.hex, fake.settings.protocol) == (True, "grpc")
    assert (fake.settings.command_timeout_s, fake.settings.dial_timeout_s) == (7, 1)
    run_ctl("--endpoints", "option:1", "lease", "timetolive", "1")
    assert fake.settings.endpoints == ("option:1",)


@pytest.mark.parametrize(
    "words, said",
    [
        (["-w", "yaml", "get", "k"], "'yaml' is not one of"),
        (["get", "k", "--endpoints", ","], "no endpoint"),
        (["get", "k", "--command-timeout", "soon"], "no duration"),
        (["get", "k", "--protocol", "udp"], "'udp' is not one of"),
        (["nosuch"], "No such command 'nosuch'"),
        (["get", "k", "--nosuch"], "No such option"),
        (["lock", "name", "sh", "-c", "true"], "put -- before that program"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_3(
    run_ctl: Ctl, fake: FakeClient, words: list[str], said: str
) -> None:
    ran = run_ctl(*words)
    assert (ran.code, ran.out) == (3, b"")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert fake.calls == []
