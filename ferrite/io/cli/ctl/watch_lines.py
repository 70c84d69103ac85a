"""watch -i: lines of standard input start watches, all printed as they come."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ferrite.io.cli.ctl.command import split_program
from ferrite.io.cli.ctl.exit_codes import wrong_input
from ferrite.io.cli.ctl.header import Header, ask_header, present_revision
from ferrite.io.cli.ctl.output import write_lines
from ferrite.io.cli.ctl.settings import Settings
from ferrite.io.cli.ctl.txn_text import split_words
from ferrite.io.cli.ctl.watch import follow, watch_options

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, Watch

Line = tuple[dict[str, Any], tuple[str, ...]]
"""A watch's options, and the program for its events."""


async def watch_lines(client: AsyncClient, settings: Settings) -> None:
    """Until the input ends (which ends the watches too) or a watch does. Raises ClickException."""
    header = await ask_header(client, settings)
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    _read_lines(lines)
    watches: list[Watch] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_serve(client, settings, header, lines, watches, group))
    except ExceptionGroup as found:
        raise found.exceptions[0] from None  # The first ends all others.
    finally:
        for watch in watches:
            await watch.close()


async def _serve(
    client: AsyncClient,
    settings: Settings,
    header: Header,
    lines: asyncio.Queue[bytes],
    watches: list[Watch],
    group: asyncio.TaskGroup,
) -> None:
    while raw := await lines.get():
        text = raw.decode("utf-8", "surrogateescape").strip()
        if text == "progress":
            reached = min((watch.revision for watch in watches), default=0)
            write_lines([f"progress notify: {reached}"])
        elif text:
            try:
                options, program = parse_line(text)
            except click.ClickException as error:
                click.echo(error.format_message(), err=True)
                continue
            if not options["start_revision"]:
                # From a revision we know, so that `progress` can tell how far the watch is before the first change.
                options["start_revision"] = await present_revision(client) + 1
            watch = await client.watch(**options, progress=True).__aenter__()
            watches.append(watch)
            group.create_task(follow(watch, settings, header, program))
    raise wrong_input("the input ended, and the watches with it")


def parse_line(text: str) -> Line:
    """Raises ClickException."""
    words = tuple(word.decode("utf-8", "surrogateescape") for word in split_words(text))
    if words[0] != "watch":
        raise wrong_input(f"{words[0]}: no such request; expected watch or progress")
    before, program = split_program(words[1:])
    context = _PARSER.make_context("watch", list(before))
    return watch_options(**context.params), program


def _read_lines(lines: asyncio.Queue[bytes]) -> None:
    """A thread that dies with the process: nothing can wake it from a read of a terminal."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with suppress(RuntimeError):  # The loop is closed: the command has ended, nobody waits for lines.
            for line in iter(sys.stdin.buffer.readline, b""):
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, name="standard input", daemon=True).start()


_PARSER = click.Command(
    "watch",
    params=[
        click.Argument(["words"], nargs=-1),
        click.Option(["--prefix"], is_flag=True),
        click.Option(["--from-key"], is_flag=True),
        click.Option(["--rev"], default=0, type=click.IntRange(min=0)),
        click.Option(["--prev-kv"], is_flag=True),
    ],
    add_help_option=False,
)
