"""Snapshot files: built while applies go on, sent and received in pieces, verified before use."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ferrite.core import Index, NodeId, SnapshotMeta, Term
from ferrite.core.kv import Get, GetResult, SnapshotInvalid
from ferrite.io.rocks import RocksOptions
from ferrite.io.snapshots import SnapshotFiles
from ferrite.io.state_store import StateStore
from tests.core.kv.helpers import IDENTITY, put

SMALL = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
CLUSTER = b"c" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore.open(tmp_path / "state", identity=IDENTITY, options=SMALL)
    opened.apply(Index(1), [put(b"k%03d" % number, b"v" * 100) for number in range(300)])
    yield opened
    opened.close()


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    return SnapshotFiles(tmp_path / "snapshots", node_id=NodeId(1))


@pytest.fixture
def other_files(tmp_path: Path) -> SnapshotFiles:
    return SnapshotFiles(tmp_path / "received", node_id=NodeId(2))


def save(files: SnapshotFiles, store: StateStore, snapshot_id: bytes | None = None) -> SnapshotMeta:
    pinned = store.pin()
    try:
        return files.save(pinned, CLUSTER, snapshot_id=snapshot_id)
    finally:
        pinned.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def transfer(meta: SnapshotMeta, source: SnapshotFiles, target: SnapshotFiles, length: int = 1000) -> None:
    offset, done = 0, False
    while not done:
        data, done = source.read_chunk(meta, offset, length)
        target.store_chunk(meta, offset, data)
        offset += len(data)
    assert offset == meta.size_bytes


def test_a_saved_snapshot_travels_in_pieces_and_becomes_the_same_state(
    tmp_path: Path, store: StateStore, files: SnapshotFiles, other_files: SnapshotFiles
) -> None:
    meta = save(files, store)
    assert (meta.last_index, meta.last_term, len(meta.snapshot_id)) == (300, 1, 16)
    transfer(meta, files, other_files)
    follower = StateStore.open(
        tmp_path / "follower", identity=replace(IDENTITY, node_id=NodeId(2)), options=SMALL
    )
    state = follower.install(other_files.open_received(meta, CLUSTER))
    assert (state.applied_index, state.installed_index) == (300, 300)
    assert follower.state_hash() == store.state_hash()
    follower.close()


def test_a_snapshot_is_of_the_pinned_index_while_applies_go_on(
    store: StateStore, files: SnapshotFiles
) -> None:
    hash_at_pin, pinned = store.state_hash(), store.pin()
    saved: list[SnapshotMeta] = []
    worker = threading.Thread(target=lambda: saved.append(files.save(pinned, CLUSTER)))
    worker.start()
    index = 301
    while worker.is_alive() or index < 310:
        store.apply(Index(index), [put(b"k%03d" % (index % 300), b"later")])
        index += 1
    worker.join()
    pinned.close()
    (meta,) = saved
    assert meta.last_index == 300
    transfer(meta, files, files)
    store.install(files.open_received(meta, CLUSTER))
    assert store.state_hash() == hash_at_pin
    found = store.read(Get(key=b"k001"))
    assert isinstance(found, GetResult)
    assert found.entry is not None
    assert found.entry.value == b"v" * 100


def test_two_snapshots_have_different_ids_unless_told(store: StateStore, files: SnapshotFiles) -> None:
    assert save(files, store).snapshot_id != save(files, store).snapshot_id
    assert save(files, store, b"i" * 16).snapshot_id == b"i" * 16


def test_pieces_may_be_resumed_and_begun_anew(
    store: StateStore, files: SnapshotFiles, other_files: SnapshotFiles
) -> None:
    meta = save(files, store)
    data, _ = files.read_chunk(meta, 0, meta.size_bytes)
    other_files.store_chunk(meta, 0, b"x" * 500)
    other_files.store_chunk(meta, 0, data[:100])
    other_files.store_chunk(meta, 50, data[50:200])
    other_files.store_chunk(meta, 200, data[200:])
    assert len(list(other_files.open_received(meta, CLUSTER).pairs)) > 600


def test_a_new_transfer_replaces_the_unfinished_one(
    tmp_path: Path, store: StateStore, files: SnapshotFiles, other_files: SnapshotFiles
) -> None:
    for snapshot_id in (b"a" * 16, b"b" * 16):
        other_files.store_chunk(save(files, store, snapshot_id), 0, b"begin")
    assert names(tmp_path / "received") == [f"{300:020}-{'62' * 16}.part"]


def test_a_received_file_that_is_not_the_promised_one_is_refused(
    store: StateStore, files: SnapshotFiles, other_files: SnapshotFiles
) -> None:
    meta = save(files, store)
    with pytest.raises(SnapshotInvalid, match="not there"):
        other_files.open_received(meta, CLUSTER)
    transfer(meta, files, other_files)
    with pytest.raises(SnapshotInvalid, match="cluster_id"):
        other_files.open_received(meta, b"x" * 16)
    with pytest.raises(SnapshotInvalid, match="last_term"):
        other_files.open_received(replace(meta, last_term=Term(2)), CLUSTER)
    with pytest.raises(SnapshotInvalid, match="bytes; expected were"):
        other_files.open_received(replace(meta, size_bytes=meta.size_bytes + 1), CLUSTER)
    other_files.store_chunk(meta, meta.size_bytes // 2, b"\x00damage\x00")
    with pytest.raises(SnapshotInvalid, match="CRC-32"):
        store.install(other_files.open_received(meta, CLUSTER))
    assert store.applied_index == 300


@pytest.mark.parametrize("offset, length", [(-1, 1), (0, 10**9 + 1), (10**9, 1)])
def test_a_piece_outside_the_snapshot_is_refused(files: SnapshotFiles, offset: int, length: int) -> None:
    meta = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(1), last_term=Term(1), size_bytes=1000)
    with pytest.raises(SnapshotInvalid, match="a piece"):
        files.store_chunk(meta, offset, bytes(min(length, 2000)))


def test_a_saved_file_that_is_gone_or_cut_is_noticed_when_sending(
    tmp_path: Path, store: StateStore, files: SnapshotFiles
) -> None:
    meta = save(files, store)
    (path,) = (tmp_path / "snapshots").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotInvalid, match="expected were"):
        files.read_chunk(meta, 0, 10)
    path.unlink()
    with pytest.raises(SnapshotInvalid, match="not there"):
        files.read_chunk(meta, 0, 10)


def test_only_the_kept_ones_remain(tmp_path: Path, store: StateStore, files: SnapshotFiles) -> None:
    first, second = save(files, store), save(files, store)
    files.store_chunk(first, 0, b"part")
    files.remove_others([second.snapshot_id])
    assert names(tmp_path / "snapshots") == [f"{300:020}-{second.snapshot_id.hex()}.snapshot"]


def test_a_start_removes_what_an_earlier_process_left_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    for name in (f"{1:020}-{'00' * 16}{suffix}" for suffix in (".snapshot", ".part", ".tmp")):
        (directory / name).write_bytes(b"x")
    (directory / "notes.txt").write_bytes(b"somebody's")
    SnapshotFiles(directory, node_id=NodeId(1))
    assert names(directory) == ["notes.txt"]


def test_a_failed_save_leaves_no_file(tmp_path: Path, store: StateStore, files: SnapshotFiles) -> None:
    pinned = store.pin()
    pinned.close()
    with pytest.raises(Exception, match="closed"):
        files.save(pinned, CLUSTER)
    assert names(tmp_path / "snapshots") == []
