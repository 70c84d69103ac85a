"""Clients with sessions, by the shipped library or by themselves: retries under one request id, leader hints, lost answers,
crashes, and a history of it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ferrite.core import NO_NODE, Consistency, NodeId, RefusalCode
from ferrite.core.client import MACHINE, CallKind, Finish
from ferrite.core.kv import (
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    ListKeys,
    ListKeysResult,
    Put,
    Query,
    RangeResult,
    Session,
)
from ferrite.sim.answers import Abandoned, Answer, Callback, Refused, Replied
from ferrite.sim.checks.replay import OF_SESSIONS
from ferrite.sim.checks.witness import check_fresh
from ferrite.sim.history import FAIL, INFO, OK, READS, History, Operation
from ferrite.sim.node import Node
from ferrite.sim.shipped import Call, Library
from ferrite.sim.violation import Violation
from ferrite.sim.workload import ANSWERS, Asked, Workload
from ferrite.sim.world import World

RETRY_PAUSE_US: Final = 20_000
"""A refused client waits a little: else a cluster without a leader is hammered at the speed of the network."""
CALL_TIMEOUTS: Final = 4
"""A call of the library may take so many times what a client waits for the answer to one attempt."""
HASTE: Final = 20
"""A client that is bound to one node thinks so much less: what it does there is what its fault is about."""
STALENESS_MAX_US: Final = 500_000
"""The bound that some of the reads give that may be stale."""
REFUSALS: Final = (
    CommandErrorCode.KEY_NOT_FOUND,
    CommandErrorCode.LEASE_NOT_FOUND,
    CommandErrorCode.COMPACTED,
    CommandErrorCode.FUTURE_REVISION,
    CommandErrorCode.NO_SPACE,
)
"""What the machine may refuse a sound request with; the replay of the log says whether it was right."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of the operation in hand. An answer to an older attempt is ignored."""

    number: int
    node: NodeId


class Client:
    """One client after the other under one name: it has one operation at a time, and says so (`lowest_unacknowledged` is the
    one in hand). After a crash a new one with another session takes its place.
    """

    def __init__(
        self,
        number: int,
        nodes: Mapping[NodeId, Node],
        world: World,
        history: History,
        library: Library | None = None,
    ) -> None:
        """With a `library` that decides how things are tried; else the client does it by itself, more rashly."""
        self.name = f"client{number}"
        self.active = True
        self.operation: Operation | None = None
        self._options = world.options.clients
        self._everybody = nodes
        self._nodes = nodes
        """Whom to ask."""
        self._world = world
        self._timeline = world.timeline
        self._history = history
        self._library = library
        self._call_number = 0
        # What is done comes from one stream and how it is tried from another, so that a tape can leave one operation out.
        self._choice = world.dice.stream("client", number)
        self._workload = Workload(number, world.options.clients, world.options.kv, self._choice)
        self._dice = world.dice.stream("attempt", number)
        self._answer_lost = world.plan.site(
            "answer_lost", self._options.answer_lost_ppm, number, of_nodes=False
        )
        self._crashes = world.plan.site("client_crash", self._options.crash_ppm, number, of_nodes=False)
        self.turns = 0
        self._lives = 1
        self._request_id = 0
        self._attempt: Attempt | None = None
        self._attempts_made = 0
        self._unknown = False
        self._sent_us = 0
        """When the operation in hand began, by the client's clock."""
        self._hint = NodeId(0)
        self._only = NO_NODE
        """When set, the one node that is asked."""

    def start(self) -> None:
        """Begin after a first pause."""
        self._rest()

    def _rest(self) -> None:
        options = self._options
        think_us = options.think_mean_us // HASTE if self._only else options.think_mean_us
        pause_us = 1 + self._choice.exponential(think_us)
        if options.burst_every_us:
            # All clients wake at the same moments, and then work without a pause for half of the time.
            phase_us = self._timeline.now_us % options.burst_every_us
            if phase_us > options.burst_every_us // 2:
                pause_us += options.burst_every_us - phase_us
        self._timeline.after(pause_us, self._begin)

    def use(self, nodes: Mapping[NodeId, Node], timeout_us: int) -> None:
        """From now on ask these nodes only, and wait so long for an answer; begin nothing new."""
        self.active = False
        self._nodes = nodes
        self._options = replace(self._options, timeout_us=timeout_us)
        if self._library is not None:
            self._library.tell_members(nodes)

    def ask_only(self, node: NodeId) -> None:
        """From the next attempt on ask this node only; NO_NODE for anybody again."""
        self._only = node

    def write_once(self) -> Operation:
        """Write once more now, after the client was told to rest; it must have nothing in hand."""
        assert self.operation is None, "a client has one operation at a time"
        if self._world.options.kv.quota_bytes:  # A store without space still deletes.
            return self._invoke(Asked(kind="delete", key=b"key0", command=Delete(key=b"key0")))
        put = Put(key=b"key0", value=self._workload.value(self._stem(), 0))
        return self._invoke(Asked(kind="put", key=put.key, command=put))

    def _begin(self) -> None:
        if not self.active or f"{self.name}:{self.turns}+" in self._world.plan.without:
            return
        if self._library is not None and self._library.asleep_us:
            self._timeline.after(self._library.asleep_us, self._begin)
            return
        self.turns += 1
        asked = self._workload.choose(self._stem(), self._world.clock_us)
        if f"{self.name}:{self.turns}" in self._world.plan.without:
            self._rest()
        else:
            self._invoke(asked)

    def _stem(self) -> bytes:
        """What the values of the next write begin with."""
        return b"%s.%d.%d" % (self.name.encode(), self._lives, self._request_id + 1)

    # ------------------------------------------------------------------------------------------------ how it is tried

    def _invoke(self, asked: Asked) -> Operation:
        if asked.kind not in READS:
            self._request_id += 1
        self._unknown = False
        self._sent_us = self._world.clock_us
        operation = self.operation = self._history.invoke(
            f"{self.name}.{self._lives}",
            asked.kind,
            asked.key,
            asked.command,
            request_id=self._request_id,
            now_us=self._timeline.now_us,
            linearizable=asked.linearizable,
        )
        operation.query = asked.query
        operation.leaders_seen = -len(self._world.invariants.ghost.leaders)
        if self._world.recording is not None:
            operation.row = self._world.row(
                "invoke",
                operation=operation.number,
                client=self.name,
                kind=asked.kind,
                key=asked.key.decode(),
                value=", ".join(str(change) for change in operation.changes),
            )
        if self._library is None:
            self._try(operation)
        else:
            self._call(self._library, operation)
        if self._crashes.strikes():
            self._timeline.after(
                self._dice.exponential(self._options.delay_mean_us * 8), self._crash, operation
            )
        return operation

    def _crash(self, operation: Operation) -> None:
        """The process is gone, and nobody will know what came of its operation."""
        if self.operation is not operation:
            return
        if self._library is None:
            self._gone(operation)
        elif self._dice.chance(500_000):
            self._library.crash()
        else:  # Only this one of the process's tasks ends.
            self._library.cancel(self._call_number)
            self._gone(operation)

    def _gone(self, operation: Operation) -> None:
        assert operation is self.operation, "it is in hand"
        self._attempt = None
        self._finish(INFO, "the client crashed")
        self._lives += 1
        self._request_id = 0
        self._workload.new_life()

    # ------------------------------------------------------------------------------------------------ by the library

    def _call(self, library: Library, operation: Operation) -> None:
        def ask(node: Node, session: Session | None, timeout_us: int, callback: Callback) -> None:
            self._ask(operation, node, session, timeout_us, callback)

        call = Call(
            kind=CallKind.REPEATABLE if operation.kind in READS else CallKind.CHANGE,
            ask=ask,
            reaches=self._reaches,
            over=lambda finish: self._over(operation, finish),
            gone=lambda: self._gone(operation),
            operation=operation,
        )
        self._call_number = library.call(call, self._options.timeout_us * CALL_TIMEOUTS)

    def _reaches(self, node: NodeId) -> bool:
        return node in self._nodes and self._only in (NO_NODE, node)

    def _over(self, operation: Operation, finish: Finish) -> None:
        assert operation is self.operation, "a call that was given up is not heard of again"
        failure = finish.failure
        if failure is None:
            self._done(finish.answer)
        elif failure.code in MACHINE:
            code = CommandErrorCode[failure.code.upper()]
            self._done(CommandFailed(code=code, detail=failure.detail, revision=failure.revision))
        else:
            unknown = operation.kind not in READS and not failure.certainly_not_applied
            self._finish(INFO if unknown else FAIL, failure.code)

    # ------------------------------------------------------------------------------------------------ by itself

    def _try(self, operation: Operation) -> None:
        if operation is not self.operation:
            return  # The client crashed while it waited to try again.
        ids = sorted(self._nodes)
        follow = self._hint in self._nodes and self._dice.chance(700_000)
        node = self._only or (self._hint if follow else self._dice.pick(ids))
        self._hint = NodeId(0)
        operation.attempts += 1
        self._attempts_made += 1
        attempt = self._attempt = Attempt(number=self._attempts_made, node=node)
        self._send(operation, attempt, node)
        if self._dice.chance(self._options.twice_ppm):
            self._send(operation, attempt, self._dice.pick(ids))
        self._timeline.after(self._options.timeout_us, self._timed_out, attempt)

    def _send(self, operation: Operation, attempt: Attempt, node: NodeId) -> None:
        delay_us = 1 + self._dice.exponential(self._options.delay_mean_us)
        self._timeline.after(delay_us, self._arrive, operation, attempt, node)

    def _arrive(self, operation: Operation, attempt: Attempt, node_id: NodeId) -> None:
        # It may arrive after the client gave up on it: that is what makes an outcome unknown.
        node = self._everybody[node_id]
        if self._world.recording is not None:
            self._world.row("attempt", operation=operation.number, node=node_id, cause=operation.row)

        def answer(outcome: Answer) -> None:
            if self._answer_lost.strikes():
                return
            delay_us = 1 + self._dice.exponential(self._options.delay_mean_us)
            self._timeline.after(delay_us, self._answered, attempt, outcome)

        session = Session(
            client_id=operation.client.encode(),
            request_id=operation.request_id,
            lowest_unacknowledged=operation.request_id,
        )
        self._ask(operation, node, session, self._options.timeout_us, answer)

    @staticmethod
    def _ask(
        operation: Operation, node: Node, session: Session | None, timeout_us: int, callback: Callback
    ) -> None:
        """An attempt arrives at a node."""
        if operation.kind in READS:
            query = operation.query or _plain_query(operation)
            consistency = Consistency.LINEARIZABLE if operation.linearizable else Consistency.SERIALIZABLE
            staleness_us = STALENESS_MAX_US if not operation.linearizable and operation.number % 2 else 0
            node.read(query, consistency, timeout_us, callback, max_staleness_us=staleness_us)
            return
        assert operation.command is not None, "a write has a command"
        node.propose(operation.command, session, timeout_us, callback)

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
                # Sent twice, it may still be carried out elsewhere.
                self._unknown = self._unknown or self._options.twice_ppm > 0
                self._hint = leader
                self._again(f"refused: {code.value}", pause=code is not RefusalCode.NOT_LEADER or not leader)
            case Abandoned():
                self._unknown = True
                self._again("abandoned")

    def _again(self, why: str, *, pause: bool = True) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        if operation.attempts < self._options.attempts_max:
            pause_us = self._dice.exponential(RETRY_PAUSE_US) if pause else 0
            self._timeline.after(1 + pause_us, self._try, operation)
            return
        # A read that got no answer did nothing; a write is unknown if any of its attempts was.
        outcome = INFO if self._unknown and operation.kind not in READS else FAIL
        self._finish(outcome, why)

    # ------------------------------------------------------------------------------------------------ how it ends

    def _done(self, result: object) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        outcome, detail = OK, ""
        match result:
            case GetResult(revision=revision, entry=entry) if operation.kind == "get":
                operation.revision = revision
                operation.entries = (entry,) if entry else ()
            case ListKeysResult(revision=revision, entries=entries, more=False) if operation.kind == "list":
                operation.revision, operation.entries = revision, entries
            case CommandFailed(code=code) if code not in OF_SESSIONS and code in REFUSALS:
                operation.result = result
                outcome, detail = FAIL, code.name
            case CommandFailed():
                raise Violation(
                    "S17",
                    "A client that keeps to the session's rules is never refused by them.",
                    f"{operation}: {result}",
                )
            case _ if type(result) is ANSWERS.get(operation.kind):
                operation.result = result
                operation.revision = getattr(result, "revision")  # noqa: B009 - each answer has one
                if isinstance(result, DeleteResult):
                    operation.existed = (result.existed,)
                elif isinstance(result, BatchResult):
                    operation.existed = result.existed
                elif isinstance(result, RangeResult):
                    operation.entries = result.entries
            case _:
                raise Violation(
                    "S17", "A request is answered with its own kind of result.", f"{operation}: {result!r}"
                )
        self._finish(outcome, detail)

    def _finish(self, outcome: str, detail: str) -> None:
        operation = self.operation
        assert operation is not None, "there is an operation in hand"
        self.operation = None
        operation.leaders_seen += len(self._world.invariants.ghost.leaders)
        self._history.complete(operation, outcome, self._timeline.now_us, detail)
        self._workload.learn(operation, self._sent_us, self._world.clock_us)
        if self._world.recording is not None:
            self._world.row(
                "complete",
                operation=operation.number,
                outcome=outcome,
                value=", ".join(entry.value.decode() for entry in operation.entries),
                revision=operation.revision,
                detail=detail,
            )
        if outcome == OK and operation.kind in READS:
            check_fresh(operation)
        self._rest()


def _plain_query(operation: Operation) -> Query:
    if operation.kind == "get":
        return Get(key=operation.key)
    return ListKeys(prefix=operation.key, keys_only=False)
