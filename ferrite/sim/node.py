"""A simulated node: the host of one replica. The same few lines as the real one: perform every action in order, report what
happened, decide nothing.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ferrite.core import (
    Change,
    Consistency,
    FrameError,
    Identity,
    InvariantViolated,
    Membership,
    NodeId,
    Recovered,
    Replica,
    ReplicaStatus,
    RequestId,
    StopCode,
    actions,
    decode_frame,
    encode_frame,
    events,
    messages,
)
from ferrite.core.disk import DiskError, LogCorrupt, NewerFormat, WrongIdentity
from ferrite.core.kv import Operation, Query, Session, encode_command
from ferrite.sim.answers import Abandoned, Callback, Refused, Replied
from ferrite.sim.disk import PowerLost, SimDisk
from ferrite.sim.log_thread import LogThread
from ferrite.sim.state_thread import StateThread
from ferrite.sim.store import SimStore
from ferrite.sim.summary import summary
from ferrite.sim.world import World

STEPS_AT_ONCE_MAX: Final = 10_000
"""Steps of one node without time passing, above which it is a busy loop (L9)."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A request without an answer. `query` is set for reads."""

    callback: Callback
    query: Query | None = None


class Node:
    """Everything of one node that survives a restart, and the incarnation that runs at the moment, if any."""

    def __init__(self, node_id: NodeId, instance: bytes, world: World) -> None:
        self.node_id = node_id
        self.instance = instance
        self.boot = 0
        self.disk = SimDisk(world.dice.stream("disk", node_id))
        self.store = SimStore()
        self.replica: Replica | None = None
        self.paused = False
        self.held_down = False
        """A test keeps this node from being started again."""
        self.stop_code: StopCode | None = None
        self.may_refuse = False
        """A test damaged this node on purpose: stopping with corruption or identity is right."""
        self.restart_pending = False
        self.crash_after_actions: int | None = None
        self.power_loss_next = True
        self._world = world
        self._dice = world.dice.stream("node", node_id)
        self._inbox: deque[events.Event] = deque()
        self._outbox: dict[NodeId, list[messages.Message]] = {}
        self._waiting: dict[RequestId, Waiting] = {}
        self._next_request = 1
        self._clock_base_us = 0
        self._wake_at_us = -1
        self._steps_at_us = (0, 0)
        self._log: LogThread | None = None
        self._state: StateThread | None = None

    # ------------------------------------------------------------------------------------------------ life

    @property
    def running(self) -> bool:
        """Is there a process?"""
        return self.replica is not None

    @property
    def local_us(self) -> int:
        """The node's monotonic clock; it begins anywhere at each boot. The seam for drift."""
        return self._clock_base_us + self._world.timeline.now_us

    def status(self) -> ReplicaStatus | None:
        """What the replica says of itself; None when the node is down."""
        return self.replica.status() if self.replica else None

    def start(self) -> None:
        """Boot: recover from disk and store, make the replica. A power failure during recovery leaves the node down."""
        world = self._world
        self.boot += 1
        self.stop_code = None
        self.restart_pending = False
        self._clock_base_us = self._dice.between(0, 1 << 40)
        self._wake_at_us = -1
        identity = Identity(node_id=self.node_id, instance=self.instance, boot=self.boot)
        try:
            self._log, recovered_log = LogThread.open(world, self, identity)
        except PowerLost:
            self.crash(power_loss=True)
            return
        except DiskError as error:
            self._stopped(StopCode.DISK_FULL if error.disk_full else StopCode.DISK_ERROR, error.detail)
            return
        except (LogCorrupt, WrongIdentity, NewerFormat) as error:
            self._stopped(StopCode.CORRUPTION, str(error))
            return
        self._state = StateThread(world, self, identity)
        recovered = Recovered(identity=identity, log=recovered_log, state=self._state.recovered_state())
        world.invariants.booted(self.node_id, recovered)
        world.note(self.node_id, "boot", self.boot, recovered_log.last_index, recovered.state.applied_index)
        config = replace(world.options.replica, seed=self._dice.bits(32))
        self.replica = self._guarded(lambda: world.replica_class(config, recovered, self.local_us))
        world.invariants.stepped(self.node_id, self.replica.status(), [])
        self._arm()

    def crash(self, *, power_loss: bool) -> None:
        """The process ends here and now. With a power loss un-synced writes are at stake."""
        world = self._world
        world.note(self.node_id, "crash", power_loss)
        self.replica = None
        self.paused = False
        self.crash_after_actions = None
        for thread in (self._log, self._state):
            if thread is not None:
                thread.alive = False
        self._log = self._state = None
        self._inbox.clear()
        self._outbox.clear()
        self._waiting.clear()
        if power_loss:
            self.disk.power_loss()
        else:
            self.disk.process_killed()
        self.store.crash(self._dice, power_loss=power_loss)
        world.node_down(self.node_id)

    def pause(self) -> None:
        """Freeze: nothing is handled until `resume`, everything queues up."""
        self.paused = True

    def resume(self) -> None:
        """Thaw, with all timers and packets queued."""
        self.paused = False
        if self.running:
            self._wake_soon()

    def check_state_hash(self) -> None:
        """Compare the state with everybody else's at the same applied index. Raises Violation S16."""
        status = self.status()
        if status is not None and self._state is not None:
            self._world.invariants.state_hash(self.node_id, status.applied_index, self._state.state_hash())

    # ------------------------------------------------------------------------------------------------ requests

    def propose(
        self, operation: Operation, session: Session | None, timeout_us: int, callback: Callback
    ) -> None:
        """A client's write arrives. A node that is down answers nothing."""
        if not self.running:
            return
        request = self._new_request(Waiting(callback=callback))
        command = encode_command(operation, origin=(self.node_id, self.boot, request), session=session)
        deadline_us = self.local_us + timeout_us
        self.report(events.ProposalReceived(request=request, command=command, deadline_us=deadline_us))

    def read(self, query: Query, consistency: Consistency, timeout_us: int, callback: Callback) -> None:
        """A client's read arrives."""
        if not self.running:
            return
        request = self._new_request(Waiting(callback=callback, query=query))
        deadline_us = self.local_us + timeout_us
        self.report(events.ReadRequested(request=request, deadline_us=deadline_us, consistency=consistency))

    def change_membership(self, change: Change, timeout_us: int, callback: Callback) -> None:
        """An operator's membership change arrives."""
        if not self.running:
            return
        request = self._new_request(Waiting(callback=callback))
        deadline_us = self.local_us + timeout_us
        self.report(events.MembershipChangeRequested(request=request, change=change, deadline_us=deadline_us))

    def transfer(self, target: NodeId, timeout_us: int, callback: Callback) -> None:
        """An operator hands leadership over."""
        if not self.running:
            return
        request = self._new_request(Waiting(callback=callback))
        deadline_us = self.local_us + timeout_us
        self.report(events.TransferRequested(request=request, target=target, deadline_us=deadline_us))

    def bootstrap(self, cluster_id: bytes, membership: Membership, callback: Callback) -> None:
        """`/init` arrives."""
        if not self.running:
            return
        request = self._new_request(Waiting(callback=callback))
        self.report(events.BootstrapRequested(request=request, cluster_id=cluster_id, membership=membership))

    def shut_down(self, timeout_us: int) -> None:
        """SIGTERM arrives."""
        if self.running:
            self.report(events.ShutdownRequested(deadline_us=self.local_us + timeout_us))

    def _new_request(self, waiting: Waiting) -> RequestId:
        request = RequestId(self._next_request)
        self._next_request += 1
        self._waiting[request] = waiting
        return request

    @property
    def waiting_count(self) -> int:
        """Requests without an answer."""
        return len(self._waiting)

    # ------------------------------------------------------------------------------------------------ events in

    def peer_unreachable(self, peer: NodeId, delay_us: int) -> None:
        """The transport will notice a little later that it lost the connection to this peer."""
        boot = self.boot

        def notice() -> None:
            if self.running and boot == self.boot:
                self.report(events.PeerUnreachable(peer=peer))

        self._world.timeline.after(delay_us, notice)

    def frame_arrived(self, frame: bytes) -> None:
        """Decode a frame and queue its messages; a damaged one is dropped and counted."""
        if not self.running:
            return
        try:
            header, batch = decode_frame(frame)
        except FrameError:
            self._world.counters["frames_damaged"] += 1
            return
        for message in batch:
            self.report(events.MessageReceived(header=header, message=message))

    def report(self, event: events.Event) -> None:
        """Queue a fact for the replica."""
        self._inbox.append(event)
        if len(self._inbox) == 1 and not self.paused:
            self._wake_soon()

    def _wake_soon(self) -> None:
        boot = self.boot
        self._world.timeline.after(0, lambda: self._wake(boot))

    def _arm(self) -> None:
        """Wake at the replica's deadline, unless a wake is due before."""
        assert self.replica is not None, "only a running node waits for a deadline"
        at_us = max(self._world.timeline.now_us, self.replica.deadline_us - self._clock_base_us)
        if self._wake_at_us < 0 or at_us < self._wake_at_us:
            self._wake_at_us = at_us
            boot = self.boot
            self._world.timeline.at(at_us, lambda: self._timer(boot, at_us))

    def _timer(self, boot: int, at_us: int) -> None:
        if boot == self.boot and self.running and at_us == self._wake_at_us:
            self._wake_at_us = -1
            self._wake(boot)

    # ------------------------------------------------------------------------------------------------ the loop

    def _wake(self, boot: int) -> None:
        if boot != self.boot or self.replica is None or self.paused:
            return
        if not self._inbox and self.local_us < self.replica.deadline_us:
            self._arm()
            return
        self._count_step()
        most = self._world.options.batch_events_max
        size = 1 if self._dice.chance(300_000) else self._dice.between(1, most)
        batch = [self._inbox.popleft() for _ in range(min(size, len(self._inbox)))]
        self._step(batch)
        if self.running and self.boot == boot:
            if self._inbox:
                self._wake_soon()
            self._arm()

    def _step(self, batch: list[events.Event]) -> None:
        world, replica = self._world, self.replica
        assert replica is not None, "only a running node steps"
        ordered = self._guarded(lambda: replica.step(batch, self.local_us))
        world.note(
            self.node_id,
            "step",
            tuple([summary(event) for event in batch]),
            tuple([summary(action) for action in ordered]),
        )
        world.invariants.stepped(self.node_id, replica.status(), ordered)
        boot = self.boot
        for place, action in enumerate(ordered):
            if self.crash_after_actions is not None and place >= min(
                self.crash_after_actions, len(ordered) - 1
            ):
                self._flush_frames(boot)
                self.crash(power_loss=self.power_loss_next)
                return
            self._perform(action)
            if self.replica is not replica:
                return
        self._flush_frames(boot)

    def _perform(self, action: actions.Action) -> None:
        log, state = self._log, self._state
        assert log is not None, "a running node has its threads"
        assert state is not None, "the same"
        match action:
            case actions.Persist() | actions.LoadEntries() | actions.DiscardLog():
                log.order(action)
            case actions.Apply():
                state.apply(action)
            case actions.FlushState():
                state.flush()
            case actions.SaveSnapshot():
                assert self.replica is not None, "the same"
                state.save_snapshot(self.replica.status().cluster_id)
            case actions.SendSnapshot():
                state.send_snapshot(action)
            case actions.StoreChunk():
                state.store_chunk(action)
            case actions.InstallSnapshot(snapshot=snapshot):
                state.install_snapshot(snapshot)
            case actions.ServeRead(requests=requests, read_index=read_index):
                for request in requests:
                    waiting = self._answered(request)
                    assert waiting.query is not None, f"request {request} is no read"
                    waiting.callback(Replied(result=state.serve(waiting.query, read_index)))
            case actions.Send(to=to, message=message):
                self.send(to, message)
            case actions.Reply(request=request, result=result):
                self._answered(request).callback(Replied(result=result))
            case actions.Refuse(request=request, code=code, detail=detail, leader=leader):
                self._answered(request).callback(Refused(code=code, detail=detail, leader=leader))
            case actions.Abandon(request=request, detail=detail):
                self._answered(request).callback(Abandoned(detail=detail))
            case actions.Announce():
                pass
            case actions.Stop(code=code, detail=detail):
                self._stopped(code, detail)

    def _answered(self, request: RequestId) -> Waiting:
        waiting = self._waiting.pop(request, None)
        # Contract 2: every request gets exactly one of Reply, ServeRead, Refuse, Abandon.
        if waiting is None:
            raise self._world.violation(
                "ANSWER",
                "Every request is answered exactly once.",
                f"node {self.node_id} answers {request} again",
            )
        return waiting

    # ------------------------------------------------------------------------------------------------ frames out

    def send(self, to: NodeId, message: messages.Message) -> None:
        """Queue a message for the frame of this step; now and then the frame leaves at once."""
        self._world.invariants.sending(self.node_id, to, message)
        self._outbox.setdefault(to, []).append(message)
        if self._dice.chance(100_000):
            self._flush_frames(self.boot)

    def send_now(self, to: NodeId, message: messages.Message) -> None:
        """Send outside of a step: a piece of a snapshot that was read meanwhile."""
        self.send(to, message)
        self._flush_frames(self.boot)

    def _flush_frames(self, boot: int) -> None:
        replica = self.replica
        if replica is None or boot != self.boot:
            return
        for to, batch in self._outbox.items():
            frame = encode_frame(replica.header_for(to), batch)
            self._world.note(self.node_id, "frame", to, zlib.crc32(frame))
            self._world.network.send(self.node_id, to, frame)
        self._outbox.clear()

    # ------------------------------------------------------------------------------------------------ ends

    def _stopped(self, code: StopCode, detail: str) -> None:
        self._flush_frames(self.boot)
        self.stop_code = code
        self._world.note(self.node_id, "stop", int(code))
        self._world.counters[f"stops_{code.name.lower()}"] += 1
        self.crash(power_loss=False)
        if code in (StopCode.CORRUPTION, StopCode.IDENTITY) and not self.may_refuse:
            raise self._world.violation(
                "STOP",
                "A node stops with these codes only for faults that were injected.",
                f"node {self.node_id}: {code!r}: {detail}",
            )

    def _guarded(self, call: Callable[[], T]) -> T:
        """Call the replica; whatever it raises is a finding."""
        try:
            return call()
        except InvariantViolated as error:
            raise self._world.violation(
                "CORE", "No state of a replica is impossible.", f"node {self.node_id}: {error}", kind="crash"
            ) from error
        except Exception as error:
            raise self._world.violation(
                "CRASH", "A replica never raises.", f"node {self.node_id}: {error!r}", kind="crash"
            ) from error

    def _count_step(self) -> None:
        now_us = self._world.timeline.now_us
        since_us, count = self._steps_at_us
        self._steps_at_us = (now_us, count + 1 if since_us == now_us else 1)
        # L9: time passes, or there is something new to handle.
        if count > STEPS_AT_ONCE_MAX:
            raise self._world.violation(
                "L9",
                "A node does not spin without time passing.",
                f"node {self.node_id} at {now_us} us",
                kind="liveness",
            )
