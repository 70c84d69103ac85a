"""docs/ferritectl.md says what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ferrite.io.cli.ctl.group import COMMANDS, ferritectl
from ferrite.io.cli.ctl.settings import FORMATS

PAGE = (Path(__file__).parents[4] / "docs" / "ferritectl.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## From etcdctl")[2].partition("## What differs")[0]
LINES = re.findall(r"`(ferritectl [^`]+)`", TABLE)


def parsed(words: list[str]) -> list[str]:
    """The names of the commands on the way, as click understands the words. Raises ClickException."""
    command: click.Command = ferritectl
    context = command.make_context("ferritectl", list(words))
    names = []
    while isinstance(command, click.Group):
        # What click keeps of the words for the command to come.
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        assert name is not None
        names.append(name)
        command = found
        context = command.make_context(name, rest, parent=context)
    return names


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_table_parses(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "ferritectl"
    assert parsed(words)[0] == words[0]


def test_a_line_with_a_wrong_option_would_not_parse() -> None:
    with pytest.raises(click.UsageError):
        parsed(["get", "k", "--nosuch"])


def test_the_table_has_every_command_of_ferritectl() -> None:
    shown = {tuple(parsed(shlex.split(line)[1:])) for line in LINES}
    there: set[tuple[str, ...]] = set()
    for name in COMMANDS:
        command = ferritectl.get_command(click.Context(ferritectl), name)
        if isinstance(command, click.Group):
            there |= {(name, inner) for inner in command.commands}
        else:
            there.add((name,))
    # Aliases that etcdctl has not, and what only Ferrite has.
    ours = {("compact",), ("playground",), ("backup", "status"), ("backup", "restore")}
    assert shown == there - ours


def test_every_global_option_is_documented_with_its_environment() -> None:
    for option in ferritectl.params:
        assert isinstance(option, click.Option)
        assert f"`{option.opts[0]}" in PAGE
        assert option.envvar is not None
        assert f"`{option.envvar}`" in PAGE
    assert all(f"`{form}`" in PAGE for form in FORMATS)
