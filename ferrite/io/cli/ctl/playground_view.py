"""What a playground shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from ferrite.io.cli.ctl.playground_nodes import PlaygroundNode

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from ferrite.io.client import AsyncClient, EndpointStatus

REFRESH_S: Final = 0.5
STATUS_TIMEOUT_S: Final = 1.0
LOG_LINES: Final = 8
_COLOURS: Final = {
    "leader": "bold green",
    "follower": "cyan",
    "candidate": "yellow",
    "pre-candidate": "yellow",
}
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One look at the cluster. `statuses` in the order of the nodes, None of one that does not answer; `keys` None: unknown."""

    nodes: list[PlaygroundNode]
    statuses: list[EndpointStatus | None]
    keys: int | None

    def lag(self, node_id: int) -> int | None:
        """Entries that a node lacks, as the leader in the newest term says."""
        leaders = [status for status in self.statuses if status is not None and status.is_leader]
        if not leaders:
            return None
        newest = max(leaders, key=lambda status: status.term)
        found = [member.lag for member in newest.members if member.node_id == node_id]
        return max(0, found[0]) if found else None

    def role(self, at: int) -> str:
        """The role of a node; what became of it when it has none."""
        status, code = self.statuses[at], self.nodes[at].ended()
        if code is not None:
            return f"ended with code {code}"
        return "does not answer" if status is None else status.role


async def look(client: AsyncClient, nodes: list[PlaygroundNode]) -> Picture:
    """Ask all nodes at once."""
    from ferrite.io.client import FerriteError

    async def status(node: PlaygroundNode) -> EndpointStatus | None:
        if node.ended() is not None:
            return None
        try:
            return await client.status(f"grpc://{node.grpc_addr}", timeout_s=STATUS_TIMEOUT_S)
        except FerriteError:
            return None

    async def count() -> int | None:
        try:
            answer = await client.range(
                count_only=True, consistency="serializable", timeout_s=STATUS_TIMEOUT_S
            )
        except FerriteError:
            return None
        return answer.count

    statuses, keys = await asyncio.gather(asyncio.gather(*map(status, nodes)), count())
    return Picture(nodes=nodes, statuses=list(statuses), keys=keys)


async def show_playground(client: AsyncClient, nodes: list[PlaygroundNode]) -> None:
    """Until cancelled."""
    live = _live() if sys.stdout.isatty() else None
    shown: dict[int, str] = {}
    context: AbstractContextManager[object] = live if live is not None else nullcontext()
    with context:
        if live is None:
            click.echo("\n".join(introduction(nodes)))
        while True:
            picture = await look(client, nodes)
            if live is not None:
                live.update(screen(picture), refresh=True)
            else:
                _print_changes(picture, shown)
            await asyncio.sleep(REFRESH_S)


def introduction(nodes: list[PlaygroundNode]) -> list[str]:
    """Where the nodes are, and what to try."""
    from ferrite.io.cli.ctl.settings import ENDPOINT_DEFAULT

    endpoints = ",".join(node.http_addr for node in nodes)
    usual = nodes[0].http_addr == ENDPOINT_DEFAULT
    ctl = "ferritectl" if usual else f"ferritectl --endpoints {endpoints}"
    return [
        *(
            f"node {node.node_id}: http {node.http_addr}, grpc {node.grpc_addr}, pid {node.process.pid if node.process else '-'}"
            for node in nodes
        ),
        f"endpoints: {endpoints}",
        f"data: {nodes[0].directory.parent} (removed at the end)",
        "try in another terminal:",
        f"  {ctl} put greeting hello",
        f'  {ctl} get "" --prefix',
        f'  {ctl} watch "" --prefix',
        *([f"  {ctl} move-leader 2"] if len(nodes) > 1 else []),
        f"  {ctl} endpoint status --cluster -w table",
        "Ctrl-C ends and removes everything.",
    ]


def _print_changes(picture: Picture, shown: dict[int, str]) -> None:
    """A line for each node whose role or term is new."""
    for at, (node, status) in enumerate(zip(picture.nodes, picture.statuses, strict=True)):
        said = picture.role(at) + (f" in term {status.term}" if status is not None else "")
        if shown.get(node.node_id) != said:
            shown[node.node_id] = said
            click.echo(f"node {node.node_id}: {said}")


def _live() -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False)
    return Live(console=console, auto_refresh=False, screen=True)


def screen(picture: Picture) -> Group:
    """The table of nodes, what to try, and the ends of their logs."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    keys = "?" if picture.keys is None else str(picture.keys)
    table = Table(title=f"Ferrite playground: {keys} keys", expand=True, title_style="bold")
    for column in ("node", "role", "term", "revision", "applied", "lag", "size", "http", "grpc"):
        table.add_column(column, justify="left" if column in ("role", "http", "grpc") else "right")
    for at in range(len(picture.nodes)):
        table.add_row(*(Text(cell, style=style) for cell, style in _cells(picture, at)))
    log = Text("\n".join(_log_lines(picture.nodes)), no_wrap=True, overflow="ellipsis", style="dim")
    guide = "\n".join(introduction(picture.nodes)[len(picture.nodes) :])
    return Group(table, Panel(Text(guide), title="try"), Panel(log, title="logs"))


def _cells(picture: Picture, at: int) -> list[tuple[str, str]]:
    from ferrite.io.cli.ctl.endpoint import human_size

    node, status, role = picture.nodes[at], picture.statuses[at], picture.role(at)
    lag = picture.lag(node.node_id)
    numbers = ["", "", "", "", ""]
    if status is not None:
        numbers = [
            str(status.term), str(status.revision), str(status.applied_index), "" if lag is None else str(lag),
            human_size(status.size_bytes),
        ]  # fmt: skip
    plain = [str(node.node_id), *numbers, node.http_addr, node.grpc_addr]
    cells = [(text, "") for text in plain]
    cells.insert(1, (role, _COLOURS.get(role, "bold red")))
    return cells


def _log_lines(nodes: list[PlaygroundNode]) -> list[str]:
    """The last lines of all nodes together, by their time stamps."""
    lines = [(_ESCAPE.sub("", line), node.node_id) for node in nodes for line in node.log_tail(LOG_LINES)]
    return [f"{node_id} {line}" for line, node_id in sorted(lines)[-LOG_LINES:]]
