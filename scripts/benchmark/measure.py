"""One cell at one store: load it, look at the processes, and believe no figure whose answers were not all successes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from scripts.benchmark import generators
from scripts.benchmark.cells import Cell, Load, Measured, NotASuccess, Operation, To
from scripts.benchmark.machine import busy_s, cpu_s
from scripts.benchmark.payloads import KEYS, get_message, grpc_frame, key_of, put_message, value_of
from scripts.benchmark.pysyncobj_store import PySyncObjStore
from scripts.benchmark.stores import NODES, FerriteStore, Networked, ask

ATTEMPTS: Final = 3
"""Of a cell whose leader changed meanwhile: on a shared machine it may, and the figure is then of something else."""
_QUIET_S: Final = 0.2
_QUIET_TIMEOUT_S: Final = 20.0
_PIPELINED: Final = Path(__file__).with_name("pipelined.py")
_SAMPLE_TIMEOUT_S: Final = 10.0


class LeaderChanged(Exception):
    """Another node leads than at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How to measure. `directory` is for the generators' files."""

    directory: Path
    seconds: float
    to: To = "leader"

    def fill(self, store: Networked) -> None:
        """Write every key once, one after the other, which warms everything up."""
        leader = store.http_addr(store.leader())
        for number in range(KEYS):
            body = store.http_body("write", key_of(number), value_of(number))
            ask(leader, "POST", store.http_paths["write"], body)

    def measure(self, store: Networked | PySyncObjStore, cell: Cell) -> Measured:
        """Return the figure. Raises `NotASuccess`, `LeaderChanged`, OSError or AssertionError (a store that does not answer)."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._attempt(store, cell)
            except LeaderChanged:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returned or raised")

    def _attempt(self, store: Networked | PySyncObjStore, cell: Cell) -> Measured:
        leader = store.leader()
        pids = store.pids()
        checks = None if isinstance(store, PySyncObjStore) else Checks(store, leader, cell)
        syncs, before_s, busy_before_s = store.fsyncs(leader), [cpu_s(pid) for pid in pids], busy_s()
        load, generator_s = self.load(store, cell, leader)
        used_s = [cpu_s(pid) - before for pid, before in zip(pids, before_s, strict=True)]
        others_s = busy_s() - busy_before_s - sum(used_s) - generator_s
        syncs_after = store.fsyncs(leader)
        if store.leader() != leader:
            raise LeaderChanged("the leader changed in the middle, at every attempt")
        if load.failed or load.operations == 0:
            raise NotASuccess(f"{load.failed} of {load.operations + load.failed} failed: {load.complaint}")
        if checks is not None:
            checks.judge(load)
        return Measured(
            operations=load.operations,
            duration_s=load.duration_s,
            p50_us=load.p50_us,
            p99_us=load.p99_us,
            max_us=load.max_us,
            leader_cpu_s=round(used_s.pop(leader), 3),
            followers_cpu_s=tuple(round(used, 3) for used in used_s),
            generator_cpu_s=round(generator_s, 3),
            others_cpu_s=round(max(0.0, others_s), 3),
            fsyncs=None if syncs is None or syncs_after is None else syncs_after - syncs,
        )

    def load(self, store: Networked | PySyncObjStore, cell: Cell, leader: int) -> tuple[Load, float]:
        """Load the store as the cell says; return what the generators saw, and their seconds of CPU."""
        if isinstance(store, PySyncObjStore):
            return store.load(cell, self.seconds), 0.0
        if cell.door == "client":
            return self._load_with_client(store, cell, leader)
        shares = shares_of(cell.clients, targets(self.to, leader))
        commands, directories = [], []
        for node, clients in shares:
            directory = self.directory / f"generator{node}"
            directory.mkdir(exist_ok=True)
            directories.append(directory)
            commands.append(self._command(store, cell, node, clients, directory))
        outputs, cpu = generators.run(commands, self.seconds)
        if cell.door == "http":
            return together([generators.parse_wrk(output) for output in outputs]), cpu
        logs = [(directory / "h2load.log").read_text() for directory in directories]
        loads = [generators.parse_h2load(*each) for each in zip(outputs, logs, strict=True)]
        return together(loads), cpu

    def _command(self, store: Networked, cell: Cell, node: int, clients: int, directory: Path) -> list[str]:
        if cell.door == "http":
            url = f"http://{store.http_addr(node)}{store.http_paths[cell.operation]}"
            bodies = [
                store.http_body(cell.operation, key_of(number), value_of(number)) for number in range(KEYS)
            ]
            return generators.wrk_command(directory, url, bodies, clients, self.seconds)
        url = f"http://{store.grpc_addr(node)}{store.grpc_paths[cell.operation]}"
        frame = grpc_frame(message_of(cell.operation))
        return generators.h2load_command(directory, url, frame, clients, self.seconds)

    def _load_with_client(self, store: Networked, cell: Cell, leader: int) -> tuple[Load, float]:
        assert isinstance(store, FerriteStore), "no other store has a client of ours"
        endpoints = [f"grpc://{store.grpc_addr(node)}" for node in targets(self.to, leader)]
        command = generators.python_command(
            _PIPELINED, "--endpoints", *endpoints, "--operation", cell.operation, "--in-flight", str(cell.clients),
            "--seconds", str(self.seconds), "--keys", str(KEYS), "--value", value_of(0),
        )  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(store.tree)}
        outputs, cpu = generators.run([command], self.seconds, environment)
        return generators.parse_python(outputs[0]), cpu


def targets(to: To, leader: int) -> list[int]:
    """Return the nodes that clients talk to."""
    followers = [node for node in range(NODES) if node != leader]
    return {"leader": [leader], "follower": followers[:1], "all": [leader, *followers]}[to]


def shares_of(clients: int, nodes: Sequence[int]) -> list[tuple[int, int]]:
    """Deal clients to nodes, the first ones getting one more; nodes without any are left out."""
    each, more = divmod(clients, len(nodes))
    dealt = [(node, each + (place < more)) for place, node in enumerate(nodes)]
    return [(node, count) for node, count in dealt if count]


def together(loads: Sequence[Load]) -> Load:
    """Return several generators' results as one: their sum, and of the latencies the worst."""
    if len(loads) == 1:
        return loads[0]
    duration_s = max(load.duration_s for load in loads)
    rate = sum(load.operations / load.duration_s for load in loads)
    return Load(
        operations=round(rate * duration_s),
        failed=sum(load.failed for load in loads),
        duration_s=duration_s,
        p50_us=max(load.p50_us for load in loads),
        p99_us=max(load.p99_us for load in loads),
        max_us=max(load.max_us for load in loads),
        answer_bytes=sum(load.answer_bytes for load in loads),
        complaint=", ".join(load.complaint for load in loads if load.complaint),
    )


def message_of(operation: Operation) -> bytes:
    """Return the message that h2load sends all the time."""
    return put_message(key_of(0), value_of(0)) if operation == "write" else get_message(key_of(0))


class Checks:
    """What was there before a load, and whether the load's figure can be true after it."""

    def __init__(self, store: Networked, leader: int, cell: Cell) -> None:
        """Ask for one sample by each door, and for the revision once nothing moves any more."""
        self._store, self._leader, self._cell = store, leader, cell
        self._sample_bytes = self._grpc_sample() if cell.door == "grpc" else self._http_sample()
        self._revision = self._quiet_revision()

    def _http_sample(self) -> int:
        store, operation = self._store, self._cell.operation
        body = store.http_body(operation, key_of(0), value_of(0))
        content = ask(store.http_addr(self._leader), "POST", store.http_paths[operation], body)
        answer = json.loads(content)
        if operation == "read" and store.http_value(answer) != value_of(0):
            raise NotASuccess(f"a read of {key_of(0)} over HTTP answered {content[:300]!r}")
        return len(content)

    def _grpc_sample(self) -> int:
        """Return the answer's bytes. A call that fails raises NotASuccess."""
        operation = self._cell.operation
        with grpc.insecure_channel(self._store.grpc_addr(self._leader)) as channel:
            call: Any = channel.unary_unary(self._store.grpc_paths[operation])
            try:
                answer: bytes = call(message_of(operation), timeout=_SAMPLE_TIMEOUT_S)
            except grpc.RpcError as error:
                raise NotASuccess(f"a sample over gRPC failed: {error}") from error
        if operation == "read" and value_of(0).encode() not in answer:
            raise NotASuccess(f"a read of {key_of(0)} over gRPC answered {answer[:300]!r}")
        return len(answer)

    def _read_revision(self) -> int:
        store = self._store
        body = store.http_body("read", key_of(0), "")
        answer = json.loads(ask(store.http_addr(self._leader), "POST", store.http_paths["read"], body))
        return store.http_revision(answer)

    def _quiet_revision(self) -> int:
        """Return the revision, once it stays: requests that a generator left behind have ended."""
        until_s = time.monotonic() + _QUIET_TIMEOUT_S
        last = -1
        while time.monotonic() < until_s:
            revision = self._read_revision()
            if revision == last:
                return revision
            last = revision
            time.sleep(_QUIET_S)
        raise NotASuccess(f"the revision still grows {_QUIET_TIMEOUT_S:g} s after the last load")

    def judge(self, load: Load) -> None:
        """Raise `NotASuccess` unless all that was counted was done: writes by the revision, reads by their answers' bytes."""
        if self._cell.operation == "write":
            judge_writes(load, self._cell.clients, self._quiet_revision() - self._revision)
        elif self._cell.door != "client":  # The client's process looks at every value itself.
            judge_reads(load, self._sample_bytes if self._cell.door == "grpc" else len(value_of(0)))


def judge_writes(load: Load, clients: int, grown: int) -> None:
    """Raise `NotASuccess` unless the revision has grown by the writes that were counted.

    It may have grown by more: what was under way when the generator stopped is done but not counted, and the client's process
    writes once before it begins.
    """
    if not load.operations <= grown <= load.operations + 2 * clients + 1:
        raise NotASuccess(f"{load.operations} writes were counted, and the revision grew by {grown}")


def judge_reads(load: Load, least_bytes: int) -> None:
    """Raise `NotASuccess` unless the answers together are as long as so many good ones, of at least so many bytes each."""
    least = least_bytes * load.operations
    if load.answer_bytes < least:
        raise NotASuccess(
            f"{load.operations} reads were counted, with {load.answer_bytes} bytes of answers instead of {least}"
        )
