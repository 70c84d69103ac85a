"""The group of all commands, and how an error looks: one line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from ferrite.io.cli.ctl.exit_codes import EXIT_CODES_HELP, CtlExit, Failed
from ferrite.io.cli.ctl.settings import global_options

PROGRAM: Final = "ferritectl"
_HELP = f"""The operator's tool of Ferrite, in the manner of etcdctl.

\b
Try it on this machine:
  ferritectl playground -n 3                   a throw-away cluster, and what it does
  ferritectl put greeting hello                the other commands find it at 127.0.0.1:8001
  ferritectl get greeting
  ferritectl watch --prefix ""

Global options may stand before or after the command.

{EXIT_CODES_HELP}
"""


COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "put": ("keys", "put", "Put a key."),
    "get": ("keys", "get", "Get a key or a range of keys."),
    "del": ("keys", "delete", "Delete a key or a range of keys."),
    "txn": ("txn", "txn", "A transaction from standard input."),
    "watch": ("watch", "watch", "Watch keys change."),
    "compact": ("keys", "compaction", "Forget the history below a revision."),
    "compaction": ("keys", "compaction", "The same as compact."),
    "lease": ("lease", "lease", "grant, revoke, timetolive, list, keep-alive"),
    "lock": ("lock", "lock", "Hold a lock, alone or while a program runs."),
    "elect": ("lock", "elect", "Lead an election, or listen to who does."),
    "member": ("member", "member", "list, add, promote, remove"),
    "leader": ("member", "leader", "transfer"),
    "move-leader": ("member", "move_leader", "The same as leader transfer."),
    "endpoint": ("endpoint", "endpoint", "status, health"),
    "backup": ("backup", "backup", "save, status, restore"),
    "snapshot": ("backup", "backup", "The same as backup."),
    "check": ("perf", "check", "perf"),
    "playground": ("playground", "playground", "A throw-away cluster on this machine."),
    "version": ("shell", "version", "The version."),
    "completion": ("shell", "completion", "Completion for bash, zsh or fish."),
}
"""Name -> module, its attribute, and what the help says: a command's module is loaded when it is run."""


class LazyGroup(click.Group):
    """A group that loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found = getattr(import_module(f"ferrite.io.cli.ctl.{module}"), attribute)
        assert isinstance(found, click.Command), cmd_name
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@global_options(root=True)
def ferritectl() -> None:
    """All commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with these words, or those of the process; return the exit code (see CtlExit)."""
    try:
        words = None if arguments is None else list(arguments)
        ferritectl.main(words, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return CtlExit.INPUT
    except click.UsageError as error:
        click.echo(_one_line(error), err=True)
        return CtlExit.INPUT
    except click.ClickException as error:
        click.echo(_one_line(error), err=True)
        return error.code if isinstance(error, Failed) else CtlExit.INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("Error: interrupted", err=True)
        return CtlExit.UNHEALTHY
    except BrokenPipeError:
        _forget_output()
        return CtlExit.ERROR
    except Exception:  # noqa: BLE001 - the last line of defence: a bug must not look like an answer
        traceback.print_exc()
        click.echo("Error: an error that nobody expected; this is a bug in ferritectl", err=True)
        return CtlExit.ERROR
    return CtlExit.OK


def _one_line(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return f"Error: {message}{hint}"


def _forget_output() -> None:
    """Whoever read our output has gone; what is still buffered must not raise again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
