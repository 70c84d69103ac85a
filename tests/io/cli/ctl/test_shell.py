"""The program as a whole: help, version, completion, and how much it loads for them."""

import subprocess
import sys

import click
import pytest

from ferrite import __version__
from ferrite.io.cli.ctl.group import COMMANDS, ferritectl
from tests.io.cli.ctl.conftest import Ctl


def test_help_lists_every_command_and_the_exit_codes(run_ctl: Ctl) -> None:
    ran = run_ctl("--help")
    assert ran.code == 0
    assert all(f"\n  {name} " in ran.text for name in COMMANDS)
    assert "5 unhealthy or interrupted" in ran.text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(run_ctl: Ctl, name: str) -> None:
    ran = run_ctl(name, "--help")
    assert ran.code == 0
    assert ran.text.startswith(f"Usage: ferritectl {name} ")
    command = ferritectl.get_command(click.Context(ferritectl), name)
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        assert inner.help
        assert run_ctl(name, str(inner.name), "-h").code == 0


def test_help_loads_no_library_that_it_does_not_need() -> None:
    code = (
        "import sys; from ferrite.io.cli.ctl import main; main(['--help']);"
        "print([name for name in ('asyncio', 'grpc', 'aiohttp', 'rich', 'msgpack', 'ferrite.io.client') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_version_is_the_distributions(run_ctl: Ctl) -> None:
    assert run_ctl("version").text.splitlines()[0] == f"ferritectl version: {__version__}"
    assert run_ctl("version", "-w", "json").text == f'{{"version":"{__version__}"}}\n'


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_ferritectl_itself(run_ctl: Ctl, shell: str) -> None:
    ran = run_ctl("completion", shell)
    assert ran.code == 0
    assert f"_FERRITECTL_COMPLETE={shell}_complete" in ran.text


def test_bash_takes_the_completion_script(run_ctl: Ctl) -> None:
    script = run_ctl("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, check=True)


@pytest.mark.parametrize(
    "words, completed",
    [
        ("ferritectl le", {"lease", "leader"}),
        ("ferritectl lease re", {"revoke"}),
        ("ferritectl get --pre", {"--prefix"}),
        ("ferritectl get --order ", {"ascend", "descend"}),
    ],
)
def test_completion_knows_commands_options_and_choices(words: str, completed: set[str]) -> None:
    from click.shell_completion import BashComplete

    completion = BashComplete(ferritectl, {}, "ferritectl", "_FERRITECTL_COMPLETE")
    _, *before, incomplete = words.split(" ")
    assert {item.value for item in completion.get_completions(before, incomplete)} == completed
