"""`ferrite-sim`: the command line of the simulator."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

_INTERRUPTED: Final = 130
"""ExitCode.INTERRUPTED, before that is loaded."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with these words, or those of the process; return the exit code (see ExitCode)."""
    try:
        # Loading takes the best part of a second, in which Ctrl-C may come as at any other time.
        from ferrite.sim.cli.group import main as run_command

        code = run_command(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("ferrite-sim: interrupted\n")
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        # CPython notes an interrupt that leaves any `exec` of a text, as dataclasses do it, and at its end kills itself for it,
        # handled or not. The next text without an interrupt takes the note away.
        exec("")  # noqa: S102 - nothing
    return code
