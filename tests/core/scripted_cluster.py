"""Four replicas over real frames and instant machines, driven by a fixed script: elections, writes, reads, changes, a snapshot.

As a program it prints one line per step, so that two interpreters can be compared.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    AddLearner,
    ChangeVoters,
    Consistency,
    Entry,
    EntryKind,
    Identity,
    Index,
    Member,
    Membership,
    NodeId,
    Recovered,
    RecoveredState,
    Replica,
    ReplicaConfig,
    RequestId,
    Role,
    SnapshotMeta,
    actions,
    decode_frame,
    decode_membership,
    encode_frame,
    events,
    messages,
    payload_kind,
)

WIRE_US: Final = 300
DISK_US: Final = 900
STATE_US: Final = 400
PATIENCE_US: Final = 10_000_000
SNAPSHOT_BYTES: Final = 100
LEARNER: Final = NodeId(4)


def config(node: int) -> ReplicaConfig:
    return ReplicaConfig(
        seed=node,
        append_entries_max=16,
        cache_bytes_max=500,
        apply_entries_max=7,
        snapshot_chunk_bytes=32,
        flush_entries=20,
        log_entries_max=20,
        log_retention_entries=5,
    )


def member(node: int) -> Member:
    return Member(node_id=NodeId(node), instance=b"%016d" % node, peer_addr=f"n{node}:1")


class Node:
    """A replica, its log and state as plain values."""

    def __init__(self, node: int) -> None:
        identity = Identity(node_id=NodeId(node), instance=b"%016d" % node, boot=1)
        self.id = NodeId(node)
        self.replica = Replica(config(node), Recovered(identity=identity), 0)
        self.log: dict[int, Entry] = {}
        self.state = RecoveredState()
        self.last_request = 0
        self.cut_off = False

    def request(self) -> RequestId:
        self.last_request += 1
        return RequestId(self.last_request)


class Cluster:
    """One queue of events by time; every step is written down."""

    def __init__(self) -> None:
        self.now_us = 0
        self.nodes = {NodeId(node): Node(node) for node in (1, 2, 3, 4)}
        self.lines: list[str] = []
        self.answers: list[actions.Action] = []
        self.snapshots: dict[bytes, RecoveredState] = {}
        self._queue: list[tuple[int, int, NodeId, Callable[[], list[events.Event]]]] = []
        self._order = 0

    def at(self, after_us: int, node: NodeId, make: Callable[[], list[events.Event]]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + after_us, self._order, node, make))

    def run(self, for_us: int) -> None:
        """Let this much time pass."""
        end_us = self.now_us + for_us
        while True:
            deadline_us, waiting = min((node.replica.deadline_us, node.id) for node in self.nodes.values())
            if self._queue and self._queue[0][0] <= deadline_us:
                due_us, _, target, make = self._queue[0]
                if due_us > end_us:
                    break
                heapq.heappop(self._queue)
                self.now_us = max(self.now_us, due_us)
                self.step(target, make())
            elif deadline_us <= end_us:
                self.now_us = max(self.now_us, deadline_us)
                self.step(waiting, [])
            else:
                break
        self.now_us = end_us

    def step(self, target: NodeId, given: list[events.Event]) -> list[actions.Action]:
        node = self.nodes[target]
        ordered = node.replica.step(given, self.now_us)
        self.lines.append(f"{self.now_us} node {target} {ordered!r}")
        frames: dict[NodeId, list[messages.Message]] = {}
        for action in ordered:
            if isinstance(action, actions.Send):
                frames.setdefault(action.to, []).append(action.message)
            else:
                self._perform(node, action)
        for to, batch in frames.items():
            self._send(node, to, batch)
        return ordered

    def _send(self, node: Node, to: NodeId, batch: list[messages.Message]) -> None:
        frame = encode_frame(node.replica.header_for(to), batch)
        if node.cut_off or to not in self.nodes or self.nodes[to].cut_off:
            return
        header, received = decode_frame(frame)
        heard: list[events.Event] = [
            events.MessageReceived(header=header, message=message) for message in received
        ]
        self.at(WIRE_US + 7 * int(to), to, lambda: heard)

    def _perform(self, node: Node, action: actions.Action) -> None:
        match action:
            case actions.Persist(write_seq=write_seq):
                self._write(node, action)
                self.at(DISK_US, node.id, lambda: [events.Persisted(write_seq=write_seq)])
            case actions.Apply():
                applied = self._apply(node, action)
                self.at(STATE_US, node.id, lambda: [applied])
            case actions.FlushState():
                flushed = events.StateFlushed(applied_index=node.state.applied_index)
                self.at(STATE_US, node.id, lambda: [flushed])
            case actions.LoadEntries(first_index=first, end_index=end):
                found = tuple(node.log[index] for index in range(first, end))
                loaded = events.EntriesLoaded(first_index=first, entries=found)
                self.at(DISK_US, node.id, lambda: [loaded])
            case actions.SaveSnapshot():
                saved = self._save(node)
                self.at(DISK_US, node.id, lambda: [saved])
            case actions.SendSnapshot(to=to, term=term, snapshot=meta, offset=offset, length_max=length):
                data = bytes(min(length, meta.size_bytes - offset))
                done = offset + len(data) == meta.size_bytes
                self._send(
                    node,
                    to,
                    [messages.InstallSnapshot(term=term, snapshot=meta, offset=offset, data=data, done=done)],
                )
            case actions.InstallSnapshot(snapshot=meta):
                node.state = replace(self.snapshots[meta.snapshot_id], installed_index=meta.last_index)
                installed = events.SnapshotInstalled(
                    snapshot_id=meta.snapshot_id, installed=True, state=node.state
                )
                self.at(DISK_US, node.id, lambda: [installed])
            case actions.Reply() | actions.Refuse() | actions.Abandon() | actions.ServeRead():
                self.answers.append(action)
            case actions.Stop():
                raise AssertionError(f"node {node.id}: {action}")
            case _:
                pass

    def _write(self, node: Node, order: actions.Persist) -> None:
        if order.base is not None or order.truncate:
            for index in [index for index in node.log if index >= order.first_index]:
                del node.log[index]
        for at, entry in enumerate(order.entries):
            node.log[order.first_index + at] = entry

    def _apply(self, node: Node, order: actions.Apply) -> events.Applied:
        outcomes: list[tuple[RequestId, object]] = []
        for at, entry in enumerate(order.entries):
            index, body = Index(order.first_index + at), entry.payload[PAYLOAD_HEADER_BYTES:]
            node.state = replace(node.state, applied_index=index, applied_term=entry.term)
            if payload_kind(entry.payload) == EntryKind.MEMBERSHIP:
                node.state = replace(node.state, membership=decode_membership(body))
            elif payload_kind(entry.payload) == EntryKind.COMMAND:
                origin, request = body.split(b":")[:2]
                if int(origin) == node.id:
                    outcomes.append((RequestId(int(request)), f"done at {index}"))
        return events.Applied(applied_index=node.state.applied_index, outcomes=tuple(outcomes))

    def _save(self, node: Node) -> events.SnapshotSaved:
        name = b"S%015d" % node.state.applied_index
        self.snapshots[name] = node.state
        return events.SnapshotSaved(
            snapshot=SnapshotMeta(
                snapshot_id=name,
                last_index=node.state.applied_index,
                last_term=node.state.applied_term,
                size_bytes=SNAPSHOT_BYTES,
            )
        )

    # -- the script -------------------------------------------------------------------------------------------

    def leader(self) -> Node:
        leading = [node for node in self.nodes.values() if not node.cut_off and self.leads(node)]
        assert len(leading) == 1, f"leaders: {[node.id for node in leading]} at {self.now_us}"
        return leading[0]

    def leads(self, node: Node) -> bool:
        return node.replica.status().role is Role.LEADER

    def bootstrap(self) -> None:
        membership = Membership(
            voters=(NodeId(1), NodeId(2), NodeId(3)),
            members={NodeId(node): member(node) for node in (1, 2, 3)},
        )
        request = self.nodes[NodeId(1)].request()
        self.step(
            NodeId(1),
            [events.BootstrapRequested(request=request, cluster_id=b"C" * 16, membership=membership)],
        )

    def write(self, node: Node, count: int) -> None:
        self.step(
            node.id,
            [
                events.ProposalReceived(
                    request=(request := node.request()),
                    command=b"%d:%d:put" % (node.id, request),
                    deadline_us=self.now_us + PATIENCE_US,
                )
                for _ in range(count)
            ],
        )

    def read(self, node: Node, consistency: Consistency) -> None:
        event = events.ReadRequested(
            request=node.request(), deadline_us=self.now_us + PATIENCE_US, consistency=consistency
        )
        self.step(node.id, [event])

    def change(self, change: AddLearner | ChangeVoters) -> None:
        node = self.leader()
        event = events.MembershipChangeRequested(
            request=node.request(), change=change, deadline_us=self.now_us + PATIENCE_US
        )
        self.step(node.id, [event])


def story() -> Cluster:
    """Elections, writes and reads everywhere, a leader that is cut off and comes back, a new member by snapshot, changes."""
    cluster = Cluster()
    cluster.bootstrap()
    cluster.run(3_000_000)
    for _ in range(12):
        for node in (1, 2, 3):
            cluster.write(cluster.nodes[NodeId(node)], 2)
            cluster.read(cluster.nodes[NodeId(node)], Consistency.LINEARIZABLE)
            cluster.read(cluster.nodes[NodeId(node)], Consistency.SERIALIZABLE)
        cluster.run(20_000)
    old = cluster.leader()
    old.cut_off = True
    cluster.write(old, 3)
    cluster.run(4_000_000)
    cluster.write(cluster.leader(), 6)
    cluster.run(100_000)
    old.cut_off = False
    cluster.run(3_000_000)
    cluster.change(AddLearner(member=member(LEARNER)))
    cluster.run(2_000_000)
    cluster.change(ChangeVoters(voters=(cluster.leader().id, old.id, LEARNER)))
    cluster.run(2_000_000)
    leading = cluster.leader()
    cluster.step(
        leading.id,
        [
            events.TransferRequested(
                request=leading.request(), target=old.id, deadline_us=cluster.now_us + PATIENCE_US
            )
        ],
    )
    cluster.run(2_000_000)
    cluster.write(cluster.nodes[LEARNER], 3)
    cluster.read(cluster.nodes[LEARNER], Consistency.LINEARIZABLE)
    cluster.run(1_000_000)
    return cluster


if __name__ == "__main__":
    print("\n".join(story().lines))
