"""`ferrite-grpc-client-test`: every RPC of a running node, pass or fail."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from ferrite.io.config import AddressError, parse_address

if TYPE_CHECKING:
    from ferrite.io.grpc.exercise import Outcome

EXIT_FAILED = 1
EXIT_UNREACHABLE = 2
_PLAIN_WIDTH = 140  # of a table in a file or a pipe

_HELP = """Call every gRPC method of a running Ferrite node once, and print PASS or FAIL for each.

\b
  ferrite-grpc-client-test                          the node at 127.0.0.1:9001
  ferrite-grpc-client-test --addr 127.0.0.1:9003    another one
  ferrite-grpc-client-test --allow-changes          also change the cluster (see below)

Keys are written below the prefix ferrite-grpc-client-test/, with a random part, and deleted at the end. Nothing else is
changed: Compact, Initialize, AddLearner, ChangeMembership, RemoveMember and TransferLeader are called in a form that every
node refuses, and the refusal is what passes. With --allow-changes a node without a cluster is initialized, the membership is
changed to the same voters, and leadership moves to another node.

\b
Exit codes: 0 all passed, 1 something failed, 2 no gRPC server at the address or wrong usage.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--addr",
    metavar="HOST:PORT",
    default="127.0.0.1:9001",
    show_default=True,
    help="gRPC address of the node.",
)
@click.option(
    "--timeout",
    "timeout_ms",
    metavar="MS",
    type=click.IntRange(100, 600_000),
    default=5000,
    show_default=True,
    help="Longest time for one call, in milliseconds.",
)
@click.option("--allow-changes", is_flag=True, help="Let the calls that change the cluster do so.")
def main(*, addr: str, timeout_ms: int, allow_changes: bool) -> None:
    """Run, print, exit."""
    try:
        address = str(parse_address(addr))
    except AddressError as error:
        raise click.BadParameter(f"{addr!r}: {error}", param_hint="--addr") from None
    from ferrite.io.grpc.exercise import Unreachable, exercise

    try:
        outcomes = asyncio.run(exercise(address, timeout_ms=timeout_ms, allow_changes=allow_changes))
    except Unreachable as error:
        click.echo(
            f"ferrite-grpc-client-test: {error}. Is the node running, and is this its grpc_addr?", err=True
        )
        sys.exit(EXIT_UNREACHABLE)
    _print_table(address, outcomes)
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else EXIT_FAILED)


def _print_table(address: str, outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()  # colours only when it is a terminal, and not against NO_COLOR
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    table = Table("RPC", "Result", "Time", "What happened", title=f"gRPC of {address}", title_justify="left")
    table.columns[2].justify = "right"
    for outcome in outcomes:
        verdict = "[green]PASS[/]" if outcome.passed else "[bold red]FAIL[/]"
        table.add_row(outcome.rpc, verdict, f"{outcome.duration_ms:.1f} ms", escape(outcome.detail))
    console.print(table)
    failed = sum(not outcome.passed for outcome in outcomes)
    console.print(f"{len(outcomes) - failed} passed, {failed} failed")


if __name__ == "__main__":
    main()
