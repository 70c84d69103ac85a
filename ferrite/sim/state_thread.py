"""The state thread of a simulated node: the real KV machine on the two-image store, and snapshot files, one job after the
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrite.core import (
    Identity,
    Index,
    NodeId,
    RecoveredState,
    SnapshotMeta,
    actions,
    encode_membership,
    events,
    messages,
)
from ferrite.core.kv import (
    ExpectedSnapshot,
    MemoryStore,
    Origin,
    Query,
    QueryResult,
    SnapshotHeader,
    SnapshotInvalid,
    StateMachine,
    install_batches,
    load_state,
    read_snapshot,
    replicated_pairs,
    write_snapshot,
)
from ferrite.sim.network import damaged
from ferrite.sim.node_watches import NodeWatches
from ferrite.sim.session_limits import session_limits
from ferrite.sim.violation import Violation
from ferrite.sim.world import World, finding

if TYPE_CHECKING:
    from ferrite.sim.node import Node


class StateThread:
    """Jobs are done in the order given; a job takes time, and its effect and its report happen together at the end."""

    def __init__(self, world: World, node: Node, identity: Identity) -> None:
        self.alive = True
        self._world = world
        self._node = node
        self._identity = identity
        self._dice = world.dice.stream("state", node.node_id)
        disk = world.options.disk
        self._stall = world.plan.site("apply_stall", disk.apply_stall_ppm, node.node_id)
        self._snapshot_lost = world.plan.site("snapshot_lost", disk.snapshot_lost_ppm, node.node_id)
        self._snapshot_rot = world.plan.site("snapshot_rot", disk.snapshot_rot_ppm, node.node_id)
        self.machine = StateMachine(node.store, identity, session_limits=session_limits(world.options.kv))
        self.watches = NodeWatches(self, world, node.node_id)
        self._busy_until_us = 0
        self._order_row = 0
        """The step that ordered the job at hand, when a recording is made."""
        self._applies = 0
        self._saved: dict[bytes, bytes] = {}
        self._partial: dict[bytes, bytearray] = {}

    def recovered_state(self) -> RecoveredState:
        """What the store says of itself."""
        return self.machine.recovered_state()

    def state_hash(self) -> bytes:
        """The hash of the replicated state."""
        return self.machine.state_hash()

    def _job(self, mean_us: int, work: Callable[..., None], *given: Any) -> None:
        timeline = self._world.timeline
        self._busy_until_us = max(self._busy_until_us, timeline.now_us) + 1 + self._dice.exponential(mean_us)
        timeline.at(self._busy_until_us, self._do, self._node.step_row, work, given)

    def _do(self, order_row: int, work: Callable[..., None], given: tuple[Any, ...]) -> None:
        if self.alive:
            self._order_row = order_row
            try:
                work(*given)
            except Violation:
                raise
            except Exception as error:
                raise finding(self._world, self._node.node_id, error, who="A state machine") from error

    def _report(self, event: events.Event, text: str) -> None:
        """Tell the replica that a job is done."""
        row = 0
        if self._world.recording is not None:
            row = self._world.row("disk", node=self._node.node_id, cause=[self._order_row], text=text)
        self._node.report(event, row)

    # -- entries and reads ------------------------------------------------------------------------------------

    def apply(self, order: actions.Apply) -> None:
        """Run the machine on committed entries."""
        self._job(self._world.options.disk.apply_mean_us, self._apply, order)

    def _apply(self, order: actions.Apply) -> None:
        world, node = self._world, self._node
        if self._stall.strikes():
            world.invariants.applied(node.seen_as, 0, stalled=True)
            self._report(events.ApplyStalled(first_index=order.first_index), "the state store pushed back")
            return
        applied = self.machine.apply(order.first_index, order.entries)
        node.store.write(applied.batch)
        self.machine.advance(applied)
        self.watches.applied(applied)
        self._applies += 1
        every = world.options.state_hash_every
        world.invariants.applied(node.seen_as, applied.applied_index)
        for request, _ in applied.outcomes:
            origin = Origin(self._identity.node_id, self._identity.boot, request)
            world.invariants.outcome(origin, order.first_index, applied.applied_index)
        if every and self._applies % every == 0:
            world.invariants.fingerprint(node.seen_as, applied.applied_index, node.store.fingerprint)
        done = events.Applied(applied_index=applied.applied_index, outcomes=applied.outcomes)
        self._report(done, f"applied to {applied.applied_index}")

    def serve(self, query: Query, read_index: Index) -> QueryResult:
        """Evaluate a read now."""
        applied = self.machine.applied_index
        # Contract 3: ServeRead comes when the state has applied at least the read index.
        if applied < read_index:
            raise self._world.violation(
                "S18",
                "A read is served when the state has applied its read index.",
                f"node {self._node.node_id} serves at {read_index}, applied is {applied}",
            )
        return self.machine.read(query)

    def flush(self) -> None:
        """Make the state durable."""
        self._job(self._world.options.disk.flush_mean_us, self._flush)

    def _flush(self) -> None:
        node = self._node
        node.store.flush()
        self._world.invariants.flushed(node.seen_as, self.machine.applied_index)
        flushed = events.StateFlushed(applied_index=self.machine.applied_index)
        self._report(flushed, f"the state to {flushed.applied_index} is durable")

    # -- snapshots --------------------------------------------------------------------------------------------

    def save_snapshot(self, cluster_id: bytes) -> None:
        """Pin the state as it is, and write the file."""
        pinned = self._node.store.pin()
        snapshot_id = self._dice.bits(128).to_bytes(16, "big")
        self._job(self._world.options.disk.snapshot_mean_us, self._save, pinned, snapshot_id, cluster_id)

    def _save(self, pinned: MemoryStore, snapshot_id: bytes, cluster_id: bytes) -> None:
        node = self._node
        state = load_state(pinned, 0)
        header = SnapshotHeader(
            snapshot_id=snapshot_id,
            cluster_id=cluster_id,
            group_id=0,
            last_index=state.applied_index,
            last_term=state.applied_term,
            membership=encode_membership(state.membership),
            source=node.node_id,
        )
        data = b"".join(write_snapshot(header, replicated_pairs(pinned, 0)))
        meta = SnapshotMeta(
            snapshot_id=snapshot_id,
            last_index=state.applied_index,
            last_term=state.applied_term,
            size_bytes=len(data),
        )
        self._world.invariants.snapshot_saved(node.seen_as, meta)
        self._world.counters["snapshots_saved"] += 1
        self._saved = {snapshot_id: data}
        self._report(events.SnapshotSaved(snapshot=meta), f"snapshot at {meta.last_index} is saved")

    def send_snapshot(self, order: actions.SendSnapshot) -> None:
        """Read a piece and send it."""
        data = self._saved.get(order.snapshot.snapshot_id)
        if data is None or self._snapshot_lost.strikes():
            self._saved.pop(order.snapshot.snapshot_id, None)
            detail = "the snapshot's file cannot be read any more"
            self._node.report(events.SnapshotLost(snapshot_id=order.snapshot.snapshot_id, detail=detail))
            return
        piece = data[order.offset : order.offset + order.length_max]
        if piece and (fault := self._snapshot_rot.strikes()):
            piece = damaged(piece, fault.stream()).ljust(len(piece), b"\x00")
        message = messages.InstallSnapshot(
            term=order.term,
            snapshot=order.snapshot,
            offset=order.offset,
            data=piece,
            done=order.offset + len(piece) >= len(data),
        )
        delay_us = 1 + self._dice.exponential(self._world.options.disk.load_mean_us)
        self._world.timeline.after(delay_us, self._send, order.to, message, self._node.step_row)

    def _send(self, to: NodeId, message: messages.InstallSnapshot, order_row: int) -> None:
        if self.alive:
            self._node.step_row = order_row
            self._node.send_now(to, message)

    def fail(self, *, corrupt: bool) -> None:
        """The store cannot be read any more."""
        self._node.report(
            events.StorageFailed(corrupt=corrupt, disk_full=False, detail="the state store is damaged")
        )

    def store_chunk(self, order: actions.StoreChunk) -> None:
        """Write a received piece to the partial file."""
        snapshot_id = order.snapshot.snapshot_id
        if order.offset == 0:
            self._partial = {snapshot_id: bytearray()}
        partial = self._partial.setdefault(snapshot_id, bytearray())
        if len(partial) < order.offset:
            raise self._world.violation(
                "S15",
                "The pieces of a received snapshot are stored from its start, without gaps.",
                f"node {self._node.node_id} stores a piece at {order.offset}; it has {len(partial)} bytes of this snapshot",
            )
        partial[order.offset : order.offset + len(order.data)] = order.data

    def install_snapshot(self, snapshot: SnapshotMeta) -> None:
        """Verify a received file and become it."""
        self._job(self._world.options.disk.snapshot_mean_us, self._install, snapshot)

    def _install(self, snapshot: SnapshotMeta) -> None:
        node, world = self._node, self._world
        data = bytes(self._partial.pop(snapshot.snapshot_id, b""))
        expected = ExpectedSnapshot(
            snapshot_id=snapshot.snapshot_id,
            group_id=0,
            last_index=snapshot.last_index,
            last_term=snapshot.last_term,
        )
        try:
            contents = read_snapshot([data], expected=expected)
            pairs = [
                (key, data) for batch in install_batches(contents) for key, data in batch if data is not None
            ]
        except SnapshotInvalid as error:
            world.counters["snapshots_refused"] += 1
            refused = events.SnapshotInstalled(
                snapshot_id=snapshot.snapshot_id, installed=False, detail=error.reason
            )
            self._report(refused, f"a received snapshot is refused: {error.reason}")
            return
        node.store.replace(pairs)
        self.machine = StateMachine(
            node.store, self._identity, session_limits=session_limits(world.options.kv)
        )
        self.watches.installed()
        state = self.machine.recovered_state()
        world.counters["snapshots_installed"] += 1
        world.invariants.snapshot_installed(node.seen_as, state.applied_index)
        world.invariants.state_hash(node.seen_as, state.applied_index, self.machine.state_hash())
        installed = events.SnapshotInstalled(snapshot_id=snapshot.snapshot_id, installed=True, state=state)
        self._report(installed, f"snapshot at {state.applied_index} is installed")
