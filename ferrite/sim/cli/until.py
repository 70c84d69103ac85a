"""`ferrite-sim run --until`: stop in the middle and look around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ferrite.sim.cli.console import stdout_console

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster
    from ferrite.sim.node import Node


class TimeReached(Exception):
    """Raised out of a run at the moment asked for. No error: only the way out."""


def stop_at(cluster: Cluster, time_us: int) -> None:
    """Let the run end by TimeReached when all before this time has happened. Nothing else in it changes."""

    def stop() -> None:
        raise TimeReached

    cluster.world.timeline.at(time_us, stop)


def show_nodes(cluster: Cluster) -> None:
    """One row for each node, as it is now."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = (
        "node",
        "boot",
        "state",
        "role",
        "term",
        "leader",
        "commit",
        "applied",
        "persisted",
        "last",
        "voters",
    )
    for name in columns:
        table.add_column(name, no_wrap=True)
    for node in cluster.nodes.values():
        table.add_row(*_row(node))
    click.echo(f"stopped: {cluster.now_us} us, {cluster.world.timeline.events_done - 1} events")
    stdout_console().print(table)


def _row(node: Node) -> list[str]:
    status = node.status()
    known = [str(node.node_id), str(node.boot)]
    if status is None:
        return [*known, "down"]
    voters = ",".join(str(voter) for voter in status.membership.voters)
    outgoing = ",".join(str(voter) for voter in status.membership.outgoing)
    numbers = (status.term, status.leader, status.commit_index, status.applied_index, status.persisted_index)
    return [
        *known,
        "paused" if node.paused else "running",
        status.role.name.lower().replace("_", "-"),
        *(str(number) for number in numbers),
        str(status.last_log_index),
        f"{voters} from {outgoing}" if outgoing else voters,
    ]
