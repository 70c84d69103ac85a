"""lease grant, revoke, timetolive, list, keep-alive."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.header import Header, ask_header, present_revision
from ferrite.io.cli.ctl.kv_forms import base64_text
from ferrite.io.cli.ctl.output import Forms, Table, refuse_table, show, write_lines
from ferrite.io.cli.ctl.quoting import quoted
from ferrite.io.cli.ctl.session import no_lease, with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.words import lease_id, number

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, LeaseTimeToLive

KEEP_ALIVE_PART: Final = 3
"""A lease is renewed when a third of its time is over, as etcd's client does."""


@group("lease", short_help="Leases.")
def lease() -> None:
    """Leases: keys attached to one vanish with it."""


@command("grant", short_help="Make a lease.")
@click.argument("ttl_word", metavar="TTL")
@click.pass_context
def grant(context: click.Context, ttl_word: str) -> None:
    """Make a lease that ends after TTL seconds, unless it is kept alive."""
    refuse_table(settings_of(context), "lease grant")
    ttl_s = number(ttl_word, "TTL")

    async def work(client: AsyncClient, settings: Settings) -> None:
        header, revision = await _header(client, settings)
        answer = await client.lease_grant(ttl_s)
        forms = Forms(
            simple=lambda: [f"lease {answer.lease_id:016x} granted with TTL({answer.ttl_s}s)"],
            fields=lambda: [*header.fields(revision), ("ID", answer.lease_id), ("TTL", answer.ttl_s)],
            json=lambda: {
                **header.json(revision),
                "ID": answer.lease_id,
                "TTL": answer.ttl_s,
                "Error": "",
            },
        )
        show(settings, forms)

    with_client(context, work)


@command("revoke", short_help="End a lease and delete its keys.")
@click.argument("id_word", metavar="LEASE_ID")
@click.pass_context
def revoke(context: click.Context, id_word: str) -> None:
    """End a lease; its keys vanish at one revision."""
    refuse_table(settings_of(context), "lease revoke")
    wanted = lease_id(id_word)

    async def work(client: AsyncClient, settings: Settings) -> None:
        from ferrite.io.client import LeaseNotFound

        try:
            await client.lease_revoke(wanted)
        except LeaseNotFound:
            raise no_lease(wanted) from None
        header, revision = await _header(client, settings)
        forms = Forms(
            simple=lambda: [f"lease {wanted:016x} revoked"],
            fields=lambda: header.fields(revision),
            json=lambda: {"header": header.json(revision)},
        )
        show(settings, forms)

    with_client(context, work)


@command("timetolive", short_help="How long a lease has left.")
@click.argument("id_word", metavar="LEASE_ID")
@click.option("--keys", is_flag=True, help="Also the keys attached to it.")
@click.pass_context
def timetolive(context: click.Context, id_word: str, *, keys: bool) -> None:
    """How many seconds a lease was granted and has left."""
    wanted = lease_id(id_word)

    async def work(client: AsyncClient, settings: Settings) -> None:
        header, revision = await _header(client, settings)
        answer = await client.lease_time_to_live(wanted, with_keys=keys)
        show(settings, _ttl_forms(header, revision, answer, with_keys=keys))

    with_client(context, work)


@command("list", short_help="All leases.")
@click.pass_context
def list_leases(context: click.Context) -> None:
    """The ids of all leases."""

    async def work(client: AsyncClient, settings: Settings) -> None:
        header, revision = await _header(client, settings)
        leases = await client.leases()
        forms = Forms(
            simple=lambda: [f"found {len(leases)} leases", *(f"{one:016x}" for one in leases)],
            fields=lambda: [*header.fields(revision), *(("ID", one) for one in leases)],
            json=lambda: {**header.json(revision), "leases": [{"id": one} for one in leases]},
            table=lambda: Table(columns=("ID",), rows=[(f"{one:016x}",) for one in leases]),
        )
        show(settings, forms)

    with_client(context, work)


@command("keep-alive", short_help="Keep a lease alive.")
@click.argument("id_word", metavar="LEASE_ID")
@click.option("--once", is_flag=True, help="Once, and exit.")
@click.pass_context
def keep_alive(context: click.Context, id_word: str, *, once: bool) -> None:
    """Give a lease its whole time again, whenever a third of it is over, until it ends or the command is interrupted."""
    refuse_table(settings_of(context), "lease keep-alive")
    wanted = lease_id(id_word)

    async def work(client: AsyncClient, settings: Settings) -> None:
        while True:
            header, revision = await _header(client, settings)
            (ttl_s,) = await client.lease_keep_alive(wanted)
            if not ttl_s and once:
                raise no_lease(wanted)
            if not ttl_s:
                write_lines([f"lease {wanted:016x} expired or revoked."])
                return
            show(settings, _kept_forms(header, revision, wanted, ttl_s))
            if once:
                return
            await asyncio.sleep(ttl_s / KEEP_ALIVE_PART)

    with_client(context, work)


for _command in (grant, revoke, timetolive, list_leases, keep_alive):
    lease.add_command(_command)


async def _header(client: AsyncClient, settings: Settings) -> tuple[Header, int]:
    """Answers about leases have no revision of their own: the present one stands in their header."""
    header = await ask_header(client, settings)
    if settings.write_out not in ("json", "fields"):
        return header, 0
    return header, await present_revision(client)


def _ttl_forms(header: Header, revision: int, answer: LeaseTimeToLive, *, with_keys: bool) -> Forms:
    remaining_s = int(answer.remaining_s)

    def simple() -> list[str]:
        if remaining_s < 0:
            return [f"lease {answer.lease_id:016x} already expired"]
        line = f"lease {answer.lease_id:016x} granted with TTL({answer.granted_ttl_s}s), remaining({remaining_s}s)"
        if with_keys:
            line += f", attached keys([{' '.join(os.fsdecode(key) for key in answer.keys)}])"
        return [line]

    return Forms(
        simple=simple,
        fields=lambda: [
            *header.fields(revision),
            ("ID", answer.lease_id),
            ("TTL", remaining_s),
            ("GrantedTTL", answer.granted_ttl_s),
            *(("Key", key) for key in answer.keys),
        ],
        json=lambda: {
            **header.json(revision),
            "id": answer.lease_id,
            "ttl": remaining_s,
            "granted-ttl": answer.granted_ttl_s,
            "keys": [base64_text(key) for key in answer.keys] or None,
        },
        table=lambda: Table(
            columns=("ID", "TTL", "REMAINING", "KEYS"),
            rows=[
                (
                    f"{answer.lease_id:016x}",
                    str(answer.granted_ttl_s),
                    str(remaining_s),
                    " ".join(quoted(key) for key in answer.keys),
                )
            ],
            right=frozenset({"TTL", "REMAINING"}),
        ),
    )


def _kept_forms(header: Header, revision: int, wanted: int, ttl_s: int) -> Forms:
    return Forms(
        simple=lambda: [f"lease {wanted:016x} keepalived with TTL({ttl_s})"],
        fields=lambda: [*header.fields(revision), ("ID", wanted), ("TTL", ttl_s)],
        json=lambda: {**header.json(revision), "ID": wanted, "TTL": ttl_s},
    )
