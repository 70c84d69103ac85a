"""A simulated node: the host of one replica. The same few lines as the real one: perform every action in order, report what
happened, decide nothing.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import replace
from typing import Final

from ferrite.core import (
    Change,
    Consistency,
    FrameError,
    Identity,
    Membership,
    NodeId,
    Recovered,
    Replica,
    ReplicaConfig,
    ReplicaStatus,
    StopCode,
    actions,
    decode_frame,
    events,
    messages,
)
from ferrite.core.disk import DiskError, LogCorrupt, NewerFormat, WrongIdentity
from ferrite.core.kv import Operation, Query, Session, encode_command
from ferrite.sim.answers import Callback
from ferrite.sim.clock import Clock
from ferrite.sim.desk import Desk, Waiting
from ferrite.sim.disk import PowerLost, SimDisk
from ferrite.sim.housekeeping import Housekeeping
from ferrite.sim.log_thread import LogThread
from ferrite.sim.network import Frame
from ferrite.sim.orders import Doom, perform
from ferrite.sim.outbox import Outbox
from ferrite.sim.reconfigure import reconfigured
from ferrite.sim.state_thread import StateThread
from ferrite.sim.store import SimStore
from ferrite.sim.summary import state_of, step_fields, step_summary
from ferrite.sim.world import World, finding

STEPS_AT_ONCE_MAX: Final = 10_000
"""Steps of one node without time passing, above which it is a busy loop (L9)."""


class Node:
    """Everything of one node that survives a restart, and the incarnation that runs at the moment, if any."""

    def __init__(self, node_id: NodeId, instance: bytes, world: World) -> None:
        self.node_id = node_id
        self.instance = instance
        self.seen_as = node_id
        """Under this id the checks know it: another one after its data directory was replaced, for that is another node."""
        self.boot = 0
        self.disk = SimDisk(world.dice.stream("disk", node_id), world.plan, node_id, world.options.disk)
        self.store = SimStore()
        self.replica: Replica | None = None
        self.paused = False
        self.held_down = False
        """A test or a fault keeps this node from being started again."""
        self.stop_code: StopCode | None = None
        self.may_refuse = False
        """This node was damaged on purpose: stopping with corruption or identity is right."""
        self.restart_pending = False
        self.doom: Doom | None = None
        self.event_cost_us = 0
        """A slow processor: every event costs so much."""
        self.clock = Clock(0, 0, world.options.clock_rate_ppm)
        self.events_told = 0
        """Facts that replicas of this node were told."""
        self.dropped_messages = 0
        """Messages that replicas of this node dropped for what their header said."""
        self.step_row = 0
        """The row of the step at hand, when a recording is made."""
        self._world = world
        self._timeline = world.timeline
        self._invariants = world.invariants
        self._dice = world.dice.stream("node", node_id)
        self._late_timer = world.plan.site("late_timer", world.options.faults.late_timer_ppm, node_id)
        self._reconfigure = world.plan.site("reconfigure", world.options.faults.reconfigure_ppm, node_id)
        self._inbox: deque[events.Event] = deque()
        self._causes: deque[int] = deque()
        """With a recording: the row that brought about each event of the inbox."""
        self._outbox = Outbox(node_id, world, self._dice)
        self._desk = Desk(node_id, world)
        self._wake_at_us = -1
        self._busy_until_us = 0
        self._stepped_us = self._steps_at_once = 0
        self._deep_check_every = world.options.deep_check_every
        self._steps_since_deep = 0
        self._shown: dict[str, object] = {}
        self._log: LogThread | None = None
        self.state: StateThread | None = None

    @property
    def running(self) -> bool:
        """Is there a process?"""
        return self.replica is not None

    @property
    def local_us(self) -> int:
        """The node's monotonic clock; it begins anywhere at each boot."""
        return self.clock.read(self._world.timeline.now_us)

    def status(self) -> ReplicaStatus | None:
        """What the replica says of itself; None when the node is down."""
        return self.replica.status() if self.replica else None

    def start(self) -> None:
        """Boot: recover from disk and store, make the replica. A power failure during recovery leaves the node down."""
        world = self._world
        self.boot += 1
        self.stop_code = None
        self.restart_pending = False
        self.clock = Clock(self._dice.between(0, 1 << 40), world.timeline.now_us, self.clock.rate_ppm)
        self._wake_at_us = -1
        self._shown = {}
        identity = Identity(node_id=self.node_id, instance=self.instance, boot=self.boot)
        world.invariants.opening(self.seen_as)
        try:
            self._log, recovered_log = LogThread.open(world, self, identity)
        except PowerLost:
            self.crash(power_loss=True)
            return
        except DiskError as error:
            self.stopped(StopCode.DISK_FULL if error.disk_full else StopCode.DISK_ERROR, error.detail)
            return
        except (LogCorrupt, WrongIdentity, NewerFormat) as error:
            self.stopped(StopCode.CORRUPTION, str(error))
            return
        self.state = StateThread(world, self, identity)
        recovered = Recovered(identity=identity, log=recovered_log, state=self.state.recovered_state())
        world.invariants.booted(self.seen_as, recovered)
        last, applied = recovered_log.last_index, recovered.state.applied_index
        world.note(self.node_id, "boot", self.boot, last, applied)
        row = {"boot": self.boot, "last": last, "applied": applied, "term": recovered_log.hard_state.term}
        world.row("boot", node=self.node_id, **row)
        try:
            self.replica = world.replica_class(self._config(), recovered, self.local_us)
        except Exception as error:
            raise finding(world, self.node_id, error) from error
        world.invariants.started(self.seen_as, self.replica.status())
        self._arm(self.replica)
        Housekeeping(self, world).start()

    def _config(self) -> ReplicaConfig:
        world = self._world
        config = replace(
            world.options.replica, seed=0 if world.options.faults.equal_jitter else self._dice.bits(32)
        )
        fault = self._reconfigure.strikes()
        return reconfigured(config, fault.stream()) if fault else config

    def crash(self, *, power_loss: bool, why: str = "") -> None:
        """The process ends here and now. With a power loss un-synced writes are at stake."""
        world = self._world
        world.note(self.node_id, "crash", power_loss)
        status = self.status()
        if status is not None:
            self.dropped_messages += status.counters.get("messages_dropped_identity", 0)
        world.row("down", node=self.node_id, why=why or ("power loss" if power_loss else "killed"))
        self.replica = None
        self.paused = False
        self.doom = None
        self._busy_until_us = 0
        for thread in (self._log, self.state):
            if thread is not None:
                thread.alive = False
        self._log = self.state = None
        self._inbox.clear()
        self._causes.clear()
        self._outbox.clear()
        self._desk.clear()
        if power_loss:
            self.disk.power_loss()
        else:
            self.disk.process_killed()
        self.store.crash(self._dice, power_loss=power_loss)
        world.node_down(self.node_id)

    def pause(self) -> None:
        """Freeze: nothing is handled until `resume`, everything queues up."""
        self.paused = True
        self._world.row("paused", node=self.node_id)

    def resume(self) -> None:
        """Thaw, with all timers and packets queued."""
        if self.paused:
            self._world.row("resumed", node=self.node_id)
        self.paused = False
        if self.running:
            self._wake_soon()

    def lose_state(self) -> None:
        """The state store turns out to be damaged, at its next use."""
        if self.state is not None:
            self.state.fail(corrupt=True)

    def recover_from_faults(self) -> None:
        """Whatever a fault did to this node ends: it runs, as far as it can."""
        self.disk.lose_power_after(None)
        self.doom = None
        self.event_cost_us = 0
        self.clock.set_rate(self._world.timeline.now_us, self._world.options.clock_rate_ppm)
        if self.paused:
            self.resume()
        if not self.running and not self.held_down and not self.refused:
            self.start()
        else:
            self.clock_changed()

    @property
    def refused(self) -> bool:
        """It stopped for good: its disk is damaged, or not its own."""
        return self.may_refuse and self.stop_code in (StopCode.CORRUPTION, StopCode.IDENTITY)

    def clock_changed(self) -> None:
        """The clock has another rate, or jumped: the timer is set anew."""
        self._wake_at_us = -1
        if self.replica is not None:
            self._arm(self.replica)

    def check_state_hash(self) -> None:
        """Compare the state with everybody else's at the same applied index. Raises Violation S16."""
        status = self.status()
        if status is not None and self.state is not None:
            self._world.invariants.state_hash(self.seen_as, status.applied_index, self.state.state_hash())

    def propose(
        self, operation: Operation, session: Session | None, timeout_us: int, callback: Callback
    ) -> None:
        """A client's write arrives. A node that is down answers nothing."""
        if not self.running:
            return
        request = self._desk.take(Waiting(callback=callback))
        command = encode_command(operation, origin=(self.node_id, self.boot, request), session=session)
        deadline_us = self.local_us + timeout_us
        self.report(events.ProposalReceived(request=request, command=command, deadline_us=deadline_us))

    def read(
        self,
        query: Query,
        consistency: Consistency,
        timeout_us: int,
        callback: Callback,
        *,
        max_staleness_us: int = 0,
    ) -> None:
        """A client's read arrives."""
        if not self.running:
            return
        request = self._desk.take(Waiting(callback=callback, query=query))
        if consistency is Consistency.LINEARIZABLE:
            self._invariants.read_arrived(self.seen_as, request)
        deadline_us = self.local_us + timeout_us
        self.report(
            events.ReadRequested(
                request=request,
                deadline_us=deadline_us,
                consistency=consistency,
                max_staleness_us=max_staleness_us,
            )
        )

    def change_membership(self, change: Change, timeout_us: int, callback: Callback) -> None:
        """An operator's membership change arrives."""
        if not self.running:
            return
        request = self._desk.take(Waiting(callback=callback))
        deadline_us = self.local_us + timeout_us
        self.report(events.MembershipChangeRequested(request=request, change=change, deadline_us=deadline_us))

    def transfer(self, target: NodeId, timeout_us: int, callback: Callback) -> None:
        """An operator hands leadership over."""
        if not self.running:
            return
        request = self._desk.take(Waiting(callback=callback))
        deadline_us = self.local_us + timeout_us
        self.report(events.TransferRequested(request=request, target=target, deadline_us=deadline_us))

    def bootstrap(self, cluster_id: bytes, membership: Membership, callback: Callback) -> None:
        """`/init` arrives."""
        if not self.running:
            return
        request = self._desk.take(Waiting(callback=callback))
        self.report(events.BootstrapRequested(request=request, cluster_id=cluster_id, membership=membership))

    def shut_down(self, timeout_us: int) -> None:
        """SIGTERM arrives."""
        if self.running:
            self.report(events.ShutdownRequested(deadline_us=self.local_us + timeout_us))

    @property
    def waiting_count(self) -> int:
        """Requests without an answer."""
        return len(self._desk)

    def peer_unreachable(self, peer: NodeId, delay_us: int) -> None:
        """The transport will notice a little later that it lost the connection to this peer."""
        self._world.timeline.after(delay_us, self._notice_unreachable, self.boot, peer)

    def _notice_unreachable(self, boot: int, peer: NodeId) -> None:
        if self.running and boot == self.boot:
            self.report(events.PeerUnreachable(peer=peer))

    def frame_arrived(self, frame: Frame, send_row: int = 0) -> None:
        """Queue a frame's messages; bytes are decoded first, and damaged ones are dropped and counted."""
        world = self._world
        if self.replica is None:
            if world.recording is not None:
                world.row("lost", send=send_row, why="down")
            return
        if isinstance(frame, bytes):
            world.note(self.node_id, "frame", zlib.crc32(frame))
            try:
                header, batch = decode_frame(frame)
            except FrameError:
                world.counters["frames_damaged"] += 1
                world.row("arrive", send=send_row, node=self.node_id, damaged=True)
                return
        else:
            header, batch = frame.header, frame.batch
        inbox = self._inbox
        idle = not inbox
        world.invariants.heard(self.seen_as, header.source, batch, queued=not idle)
        for message in batch:
            inbox.append(events.new_message_received(header, message))
        if world.recording is not None:
            row = world.row("arrive", send=send_row, node=self.node_id, damaged=False) if send_row else 0
            self._causes.extend([row] * len(batch))
        if idle:
            # As the last deed of what happens now: at once, when nothing else is to happen at this instant.
            if world.timeline.at_rest():
                self._wake(self.boot)
            else:
                self._wake_soon()

    def report(self, event: events.Event, cause: int = 0) -> None:
        """Queue a fact for the replica. `cause` is the row that brought it about."""
        inbox = self._inbox
        inbox.append(event)
        if self._world.recording is not None:
            self._causes.append(cause)
        if len(inbox) == 1 and not self.paused:
            self._wake_soon()

    def _wake_soon(self) -> None:
        self._world.timeline.after(0, self._wake, self.boot)

    def _arm(self, replica: Replica) -> None:
        """Wake at the replica's deadline, unless a wake is due before."""
        now_us = self._timeline.now_us
        at_us = self.clock.when(replica.deadline_us)
        if at_us < now_us:  # noqa: PLR1730 - `max` costs as much as the rest
            at_us = now_us
        if at_us < self._wake_at_us or self._wake_at_us < 0:
            self._wake_at_us = at_us
            self._timeline.at(at_us, self._timer, self.boot, at_us)

    def _timer(self, boot: int, at_us: int) -> None:
        if boot != self.boot or self.replica is None or at_us != self._wake_at_us:
            return
        self._wake_at_us = -1
        if fault := self._late_timer.strikes():
            late_us = fault.stream().exponential(self._world.options.faults.late_timer_mean_us)
            self._wake_at_us = self._world.timeline.now_us + late_us
            self._world.timeline.after(late_us, self._late, boot)
        else:
            self._wake(boot)

    def _late(self, boot: int) -> None:
        if boot == self.boot:
            self._wake_at_us = -1
            self._wake(boot)

    def _wake(self, boot: int) -> None:
        replica, inbox = self.replica, self._inbox
        if boot != self.boot or replica is None or self.paused:
            return
        now_us = self._timeline.now_us
        if now_us < self._busy_until_us:
            self._timeline.at(self._busy_until_us, self._wake, boot)
            return
        local_us = self.clock.read(now_us)
        if not inbox and local_us < replica.deadline_us:
            self._arm(replica)
            return
        if now_us != self._stepped_us:
            self._stepped_us, self._steps_at_once = now_us, 1
        else:
            self._count_step_at_once()
        size = len(inbox)
        if size > 1:
            most = self._world.options.batch_events_max
            size = min(size, 1 if self._dice.chance(300_000) else self._dice.between(1, most))
        batch = [inbox.popleft()] if size == 1 else [inbox.popleft() for _ in range(size)]
        self.events_told += size
        if self.event_cost_us:
            self._busy_until_us = now_us + self.event_cost_us * (1 + size)
        self._step(replica, batch, now_us, local_us)
        if self.replica is replica:
            if inbox:
                self._wake_soon()
            self._arm(replica)

    def _step(self, replica: Replica, batch: list[events.Event], now_us: int, local_us: int) -> None:
        world = self._world
        try:
            ordered = replica.step(batch, local_us)
        except Exception as error:
            raise finding(world, self.node_id, error) from error
        world.trace.note(now_us, self.node_id, *step_summary(batch, ordered))
        if world.recording is not None:
            self._record_step(batch, ordered, replica.status())
        glance = replica.glance()
        self._invariants.told(self.seen_as, batch, local_us)
        self._invariants.stepped(self.seen_as, glance, ordered)
        if ordered:
            self._perform_all(replica, ordered)
        self._steps_since_deep += 1
        if 0 < self._deep_check_every <= self._steps_since_deep and self.replica is replica:
            self.deep_check()

    def _perform_all(self, replica: Replica, ordered: list[actions.Action]) -> None:
        for place, action in enumerate(ordered):
            doom = self.doom
            if doom is not None and doom.strikes(action, place, len(ordered) - 1):
                self._flush_frames(replica)
                self.crash(power_loss=doom.power_loss)
                return
            if type(action) is actions.Send:  # Nearly all of them.
                self.send(action.to, action.message)
                continue  # A message that leaves stops nobody.
            perform(self, action, self._desk, self._log, self.state)
            if self.replica is not replica:
                return
        self._outbox.flush(replica, self.step_row)

    def _record_step(
        self, batch: list[events.Event], ordered: list[actions.Action], status: ReplicaStatus
    ) -> None:
        causes = sorted({cause for cause in (self._causes.popleft() for _ in batch) if cause})
        shown = state_of(status)
        fields = step_fields(batch, ordered) | ({"state": shown} if shown != self._shown else {})
        self._shown = shown
        self.step_row = self._world.row("step", node=self.node_id, cause=causes, **fields)

    def deep_check(self) -> None:
        """The checks that cost a pass over the log. Raises Violation."""
        self._steps_since_deep = 0
        if self._log is not None:
            self._log.check_image()

    def send(self, to: NodeId, message: messages.Message) -> None:
        """Queue a message for the frame of this step; now and then the frame leaves at once."""
        self._invariants.sending(self.seen_as, to, message)
        if self._outbox.put(to, message):
            self._flush_frames(self.replica)

    def send_now(self, to: NodeId, message: messages.Message) -> None:
        """Send outside of a step: a piece of a snapshot that was read meanwhile."""
        self.send(to, message)
        self._flush_frames(self.replica)

    def _flush_frames(self, replica: Replica | None) -> None:
        if replica is not None and replica is self.replica:
            self._outbox.flush(replica, self.step_row)

    def stopped(self, code: StopCode, detail: str) -> None:
        """The process ends by itself, with this exit code."""
        self._flush_frames(self.replica)
        self.stop_code = code
        self._world.note(self.node_id, "stop", int(code))
        self._world.counters[f"stops_{code.name.lower()}"] += 1
        self.crash(power_loss=False, why=f"stop {code.name}")
        if code in (StopCode.CORRUPTION, StopCode.IDENTITY) and not self.may_refuse:
            raise self._world.violation(
                "STOP",
                "A node stops with these codes only for faults that were injected.",
                f"node {self.node_id}: {code!r}: {detail}",
            )

    def _count_step_at_once(self) -> None:
        self._steps_at_once += 1
        # L9: time passes, or there is something new to handle.
        if self._steps_at_once > STEPS_AT_ONCE_MAX:
            raise self._world.violation(
                "L9",
                "A node does not spin without time passing.",
                f"node {self.node_id} at {self._timeline.now_us} us",
                kind="liveness",
            )
