"""The state thread of a simulated node: the real KV machine on the two-image store, and snapshot files, one job after the
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ferrite.core import (
    Identity,
    Index,
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
from ferrite.sim.world import World

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
        self._machine = StateMachine(node.store, identity)
        self._busy_until_us = 0
        self._applies = 0
        self._saved: dict[bytes, bytes] = {}
        self._partial: dict[bytes, bytearray] = {}

    def recovered_state(self) -> RecoveredState:
        """What the store says of itself."""
        return self._machine.recovered_state()

    def state_hash(self) -> bytes:
        """The hash of the replicated state."""
        return self._machine.state_hash()

    def _job(self, mean_us: int, work: Callable[[], None]) -> None:
        timeline = self._world.timeline
        self._busy_until_us = max(self._busy_until_us, timeline.now_us) + 1 + self._dice.exponential(mean_us)
        timeline.at(self._busy_until_us, lambda: work() if self.alive else None)

    # -- entries and reads ------------------------------------------------------------------------------------

    def apply(self, order: actions.Apply) -> None:
        """Run the machine on committed entries."""
        self._job(self._world.options.disk.apply_mean_us, lambda: self._apply(order))

    def _apply(self, order: actions.Apply) -> None:
        world, node = self._world, self._node
        if not world.healed and self._dice.chance(world.options.disk.apply_stall_ppm):
            world.counters["applies_stalled"] += 1
            world.invariants.applied(node.node_id, 0, stalled=True)
            node.report(events.ApplyStalled(first_index=order.first_index))
            return
        applied = self._machine.apply(order.first_index, order.entries)
        node.store.write(applied.batch)
        self._machine.advance(applied)
        self._applies += 1
        every = world.options.state_hash_every
        world.invariants.applied(node.node_id, applied.applied_index)
        if every and self._applies % every == 0:
            world.invariants.state_hash(node.node_id, applied.applied_index, self._machine.state_hash())
        node.report(events.Applied(applied_index=applied.applied_index, outcomes=applied.outcomes))

    def serve(self, query: Query, read_index: Index) -> QueryResult:
        """Evaluate a read now."""
        applied = self._machine.applied_index
        # Contract 3: ServeRead comes when the state has applied at least the read index.
        if applied < read_index:
            raise self._world.violation(
                "S18",
                "A read is served when the state has applied its read index.",
                f"node {self._node.node_id} serves at {read_index}, applied is {applied}",
            )
        return self._machine.read(query)

    def flush(self) -> None:
        """Make the state durable."""
        self._job(self._world.options.disk.flush_mean_us, self._flush)

    def _flush(self) -> None:
        node = self._node
        node.store.flush()
        self._world.invariants.flushed(node.node_id, self._machine.applied_index)
        node.report(events.StateFlushed(applied_index=self._machine.applied_index))

    # -- snapshots --------------------------------------------------------------------------------------------

    def save_snapshot(self, cluster_id: bytes) -> None:
        """Pin the state as it is, and write the file."""
        pinned = self._node.store.pin()
        snapshot_id = self._dice.bits(128).to_bytes(16, "big")
        self._job(
            self._world.options.disk.snapshot_mean_us, lambda: self._save(pinned, snapshot_id, cluster_id)
        )

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
        self._world.invariants.snapshot_saved(node.node_id, meta)
        self._world.counters["snapshots_saved"] += 1
        self._saved = {snapshot_id: data}
        node.report(events.SnapshotSaved(snapshot=meta))

    def send_snapshot(self, order: actions.SendSnapshot) -> None:
        """Read a piece and send it."""
        data = self._saved.get(order.snapshot.snapshot_id)
        lost_ppm = 0 if self._world.healed else self._world.options.disk.snapshot_lost_ppm
        if data is None or self._dice.chance(lost_ppm):
            self._saved.pop(order.snapshot.snapshot_id, None)
            detail = "the snapshot's file cannot be read any more"
            self._node.report(events.SnapshotLost(snapshot_id=order.snapshot.snapshot_id, detail=detail))
            return
        piece = data[order.offset : order.offset + order.length_max]
        message = messages.InstallSnapshot(
            term=order.term,
            snapshot=order.snapshot,
            offset=order.offset,
            data=piece,
            done=order.offset + len(piece) >= len(data),
        )
        self._world.timeline.after(
            1 + self._dice.exponential(self._world.options.disk.load_mean_us),
            lambda: self._node.send_now(order.to, message) if self.alive else None,
        )

    def store_chunk(self, order: actions.StoreChunk) -> None:
        """Write a received piece to the partial file."""
        snapshot_id = order.snapshot.snapshot_id
        if order.offset == 0:
            self._partial = {snapshot_id: bytearray()}
        partial = self._partial.setdefault(snapshot_id, bytearray())
        if len(partial) < order.offset:
            partial.extend(bytes(order.offset - len(partial)))
        partial[order.offset : order.offset + len(order.data)] = order.data

    def install_snapshot(self, snapshot: SnapshotMeta) -> None:
        """Verify a received file and become it."""
        self._job(self._world.options.disk.snapshot_mean_us, lambda: self._install(snapshot))

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
            node.report(
                events.SnapshotInstalled(
                    snapshot_id=snapshot.snapshot_id, installed=False, detail=error.reason
                )
            )
            return
        node.store.replace(pairs)
        self._machine = StateMachine(node.store, self._identity)
        state = self._machine.recovered_state()
        world.counters["snapshots_installed"] += 1
        world.invariants.snapshot_installed(node.node_id, state.applied_index)
        world.invariants.state_hash(node.node_id, state.applied_index, self._machine.state_hash())
        node.report(events.SnapshotInstalled(snapshot_id=snapshot.snapshot_id, installed=True, state=state))
