"""The processes of a playground: a throw-away cluster of real nodes on this machine."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ferrite.io.cli.ctl.exit_codes import failed

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 5.0
"""Then SIGKILL: nothing of a playground is worth waiting for."""
REQUEST_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.05
LOG_TAIL_BYTES: Final = 8192
HTTP_PORT, GRPC_PORT = 8000, 9000
"""Node n has these plus n when all such ports are free, so that ferritectl finds the cluster without --endpoints."""
_LOOPBACK: Final = "127.0.0.1"
_START_CODE: Final = "from ferrite.io.cli.server import main; main()"


@dataclass(slots=True, kw_only=True)
class PlaygroundNode:
    """One node, and its process once it was started. Its output is in `log`, in its directory."""

    node_id: int
    directory: Path
    http_port: int
    grpc_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def http_addr(self) -> str:
        return f"{_LOOPBACK}:{self.http_port}"

    @property
    def grpc_addr(self) -> str:
        return f"{_LOOPBACK}:{self.grpc_port}"

    @property
    def log(self) -> Path:
        return self.directory / "node.log"

    def spawn(self) -> None:
        """Start the process, in a session of its own: a Ctrl-C is ours to pass on."""
        self.directory.mkdir()
        command = [
            sys.executable, "-c", _START_CODE, "--id", str(self.node_id), "--http-addr", self.http_addr,
            "--grpc-addr", self.grpc_addr, "--data-dir", str(self.directory / "data"), "--format", "compact",
        ]  # fmt: skip
        # Neither a ferrite.toml in the working directory nor FERRITE_* variables of a real node say how a playground runs.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FERRITE_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def ended(self) -> int | None:
        """The exit code, None while it runs."""
        return self.process.poll() if self.process is not None else None

    def log_tail(self, lines_max: int) -> list[str]:
        """The last lines of its output."""
        with self.log.open("rb") as log:
            return _tail(log, lines_max)


@contextmanager
def playground_nodes(size: int) -> Iterator[list[PlaygroundNode]]:
    """A cluster that serves. Whatever happens, processes and directories are gone afterwards. Raises ClickException."""
    directory = Path(tempfile.mkdtemp(prefix="ferrite-playground-"))
    nodes: list[PlaygroundNode] = []
    try:
        nodes += [
            PlaygroundNode(
                node_id=number,
                directory=directory / f"node{number}",
                http_port=http_port,
                grpc_port=grpc_port,
            )
            for number, (http_port, grpc_port) in enumerate(_ports(size), start=1)
        ]
        for node in nodes:
            node.spawn()
        for node in nodes:
            _wait_answering(node)
        _initialize(nodes)
        yield nodes
    finally:
        _stop(nodes)
        shutil.rmtree(directory)


def _ports(size: int) -> list[tuple[int, int]]:
    usual = [(HTTP_PORT + number, GRPC_PORT + number) for number in range(1, size + 1)]
    sockets: list[socket.socket] = []
    try:
        try:
            sockets.extend(_bound(port) for pair in usual for port in pair)
        except OSError:
            free = [_bound(0) for _ in range(2 * size)]
            sockets += free
            numbers = [one.getsockname()[1] for one in free]
            return list(zip(numbers[::2], numbers[1::2], strict=True))
        return usual
    finally:
        for one in sockets:
            one.close()


def _bound(port: int) -> socket.socket:
    """Raises OSError when somebody has the port."""
    found = socket.socket()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((_LOOPBACK, port))
    except OSError:
        found.close()
        raise
    return found


def _wait_answering(node: PlaygroundNode) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while node.ended() is None and time.monotonic() < deadline_s:
        try:
            _request(node, "GET", "/livez", None)
        except (OSError, http.client.HTTPException):
            time.sleep(POLL_S)
        else:
            return
    code = node.ended()
    what = f"ended with code {code}" if code is not None else f"did not answer within {START_TIMEOUT_S:g} s"
    raise failed(f"node {node.node_id} {what}; its last words: {' | '.join(node.log_tail(5))}")


def _initialize(nodes: list[PlaygroundNode]) -> None:
    members = [
        {"node_id": node.node_id, "rpc_addr": node.grpc_addr, "api_addr": node.http_addr} for node in nodes
    ]
    status, body = _request(nodes[0], "POST", "/init", members)
    if status != http.client.OK:
        raise failed(f"the nodes cannot be made a cluster: {body}")


def _request(node: PlaygroundNode, method: str, path: str, body: object) -> tuple[int, str]:
    connection = http.client.HTTPConnection(_LOOPBACK, node.http_port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request(
            method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _stop(nodes: list[PlaygroundNode]) -> None:
    running = [node.process for node in nodes if node.process is not None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    for process in running:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(log: IO[bytes], lines_max: int) -> list[str]:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace").splitlines()[-lines_max:]
