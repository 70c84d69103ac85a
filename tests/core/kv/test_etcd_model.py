"""The machine against the model of etcd: every command and query, at every revision; split, restarted, copied by snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    SetNoSpace,
    SnapshotHeader,
    SortOrder,
    SortTarget,
    StateMachine,
    Tick,
    Txn,
    install_batches,
    membership_payload,
    read_snapshot,
    replicated_pairs,
    write_snapshot,
)
from ferrite.core.kv.layout import Layout
from ferrite.core.kv.records import change_size_bytes, decode_change
from tests.core.kv.etcd_model import EtcdModel, Failed
from tests.core.kv.helpers import IDENTITY, SECOND_US, Machine, command

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
keys = st.sampled_from(KEYS * 5 + [b""])
range_ends = st.sampled_from([b"", b"", b"\x00", b"b", b"c", b"a\x00\x01", b"\xff\xff\xff"])
values = st.sampled_from([b"", b"x", b"y", b"xy"])
lease_ids = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3])
revisions = st.sampled_from([0, 0, 0]) | st.integers(1, 18)
rarely = st.sampled_from([False, False, False, True])

puts = st.builds(Put, key=keys, value=values, lease=lease_ids, prev_kv=st.booleans()) | st.builds(
    Put,
    key=keys,
    value=st.sampled_from([b"", b"", b"x"]),
    lease=lease_ids,
    prev_kv=st.booleans(),
    ignore_value=rarely,
    ignore_lease=rarely,
)
deletes = st.builds(DeleteRange, key=keys, range_end=range_ends, prev_kv=st.booleans())
ranges = st.builds(
    Range,
    key=keys,
    range_end=range_ends,
    limit=st.integers(0, 4),
    revision=revisions,
    sort_target=st.sampled_from(SortTarget),
    sort_order=st.sampled_from(SortOrder),
    keys_only=rarely,
    count_only=rarely,
    with_count=st.booleans(),
    min_mod_revision=revisions,
    max_mod_revision=revisions,
    min_create_revision=revisions,
    max_create_revision=revisions,
)
compares = st.builds(
    lambda target, result, key, range_end, number, data: Compare(
        target=target,
        result=result,
        key=key,
        range_end=range_end,
        operand=data if target == CompareTarget.VALUE else number,
    ),
    st.sampled_from(CompareTarget),
    st.sampled_from(CompareResult),
    keys,
    range_ends,
    st.integers(-1, 5),
    values,
)


def txns(inner: st.SearchStrategy[Put | DeleteRange | Range | Txn]) -> st.SearchStrategy[Txn]:
    branches = st.lists(inner, max_size=3).map(tuple)
    return st.builds(
        Txn, compares=st.lists(compares, max_size=2).map(tuple), success=branches, failure=branches
    )


leaves: st.SearchStrategy[Put | DeleteRange | Range | Txn] = puts | puts | deletes | ranges
transactions = txns(leaves | txns(leaves | txns(leaves)))
reading = txns(ranges | txns(ranges))
plain = st.builds(lambda key, data: Put(key=key, value=data), keys, values)
operations: st.SearchStrategy[Operation] = st.one_of(
    plain,
    puts,
    deletes,
    transactions,
    transactions,
    st.builds(Delete, key=keys),
    st.builds(Batch, operations=st.lists(plain | st.builds(Delete, key=keys), max_size=3).map(tuple)),
    st.builds(Compact, revision=st.integers(0, 18)),
    st.builds(
        LeaseGrant, lease_id=st.sampled_from([0, *LEASES]), ttl_s=st.sampled_from([-1, 0, 2, 3, 4, 5, 10**18])
    ),
    st.builds(LeaseRevoke, lease_id=st.sampled_from(LEASES)),
    st.builds(LeaseKeepAlive, lease_ids=st.lists(st.sampled_from([*LEASES, 9]), max_size=3).map(tuple)),
    st.builds(LeaseTimeToLive, lease_id=st.sampled_from(LEASES), with_keys=st.booleans()),
    st.builds(Tick),
    st.builds(Tick),
    st.builds(SetNoSpace, on=rarely),
)


@dataclass
class Step:
    operation: Operation
    pause_us: int
    in_session: bool
    query: Range | Txn
    install: bool


steps = st.builds(
    Step,
    operation=operations,
    pause_us=st.sampled_from([0, 0, SECOND_US, 2 * SECOND_US]),
    in_session=st.booleans(),
    query=ranges | reading,
    install=rarely,
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


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=6, max_size=25))
def test_the_machine_does_what_etcd_does(story: Sequence[Step]) -> None:
    one, other, model = Machine(), Machine(), EtcdModel()
    waiting: list[Entry] = []
    time_us = 0
    first = [Step(each, 0, in_session=False, query=Range(key=b"a"), install=False) for each in FIRST]
    for number, step in enumerate([*first, *story], 1):
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
    check_watch(one, model)
