"""PySyncObj: three processes of a replicated dictionary, with its journal or without. Neither ever calls fsync."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scripts.benchmark.cells import Cell, Door, Load, NotASuccess, Operation
from scripts.benchmark.generators import parse_python
from scripts.benchmark.machine import ends_with_us
from scripts.benchmark.payloads import KEYS, value_of
from scripts.benchmark.stores import NODES
from tests.e2e.cluster import free_port, wait_for

_NODE: Final = Path(__file__).with_name("pysyncobj_node.py")
_START_TIMEOUT_S: Final = 30.0


def installed() -> bool:
    """Is the package there?"""
    return importlib.util.find_spec("pysyncobj") is not None


def name_of(*, journal: bool) -> str:
    """Return the store's name in the tables."""
    return f"PySyncObj {version('pysyncobj')}" + (", journal" if journal else "")


class PySyncObjStore:
    """Three nodes; the load is made inside the leader's process, as PySyncObj is a library and has no door."""

    doors: Final[frozenset[Door]] = frozenset({"client"})
    operations: Final[frozenset[Operation]] = frozenset({"write"})

    def __init__(self, directory: Path, *, journal: bool) -> None:
        """Choose ports; nothing is started."""
        self.name = name_of(journal=journal)
        self._directory, self._journal = directory, journal
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(NODES)]
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            for own in self._addresses:
                self._spawn(own)
            wait_for(f"{self.name} has a leader", self._find_leader, _START_TIMEOUT_S, self._story)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _spawn(self, own: str) -> None:
        name = f"n{len(self._processes)}"
        others = [address for address in self._addresses if address != own]
        journal = ["--journal", str(self._directory / f"{name}.journal")] if self._journal else []
        command = [*ends_with_us(), sys.executable, str(_NODE), own, *others, *journal]
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
                )
            )

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def _tell(self, node: int, command: str) -> str:
        process = self._processes[node]
        assert process.stdin is not None and process.stdout is not None, "both are pipes"
        with suppress(BrokenPipeError):  # It has ended: there is no answer either.
            print(command, file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise NotASuccess(f"a node of {self.name} ended: {self._story()}")
        if answer.startswith("FAILED"):
            raise NotASuccess(answer.strip())
        return answer

    def _find_leader(self) -> tuple[int] | None:
        for node in range(NODES):
            if self._tell(node, "leader?") == "yes\n":
                return (node,)
        return None

    def _story(self) -> str:
        tails = [path.read_text(errors="replace")[-600:] for path in sorted(self._directory.glob("*.log"))]
        return "\n".join(tails)

    def leader(self) -> int:
        return wait_for(f"a leader of {self.name}", self._find_leader, _START_TIMEOUT_S, self._story)[0]

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def fsyncs(self, node: int) -> int | None:
        return 0  # by its source: the journal is a memory map that is flushed by nobody but the kernel

    def load(self, cell: Cell, seconds: float) -> Load:
        """Let the leader write."""
        command = f"load {cell.clients} {seconds} {KEYS} {value_of(0)}"
        return parse_python(self._tell(self.leader(), command))
