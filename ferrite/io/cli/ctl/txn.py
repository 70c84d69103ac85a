"""txn: a transaction from standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from ferrite.io.cli.ctl.command import command
from ferrite.io.cli.ctl.exit_codes import wrong_input
from ferrite.io.cli.ctl.header import ask_header
from ferrite.io.cli.ctl.kv_forms import txn_forms
from ferrite.io.cli.ctl.output import refuse_table, show
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.txn_text import parse_condition, parse_step

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient

_Parsed = TypeVar("_Parsed")

_HELP = """A transaction from standard input: conditions, an empty line, what to do when all of them hold, an empty
line, and what to do otherwise.

\b
Conditions: value, mod, create, version or lease of a key; = != < >.
Requests: put, get, del with their options. Between double quotes \\n, \\t, \\", \\\\ and \\xNN mean what they mean in Go.

\b
Take a seat if nobody has it, else tell who has it:
  mod("seat/7") = "0"
  (an empty line)
  put seat/7 "alice"
  (an empty line)
  get seat/7
"""


@command("txn", help=_HELP, short_help="A transaction from standard input.")
@click.option("-i", "--interactive", is_flag=True, help="Ask for each part, on standard error.")
@click.pass_context
def txn(context: click.Context, *, interactive: bool) -> None:
    """See _HELP."""
    refuse_table(settings_of(context), "txn")
    lines = iter(sys.stdin.buffer.readline, b"")
    conditions = _section(lines, parse_condition, "compares:", interactive=interactive)
    success = _section(lines, parse_step, "success requests (get, put, del):", interactive=interactive)
    failure = _section(
        lines, parse_step, "failure requests (get, put, del):", interactive=interactive, last=True
    )

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        answer = await client.txn().if_(*conditions).then(*success).else_(*failure).commit()
        show(settings, txn_forms(settings, header, answer))

    with_client(context, work)


def _section(
    lines: Iterator[bytes],
    parse: Callable[[str], _Parsed],
    question: str,
    *,
    interactive: bool,
    last: bool = False,
) -> list[_Parsed]:
    """Up to an empty line; the last section may end with the input, which otherwise broke off. Raises ClickException."""
    if interactive:
        click.echo(question, err=True)
    parsed: list[_Parsed] = []
    for raw in lines:
        line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
        if not line.strip():
            return parsed
        parsed.append(parse(line))
    if not last:
        raise wrong_input(
            f"the input ended within {question.rstrip(':')}; expected three parts, an empty line after each"
        )
    return parsed
