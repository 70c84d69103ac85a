"""playground: a throw-away cluster on this machine, and what it does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from ferrite.io.cli.ctl.command import command
from ferrite.io.cli.ctl.session import make_client
from ferrite.io.cli.ctl.settings import Settings

if TYPE_CHECKING:
    from ferrite.io.cli.ctl.playground_nodes import PlaygroundNode

NODES_MAX: Final = 9
"""A playground is looked at: more do not fit on a screen, or a small machine."""


@command("playground", short_help="A throw-away cluster on this machine.")
@click.option(
    "-n", "--nodes", "size", default=3, show_default=True, type=click.IntRange(1, NODES_MAX), help="How many nodes."
)  # fmt: skip
def playground(*, size: int) -> None:
    """Start real nodes in a temporary directory on free loopback ports, make them a cluster, and show what they do.

    Ctrl-C ends them and removes everything. The ports are 8001, 8002, ... and 9001, 9002, ... when those are free.
    """
    from ferrite.io.cli.ctl.playground_nodes import playground_nodes

    with _stops_as_interrupts():
        click.echo(f"starting {size} node{'s' if size > 1 else ''} ...")
        try:
            with playground_nodes(size) as nodes:
                asyncio.run(_show(nodes))
        except KeyboardInterrupt:
            click.echo("\nended; everything is removed")


async def _show(nodes: list[PlaygroundNode]) -> None:
    from ferrite.io.cli.ctl.playground_view import show_playground

    endpoints = tuple(f"grpc://{node.grpc_addr}" for node in nodes)
    async with make_client(Settings(endpoints=endpoints)) as client:
        await show_playground(client, nodes)


@contextmanager
def _stops_as_interrupts() -> Iterator[None]:
    """SIGTERM and the terminal's end stop as Ctrl-C does: nothing may be left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
