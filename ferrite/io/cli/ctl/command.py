"""How every command is declared: click's, with the global options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ferrite.io.cli.ctl.settings import global_options


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command`, and the global options after the name too."""

    def declare(function: Callable[..., Any]) -> click.Command:
        make: Callable[[Callable[..., Any]], click.Command] = click.command(name, **attributes)
        return make(global_options(root=False)(function))

    return declare


def group(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Group]:
    """`click.group`, likewise."""

    def declare(function: Callable[..., Any]) -> click.Group:
        make: Callable[[Callable[..., Any]], click.Group] = click.group(name, **attributes)
        return make(global_options(root=False)(function))

    return declare


class ExecCommand(click.Command):
    """A command whose words may end with `-- PROGRAM ARGUMENT...`: its words keep the `--`, which click would swallow."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args = [*args[:at], "--", *args[at:]]
            return super().parse_args(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = f"{error.message.rstrip('.')}; if it belongs to a program, put -- before that program"
            raise click.UsageError(hint, ctx) from error


def split_program(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands before the `--`, and the program after it."""
    if "--" not in words:
        return words, ()
    at = words.index("--")
    return words[:at], words[at + 1 :]
