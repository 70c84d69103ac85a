"""A state to back up, and its backup as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from ferrite.core import Index, NodeId, events
from ferrite.io.backup import BackupStatus, save
from ferrite.io.backup.serving import Backups, NodeBackup
from ferrite.io.rocks import RocksOptions
from ferrite.io.state_store import StateStore
from tests.core.kv.helpers import IDENTITY, put

SMALL = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=8 << 20)
CLUSTER = b"c" * 16


def filled(directory: Path, keys: int = 300) -> StateStore:
    store = StateStore.open(directory, identity=IDENTITY, options=SMALL)
    store.apply(Index(1), [put(b"k%05d" % number, b"v" * 100) for number in range(keys)])
    return store


def backups_of(store: StateStore, reports: list[events.Event] | None = None) -> Backups:
    return Backups(
        store,
        cluster_id=lambda: CLUSTER,
        cluster_name="a cluster/",
        source=NodeId(1),
        post=(reports if reports is not None else []).extend,
    )


async def pieces_of(backup: NodeBackup) -> AsyncIterator[bytes]:
    try:
        while piece := await backup.next_piece():
            yield piece
    finally:
        backup.close()


async def saved(directory: Path, keys: int = 5) -> tuple[Path, BackupStatus]:
    """A small backup."""
    store = filled(directory / "state-to-save", keys)
    backups = backups_of(store)
    path = directory / "b.backup"
    found = await save(pieces_of(backups.begin()), str(path))
    backups.close()
    store.close()
    return path, found


def saved_file(directory: Path, keys: int = 5) -> tuple[Path, BackupStatus]:
    """The same without a loop."""
    return asyncio.run(saved(directory, keys))
