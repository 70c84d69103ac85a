"""The host loop around the pure replica: facts in, one step, orders performed (contract, section 1).

Events are queued by plain callbacks and drained once per turn of the event loop, so that whatever arrived together is decided
together: N proposals of a turn cost one Persist and one frame per peer, without a clock. Everything here runs on the loop's
thread but `post_threadsafe`. Nothing here decides: an action is performed in the order given and its report is queued again.

Requests are a plain dictionary of callbacks: no future, task or timer for each; their deadlines are the core's. Outcomes are
told at the end of the turn that made them, when its frames are on their way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from ferrite.core import (
    Index,
    InvariantViolated,
    NodeId,
    RefusalCode,
    ReplicaStatus,
    RequestId,
    StopCode,
    actions,
    events,
    messages,
)
from ferrite.core.kv import Query, QueryResult, SnapshotInvalid
from ferrite.io.background import Background
from ferrite.io.exit_codes import ExitCode
from ferrite.io.organs import Organs
from ferrite.io.state_store import StoreStalled
from ferrite.io.storage_errors import storage_failed

ROUNDS_PER_TURN_MAX: Final = 8
"""Steps of one turn: reports made while performing are settled at once, but sockets get their share."""
TIMER_ROUND_UP_S: Final = 0.001
"""uvloop counts whole milliseconds; a timer that fires early would only ask again."""

_log = structlog.get_logger(__name__)


class Decider(Protocol):
    """The replica, as its host sees it."""

    @property
    def deadline_us(self) -> int: ...

    def step(self, facts: list[events.Event], now_us: int) -> list[actions.Action]: ...

    def status(self) -> ReplicaStatus: ...

    def cluster_time_us(self, now_us: int) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A read was evaluated."""

    result: QueryResult


Outcome = actions.Reply | actions.Refuse | actions.Abandon | Served
Tell = Callable[[Outcome], None]
"""Gets the one outcome of a request. Must not raise."""
Recorder = Callable[[int, list[events.Event], list[actions.Action]], None]
"""Sees every step: time in microseconds, events in, actions out. The seam of a trace."""


@dataclass(slots=True, kw_only=True)
class _Waiter:
    tell: Tell
    query: Query | None
    future: asyncio.Future[Outcome] | None = None


def now_us() -> int:
    """Monotonic time in microseconds: the only clock that a replica is told."""
    return time.monotonic_ns() // 1000


class Node:
    """Drives one replica. `on_stop` is called once, with the exit code and the reason, when the node has ended."""

    def __init__(
        self,
        replica: Decider,
        *,
        loop: asyncio.AbstractEventLoop,
        on_stop: Callable[[int, str], None],
        recorder: Recorder | None = None,
    ) -> None:
        """Nothing runs before `start`; events may already be posted."""
        self.replica = replica
        self.announced: actions.Announce | None = None
        self.stopped = False
        self._loop = loop
        self._on_stop = on_stop
        self._recorder = recorder
        self._organs: Organs | None = None
        self._background = Background(self.post_threadsafe)
        self._queue: list[events.Event] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0
        self._waiters: dict[RequestId, _Waiter] = {}
        self._outcomes: list[tuple[Tell, Outcome]] = []
        self._last_request = 0
        self._sends: dict[NodeId, list[messages.Message]] = {}
        self._listeners: list[Callable[[actions.Announce], None]] = []
        self._perform: dict[type, Callable[[Any], None]] = {
            actions.Persist: self._persist,
            actions.Apply: self._apply,
            actions.ServeRead: self._serve_read,
            actions.FlushState: self._flush_state,
            actions.LoadEntries: self._load_entries,
            actions.DiscardLog: self._discard_log,
            actions.SaveSnapshot: self._save_snapshot,
            actions.SendSnapshot: self._send_snapshot,
            actions.StoreChunk: self._store_chunk,
            actions.InstallSnapshot: self._install_snapshot,
            actions.Send: self._send,
            actions.Reply: self._complete,
            actions.Refuse: self._complete,
            actions.Abandon: self._complete,
            actions.Announce: self._announce,
            actions.Stop: self._stop,
        }

    # ------------------------------------------------------------------------------------------------ in

    def start(self, organs: Organs) -> None:
        """Begin to step."""
        self._organs = organs
        self._schedule()

    def post(self, event: events.Event) -> None:
        """Queue a fact; it is decided in this turn of the loop, together with whatever else is queued."""
        self._queue.append(event)
        if not self._scheduled:
            self._schedule()

    def post_all(self, facts: Iterable[events.Event]) -> None:
        """Queue several facts."""
        self._queue.extend(facts)
        if not self._scheduled:
            self._schedule()

    def post_threadsafe(self, facts: list[events.Event]) -> None:
        """Queue facts from another thread. Facts that come when the loop has ended concern nobody any more."""
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self.post_all, facts)
            except RuntimeError:  # closed in between
                _log.debug("facts after the loop's end", count=len(facts))

    def next_request(self) -> RequestId:
        """Return a request number: unique within this boot, growing."""
        self._last_request += 1
        return RequestId(self._last_request)

    def begin(self, request: RequestId, event: events.Event, tell: Tell, query: Query | None = None) -> None:
        """Queue a request; `tell` gets its outcome, on the loop, after this has returned."""
        if self.stopped:
            self._loop.call_soon(tell, _refused(request, RefusalCode.SHUTTING_DOWN, "this node has stopped"))
            return
        self._waiters[request] = _Waiter(tell=tell, query=query)
        self.post(event)

    def ask(
        self, request: RequestId, event: events.Event, query: Query | None = None
    ) -> asyncio.Future[Outcome]:
        """Queue a request and return the future of its one outcome. Cancel it freely: nothing else is hurt."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def tell(outcome: Outcome) -> None:
            if not future.done():  # the client may have gone away
                future.set_result(outcome)

        self.begin(request, event, tell, query)
        if query is not None and (waiter := self._waiters.get(request)) is not None:
            waiter.future = future
        return future

    def listen(self, listener: Callable[[actions.Announce], None]) -> Callable[[], None]:
        """Call `listener` at each Announce, on the loop. Returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def waiting_count(self) -> int:
        """Requests without an outcome."""
        return len(self._waiters)

    async def close(self) -> None:
        """Wait for the worker threads; call after the end. The organs are their owner's to close."""
        self._end()
        await self._loop.run_in_executor(None, self._background.close)

    # ------------------------------------------------------------------------------------------------ the loop

    def _schedule(self) -> None:
        if self._organs is not None and not self.stopped:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        try:
            for _ in range(ROUNDS_PER_TURN_MAX):
                if not self._step():
                    return
                if not self._queue:
                    break
            else:
                self._schedule()
            self._arm_timer()
            self._tell_outcomes()
        except InvariantViolated as error:
            self._fail(f"impossible state, a bug in Ferrite: {error}", error)
        except Exception as error:  # noqa: BLE001 - whatever broke here, the replica's state is in doubt: the node must not go on
            self._fail(f"unexpected error in the host loop, a bug in Ferrite: {error!r}", error)

    def _step(self) -> bool:
        """Decide and perform once; false when that was the end."""
        facts, self._queue = self._queue, []
        at_us = now_us()
        orders = self.replica.step(facts, at_us)
        if self._recorder is not None:
            self._recorder(at_us, facts, orders)
        perform = self._perform
        for order in orders:
            perform[type(order)](order)
            if self.stopped:
                return False
        if self._sends:
            self._flush_sends()
        return True

    def _arm_timer(self) -> None:
        """A timer that is early is left alone: it asks again when it fires. Cheaper than a new one each turn."""
        deadline_us = self.replica.deadline_us
        if self._timer is not None:
            if self._timer_us <= deadline_us:
                return
            self._timer.cancel()
        self._timer_us = deadline_us
        delay_s = max(0, deadline_us - now_us()) / 1_000_000 + TIMER_ROUND_UP_S
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._scheduled or self.stopped:
            return  # the turn that is due arms the timer again
        if now_us() >= self.replica.deadline_us:
            self._turn()
        else:
            self._arm_timer()

    def _fail(self, detail: str, error: BaseException) -> None:
        _log.critical("node stops", detail=detail, exc_info=error)
        self._end_with(ExitCode.INVARIANT, detail)

    def _end_with(self, code: int, detail: str) -> None:
        if not self.stopped:
            self._end()
            self._on_stop(code, detail)

    def _end(self) -> None:
        """No step after this. Whoever still waits learns that the outcome is unknown."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        for request in list(self._waiters):
            self._complete(
                actions.Abandon(request=request, detail="the node stopped before the outcome was known")
            )
        self._tell_outcomes()

    # ------------------------------------------------------------------------------------------------ orders

    @property
    def _to(self) -> Organs:
        assert self._organs is not None, "orders come from steps, and steps after start"
        return self._organs

    def _persist(self, order: actions.Persist) -> None:
        self._to.log.persist(order)

    def _load_entries(self, order: actions.LoadEntries) -> None:
        self._to.log.load(order.first_index, order.end_index, order.bytes_max)

    def _discard_log(self, order: actions.DiscardLog) -> None:
        self._to.log.discard(order.first_index)

    def _apply(self, order: actions.Apply) -> None:
        try:
            applied_index, outcomes = self._to.state.apply(order.first_index, order.entries)
        except InvariantViolated:
            raise  # a watch or the machine in an impossible state: a bug, and not the disk
        except StoreStalled:
            self._queue.append(events.ApplyStalled(first_index=order.first_index))
        except Exception as error:  # noqa: BLE001 - RocksDB raises bare exceptions; each means that the store is in doubt
            self._queue.append(storage_failed("apply", error))
        else:
            self._queue.append(events.Applied(applied_index=applied_index, outcomes=tuple(outcomes)))
            self._to.log.note_commit(Index(order.first_index + len(order.entries) - 1))

    def _serve_read(self, order: actions.ServeRead) -> None:
        for request in order.requests:
            waiter = self._waiters.pop(request, None)
            if waiter is None or (waiter.future is not None and waiter.future.done()):
                continue  # the client has gone away
            assert waiter.query is not None, "only reads are served"
            try:
                result = self._to.state.read(waiter.query)
            except Exception as error:  # noqa: BLE001 - RocksDB raises bare exceptions; each means that the store is in doubt
                self._queue.append(storage_failed("read", error))
                refusal = _refused(request, RefusalCode.STORAGE_FAILED, f"the state store failed: {error}")
                self._outcomes.append((waiter.tell, refusal))
            else:
                self._outcomes.append((waiter.tell, Served(result=result)))

    def _flush_state(self, _order: actions.FlushState) -> None:
        state = self._to.state
        self._background.state.submit(
            lambda: events.StateFlushed(applied_index=state.flush()),
            lambda error: storage_failed("flush", error),
        )

    def _save_snapshot(self, _order: actions.SaveSnapshot) -> None:
        def lost(error: Exception) -> events.Event:
            return events.SnapshotLost(snapshot_id=b"", detail=f"could not be built: {error}")

        try:
            save = self._to.snapshots.begin_save(self.replica.status().cluster_id)
        except Exception as error:  # noqa: BLE001 - RocksDB raises bare exceptions; each means that there is no snapshot
            self._queue.append(lost(error))
        else:
            self._background.save.submit(lambda: events.SnapshotSaved(snapshot=save()), lost)

    def _send_snapshot(self, order: actions.SendSnapshot) -> None:
        snapshots, transport = self._to.snapshots, self._to.transport

        def job() -> None:
            data, done = snapshots.read_chunk(order.snapshot, order.offset, order.length_max)
            message = messages.InstallSnapshot(
                term=order.term,
                snapshot=order.snapshot,
                offset=order.offset,
                data=data,
                done=done,
            )
            self._loop.call_soon_threadsafe(transport.send, order.to, (message,))

        lost = order.snapshot.snapshot_id
        self._background.send.submit(
            job, lambda error: events.SnapshotLost(snapshot_id=lost, detail=f"could not be read: {error}")
        )

    def _store_chunk(self, order: actions.StoreChunk) -> None:
        snapshots = self._to.snapshots
        self._background.state.submit(
            lambda: snapshots.store_chunk(order.snapshot, order.offset, order.data),
            lambda error: storage_failed("snapshot chunk", error),
        )

    def _install_snapshot(self, order: actions.InstallSnapshot) -> None:
        snapshots, cluster_id = self._to.snapshots, self.replica.status().cluster_id
        snapshot_id = order.snapshot.snapshot_id

        def job() -> events.Event:
            try:
                state = snapshots.install(order.snapshot, cluster_id)
            except SnapshotInvalid as error:
                return events.SnapshotInstalled(snapshot_id=snapshot_id, installed=False, detail=str(error))
            return events.SnapshotInstalled(snapshot_id=snapshot_id, installed=True, state=state)

        self._background.state.submit(job, lambda error: storage_failed("snapshot install", error))

    def _send(self, order: actions.Send) -> None:
        batch = self._sends.get(order.to)
        if batch is None:
            self._sends[order.to] = [order.message]
        else:
            batch.append(order.message)

    def _flush_sends(self) -> None:
        """Messages of one step to one peer travel in one frame."""
        sends, self._sends = self._sends, {}
        for peer, batch in sends.items():
            self._to.transport.send(peer, batch)

    def _complete(self, outcome: actions.Reply | actions.Refuse | actions.Abandon) -> None:
        waiter = self._waiters.pop(outcome.request, None)
        if waiter is not None:
            self._outcomes.append((waiter.tell, outcome))

    def _tell_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        for tell, outcome in outcomes:
            tell(outcome)

    def _announce(self, order: actions.Announce) -> None:
        self._flush_sends()  # what was ordered before goes to the peers that were there before
        before, self.announced = self.announced, order
        if before is None or before.membership != order.membership:
            self._to.transport.update_peers(order.membership)
            _log.info(
                "membership",
                voters=order.membership.voters,
                outgoing=order.membership.outgoing,
                learners=order.membership.learners,
            )
        if before is None or (before.role, before.term, before.leader) != (
            order.role,
            order.term,
            order.leader,
        ):
            _log.info("role", role=order.role.value, term=order.term, leader=order.leader)
        for listener in list(self._listeners):
            listener(order)

    def _stop(self, order: actions.Stop) -> None:
        self._flush_sends()
        log = _log.info if order.code is StopCode.OK else _log.critical
        log("node stops", code=int(order.code), detail=order.detail)
        self._end_with(int(order.code), order.detail)


def _refused(request: RequestId, code: RefusalCode, detail: str) -> actions.Refuse:
    return actions.Refuse(request=request, code=code, detail=detail, leader=NodeId(0))
