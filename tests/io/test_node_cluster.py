"""Three real replicas in real nodes on one loop, with memory for disks and calls for a network: the host loop as a whole."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from ferrite.core import (
    Entry,
    Identity,
    Index,
    Membership,
    NodeId,
    Recovered,
    Replica,
    ReplicaConfig,
    RequestId,
    actions,
    events,
    messages,
)
from ferrite.core.kv import (
    AppliedBatch,
    Change,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    MachineFacts,
    MemoryStore,
    Put,
    PutResult,
    Query,
    QueryResult,
    StateMachine,
    read_history,
)
from ferrite.io.config import Config
from ferrite.io.node import Node, now_us
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.node_status import NodeView, Sources
from ferrite.io.organs import Organs
from ferrite.io.request_path import MemberAddress, OutcomeUnknown, RequestRefused
from ferrite.io.requests import NodeRequests
from tests.io.backup.fakes import FakeBackup
from tests.io.node_fakes import FakeSnapshots, watches
from tests.io.test_requests import config_of, presence

QUICK = ReplicaConfig(
    heartbeat_interval_us=20_000, election_timeout_min_us=150_000, election_timeout_max_us=300_000
)


class InstantLog:
    """Durable at once; reported in a later turn, as a thread would."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._entries: dict[int, Entry] = {}

    def persist(self, persist: actions.Persist) -> None:
        self._entries.update(enumerate(persist.entries, persist.first_index))
        report = events.Persisted(write_seq=persist.write_seq)
        asyncio.get_running_loop().call_soon(self._node.post, report)

    def load(self, first_index: int, end_index: int, bytes_max: int) -> None:
        entries = tuple(self._entries[index] for index in range(first_index, end_index))
        self._node.post(events.EntriesLoaded(first_index=Index(first_index), entries=entries))

    def discard(self, first_index: int) -> None:
        pass

    def note_commit(self, commit_index: int) -> None:
        pass


class MemoryState:
    def __init__(self, identity: Identity) -> None:
        self._store = MemoryStore()
        self.machine = StateMachine(self._store, identity)
        self._on_applied: Callable[[AppliedBatch], None] = lambda _: None

    @property
    def facts(self) -> MachineFacts:
        return MachineFacts.of(self.machine)

    def listen(
        self, on_applied: Callable[[AppliedBatch], None], on_installed: Callable[[MachineFacts], None]
    ) -> None:
        self._on_applied = on_applied

    def previous(self, change: Change) -> KeyValue | None:
        return self.machine.previous(change)

    def history(self, read: HistoryRead, *, bytes_max: int) -> HistoryPiece | None:
        return read_history(self.machine, read, bytes_max=bytes_max)

    def apply(
        self, first_index: Index, entries: Sequence[Entry]
    ) -> tuple[Index, Sequence[tuple[RequestId, object]]]:
        applied = self.machine.apply(first_index, entries)
        self._store.write(applied.batch)
        self.machine.advance(applied)
        self._on_applied(applied)
        return applied.applied_index, applied.outcomes

    def read(self, query: Query) -> QueryResult:
        return self.machine.read(query)

    def flush(self) -> Index:
        return self.machine.applied_index


class Wire:
    """Delivers in the next turn, to nodes that are not cut off."""

    def __init__(self, cluster: "Cluster", node_id: NodeId) -> None:
        self._cluster = cluster
        self._node_id = node_id

    def send(self, peer: NodeId, batch: Sequence[messages.Message]) -> None:
        if self._node_id in self._cluster.cut_off or peer in self._cluster.cut_off:
            return
        header = self._cluster.replicas[self._node_id].header_for(peer)
        facts = [events.MessageReceived(header=header, message=message) for message in batch]
        asyncio.get_running_loop().call_soon(self._cluster.nodes[peer].post_all, facts)

    def update_peers(self, membership: Membership) -> None:
        pass


class Cluster:
    def __init__(self, config: Config, size: int) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.replicas: dict[NodeId, Replica] = {}
        self.paths: dict[NodeId, NodeRequests] = {}
        self.cut_off: set[NodeId] = set()
        self.stops: list[tuple[int, int]] = []
        for number in range(1, size + 1):
            self._add(NodeId(number), config)

    def _add(self, node_id: NodeId, config: Config) -> None:
        identity = Identity(node_id=node_id, instance=bytes([node_id]) * 16, boot=1)
        replica = Replica(QUICK, Recovered(identity=identity), now_us())
        loop = asyncio.get_running_loop()
        node = Node(replica, loop=loop, on_stop=lambda code, _: self.stops.append((node_id, code)))
        state = MemoryState(identity)

        async def identify(address: str) -> NodeIdentity:
            return presence(int(address[-1]))

        watching = watches(state, node)
        sources = Sources(facts=lambda: state.facts, watchers=lambda: watching.count, counters=dict)
        view = NodeView(node, config=config, identity=identity, sources=sources)
        path = NodeRequests(
            node,
            config=config,
            identity=identity,
            identify=identify,
            view=view,
            watches=watching,
            begin_backup=FakeBackup,
        )
        self.nodes[node_id], self.replicas[node_id], self.paths[node_id] = node, replica, path
        organs = Organs(
            log=InstantLog(node), state=state, snapshots=FakeSnapshots(), transport=Wire(self, node_id)
        )
        node.start(organs)

    async def leader(self) -> NodeId:
        async with asyncio.timeout(10):
            while True:
                leading = [
                    node_id
                    for node_id, path in self.paths.items()
                    if node_id not in self.cut_off and path.status().role == "leader"
                ]
                if leading:
                    return leading[0]
                await asyncio.sleep(0.01)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(config_of(tmp_path), 3)
    members = [MemberAddress(node_id=node_id, peer_addr=f"127.0.0.1:900{node_id}") for node_id in (2, 3)]
    status = await cluster.paths[NodeId(1)].initialize(members)
    assert status.leader_id
    yield cluster
    for node in cluster.nodes.values():
        await node.close()


async def test_a_write_at_any_node_is_read_at_every_node(cluster: Cluster) -> None:
    for node_id, path in cluster.paths.items():
        answered = await path.write(Put(key=b"k", value=b"%d" % node_id))
        assert isinstance(answered.result, PutResult)
        assert answered.leader_id
        for reader in cluster.paths.values():
            read = await reader.read(Get(key=b"k"))
            assert isinstance(read.result, GetResult)
            assert read.result.entry is not None
            assert read.result.entry.value == b"%d" % node_id
    deleted = await cluster.paths[NodeId(2)].write(Delete(key=b"k"))
    assert isinstance(deleted.result, DeleteResult)
    assert deleted.result.existed


async def test_concurrent_writes_share_log_writes_and_each_has_its_own_revision(cluster: Cluster) -> None:
    answers = await asyncio.gather(
        *(
            cluster.paths[NodeId(1 + number % 3)].write(Put(key=b"k%d" % number, value=b"v"))
            for number in range(60)
        )
    )
    revisions = {answered.result.revision for answered in answers if isinstance(answered.result, PutResult)}
    assert len(revisions) == 60
    assert all(node.waiting_count == 0 for node in cluster.nodes.values())


async def test_without_its_leader_the_cluster_goes_on_and_the_leader_alone_acknowledges_nothing(
    cluster: Cluster,
) -> None:
    lost = await cluster.leader()
    cluster.cut_off.add(lost)
    with pytest.raises((OutcomeUnknown, RequestRefused)):
        await cluster.paths[lost].write(Put(key=b"alone", value=b"v"), timeout_ms=200)
    with pytest.raises(RequestRefused):
        await cluster.paths[lost].read(Get(key=b"k"), timeout_ms=200)
    successor = await cluster.leader()
    assert successor != lost
    answered = await cluster.paths[successor].write(Put(key=b"k", value=b"v"))
    assert answered.leader_id == successor
    cluster.cut_off.clear()
    read = await cluster.paths[lost].read(Get(key=b"k"))
    assert isinstance(read.result, GetResult)
    assert read.result.entry is not None


async def test_a_leader_that_is_shut_down_hands_over_and_stops_with_0(cluster: Cluster) -> None:
    leader = await cluster.leader()
    node = cluster.nodes[leader]
    node.post(events.ShutdownRequested(deadline_us=now_us() + 5_000_000))
    async with asyncio.timeout(10):
        while not node.stopped:  # noqa: ASYNC110 - what is waited for is a field, not an event
            await asyncio.sleep(0.01)
    assert cluster.stops == [(leader, 0)]
    cluster.cut_off.add(leader)
    assert await cluster.leader() != leader
