"""Programs that ferritectl runs: for every event of a watch, and under a lock."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from ferrite.io.cli.ctl.exit_codes import wrong_input

STOP_TIMEOUT_S: Final = 5.0
"""How long a program may take to end on SIGTERM before it is killed."""
SIGNAL_CODE: Final = 128
"""As shells: what a signal ended has the code 128 and its number."""


async def run_program(words: tuple[str, ...], environment: dict[str, str]) -> int:
    """Run it to its end and return its exit code; ended when we are cancelled. Raises ClickException when it cannot start."""
    try:
        process = await asyncio.create_subprocess_exec(*words, env={**os.environ, **environment})
    except OSError as error:
        raise wrong_input(f"{words[0]} cannot be run: {error.strerror}") from None
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise
    return code if code >= 0 else SIGNAL_CODE - code


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
