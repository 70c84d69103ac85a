"""Real nodes on free ports of this machine: start, kill, ask, stop. What end-to-end tests and scripts/test-cluster.sh stand on.

Everything waits with a bound and says what it waited for. A node's own output is kept in `node.log` of its directory.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

START_TIMEOUT_S = 30.0
LEADER_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 10.0
POLL_S = 0.05
# Below the range from which Linux takes ports for outgoing connections: a killed node finds its port free again.
PORTS = range(20_000, 32_000)
_SHARES = 8
_LOG_TAIL_LINES = 15
_START_CODE = "from ferrite.io.cli.server import main; main()"

_T = TypeVar("_T")


class NotInTime(AssertionError):
    """What was waited for did not come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` is the JSON, or None when it is none."""

    status: int
    body: Any


def _deal() -> Iterator[int]:
    """Yield this process's share of the ports, none twice before all were dealt: parallel test workers never meet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = PORTS[worker % _SHARES :: _SHARES]
    # SystemRandom: Hypothesis seeds the module's generator, and two processes would begin at the same port.
    start = random.SystemRandom().randrange(len(share))
    return itertools.cycle([*share[start:], *share[:start]])


_ports = _deal()


def free_port() -> int:
    """Return a port that nobody listens on at the moment, and that this process was not given lately."""
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotInTime(f"no free port found in {PORTS}")


def wait_for(
    what: str, probe: Callable[[], _T | None], timeout_s: float, story: Callable[[], str] = str
) -> _T:
    """Return the first value of `probe` that is neither None nor False. Raises `NotInTime` with `what` and the story."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {timeout_s:g} s\n{story()}")
        time.sleep(POLL_S)


@dataclass(slots=True, kw_only=True)
class Node:
    """One node: its place, and its process while it runs. `settings` are `--set` arguments; `wrapper` goes before the command."""

    node_id: int
    directory: Path
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    settings: dict[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def http_addr(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc_addr(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        return self.directory / "node.log"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # -- the process

    def spawn(self, *, settings: dict[str, object] | None = None, wrapper: Sequence[str] = ()) -> None:
        """Start the process without waiting for anything."""
        assert not self.running, f"node {self.node_id} runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        every = {"logging.format": "compact", **self.settings, **(settings or {})}
        command = [
            *wrapper, sys.executable, "-c", _START_CODE,
            "--id", str(self.node_id), "--http-addr", self.http_addr, "--grpc-addr", self.grpc_addr,
            "--data-dir", str(self.data_dir),
            *(argument for key, value in every.items() for argument in ("--set", f"{key}={_toml(value)}")),
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FERRITE_")}
        with self.log_file.open("ab") as log:
            # A working directory of its own: no ./ferrite.toml of the developer is found.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            )  # fmt: skip
        self.starts += 1

    def start(self, *, settings: dict[str, object] | None = None, wrapper: Sequence[str] = ()) -> Self:
        """Start the process and wait until it answers."""
        self.spawn(settings=settings, wrapper=wrapper)
        self.wait_answering()
        return self

    def wait_answering(self) -> None:
        """Wait until /livez answers."""

        def alive() -> bool:
            if not self.running:
                code = self.process.returncode if self.process else None
                raise NotInTime(f"node {self.node_id} ended with code {code} at its start\n{self.log_tail()}")
            return self.try_get("/livez") is not None

        wait_for(f"node {self.node_id} answers", alive, START_TIMEOUT_S, self.log_tail)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait_ended()

    def terminate(self) -> int:
        """SIGTERM, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_ended()

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def wait_ended(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Return the exit code."""
        assert self.process is not None, f"node {self.node_id} was never started"
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NotInTime(
                f"node {self.node_id} still runs after {timeout_s:g} s\n{self.log_tail()}"
            ) from None

    def log_tail(self) -> str:
        """Return the last lines of what the node said."""
        if not self.log_file.exists():
            return f"node {self.node_id} has said nothing"
        lines = self.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(f"  node {self.node_id}: {line}" for line in lines)

    # -- its HTTP face

    def ask(
        self, method: str, path: str, body: object = None, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Answer:
        """Return the answer. Raises OSError when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            raw = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"node {self.node_id}: {error!r}") from error
        finally:
            connection.close()
        try:
            return Answer(answer.status, json.loads(raw))
        except ValueError:
            return Answer(answer.status, None)

    def try_get(self, path: str, timeout_s: float = 2.0) -> Answer | None:
        """Return the answer, or None when there is none."""
        try:
            return self.ask("GET", path, timeout_s=timeout_s)
        except OSError:
            return None

    def post(self, path: str, body: object = None, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Any:
        """Return the JSON of a good answer. Raises AssertionError with the problem otherwise."""
        answer = self.ask("POST", path, body, timeout_s=timeout_s)
        assert answer.status == 200, f"POST {path} at node {self.node_id}: {answer.status} {answer.body}"
        return answer.body

    def metrics(self) -> dict[str, Any] | None:
        """Return /metrics, or None when the node does not answer."""
        answer = self.try_get("/metrics")
        return answer.body if answer is not None and answer.status == 200 else None

    def write(self, key: str, value: str) -> int:
        """Return the revision."""
        revision: int = self.post("/write", {"Set": {"key": key, "value": value}})["revision"]
        return revision

    def read(self, key: str, *, consistency: str = "linearizable") -> Any:
        """Return the value; None when absent."""
        return self.post("/read", {"key": key, "consistency": consistency})["value"]


class Cluster:
    """Some nodes in a directory. As a context manager it ends every process it started."""

    def __init__(self, directory: Path, size: int = 3, *, settings: dict[str, object] | None = None) -> None:
        """Choose ports; nothing is started."""
        self.directory = directory
        self.settings = settings or {}
        self.nodes: dict[int, Node] = {}
        for _ in range(size):
            self.new_node()

    def new_node(self) -> Node:
        """Return a further node, not started, with the next id."""
        node_id = max(self.nodes, default=0) + 1
        node = Node(
            node_id=node_id, directory=self.directory / f"node{node_id}", settings=dict(self.settings)
        )
        self.nodes[node_id] = node
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()

    def start(self, *, members: Sequence[int] | None = None) -> Self:
        """Start all nodes and make them one cluster (of `members`, or all)."""
        for node in self.nodes.values():
            node.spawn()
        for node in self.nodes.values():
            node.wait_answering()
        self.initialize(members)
        return self

    def initialize(self, members: Sequence[int] | None = None) -> None:
        """Send /init to the first of `members`, naming them all."""
        ids = sorted(members or self.nodes)
        named = [
            {
                "node_id": node_id,
                "rpc_addr": self.nodes[node_id].grpc_addr,
                "api_addr": self.nodes[node_id].http_addr,
            }
            for node_id in ids
        ]
        self.nodes[ids[0]].post("/init", named, timeout_s=LEADER_TIMEOUT_S)

    def restart_all(self) -> None:
        """SIGKILL and start every node."""
        self.kill_all()
        for node in self.nodes.values():
            node.spawn()
        for node in self.nodes.values():
            node.wait_answering()

    def kill_all(self) -> None:
        """SIGKILL every node."""
        for node in self.nodes.values():
            node.signal(signal.SIGKILL)
        for node in self.nodes.values():
            if node.process is not None:
                node.process.wait(STOP_TIMEOUT_S)

    def running(self) -> list[Node]:
        """Return the nodes whose process runs."""
        return [node for node in self.nodes.values() if node.running]

    def leader(self, timeout_s: float = LEADER_TIMEOUT_S) -> Node:
        """Return the running node that says it leads, in the highest term if several do; waits for one."""

        def find() -> Node | None:
            leading = [
                (metrics["term"], node)
                for node in self.running()
                if (metrics := node.metrics()) is not None and metrics["state"] == "leader"
            ]
            return max(leading, key=lambda found: found[0])[1] if leading else None

        return wait_for("a leader", find, timeout_s, self.story)

    def followers(self) -> list[Node]:
        """Return the running nodes but the leader."""
        leader = self.leader()
        return [node for node in self.running() if node is not leader]

    def wait_level(self, timeout_s: float = LEADER_TIMEOUT_S) -> int:
        """Wait until every running node has applied what the leader has committed; returns that index."""

        def level() -> int | None:
            metrics = [node.metrics() for node in self.running()]
            known = [one for one in metrics if one is not None]
            if not known or len(known) < len(metrics):
                return None
            target = max(one["commit_index"] for one in known)
            return target if all(one["last_applied"] >= target for one in known) else None

        return wait_for("every node has applied everything", level, timeout_s, self.story)

    def story(self) -> str:
        """Return what each node says of itself, for a failure's message."""
        lines = []
        for node in self.nodes.values():
            metrics = node.metrics() if node.running else None
            shown = "does not answer" if metrics is None else _short(metrics)
            code = "" if node.process is None or node.running else f" (exit code {node.process.returncode})"
            lines += [f"node {node.node_id}: {shown}{code}", node.log_tail()]
        return "\n".join(lines)


def _short(metrics: dict[str, Any]) -> str:
    names = ("state", "term", "current_leader", "commit_index", "last_applied", "problems")
    return ", ".join(f"{name} {metrics[name]}" for name in names)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
