"""Backups of a serving node: consistent while applies go on, few at once, cut when the node goes."""

import asyncio
import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ferrite.core import NO_CLUSTER, Index, NodeId, events
from ferrite.core.kv import ExpectedSnapshot, open_backup, read_snapshot, replicated_pairs, summarize
from ferrite.io.backup import serving
from ferrite.io.backup.serving import BACKUPS_MAX, Backups
from ferrite.io.request_path import RequestRefused
from ferrite.io.rocks import StoreCorrupt
from ferrite.io.state_store import StateStore
from tests.core.kv.helpers import IDENTITY, put
from tests.io.backup.helpers import SMALL, backups_of, filled, pieces_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = filled(tmp_path / "state", keys=3000)
    yield opened
    opened.close()


async def test_a_backup_is_of_the_index_at_which_it_began_while_applies_go_on(store: StateStore) -> None:
    backups = backups_of(store)
    pinned = store.pin()
    expected = list(replicated_pairs(pinned.store, 0))
    pinned.close()
    backup = backups.begin()
    data = [await backup.next_piece()]
    for index in range(3001, 3300):
        store.apply(Index(index), [put(b"k%05d" % (index % 3000), b"later")])
    data += [piece async for piece in pieces_of(backup)]
    found = open_backup(read_snapshot(data, expected=ExpectedSnapshot(last_index=Index(3000))))
    assert found.note.cluster_name == "a cluster/"
    assert list(found.pairs) == expected
    assert len(data) > 2
    assert (backup.size_bytes, backup.sha256) == (
        sum(map(len, data)),
        hashlib.sha256(b"".join(data)).digest(),
    )
    assert backup.name.startswith("a-cluster-") and "/" not in backup.name
    backups.close()


async def test_a_reader_that_does_not_read_holds_no_more_than_a_piece(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PIECE_BYTES", 1)
    backups = backups_of(store)
    backup = backups.begin()
    first, second = await backup.next_piece(), await backup.next_piece()
    await asyncio.sleep(0.02)
    assert backup.size_bytes == len(first) + len(second)
    backup.close()
    backups.close()


async def test_one_more_than_the_most_is_refused_until_one_has_ended(store: StateStore) -> None:
    backups = backups_of(store)
    running = [backups.begin() for _ in range(BACKUPS_MAX)]
    with pytest.raises(RequestRefused) as refused:
        backups.begin()
    assert refused.value.code == "overloaded" and refused.value.retry_after_ms > 0
    running[0].close()
    running[0].close()
    backups.begin().close()
    assert backups.count == BACKUPS_MAX - 1
    running[1].close()
    backups.close()


async def test_a_node_that_goes_breaks_its_backups_off_and_begins_none(store: StateStore) -> None:
    backups = backups_of(store)
    backup = backups.begin()
    assert await backup.next_piece()
    backups.end("going")
    with pytest.raises(RequestRefused, match="going"):
        await backup.next_piece()
    with pytest.raises(RequestRefused, match="going"):
        backups.begin()
    backups.close()
    assert backups.count == 0


async def test_an_abandoned_piece_does_not_keep_the_state_from_closing(store: StateStore) -> None:
    backups = backups_of(store)
    backup = backups.begin()
    asked = asyncio.ensure_future(backup.next_piece())
    await asyncio.sleep(0)
    asked.cancel()
    backup.close()
    await asyncio.to_thread(backups.close)
    assert store.close() is None


async def test_a_node_without_data_has_nothing_to_copy(tmp_path: Path) -> None:
    empty = StateStore.open(tmp_path / "empty", identity=IDENTITY, options=SMALL)
    for cluster_id in (NO_CLUSTER, b"c" * 16):
        backups = Backups(
            empty,
            cluster_id=partial(bytes, cluster_id),
            cluster_name="",
            source=NodeId(1),
            post=lambda _: None,
        )
        with pytest.raises(RequestRefused) as refused:
            backups.begin()
        assert refused.value.code == "not_initialized"
    empty.close()


async def test_a_state_that_cannot_be_read_ends_the_backup_and_is_reported(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[events.Event] = []
    backups = backups_of(store, reports)

    def damaged(*_: object) -> Iterator[bytes]:
        yield b"x" * serving.PIECE_BYTES
        raise StoreCorrupt("Corruption: block checksum mismatch")

    monkeypatch.setattr(serving, "write_snapshot", damaged)
    backup = backups.begin()
    assert await backup.next_piece()
    with pytest.raises(RequestRefused) as refused:
        await backup.next_piece()
    assert refused.value.code == "storage_failed"
    (report,) = reports
    assert isinstance(report, events.StorageFailed) and report.corrupt
    backup.close()
    backups.close()


async def test_what_is_streamed_verifies_to_its_end(store: StateStore) -> None:
    backups = backups_of(store)
    data = [piece async for piece in pieces_of(backups.begin())]
    summary = summarize(open_backup(read_snapshot(data, expected=ExpectedSnapshot())))
    assert (summary.key_count, summary.revision) == (3000, 3001)
    backups.close()
