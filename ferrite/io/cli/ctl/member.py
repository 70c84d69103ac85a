"""member list, add, promote, remove; leader transfer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.exit_codes import failed
from ferrite.io.cli.ctl.header import Header, header_of
from ferrite.io.cli.ctl.output import Forms, Table, refuse_table, show
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.words import number

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, EndpointStatus, Member

PROMOTE_AGAIN_S: Final = 0.2
"""Pause before a learner that has not caught up is promoted again."""
_COLUMNS: Final = (
    "ID", "STATUS", "INSTANCE", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER", "IS LEADER", "TRAILS LEADER BY",
)  # fmt: skip


@group("member", short_help="The members of the cluster.")
def member() -> None:
    """Members. Their ids are the decimal numbers of the nodes' configuration (node.id)."""


@group("leader", short_help="The cluster's leader.")
def leader() -> None:
    """The cluster's leader."""


@command("list", short_help="All members.")
@click.pass_context
def list_members(context: click.Context) -> None:
    """All members: id, status, instance (of the data directory), peer address, client addresses, is learner, is leader, and how
    many entries it lacks (as the leader knows; -1: unknown).
    """

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = header_of(await client.status())
        members = await client.members()
        show(settings, _list_forms(header, members))

    with_client(context, work)


@command("add", short_help="Add a running node.")
@click.argument("id_word", metavar="NODE_ID")
@click.option(
    "--peer-urls", "--addr", "addr", metavar="HOST:PORT", required=True,
    help="Any address of the node, which must be running.",
)  # fmt: skip
@click.option("--learner", is_flag=True, help="Without a vote; member promote gives it one.")
@click.pass_context
def add(context: click.Context, id_word: str, *, addr: str, learner: bool) -> None:
    """Add a node that runs and belongs to no cluster yet. It follows first, and gets a vote once it has caught up."""
    node_id = _node_id(id_word)
    address = addr.partition("://")[2] if "://" in addr else addr

    async def change(client: AsyncClient, settings: Settings) -> None:
        await client.add_learner(node_id, address)
        if not learner:
            await _promote(client, node_id, settings.command_timeout_s)

    _change(context, "member add", f"Member {node_id} added to cluster", change)


@command("promote", short_help="Give a learner a vote.")
@click.argument("id_word", metavar="NODE_ID")
@click.pass_context
def promote(context: click.Context, id_word: str) -> None:
    """Give a learner that has caught up a vote."""
    node_id = _node_id(id_word)

    async def change(client: AsyncClient, _: Settings) -> None:
        await client.promote(node_id)

    _change(context, "member promote", f"Member {node_id} promoted in cluster", change)


@command("remove", short_help="Remove a member for good.")
@click.argument("id_word", metavar="NODE_ID")
@click.pass_context
def remove(context: click.Context, id_word: str) -> None:
    """Remove a member, for good: its id is never used again. Refused when the quorum would be lost."""
    node_id = _node_id(id_word)

    async def change(client: AsyncClient, _: Settings) -> None:
        await client.remove(node_id)

    _change(context, "member remove", f"Member {node_id} removed from cluster", change)


def _transfer(context: click.Context, id_word: str | None) -> None:
    refuse_table(settings_of(context), "leader transfer")
    target = _node_id(id_word) if id_word is not None else 0

    async def work(client: AsyncClient, settings: Settings) -> None:
        before = await client.status()
        after = await client.transfer_leader(target)
        header = header_of(before)
        forms = Forms(
            simple=lambda: [f"Leadership transferred from {before.leader_id} to {after}"],
            fields=lambda: [
                *header.fields(before.revision),
                ("From", before.leader_id),
                ("To", after),
            ],
            json=lambda: {
                "header": header.json(before.revision),
                "from": before.leader_id,
                "to": after,
            },
        )
        show(settings, forms)

    with_client(context, work)


@command("transfer", short_help="Hand leadership to another voter.")
@click.argument("id_word", metavar="[NODE_ID]", required=False)
@click.pass_context
def transfer(context: click.Context, id_word: str | None) -> None:
    """Hand leadership to a voter; without NODE_ID to the one that is most up to date."""
    _transfer(context, id_word)


@command("move-leader", short_help="The same as leader transfer NODE_ID.")
@click.argument("id_word", metavar="NODE_ID")
@click.pass_context
def move_leader(context: click.Context, id_word: str) -> None:
    """Hand leadership to a voter."""
    _transfer(context, id_word)


for _command in (list_members, add, promote, remove):
    member.add_command(_command)
leader.add_command(transfer)


def _node_id(word: str) -> int:
    return number(word, "node id", minimum=1)


def _change(context: click.Context, name: str, done: str, change: Any) -> None:
    refuse_table(settings_of(context), name)

    async def work(client: AsyncClient, settings: Settings) -> None:
        await change(client, settings)
        status = await client.status()
        show(settings, _change_forms(status, done))

    with_client(context, work)


async def _promote(client: AsyncClient, node_id: int, timeout_s: float) -> None:
    """As soon as it has caught up. Raises ClickException when that takes too long; the learner stays."""
    from ferrite.io.client import ChangeRefused

    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            await client.promote(node_id)
        except ChangeRefused as error:
            if error.code not in ("not_caught_up", "change_in_progress"):
                raise
            if time.monotonic() > deadline_s:
                message = f"member {node_id} was added as a learner, and has no vote: {error}; later: member promote {node_id}"
                raise failed(message) from None
            await asyncio.sleep(PROMOTE_AGAIN_S)
        else:
            return


def _change_forms(status: EndpointStatus, done: str) -> Forms:
    header = header_of(status)
    members = status.members
    return Forms(
        simple=lambda: [f"{done} {status.cluster_id}"],
        fields=lambda: [*header.fields(status.revision), *(("Member", one.node_id) for one in members)],
        json=lambda: {
            "header": header.json(status.revision),
            "members": [_json(one) for one in members],
        },
    )


def _list_forms(header: Header, members: tuple[Member, ...]) -> Forms:
    return Forms(
        simple=lambda: [", ".join(_row(one)) for one in members],
        fields=lambda: [
            *header.fields(0),
            *(pair for one in members for pair in _member_fields(one)),
        ],
        json=lambda: {"header": header.json(0), "members": [_json(one) for one in members]},
        table=lambda: Table(
            columns=_COLUMNS,
            rows=[_row(one) for one in members],
            right=frozenset({"IS LEARNER", "IS LEADER", "TRAILS LEADER BY"}),
        ),
    )


def _row(one: Member) -> tuple[str, ...]:
    return (
        str(one.node_id),
        _state(one),
        one.instance[:8],
        one.peer_addr or one.grpc_addr,
        " ".join(_client_addresses(one)),
        str(not one.voter).lower(),
        str(one.leader).lower(),
        str(_lag(one)),
    )


def _member_fields(one: Member) -> list[tuple[str, object]]:
    return [
        ("ID", one.node_id),
        ("Status", _state(one)),
        ("Instance", one.instance),
        ("PeerURL", one.peer_addr or one.grpc_addr),
        *(("ClientURL", address) for address in _client_addresses(one)),
        ("IsLearner", not one.voter),
        ("IsLeader", one.leader),
        ("TrailsLeaderBy", _lag(one)),
    ]


def _json(one: Member) -> dict[str, Any]:
    return {
        "ID": one.node_id,
        "status": _state(one),
        "instance": one.instance,
        "peerURLs": [one.peer_addr or one.grpc_addr],
        "clientURLs": list(_client_addresses(one)),
        "isLearner": not one.voter,
        "isLeader": one.leader,
        "trailsLeaderBy": _lag(one),
    }


def _state(one: Member) -> str:
    return "started" if one.reachable else "unreachable"


def _client_addresses(one: Member) -> tuple[str, ...]:
    return tuple(address for address in (one.http_addr, one.grpc_addr) if address)


def _lag(one: Member) -> int:
    return 0 if one.leader else one.lag
