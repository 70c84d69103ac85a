"""The group of all commands, and how an error looks: one line, exit code 2."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence

import click

from ferrite import __version__
from ferrite.sim.cli.check import check
from ferrite.sim.cli.exit_codes import EXIT_CODES_HELP, ExitCode
from ferrite.sim.cli.explore import explore
from ferrite.sim.cli.graphs import graphs
from ferrite.sim.cli.mutants import mutants
from ferrite.sim.cli.options import options
from ferrite.sim.cli.recheck import recheck
from ferrite.sim.cli.replay import replay
from ferrite.sim.cli.run import run
from ferrite.sim.cli.shrink import shrink_command
from ferrite.sim.cli.sweep import sweep
from ferrite.sim.cli.trace import determinism, trace

PROGRAM = "ferrite-sim"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_HELP = f"""A whole Ferrite cluster in one seeded process: simulated clocks, networks and disks, clients, faults, and every check.

The same seed gives the same run, bit for bit, on any machine.

\b
Start here:
  ferrite-sim run --seed 42                    one run; the last line is its digest
  ferrite-sim sweep --seeds 1..1000 -j 2       many runs, on two processes
  ferrite-sim options --seed 42                what the seed chose, and what each option means

{EXIT_CODES_HELP}
"""


@click.group(
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name=PROGRAM)
def ferrite_sim() -> None:
    """All commands."""


COMMANDS = (
    run, sweep, options, replay, shrink_command, recheck, check, explore, graphs, mutants, trace, determinism,
)  # fmt: skip
for command in COMMANDS:
    ferrite_sim.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with these words, or those of the process; return the exit code (see ExitCode)."""
    try:
        code = ferrite_sim.main(
            None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
        return ExitCode.CLEAN if code is None else int(code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.BAD_INPUT
    except click.ClickException as error:
        click.echo(_one_line(error), err=True)
        return ExitCode.BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{PROGRAM}: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except SystemExit:  # click's way, with code 1, when whoever read our output has gone; 1 would say that something is broken
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        if error.errno not in NO_ROOM:
            return _unexpected()
        _forget_output()
        click.echo(f"{PROGRAM}: cannot write: {str(error.strerror).lower()}", err=True)
        return ExitCode.BAD_INPUT
    except Exception:  # noqa: BLE001 - the last line of defence: exit code 1 would say that an invariant is broken
        return _unexpected()


def _unexpected() -> ExitCode:
    """Tell of the error that is being handled."""
    traceback.print_exc()
    click.echo(f"{PROGRAM}: an error that nobody expected; this is a bug in ferrite-sim", err=True)
    return ExitCode.CRASH


def _forget_output() -> None:
    """Let what could not be written go: Python would try again at its end, and say so in its own words."""
    with contextlib.suppress(OSError, ValueError):  # output that is no file has nothing to forget
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _one_line(error: click.ClickException) -> str:
    """`ferrite-sim run: what is wrong (see ferrite-sim run --help)`."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = PROGRAM if context is None else context.command_path
    message = " ".join(error.format_message().split()).rstrip(".")
    hint = f" (see {where} --help)" if isinstance(error, click.UsageError) else ""
    return f"{where}: {message}{hint}"
