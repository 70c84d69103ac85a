"""ferritectl as a process of its own: what is interrupted, or waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CODE = "import sys; from ferrite.io.cli.ctl import main; sys.exit(main())"
END_TIMEOUT_S = 30.0


def start_ctl(*words: str, endpoints: str = "") -> subprocess.Popen[bytes]:
    """Start it with pipes at all three ends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    if endpoints:
        environment["FERRITECTL_ENDPOINTS"] = endpoints
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, *words], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def read_line(process: subprocess.Popen[bytes]) -> str:
    """The next line of its output, "" at its end."""
    assert process.stdout is not None
    return process.stdout.readline().decode().rstrip("\n")


def end(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Its exit code, the rest of its output, and its errors."""
    out, err = process.communicate(timeout=END_TIMEOUT_S)
    return process.returncode, out.decode(), err.decode()
