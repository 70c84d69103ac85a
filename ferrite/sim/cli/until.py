"""`ferrite-sim run --until`: stop in the middle and look around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ferrite.sim.cli.console import stdout_console
from ferrite.sim.cli.exit_codes import ExitCode, exit_code

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster
    from ferrite.sim.node import Node
    from ferrite.sim.options import Options


class TimeReached(Exception):
    """Raised out of a run at the moment asked for. No error: only the way out."""


def run_until(seed: int, options: Options, time_us: int) -> int:
    """Run up to this time, show every node; return the exit code. A run that ends before is only told of."""
    from ferrite.sim.cluster import Cluster

    cluster = Cluster(seed, options)
    stop_at(cluster, time_us)
    try:
        result = cluster.run()
    except TimeReached:
        show_nodes(cluster)
        click.echo(f"digest: {cluster.world.trace.digest()}")
        return ExitCode.CLEAN
    verdict = "clean" if result.violation is None else result.violation.kind
    click.echo(f"verdict: {verdict}; the run ended at {result.simulated_us} us, before --until")
    click.echo(f"digest: {result.digest}")
    return exit_code(verdict)


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
