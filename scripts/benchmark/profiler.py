"""Flame graphs of the leader by py-spy, in a further load that is not counted: the profiler costs the store time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.benchmark.cells import Cell
from scripts.benchmark.measure import Bench
from scripts.benchmark.stores import FerriteStore

_RATE_PER_S: Final = 200
_GRACE_S: Final = 30.0


def find() -> str | None:
    """Return the path of py-spy: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiler:
    """Writes STORE-ROW.svg into a directory."""

    directory: Path

    def record(self, bench: Bench, store: FerriteStore, cell: Cell) -> None:
        """Load once more and record the leader meanwhile. Raises OSError when py-spy could not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        leader, program = store.leader(), find()
        assert program is not None, "looked for before anything was started"
        target = self.directory / f"{re.sub(r'[^a-zA-Z0-9]+', '-', store.name).lower()}-{cell.name}.svg"
        command = [
            program, "record", "--pid", str(store.pids()[leader]), "--output", str(target), "--rate", str(_RATE_PER_S),
            "--duration", str(max(1, int(bench.seconds))), "--threads", "--nonblocking",
        ]  # fmt: skip
        recording = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            bench.load(store, cell, leader)
            said = recording.communicate(timeout=_GRACE_S)[0]
        finally:
            recording.kill()
            recording.wait()
        if recording.returncode != 0:
            raise OSError(f"py-spy could not record the leader (root may be needed): {said.strip()[-500:]}")
