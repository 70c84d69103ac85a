"""lock and elect: held by this process, given back when it ends."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from ferrite.io.cli.ctl.child import run_program
from ferrite.io.cli.ctl.command import ExecCommand, command, split_program
from ferrite.io.cli.ctl.exit_codes import CtlExit, failed, wrong_input
from ferrite.io.cli.ctl.header import Header, ask_header
from ferrite.io.cli.ctl.kv_forms import range_forms
from ferrite.io.cli.ctl.output import Forms, refuse_table, show
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.words import data

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, KeyValue, Lock, Office


@command("lock", cls=ExecCommand, short_help="Hold a lock, alone or while a program runs.")
@click.argument("words", nargs=-1, metavar="NAME [-- PROGRAM ARGUMENT...]")
@click.option(
    "--ttl", default=10, type=click.IntRange(min=1), help="Seconds until a holder that died loses it."
)
@click.pass_context
def lock(context: click.Context, words: tuple[str, ...], *, ttl: int) -> None:
    """Wait for a lock and hold it: until interrupted, or while PROGRAM runs (and exit with its code).

    Prints the lock's key and its fencing token, or gives them to PROGRAM as FERRITE_LOCK_KEY and FERRITE_LOCK_TOKEN. Tokens grow
    from holder to holder: let what the lock protects refuse smaller ones. A PROGRAM that outlives the lock is ended.
    """
    refuse_table(settings_of(context), "lock")
    name, program = _name_and_program(words)

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        async with client.lock(name, ttl_s=ttl) as held:
            if program:
                await _run_under(held, program)
            else:
                show(settings, _held_forms(settings, header, held, b""))
                await _hold(held)

    with_client(context, work)


@command("elect", short_help="Lead an election, or listen to who does.")
@click.argument("words", nargs=-1, metavar="ELECTION [PROPOSAL]")
@click.option("-l", "--listen", is_flag=True, help="Only tell who leads, now and from now on.")
@click.pass_context
def elect(context: click.Context, words: tuple[str, ...], *, listen: bool) -> None:
    """Campaign with PROPOSAL, then lead until interrupted; prints the leader's key, proposal and fencing token."""
    refuse_table(settings_of(context), "elect")
    if listen and len(words) != 1:
        raise wrong_input(f"elect -l takes the election's name alone; {len(words)} words given")
    if not listen and len(words) != 2:
        raise wrong_input("elect takes the election's name and a proposal; to listen only, add -l")
    name = data(words[0])

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        if listen:
            async for leader in client.observe(name):
                show(settings, _leader_forms(settings, header, leader))
            return
        proposal = data(words[1])
        async with client.elect(name, proposal) as office:
            show(settings, _held_forms(settings, header, office, proposal))
            await _hold(office)

    with_client(context, work)


def _name_and_program(words: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
    """As etcdctl, a program without options may stand without the `--`."""
    before, program = split_program(words)
    if not before or not before[0]:
        raise wrong_input("lock takes a name, and a program after --")
    if program and len(before) > 1:
        raise wrong_input(f"lock takes one name before --; {len(before)} words given")
    return data(before[0]), program or before[1:]


async def _hold(held: Lock | Office) -> None:
    """Until interrupted, which is the way to end it. Raises ClickException when it is lost."""
    try:
        await held.lost.wait()
    except asyncio.CancelledError:
        return
    raise _lost(held)


async def _run_under(held: Lock, program: tuple[str, ...]) -> None:
    environment = {"FERRITE_LOCK_KEY": os.fsdecode(held.key), "FERRITE_LOCK_TOKEN": str(held.token)}
    running = asyncio.ensure_future(run_program(program, environment))
    lost = asyncio.ensure_future(held.lost.wait())
    try:
        await asyncio.wait({running, lost}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        was_running = not running.done()
        running.cancel()
        lost.cancel()
        await asyncio.wait({running, lost})
    if was_running:
        raise _lost(held)
    code = running.result()
    if code:
        raise failed(f"{program[0]} ended with code {code}", code)


def _lost(held: Lock | Office) -> click.ClickException:
    return failed(
        f"{os.fsdecode(held.key)!r} was lost: its lease ended, somebody else may hold it now",
        CtlExit.UNHEALTHY,
    )


def _held_forms(settings: Settings, header: Header, held: Lock | Office, value: bytes) -> Forms:
    from ferrite.io.client import KeyValue

    kv = KeyValue(
        key=held.key,
        value=value,
        create_revision=held.token,
        mod_revision=held.token,
        version=1,
        lease=held.lease.lease_id,
    )
    forms = _leader_forms(settings, header, kv)
    return Forms(
        simple=lambda: [*forms.simple(), f"token {held.token}"],
        fields=lambda: [*forms.fields(), ("Token", held.token)],
        json=lambda: {**_as_dict(forms.json()), "token": held.token},
    )


def _leader_forms(settings: Settings, header: Header, kv: KeyValue) -> Forms:
    from ferrite.io.client import RangeAnswer

    answer = RangeAnswer(revision=kv.mod_revision, kvs=(kv,), count=1)
    return range_forms(settings, header, answer)


def _as_dict(value: object) -> dict[str, Any]:
    assert isinstance(value, dict), "a range's JSON is an object"
    return value
