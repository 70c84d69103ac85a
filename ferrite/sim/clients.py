"""Closed-loop clients with sessions: unique values, retries under the same request id, leader hints, and a history of it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ferrite.core import Consistency, NodeId, RefusalCode
from ferrite.core.kv import CommandFailed, Delete, DeleteResult, Get, GetResult, Put, PutResult, Session
from ferrite.sim.answers import Abandoned, Answer, Refused, Replied
from ferrite.sim.checks.witness import check_fresh
from ferrite.sim.dice import Stream
from ferrite.sim.history import FAIL, INFO, OK, History, Operation
from ferrite.sim.node import Node
from ferrite.sim.options import ClientOptions
from ferrite.sim.timeline import Timeline
from ferrite.sim.violation import Violation

RETRY_PAUSE_US = 20_000
"""A refused client waits a little: else a cluster without a leader is hammered at the speed of the network."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of the operation in hand, at one node. An answer to an older attempt is ignored."""

    number: int
    node: NodeId


class Client:
    """One client. It has one operation at a time, and says so (`lowest_unacknowledged` is the one in hand)."""

    def __init__(
        self,
        name: str,
        options: ClientOptions,
        nodes: Mapping[NodeId, Node],
        timeline: Timeline,
        history: History,
        dice: Stream,
    ) -> None:
        self.name = name
        self.active = True
        self.operation: Operation | None = None
        self._options = options
        self._nodes = nodes
        self._timeline = timeline
        self._history = history
        self._dice = dice
        self._request_id = 0
        self._attempt: Attempt | None = None
        self._attempts_made = 0
        self._unknown = False
        self._hint = NodeId(0)

    def start(self) -> None:
        """Begin after a first pause."""
        self._later(self._begin, self._options.think_mean_us)

    def write_once(self, nodes: Mapping[NodeId, Node], timeout_us: int) -> Operation:
        """Write one more value now, at one of these nodes, after the client was told to rest; it must have nothing in hand."""
        self._nodes = nodes
        self._options = replace(self._options, timeout_us=timeout_us)
        assert self.operation is None, "a client has one operation at a time"
        self._unknown = False
        return self._invoke("put", b"key0", b"%s.%d." % (self.name.encode(), self._request_id + 1))

    def _later(self, what: Callable[[], None], mean_us: int) -> None:
        self._timeline.after(1 + self._dice.exponential(mean_us), what)

    def _begin(self) -> None:
        if not self.active:
            return
        options, dice = self._options, self._dice
        key = b"key%d" % dice.between(0, options.keys - 1)
        self._unknown = False
        if dice.chance(options.get_ppm):
            linearizable = not dice.chance(options.serializable_ppm)
            self._invoke("get", key, None, linearizable=linearizable)
        elif dice.chance(options.delete_ppm):
            self._invoke("delete", key, None)
        else:
            stem = b"%s.%d." % (self.name.encode(), self._request_id + 1)
            self._invoke("put", key, stem.ljust(options.value_bytes, b"x"))

    def _invoke(self, kind: str, key: bytes, value: bytes | None, *, linearizable: bool = True) -> Operation:
        if kind != "get":
            self._request_id += 1
        operation = self.operation = self._history.invoke(
            self.name,
            kind,
            key,
            value,
            request_id=self._request_id,
            now_us=self._timeline.now_us,
            linearizable=linearizable,
        )
        self._try()
        return operation

    def _try(self) -> None:
        operation = self.operation
        assert operation is not None, "an attempt belongs to an operation"
        ids = sorted(self._nodes)
        follow = self._hint in self._nodes and self._dice.chance(700_000)
        node = self._hint if follow else self._dice.pick(ids)
        self._hint = NodeId(0)
        operation.attempts += 1
        self._attempts_made += 1
        attempt = self._attempt = Attempt(number=self._attempts_made, node=node)
        self._later(lambda: self._arrive(operation, attempt), self._options.delay_mean_us)
        self._timeline.after(self._options.timeout_us, lambda: self._timed_out(attempt))

    def _arrive(self, operation: Operation, attempt: Attempt) -> None:
        # It may arrive after the client gave up on it: that is what makes an outcome unknown.
        node = self._nodes[attempt.node]

        def answer(outcome: Answer) -> None:
            self._later(lambda: self._answered(attempt, outcome), self._options.delay_mean_us)

        if operation.kind == "get":
            consistency = Consistency.LINEARIZABLE if operation.linearizable else Consistency.SERIALIZABLE
            node.read(Get(key=operation.key), consistency, self._options.timeout_us, answer)
            return
        session = Session(
            client_id=self.name.encode(),
            request_id=operation.request_id,
            lowest_unacknowledged=operation.request_id,
        )
        what: Put | Delete = Delete(key=operation.key)
        if operation.kind == "put":
            assert operation.value is not None, "a put has a value"
            what = Put(key=operation.key, value=operation.value)
        node.propose(what, session, self._options.timeout_us, answer)

    def _timed_out(self, attempt: Attempt) -> None:
        if attempt is self._attempt:
            self._attempt = None
            self._unknown = True
            self._again("timed out")

    def _answered(self, attempt: Attempt, outcome: Answer) -> None:
        if attempt is not self._attempt:
            return
        self._attempt = None
        match outcome:
            case Replied(result=result):
                self._done(result)
            case Refused(code=code, leader=leader):
                self._hint = leader
                self._again(f"refused: {code.value}", pause=code is not RefusalCode.NOT_LEADER or not leader)
            case Abandoned():
                self._unknown = True
                self._again("abandoned")

    def _again(self, why: str, *, pause: bool = True) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        if operation.attempts < self._options.attempts_max:
            self._later(self._try, RETRY_PAUSE_US if pause else 0)
            return
        # A read that got no answer did nothing; a write is unknown if any of its attempts was.
        outcome = INFO if self._unknown and operation.kind != "get" else FAIL
        self._finish(outcome, why)

    def _done(self, result: object) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        match result:
            case PutResult(revision=revision):
                operation.revision = revision
            case DeleteResult(revision=revision, existed=existed):
                operation.revision, operation.existed = revision, existed
            case GetResult(revision=revision, entry=entry):
                operation.revision = revision
                operation.value = entry.value if entry else None
                operation.mod_revision = entry.mod_revision if entry else 0
            case CommandFailed():
                raise Violation(
                    "S17",
                    "A client that keeps to the session's rules is never refused by them.",
                    f"{operation}: {result}",
                )
            case _:
                raise Violation(
                    "S17", "A request is answered with its own kind of result.", f"{operation}: {result!r}"
                )
        self._finish(OK, "")

    def _finish(self, outcome: str, detail: str) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        self.operation = None
        self._history.complete(operation, outcome, self._timeline.now_us, detail)
        if outcome == OK and operation.kind == "get":
            check_fresh(operation)
        self._later(self._begin, self._options.think_mean_us)
