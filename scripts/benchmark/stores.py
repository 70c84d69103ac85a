"""The stores under test: three real processes each on loopback, with every guarantee of the disk switched on."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from scripts.benchmark.cells import Door, NotASuccess, Operation
from scripts.benchmark.machine import ends_with_us
from tests.e2e.cluster import Cluster, Node

NODES: Final = 3
_TIMEOUT_S: Final = 10.0


class Store(Protocol):
    """Three running nodes. Entering starts them and waits for a leader, leaving kills them."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def leader(self) -> int:
        """Return the index of the node that leads."""
        ...

    def pids(self) -> list[int]: ...

    def fsyncs(self, node: int) -> int | None:
        """Return how often that node has synced its log; None where it does not tell."""
        ...


class Networked(Store, Protocol):
    """A store with doors for the neutral generators."""

    @property
    def grpc_paths(self) -> Mapping[Operation, str]: ...

    @property
    def http_paths(self) -> Mapping[Operation, str]: ...

    def http_addr(self, node: int) -> str: ...

    def grpc_addr(self, node: int) -> str: ...

    def http_body(self, operation: Operation, key: str, value: str) -> bytes: ...

    def http_value(self, answer: Any) -> str | None:
        """Return the value in the answer to a read."""
        ...

    def http_revision(self, answer: Any) -> int: ...


def ask(address: str, method: str, path: str, body: bytes | None = None) -> bytes:
    """Return the body of a good answer. Raises OSError, or `NotASuccess` for another status than 200."""
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{address}: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NotASuccess(f"{method} {path} at {address}: {answer.status} {content[:300]!r}")
    return content


class FerriteStore:
    """Ferrite as `tree` has it: the working tree, or another revision's."""

    doors: Final[frozenset[Door]] = frozenset({"http", "grpc", "client"})
    operations: Final[frozenset[Operation]] = frozenset({"write", "read"})
    http_paths: Final[dict[Operation, str]] = {"write": "/write", "read": "/read"}
    grpc_paths: Final[dict[Operation, str]] = {
        "write": "/ferrite.kv.KvService/Set",
        "read": "/ferrite.kv.KvService/Get",
    }

    def __init__(self, name: str, directory: Path, tree: Path, settings: dict[str, object]) -> None:
        """Choose ports; nothing is started."""
        self.name = name
        self.tree = tree
        self._cluster = Cluster(directory, NODES, settings=settings)

    def __enter__(self) -> Self:
        wrapper = (*ends_with_us(), "env", f"PYTHONPATH={self.tree}")
        try:
            for node in self._nodes:
                node.spawn(wrapper=wrapper)
            for node in self._nodes:
                node.wait_answering()
            self._cluster.initialize()
            self._cluster.leader()
            self._cluster.wait_level()
        except BaseException:
            self._cluster.kill_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.kill_all()

    @property
    def _nodes(self) -> list[Node]:
        return list(self._cluster.nodes.values())

    def leader(self) -> int:
        return self._cluster.leader().node_id - 1

    def pids(self) -> list[int]:
        return [node.process.pid for node in self._nodes if node.process is not None]

    def fsyncs(self, node: int) -> int | None:
        metrics = self._nodes[node].metrics()
        count = (metrics or {}).get("counters", {}).get("log_fsyncs")
        return None if count is None else int(count)

    def http_addr(self, node: int) -> str:
        return self._nodes[node].http_addr

    def grpc_addr(self, node: int) -> str:
        return self._nodes[node].grpc_addr

    def http_body(self, operation: Operation, key: str, value: str) -> bytes:
        body: Any = {"Set": {"key": key, "value": value}} if operation == "write" else {"key": key}
        return json.dumps(body).encode()

    def http_value(self, answer: Any) -> str | None:
        value: str | None = answer["value"]
        return value

    def http_revision(self, answer: Any) -> int:
        return int(answer["revision"])


_FSYNCS: Final = re.compile(rb"^etcd_disk_wal_fsync_duration_seconds_count (\S+)$", re.MULTILINE)


def etcd_value(answer: Any) -> str | None:
    """Return the value in an answer of /v3/kv/range, which is base64."""
    found = answer.get("kvs")
    return base64.b64decode(found[0]["value"]).decode() if found else None


def etcd_body(operation: Operation, key: str, value: str) -> bytes:
    """Return the body for /v3/kv/put or /v3/kv/range."""
    body = {"key": base64.b64encode(key.encode()).decode()}
    if operation == "write":
        body["value"] = base64.b64encode(value.encode()).decode()
    return json.dumps(body).encode()


def etcd_fsyncs(metrics: bytes) -> int | None:
    """Return the count of WAL syncs in etcd's /metrics. Commits of its backend, ten a second, are not among them."""
    found = _FSYNCS.search(metrics)
    return None if found is None else int(float(found[1]))
