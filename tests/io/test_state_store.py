"""The state on disk: the same answers as in memory, atomic, replaceable, and whole after a kill."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferrite.core import (
    Entry,
    EntryKind,
    Identity,
    Index,
    Member,
    Membership,
    NodeId,
    Term,
    encode_membership,
    encode_payload,
)
from ferrite.core.kv import (
    ExpectedSnapshot,
    Get,
    GetResult,
    ListKeys,
    MemoryStore,
    Query,
    SnapshotContents,
    SnapshotHeader,
    SnapshotInvalid,
    StateMachine,
    install_batches,
    membership_payload,
    read_snapshot,
    replicated_pairs,
    write_snapshot,
)
from ferrite.io.rocks import (
    RocksOptions,
    RocksStore,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreForeign,
    StoreStalled,
    classify,
)
from ferrite.io.state_store import StateStore
from tests.core.kv import helpers
from tests.core.kv.helpers import IDENTITY, Machine, put, split

SMALL = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
    yield opened
    opened.close()


def value_of(store: StateStore, key: bytes) -> bytes | None:
    found = store.read(Get(key=key))
    assert isinstance(found, GetResult)
    return found.entry.value if found.entry else None


def some_entries(first: int, count: int) -> list[Entry]:
    return [
        put(b"k%d" % (number % 7), b"v%d" % number, request=number) for number in range(first, first + count)
    ]


# ---------------------------------------------------------------------------------------------------- apply and read


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(helpers.entries, st.lists(st.integers(1, 8), max_size=6))
def test_disk_and_memory_give_the_same_bytes_and_answers(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], sizes: list[int]
) -> None:
    memory = Machine()
    disk = StateStore.open(tmp_path_factory.mktemp("node") / "state", identity=IDENTITY, options=SMALL)
    try:
        for part in split(entries, sizes):
            applied = memory.apply(*part)
            assert disk.apply(Index(disk.applied_index + 1), part) == (
                applied.applied_index,
                applied.outcomes,
            )
        assert disk.state_hash() == memory.machine.state_hash()
        queries: list[Query] = [ListKeys(keys_only=False), ListKeys(prefix=b"a\x00")]
        for query in queries + [Get(key=key) for key in helpers.KEYS]:
            assert disk.read(query) == memory.machine.read(query)
        assert disk.recovered == memory.machine.recovered_state()
    finally:
        disk.close()


def test_the_state_is_there_after_a_restart(tmp_path: Path) -> None:
    for first in (1, 11, 21):
        store = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
        assert (store.recovered.applied_index, store.revision) == (first - 1, first)
        store.apply(Index(first), some_entries(first, 10))
        store.close()


def test_a_flush_names_the_index_that_was_applied_before_it(store: StateStore) -> None:
    assert store.flush() == 0
    store.apply(Index(1), some_entries(1, 5))
    assert store.flush() == 5


def test_a_stall_changes_nothing_and_the_same_apply_succeeds_later(tmp_path: Path) -> None:
    tiny = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=128 << 10, wal=False)
    store = StateStore.open(tmp_path / "state", identity=IDENTITY, options=tiny)
    value, stalls = os.urandom(60_000), 0
    for index in range(1, 20_000):
        before = (store.applied_index, store.revision)
        try:
            store.apply(Index(index), [put(b"k", value)])
            continue
        except StoreStalled:
            stalls += 1
        assert (store.applied_index, store.revision) == before
        assert store.recovered.applied_index == index - 1
        store.flush()
        store.apply(Index(index), [put(b"k", value)])
        break
    assert stalls == 1, "64 KiB memtables fill faster than they are flushed"
    assert store.applied_index == index
    store.close()


def test_a_scan_that_nobody_finished_does_not_keep_the_directory_locked(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db", SMALL)
    store.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    pinned = store.pin()
    half_done = [store.scan(b"", b"z"), pinned.scan(b"", b"z", reverse=True)]
    assert [next(scan) for scan in half_done] == [(b"a", b"1"), (b"c", b"3")]
    pinned.close()
    assert store.close() is None
    assert store.close() is None
    again = RocksStore(tmp_path / "db", SMALL)
    assert again.get(b"b") == b"2"
    assert list(again.scan(b"b", b"b")) == []
    again.close()
    with pytest.raises(StoreFailed, match="closed"):
        again.scan(b"", b"z")
    with pytest.raises(StoreFailed, match="closed"):
        again.get(b"a")


def test_the_store_scans_like_the_one_in_memory(tmp_path: Path) -> None:
    pairs = [(key, b"v") for key in (b"\x00", b"\x00\x00", b"a", b"a\x00", b"b", b"\xff", b"\xff\xff")]
    memory, disk = MemoryStore(pairs), RocksStore(tmp_path / "db", SMALL)
    disk.write(pairs)
    pinned = disk.pin()
    bounds = [b"", *(key for key, _ in pairs), b"a\x00\x00", b"c", b"\xff" * 3]
    for start in bounds:
        assert disk.get(start) == pinned.get(start) == memory.get(start)
        for end in bounds:
            for reverse in (False, True):
                wanted = list(memory.scan(start, end, reverse=reverse)) if start < end else []
                assert list(disk.scan(start, end, reverse=reverse)) == wanted
                assert list(pinned.scan(start, end, reverse=reverse)) == wanted
    pinned.close()
    disk.close()


def test_a_pinned_view_sees_the_past_in_every_scan(tmp_path: Path) -> None:
    disk = RocksStore(tmp_path / "db", SMALL)
    disk.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    pinned = disk.pin()
    disk.write([(b"a", b"2"), (b"b", None), (b"d", b"2")])
    disk.flush()
    past = [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
    for _ in range(2):
        assert list(pinned.scan(b"", b"z")) == past
        assert list(pinned.scan(b"", b"z", reverse=True)) == past[::-1]
        assert (pinned.get(b"b"), pinned.get(b"d")) == (b"1", None)
    first = pinned.scan(b"", b"z")
    next(first)
    pinned.get(b"b")
    with pytest.raises(StoreFailed, match="another scan"):
        next(first)
    pinned.close()
    with pytest.raises(StoreFailed, match="closed"):
        pinned.get(b"a")
    disk.close()


def test_a_damaged_table_is_an_error_and_not_the_end_of_a_scan(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db", replace(SMALL, compression=False))
    store.write([(b"%05d" % number, os.urandom(100)) for number in range(5000)])
    store.close()
    (table,) = (tmp_path / "db").glob("*.sst")
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        file.write(b"damage" * 10)
    again = RocksStore(tmp_path / "db", SMALL)
    with pytest.raises(StoreCorrupt):
        list(again.scan(b"", b"\xff"))
    again.close()


@pytest.mark.parametrize("wal", [True, False])
@pytest.mark.parametrize("compaction", ["level", "universal"])
@pytest.mark.parametrize("compression", [True, False])
def test_every_choice_of_options_opens(tmp_path: Path, wal: bool, compaction: str, compression: bool) -> None:
    options = replace(SMALL, wal=wal, compression=compression)
    options = replace(options, compaction="level" if compaction == "level" else "universal")
    store = StateStore.open(tmp_path / "state", identity=IDENTITY, options=options)
    store.apply(Index(1), some_entries(1, 3))
    assert store.flush() == 3
    store.close()
    written = max((tmp_path / "state" / "000001").glob("OPTIONS-*")).read_text()
    assert (
        f"compaction_style={'kCompactionStyleLevel' if compaction == 'level' else 'kCompactionStyleUniversal'}"
        in written
    )
    assert ("compression=kLZ4Compression" in written) == compression


@pytest.mark.parametrize(
    "text, kind",
    [
        ("Result incomplete: Write stall", StoreStalled),
        ("IO error: No space left on device: While appending to file: 000012.sst", StoreError),
        ("Corruption: block checksum mismatch: stored = 1, computed = 2", StoreCorrupt),
        ("IO error: No such file or directory: While open a file for random read: 000012.sst", StoreCorrupt),
        ("IO error: Input/output error: While fdatasync", StoreFailed),
        ("something new", StoreFailed),
    ],
)
def test_errors_are_told_apart_by_their_text(text: str, kind: type[StoreError]) -> None:
    error = classify(Exception(text))
    assert isinstance(error, kind)
    assert error.disk_full == ("No space" in text)
    assert error.corrupt == (kind is StoreCorrupt)
    assert ("replace this node" in str(error)) == error.corrupt


def test_a_database_that_rocksdb_refuses_is_named_with_what_to_do(tmp_path: Path, store: StateStore) -> None:
    store.close()
    (tmp_path / "state" / "000001" / "CURRENT").write_bytes(b"MANIFEST\n")
    with pytest.raises(StoreCorrupt, match=r"state in .*000001: Corruption.*; replace this node: remove it"):
        StateStore.open(tmp_path / "state", identity=IDENTITY)


# ---------------------------------------------------------------------------------------------------- opening


def test_the_state_of_another_node_is_refused(tmp_path: Path, store: StateStore) -> None:
    store.apply(Index(1), some_entries(1, 1))
    store.close()
    for other in (replace(IDENTITY, node_id=NodeId(2)), replace(IDENTITY, instance=b"j" * 16)):
        with pytest.raises(StoreForeign, match="belongs to node 1"):
            StateStore.open(tmp_path / "state", identity=other, options=SMALL)
    StateStore.open(tmp_path / "state", identity=replace(IDENTITY, boot=8), options=SMALL).close()


def test_databases_without_a_pointer_are_not_overwritten(tmp_path: Path, store: StateStore) -> None:
    store.close()
    (tmp_path / "state" / "CURRENT").unlink()
    with pytest.raises(StoreCorrupt, match="CURRENT is missing, but databases are there: 000001"):
        StateStore.open(tmp_path / "state", identity=IDENTITY)


@pytest.mark.parametrize("content", [b"", b"x\n", b"0\n", b"1", b"-1\n"])
def test_a_pointer_that_is_no_number_is_corrupt(tmp_path: Path, store: StateStore, content: bytes) -> None:
    store.close()
    (tmp_path / "state" / "CURRENT").write_bytes(content)
    with pytest.raises(StoreCorrupt, match="expected was the number"):
        StateStore.open(tmp_path / "state", identity=IDENTITY)


def test_a_pointer_to_a_database_that_is_not_there_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "CURRENT").write_bytes(b"7\n")
    with pytest.raises(StoreCorrupt, match="000007, which is not there"):
        StateStore.open(tmp_path / "state", identity=IDENTITY)


def test_a_crash_between_pointer_and_first_database_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "CURRENT").write_bytes(b"1\n")
    StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL).close()


def test_leftovers_of_interrupted_installs_are_removed(tmp_path: Path, store: StateStore) -> None:
    store.apply(Index(1), some_entries(1, 3))
    store.close()
    (tmp_path / "state" / "000002").mkdir()
    (tmp_path / "state" / "000002" / "000001.sst").write_bytes(b"half")
    (tmp_path / "state" / "CURRENT.tmp").write_bytes(b"2")
    again = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["000001", "CURRENT"]
    assert again.applied_index == 3
    again.close()


# ---------------------------------------------------------------------------------------------------- snapshots


MEMBERSHIP = Membership(voters=(NodeId(1),), members={NodeId(1): Member(node_id=NodeId(1))})


def leader_state() -> Machine:
    host = Machine()
    host.apply(Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 5, encode_membership(MEMBERSHIP))))
    host.apply(*some_entries(2, 40))
    return host


def snapshot_of(host: Machine, **changes: object) -> SnapshotContents:
    state = host.machine.recovered_state()
    header = SnapshotHeader(
        snapshot_id=b"s" * 16,
        cluster_id=b"c" * 16,
        group_id=0,
        last_index=state.applied_index,
        last_term=state.applied_term,
        membership=membership_payload(host.store, 0),
        source=NodeId(1),
    )
    header = replace(header, **changes)  # type: ignore[arg-type]  # single wrong fields
    return read_snapshot(write_snapshot(header, replicated_pairs(host.store, 0)), expected=ExpectedSnapshot())


def test_an_installed_snapshot_is_exactly_the_leaders_state_and_nothing_of_the_old(
    tmp_path: Path, store: StateStore
) -> None:
    leader = leader_state()
    store.apply(Index(1), [put(b"old", b"gone"), put(b"k1", b"other")])
    state = store.install(snapshot_of(leader))
    assert state == replace(leader.machine.recovered_state(), installed_index=Index(41))
    assert state.membership == MEMBERSHIP
    assert store.state_hash() == leader.machine.state_hash()
    assert value_of(store, b"old") is None
    more = some_entries(42, 3)
    leader.apply(*more)
    store.apply(Index(42), more)
    assert store.state_hash() == leader.machine.state_hash()
    store.close()
    again = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
    assert (again.recovered.installed_index, again.applied_index) == (41, 44)
    assert again.state_hash() == leader.machine.state_hash()
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["000002", "CURRENT"]
    again.close()


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"last_index": Index(40)}, "the state inside index 41"),
        ({"last_term": Term(9)}, "of term 9"),
        ({"membership": b""}, "membership in the header"),
        ({"group_id": 1}, "does not belong"),
    ],
)
def test_a_snapshot_that_contradicts_itself_changes_nothing(
    tmp_path: Path, store: StateStore, changes: dict[str, object], reason: str
) -> None:
    store.apply(Index(1), [put(b"old", b"kept")])
    with pytest.raises(SnapshotInvalid, match=reason):
        store.install(snapshot_of(leader_state(), **changes))
    assert (store.applied_index, value_of(store, b"old")) == (1, b"kept")
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["000001", "CURRENT"]


def test_a_built_state_can_be_abandoned(tmp_path: Path, store: StateStore) -> None:
    store.apply(Index(1), [put(b"old", b"kept")])
    store.build(snapshot_of(leader_state())).abandon()
    assert value_of(store, b"old") == b"kept"
    assert not (tmp_path / "state" / "000002").exists()


def test_a_pinned_state_stays_what_it_was_while_applies_and_installs_go_on(
    tmp_path: Path, store: StateStore
) -> None:
    store.apply(Index(1), [put(b"k", b"pinned")])
    pinned = store.pin()
    at_pin = list(replicated_pairs(pinned.store, 0))
    store.apply(Index(2), [put(b"k", b"later"), put(b"other")])
    store.install(snapshot_of(leader_state()))
    gc.collect()
    assert pinned.state.applied_index == 1
    assert list(replicated_pairs(pinned.store, 0)) == at_pin
    assert (tmp_path / "state" / "000001").exists(), "in use"
    pinned.close()
    pinned.close()
    assert not (tmp_path / "state" / "000001").exists()


def test_memory_and_disk_install_the_same(store: StateStore) -> None:
    leader = leader_state()
    store.install(snapshot_of(leader))
    memory = MemoryStore()
    for batch in install_batches(snapshot_of(leader), batch_bytes=100):
        memory.write(batch)
    installed = StateMachine(memory, replace(IDENTITY, node_id=NodeId(2)))
    assert installed.state_hash() == store.state_hash()
    assert installed.recovered_state() == store.recovered


# ---------------------------------------------------------------------------------------------------- kill -9


CHILD = """
import sys
from pathlib import Path
from ferrite.core import Index
from ferrite.io.rocks import RocksOptions
from ferrite.io.state_store import StateStore
from tests.core.kv.helpers import IDENTITY, put
options = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=8 << 20, wal=sys.argv[2] == "wal")
store = StateStore.open(Path(sys.argv[1]), identity=IDENTITY, options=options)
index = store.applied_index
while True:
    store.apply(Index(index + 1), [put(b"a", b"%d" % (index + 1)), put(b"b", b"%d" % (index + 2))])
    index += 2
    if index % 2000 == 0:
        store.flush()
        print(index, flush=True)
"""


@pytest.mark.parametrize("wal", ["wal", "no-wal"])
def test_after_a_kill_in_the_middle_of_applies_index_and_data_agree(tmp_path: Path, wal: str) -> None:
    root = Path(__file__).parents[2]
    flushed = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "state"), wal],
            stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        ) as child:  # fmt: skip
            assert child.stdout is not None
            for _ in range(2):
                flushed = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
        store = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
        applied = store.applied_index
        assert applied >= flushed
        assert applied % 2 == 0, "a batch is there as a whole or not at all"
        assert value_of(store, b"a") == b"%d" % (applied - 1)
        assert value_of(store, b"b") == b"%d" % applied
        assert store.revision == applied + 1
        fresh = Machine()
        if applied <= 6000:
            for index in range(1, applied, 2):
                fresh.apply(put(b"a", b"%d" % index), put(b"b", b"%d" % (index + 1)))
            assert store.state_hash() == fresh.machine.state_hash()
        store.close()


def test_the_identity_is_checked_before_anything_else(tmp_path: Path) -> None:
    StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL).close()
    stranger = Identity(node_id=NodeId(9), instance=b"z" * 16, boot=1)
    with pytest.raises(StoreForeign):
        StateStore.open(tmp_path / "state", identity=stranger, options=SMALL)
    StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL).close()
