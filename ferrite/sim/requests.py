"""Requests that a story makes by itself: which client, which node, how long to wait. The history has them all, so that the
witness check judges what was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrite.core import Consistency
from ferrite.core.kv import Delete, DeleteResult, Get, GetResult, Put, PutResult, Session
from ferrite.sim.answers import Abandoned, Answer, Refused, Replied
from ferrite.sim.checks.witness import check_fresh
from ferrite.sim.cluster import Cluster
from ferrite.sim.history import FAIL, INFO, OK, PENDING, Operation
from ferrite.sim.node import Node

REQUEST_TIMEOUT_US: Final = 2_000_000
"""The deadline that a request gives its node."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Outcome:
    """What a client knows of its request. `status` is "ok", "refused" (it certainly did not happen) or "unknown" (it may have
    happened, or may yet). `revision`, `value` and `existed` are set when it is "ok", `detail` says why when it is not.
    """

    status: str
    revision: int = 0
    value: bytes | None = None
    """What a get found; None for nothing."""
    existed: bool = False
    """Of a delete: was the key there?"""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Was it carried out?"""
        return self.status == "ok"


_STATUS: Final = {OK: "ok", FAIL: "refused", INFO: "unknown", PENDING: "unknown"}


def outcome_of(operation: Operation) -> Outcome:
    """What the client knows of it by now."""
    return Outcome(
        status=_STATUS[operation.outcome],
        revision=operation.revision,
        value=operation.entries[0].value if operation.entries else None,
        existed=any(operation.existed),
        detail=operation.detail or ("no answer in time" if operation.outcome == PENDING else ""),
    )


@dataclass(slots=True, kw_only=True)
class _Writer:
    """A client with a session: one write at a time. With the next one it gives up what it has no answer to."""

    name: str
    request_id: int = 0
    operation: Operation | None = None
    attempts_open: int = 0
    """Attempts of the operation that no answer came to, so far."""
    in_doubt: bool = False
    """Some attempt may have been carried out, although its node gave up."""


class Requests:
    """Sends requests to nodes and writes the history that the witness check judges."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._writers: dict[str, _Writer] = {}

    def retryable(self) -> list[str]:
        """Clients whose last write has an unknown outcome."""
        return [
            name
            for name, writer in self._writers.items()
            if writer.operation is not None and writer.operation.outcome in (PENDING, INFO)
        ]

    def write(self, client: str, command: Put | Delete, node: Node) -> Operation:
        cluster = self._cluster
        writer = self._writers.setdefault(client, _Writer(name=client))
        if writer.operation is not None and writer.operation.outcome == PENDING:
            cluster.history.complete(writer.operation, INFO, cluster.now_us, "the client went on")
        writer.request_id += 1
        writer.attempts_open, writer.in_doubt = 0, False
        writer.operation = cluster.history.invoke(
            client,
            "put" if isinstance(command, Put) else "delete",
            command.key,
            command,
            request_id=writer.request_id,
            now_us=cluster.now_us,
        )
        return self.try_again(client, node)

    def try_again(self, client: str, node: Node) -> Operation:
        """Send the client's last write to this node, under the request id that it has."""
        writer = self._writers[client]
        operation = writer.operation
        assert operation is not None, "there is a write to be tried"
        assert operation.command is not None, "a write has a command"
        operation.outcome = PENDING
        operation.attempts += 1
        writer.attempts_open += 1
        session = Session(
            client_id=client.encode(),
            request_id=writer.request_id,
            lowest_unacknowledged=writer.request_id,
        )
        node.propose(
            operation.command,
            session,
            REQUEST_TIMEOUT_US,
            lambda answer: self._write_answered(writer, operation, answer),
        )
        return operation

    def _write_answered(self, writer: _Writer, operation: Operation, answer: Answer) -> None:
        if operation is not writer.operation or operation.outcome == OK:
            return  # Nobody waits for it any more: given up, or answered by another attempt.
        writer.attempts_open -= 1
        detail = ""
        match answer:
            case Replied(result=result):
                self._carried_out(operation, result)
                return
            case Refused(code=code):
                detail = code.value
            case Abandoned(detail=why):
                writer.in_doubt, detail = True, why
        if not writer.attempts_open:
            outcome = INFO if writer.in_doubt else FAIL
            self._cluster.history.complete(operation, outcome, self._cluster.now_us, detail)

    def read(self, key: bytes, node: Node, *, stale: bool) -> Operation:
        cluster = self._cluster
        operation = cluster.history.invoke(
            "reader", "get", key, None, request_id=0, now_us=cluster.now_us, linearizable=not stale
        )
        operation.attempts = 1

        def answered(answer: Answer) -> None:
            if isinstance(answer, Replied):
                self._carried_out(operation, answer.result)
                check_fresh(operation)
            else:
                cluster.history.complete(operation, FAIL, cluster.now_us, answer.detail)

        consistency = Consistency.SERIALIZABLE if stale else Consistency.LINEARIZABLE
        node.read(Get(key=key), consistency, REQUEST_TIMEOUT_US, answered)
        return operation

    def _carried_out(self, operation: Operation, result: object) -> None:
        match operation.kind, result:
            case "put", PutResult(revision=revision):
                operation.revision = revision
            case "delete", DeleteResult(revision=revision, existed=existed):
                operation.revision, operation.existed = revision, (existed,)
            case "get", GetResult(revision=revision, entry=entry):
                operation.revision, operation.entries = revision, (entry,) if entry else ()
            case _:
                raise self._cluster.world.violation(
                    "S17",
                    "A request that keeps to the session's rules is answered with its own kind of result.",
                    f"{operation}: {result!r}",
                )
        self._cluster.history.complete(operation, OK, self._cluster.now_us)
