"""Parameters that several commands share: seeds, and what is said about a run beside its seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ferrite.sim.bounds import NODES_MAX, SECONDS_MAX
from ferrite.sim.search.settings import RunChoice, SettingInvalid, parse_setting
from ferrite.sim.search.workers import WORKERS_MAX
from ferrite.sim.swarm import SECONDS

SEED_MAX: Final = 2**63 - 1
SEEDS_MAX: Final = 10_000_000
"""Seeds of one sweep: each leaves its digest in memory. More belong into shards."""

_F = TypeVar("_F", bound=Callable[..., object])


class Number(click.IntRange):
    """A whole number within bounds; one sentence says both what came and what was expected."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse with the bounds."""
        try:
            number = int(value)
        except ValueError:
            number = None
        low, high = self.min, self.max
        if number is None or (low is not None and number < low) or (high is not None and number > high):
            self.fail(f"{str(value)!r} is not a whole number from {low} to {high}", param, ctx)
        return number


class SeedRange(click.ParamType[range]):
    """`A..B` with both ends, or one seed."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        """Text to range."""
        if isinstance(value, range):
            return value
        first, dots, last = str(value).partition("..")
        try:
            low, high = int(first), int(last if dots else first)
        except ValueError:
            self.fail(f"{value!r} is no range of seeds; expected A..B such as 1..1000", param, ctx)
        if not 0 <= low <= high <= SEED_MAX:
            self.fail(f"{value!r} is out of range; expected 0 <= A <= B <= {SEED_MAX}", param, ctx)
        if high - low >= SEEDS_MAX:
            self.fail(f"{value!r} are {high - low + 1} seeds; at most {SEEDS_MAX} in one sweep", param, ctx)
        return range(low, high + 1)


class SettingType(click.ParamType[tuple[str, str]]):
    """`key=value`."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Text to pair; whether the key exists is known when a seed's options are made."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_setting(str(value))
        except SettingInvalid as error:
            self.fail(str(error), param, ctx)


class OutputFile(click.Path):
    """A file that can be written, `-` for standard output: checked before the work, whose result would be lost otherwise."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=True)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Refuse a name in a folder that is not there or not ours to write in."""
        name = os.fsdecode(super().convert(value, param, ctx))
        folder = os.path.dirname(os.path.abspath(name))
        if name != "-" and not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"{name!r} cannot be written: there is no folder {folder} to write in", param, ctx)
        return name


def seed_option(command: _F) -> _F:
    """`--seed N`, required."""
    return click.option(
        "--seed",
        type=Number(0, SEED_MAX),
        required=True,
        metavar="N",
        help="Everything random comes from it.",
    )(command)


def jobs_option(command: _F) -> _F:
    """`-j N`."""
    return click.option(
        "-j",
        "--jobs",
        type=Number(1, WORKERS_MAX),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes of this machine.",
    )(command)


def json_option(command: _F) -> _F:
    """`--json FILE`."""
    return click.option(
        "--json",
        "json_file",
        type=OutputFile(),
        metavar="FILE",
        help="Write everything as JSON (- for standard output, instead of the text).",
    )(command)


def choice_options(command: _F) -> _F:
    """`--nodes`, `--seconds`, `--set`: what `choice_of` turns into a RunChoice."""
    for option in (
        click.option(
            "--set",
            "settings",
            type=SettingType(),
            multiple=True,
            metavar="KEY=VALUE",
            help="Set any option of the run (`ferrite-sim options` lists them); may be repeated.",
        ),
        click.option(
            "--seconds",
            type=Number(1, SECONDS_MAX),
            default=SECONDS,
            show_default=True,
            metavar="S",
            help="Simulated seconds with faults; healing and converging come on top.",
        ),
        click.option(
            "--nodes",
            type=Number(0, NODES_MAX),
            default=0,
            metavar="N",
            help="Voters at the start.  [default: 0, the seed draws 3 or 5]",
        ),
    ):
        command = option(command)
    return command


def choice_of(nodes: int, seconds: int, settings: tuple[tuple[str, str], ...], *, seed: int) -> RunChoice:
    """The checked choice: refused at once when the options of `seed` cannot be made with it."""
    choice = RunChoice(nodes=nodes, seconds=seconds, settings=settings)
    try:
        choice.options(seed)
    except SettingInvalid as error:
        raise click.BadParameter(str(error), param_hint="'--set'", ctx=click.get_current_context()) from error
    return choice
