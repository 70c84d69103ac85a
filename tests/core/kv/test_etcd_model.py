"""The machine against the model of etcd: every command and query, at every revision; split, restarted, copied by snapshot."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core import Entry, NodeId
from ferrite.core.kv import (
    Batch,
    CommandErrorCode,
    CommandFailed,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    DeleteRange,
    ExpectedSnapshot,
    KeyValue,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    ListLeases,
    ListLeasesResult,
    MemoryStore,
    Operation,
    Put,
    Range,
    Session,
    SessionLimits,
    SetNoSpace,
    SnapshotHeader,
    SortOrder,
    SortTarget,
    StateMachine,
    Tick,
    Txn,
    TxnOperation,
    install_batches,
    membership_payload,
    read_snapshot,
    replicated_pairs,
    write_snapshot,
)
from ferrite.core.kv.layout import Layout
from ferrite.core.kv.records import change_size_bytes, decode_change
from tests.core.kv.etcd_model import EtcdModel, Failed
from tests.core.kv.helpers import IDENTITY, SECOND_US, Machine, command, split

T = TypeVar("T")
KEYS = [b"a", b"a\x00", b"a\x00\xff", b"b", b"\xff\xff"]
LEASES = [1, 2, 3]
FIRST: list[Operation] = [
    LeaseGrant(lease_id=1, ttl_s=3),
    LeaseGrant(lease_id=2, ttl_s=5),
    Put(key=b"a", value=b"1", lease=1),
    Put(key=b"b", value=b"2", lease=2),
    Put(key=b"a", value=b"3", lease=1),
    Delete(key=b"b"),
    Put(key=b"a\x00", value=b"4", lease=2),
    Put(key=b"b", value=b"5", lease=1),
]
"""Every story begins with these, so that there is something to read, compact and expire. They end at revision 7."""


@dataclass
class Step:
    operation: Operation
    pause_us: int = 0
    in_session: bool = False
    query: Range | Txn = field(default_factory=lambda: Range(key=b"a"))
    install: bool = False


class Author:
    """Makes a step of a number: Hypothesis leaves out steps when it shrinks a story, and need not draw each field."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def one(self, *choices: T) -> T:
        return self.random.choice(choices)

    def rarely(self) -> bool:
        return self.random.random() < 0.1

    def key(self) -> bytes:
        return b"" if self.random.random() < 0.02 else self.random.choice(KEYS)

    def range_end(self) -> bytes:
        return self.one(b"", b"", b"\x00", b"b", b"c", b"a\x00\x01", b"\xff\xff\xff")

    def data(self) -> bytes:
        return self.one(b"", b"x", b"y", b"xy")

    def revision(self) -> int:
        return self.one(0, 0, self.random.randint(1, 24))

    def lease(self) -> int:
        return self.one(0, 0, 0, 1, 1, 2, 3)

    def put(self) -> Put:
        keeps_value, keeps_lease = self.rarely(), self.rarely()
        return Put(
            key=self.key(),
            value=b"" if keeps_value and not self.rarely() else self.data(),
            lease=0 if keeps_lease and not self.rarely() else self.lease(),
            prev_kv=self.one(True, False),
            ignore_value=keeps_value,
            ignore_lease=keeps_lease,
        )

    def plain(self) -> Put | Delete:
        return Put(key=self.key(), value=self.data()) if self.one(True, False) else Delete(key=self.key())

    def delete_range(self) -> DeleteRange:
        return DeleteRange(key=self.key(), range_end=self.range_end(), prev_kv=self.one(True, False))

    def range(self) -> Range:
        bounds = [self.revision() if self.rarely() else 0 for _ in range(4)]
        return Range(
            key=self.key(),
            range_end=self.range_end(),
            limit=self.random.randint(0, 4),
            revision=self.revision(),
            sort_target=self.one(*SortTarget),
            sort_order=self.one(*SortOrder),
            keys_only=self.rarely(),
            count_only=self.rarely(),
            with_count=self.one(True, False),
            min_mod_revision=bounds[0],
            max_mod_revision=bounds[1],
            min_create_revision=bounds[2],
            max_create_revision=bounds[3],
        )

    def compare(self) -> Compare:
        target = self.one(*CompareTarget)
        operand = self.data() if target == CompareTarget.VALUE else self.random.randint(-1, 8)
        return Compare(
            target=target,
            result=self.one(*CompareResult),
            key=self.key(),
            range_end=self.range_end(),
            operand=operand,
        )

    def txn(self, depth: int = 1, *, reads: bool = False) -> Txn:
        def branch() -> tuple[TxnOperation, ...]:
            return tuple(self.txn_operation(depth, reads=reads) for _ in range(self.random.randint(0, 3)))

        compares = tuple(self.compare() for _ in range(self.random.randint(0, 2)))
        return Txn(compares=compares, success=branch(), failure=branch())

    def txn_operation(self, depth: int, *, reads: bool) -> TxnOperation:
        if depth < 3 and self.random.random() < 0.2:
            return self.txn(depth + 1, reads=reads)
        if reads:
            return self.range()
        makers: list[Callable[[], TxnOperation]] = [self.put, self.put, self.delete_range, self.range]
        return self.random.choice(makers)()

    def operation(self) -> Operation:
        lease_id = self.one(*LEASES)
        makers: list[Callable[[], Operation]] = [
            self.put,
            self.put,
            self.plain,
            self.delete_range,
            self.txn,
            self.txn,
            self.txn,
            lambda: Batch(operations=tuple(self.plain() for _ in range(self.random.randint(0, 3)))),
            lambda: Compact(revision=self.random.randint(0, 24)),
            lambda: LeaseGrant(
                lease_id=0 if self.rarely() else lease_id, ttl_s=self.one(-1, 0, 2, 3, 4, 5, 10**18)
            ),
            lambda: LeaseRevoke(lease_id=lease_id),
            lambda: LeaseKeepAlive(lease_ids=tuple(self.one(*LEASES, 9) for _ in range(3))),
            lambda: LeaseTimeToLive(lease_id=lease_id, with_keys=self.one(True, False)),
            Tick,
            Tick,
            lambda: SetNoSpace(on=self.rarely()),
        ]
        return self.random.choice(makers)()

    def step(self) -> Step:
        return Step(
            operation=self.operation(),
            pause_us=self.one(0, 0, SECOND_US, 2 * SECOND_US),
            in_session=self.one(True, False),
            query=self.range() if self.one(True, False) else self.txn(reads=True),
            install=self.rarely(),
        )


def copied(store: MemoryStore) -> MemoryStore:
    """The store that another member makes of a snapshot of this one."""
    machine = StateMachine(store, IDENTITY)
    state = machine.recovered_state()
    header = SnapshotHeader(
        snapshot_id=b"s" * 16,
        cluster_id=b"c" * 16,
        group_id=0,
        last_index=state.applied_index,
        last_term=state.applied_term,
        membership=membership_payload(store, 0),
        source=NodeId(1),
    )
    expected = ExpectedSnapshot(
        snapshot_id=b"s" * 16, group_id=0, last_index=state.applied_index, last_term=state.applied_term
    )
    copy = MemoryStore()
    for batch in install_batches(
        read_snapshot(list(write_snapshot(header, replicated_pairs(store, 0))), expected=expected)
    ):
        copy.write(batch)
    return copy


def same(answer: object, wanted: object) -> None:
    if isinstance(wanted, Failed):
        assert isinstance(answer, CommandFailed), (answer, wanted.codes)
        assert answer.code in wanted.codes
    else:
        assert answer == wanted


def check_query(host: Machine, model: EtcdModel, query: Range | Txn) -> None:
    wanted: object
    try:
        wanted = model.read(query) if isinstance(query, Range) else model.read_txn(query)
    except Failed as failed:
        wanted = failed
    answer = host.machine.read(query)
    same(answer, wanted)
    if isinstance(answer, CommandFailed):
        compacted = answer.code == CommandErrorCode.COMPACTED
        assert answer.revision == (model.compacted if compacted else model.revision)


def check_watch(host: Machine, model: EtcdModel) -> None:
    """What can be read of the history is complete, with what each change superseded."""
    seen: dict[int, list[tuple[bytes, KeyValue | None]]] = {}
    for at in host.machine.changes_from(max(model.compacted, 1), bytes_max=1 << 20):
        for change in at.changes:
            entry = None
            if not change.deleted:
                entry = KeyValue(
                    key=change.key,
                    value=change.value,
                    create_revision=change.create_revision,
                    mod_revision=change.mod_revision,
                    version=change.version,
                    lease=change.lease,
                )
            seen.setdefault(at.revision, []).append((change.key, entry))
            known = at.revision - 1 >= model.compacted
            before = model.states[at.revision - 1].get(change.key) if known else None
            assert host.machine.previous(change) == before
    wanted = {revision: events for revision, events in model.events.items() if revision >= model.compacted}
    assert seen == wanted


def check_store(host: Machine, model: EtcdModel) -> None:
    """The records are exactly what the model needs, once compaction has done its work."""
    while host.machine.compaction_pending:
        host.apply(command(Tick()))
        model.apply(Tick(), 0)
    layout, size = Layout(0), 0
    changes: set[tuple[int, bytes]] = set()
    for place, data in host.store.scan(layout.revision(0, 0), layout.revision(2**62, 0)):
        revision, _ = layout.split_revision(place)
        changes.add((revision, decode_change(data, revision).key))
        size += change_size_bytes(data)
    assert size == host.machine.size_bytes
    kept = {
        (revision, key)
        for revision, events in model.events.items()
        for key, _ in events
        if revision >= max(model.compacted, 1)
    } | {(entry.mod_revision, key) for key, entry in model.states[max(model.compacted, 1)].items()}
    assert changes == kept
    history = {
        layout.split_history(place)[::-1] for place, _ in host.store.scan(*layout.history_between(b"", None))
    }
    assert history == changes - {(entry.mod_revision, key) for key, entry in model.now.items()}
    for lease_id in LEASES:
        found = [
            layout.split_attachment(place) for place, _ in host.store.scan(*layout.attachments(lease_id))
        ]
        assert found == model.attached(lease_id)
    deadlines = [layout.split_deadline(place) for place, _ in host.store.scan(*layout.deadline_range)]
    assert deadlines == sorted((each.deadline_us, lease_id) for lease_id, each in model.leases.items())
    assert host.machine.lease_count == len(deadlines)
    assert host.machine.next_deadline_us <= (deadlines[0][0] if deadlines else 0)
    listed = host.machine.read(ListLeases())
    assert listed == ListLeasesResult(
        revision=model.revision, lease_ids=tuple(sorted(model.leases)), more=False
    )


def entry_of(step: Step, number: int, time_us: int) -> Entry:
    session = Session(client_id=b"c", request_id=number) if step.in_session else None
    return command(step.operation, session=session, request=number, time_us=time_us)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**32), min_size=10, max_size=40))
def test_the_machine_does_what_etcd_does(seeds: list[int]) -> None:
    one, other, model = Machine(), Machine(), EtcdModel()
    waiting: list[Entry] = []
    time_us = 0
    for number, step in enumerate([*map(Step, FIRST), *(Author(seed).step() for seed in seeds)], 1):
        time_us += step.pause_us
        entry = entry_of(step, number, time_us)
        wanted: object
        before = model.revision
        try:
            wanted = model.apply(step.operation, time_us)
        except Failed as failed:
            wanted = failed
        applied = one.apply(entry)
        ((_, answer),) = applied.outcomes
        same(answer, wanted)
        assert one.machine.revision == model.revision
        assert [(at.revision, [change.key for change in at.changes]) for at in applied.changes] == [
            (revision, [key for key, _ in model.events[revision]])
            for revision in range(before + 1, model.revision + 1)
        ]
        if step.in_session:
            assert one.result(entry) == answer, "a retry"
            waiting.append(entry)
        check_query(one, model, step.query)
        waiting.append(entry)
        if step.install:
            other.apply(*waiting)
            waiting = []
            assert other.machine.state_hash() == one.machine.state_hash()
            other = Machine(copied(other.store))
            assert other.machine.state_hash() == one.machine.state_hash()
    if waiting:
        other.apply(*waiting)
    assert other.machine.state_hash() == one.machine.state_hash()
    for revision in range(max(model.compacted, 1), model.revision + 1):
        check_query(one, model, Range(key=b"\x00", range_end=b"\x00", revision=revision))
        for key in KEYS:
            check_query(one, model, Range(key=key, revision=revision))
    check_watch(one, model)
    check_store(one, model)
    for revision in (model.compacted + 1, model.revision):
        with suppress(Failed):
            one.apply(command(Compact(revision=revision)))
            model.apply(Compact(revision=revision), 0)
        check_store(one, model)
        check_watch(one, model)


def any_entry(seed: int) -> Entry:
    """A command of one of a few clients, who repeat request numbers, at a time that may lie back."""
    author = Author(seed)
    random = author.random
    session = Session(
        client_id=author.one(b"c1", b"c2", b"c3", b"c4"),
        request_id=random.randint(1, 8),
        lowest_unacknowledged=random.randint(0, 4),
    )
    return command(
        author.operation(),
        session=author.one(session, session, session, None),
        time_us=random.choice([random.randint(0, 60), random.randint(0, 9) * SECOND_US]),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32), min_size=5, max_size=40), st.lists(st.integers(1, 9), max_size=9))
def test_any_split_of_any_commands_gives_the_same_state_and_the_same_results(
    seeds: list[int], sizes: list[int]
) -> None:
    limits = SessionLimits(
        replies_max=3,
        reply_bytes_max=60,
        session_bytes_max=100,
        ttl_us=20,
        activity_granule_us=3,
        sessions_max=2,
        ended_together=1,
        tombstones_max=2,
    )
    one_by_one, batched = Machine(limits=limits), Machine(limits=limits)
    entries = [*map(command, FIRST), *map(any_entry, seeds)]
    results = [outcome for entry in entries for outcome in one_by_one.apply(entry).outcomes]
    again = [outcome for part in split(entries, sizes) for outcome in batched.apply(*part).outcomes]
    assert again == results
    assert batched.machine.state_hash() == one_by_one.machine.state_hash()
