"""A client for the length of one command; what goes wrong becomes one line and an exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from ferrite.io.cli.ctl.exit_codes import CtlExit, failed
from ferrite.io.cli.ctl.settings import Settings, settings_of

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, FerriteError

Work = Callable[["AsyncClient", Settings], Awaitable[None]]


def make_client(settings: Settings, endpoints: tuple[str, ...] | None = None) -> AsyncClient:
    """A client as the options say; the one place where commands get theirs."""
    from ferrite.io.client import AsyncClient

    return AsyncClient(
        endpoints or settings.endpoints,
        protocol=settings.protocol,  # type: ignore[arg-type]  # one of its three: click checked it
        timeout_s=settings.command_timeout_s,
        connect_timeout_s=settings.dial_timeout_s,
    )


def with_client(context: click.Context, work: Work) -> None:
    """Run `work` with a client. Raises ClickException."""
    settings = settings_of(context)

    async def connected() -> None:
        async with make_client(settings) as client:
            await work(client, settings)

    run(connected)


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine; SIGINT and SIGTERM cancel it, so that locks and leases are given back. Raises ClickException."""
    from ferrite.io.client import FerriteError

    try:
        asyncio.run(_until_interrupted(work))
    except FerriteError as error:
        raise as_click(error) from None
    except asyncio.CancelledError:
        raise failed("interrupted", CtlExit.UNHEALTHY) from None


async def _until_interrupted(work: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.current_task()
    assert task is not None, "we run in one"
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        await work()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def no_lease(lease_id: int) -> click.ClickException:
    """In the digits that were typed; the server's own message has decimal ones."""
    return failed(f"lease_not_found: there is no lease {lease_id:016x} (any more)")


def as_click(error: FerriteError) -> click.ClickException:
    """One line, and the exit code: what certainly had no effect for want of a node is CONNECTION."""
    from ferrite.io.client import InvalidArgument, Unavailable, UnknownOutcome

    hint = _HINTS.get(error.code, "")
    if isinstance(error, UnknownOutcome) and not hint:
        hint = "it may have happened: read before you repeat it"
    message = " ".join(str(error).split()) + (f" ({hint})" if hint else "")
    if isinstance(error, Unavailable):
        return failed(message, CtlExit.CONNECTION)
    if isinstance(error, InvalidArgument):
        return failed(message, CtlExit.INPUT)
    return failed(message)


_HINTS = {
    "unreachable": "is the node running, and are --endpoints right?",
    "not_initialized": "make it a cluster first: POST /init on one node",
    "no_space": "delete keys and run ferritectl compact; reads and deletes go on",
    "no_leader": "see ferritectl endpoint status --cluster",
}
