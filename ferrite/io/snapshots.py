"""Snapshot files in a directory: built from a pinned state, sent in pieces, received in pieces, verified before use.

    <index>-<snapshot_id>.snapshot   complete, verified
    <index>-<snapshot_id>.part       being received
    <index>-<snapshot_id>.tmp        being built

Nothing here outlives the process: a restarted replica orders and asks for what it needs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from ferrite.core import NodeId, SnapshotMeta
from ferrite.core.kv import (
    ExpectedSnapshot,
    Pair,
    SnapshotContents,
    SnapshotHeader,
    SnapshotInvalid,
    membership_payload,
    read_snapshot,
    replicated_pairs,
    write_snapshot,
)
from ferrite.io.durable import make_directory, publish
from ferrite.io.state_store import PinnedState

PAIRS_BETWEEN_YIELDS: Final = 128
"""About 0.1 ms of reading: RocksDB's iterator holds the GIL, and the event loop wants it back."""
READ_BYTES: Final = 256 << 10
_COMPLETE: Final = ".snapshot"
_PARTIAL: Final = ".part"
_TEMPORARY: Final = ".tmp"
_SUFFIXES: Final = (_COMPLETE, _PARTIAL, _TEMPORARY)


class SnapshotFiles:
    """The snapshot files of one group of one node."""

    __slots__ = ("_directory", "_group_id", "_node_id")

    def __init__(self, directory: Path | str, *, node_id: NodeId, group_id: int = 0) -> None:
        """Make the directory if needed (its parent must exist) and remove what an earlier process left. Raises OSError."""
        self._directory = Path(directory)
        self._node_id = node_id
        self._group_id = group_id
        make_directory(self._directory)
        self.remove_others(())

    def _path(self, snapshot_id: bytes, last_index: int, suffix: str) -> Path:
        return self._directory / f"{last_index:020}-{snapshot_id.hex()}{suffix}"

    def save(
        self, pinned: PinnedState, cluster_id: bytes, *, snapshot_id: bytes | None = None
    ) -> SnapshotMeta:
        """Write the pinned state to a file, durably, and read it back. Blocks: for a worker thread. The pin stays open.

        Raises StoreError when the state cannot be read, SnapshotInvalid when the file does not read back, OSError.
        """
        header = header_of(pinned, cluster_id, self._node_id, snapshot_id=snapshot_id)
        temporary = self._path(header.snapshot_id, header.last_index, _TEMPORARY)
        try:
            _write_durably(
                temporary, write_snapshot(header, yielding(replicated_pairs(pinned.store, pinned.group_id)))
            )
            meta = SnapshotMeta(
                snapshot_id=header.snapshot_id,
                last_index=header.last_index,
                last_term=header.last_term,
                size_bytes=temporary.stat().st_size,
            )
            for _ in yielding(self._read(temporary, meta, cluster_id).pairs):
                pass
            publish(temporary, self._path(header.snapshot_id, header.last_index, _COMPLETE))
        finally:
            temporary.unlink(missing_ok=True)
        return meta

    def read_chunk(self, meta: SnapshotMeta, offset: int, length_max: int) -> tuple[bytes, bool]:
        """Return up to `length_max` bytes of a saved snapshot at `offset`, and whether they are the last.

        Raises SnapshotInvalid when the file is gone or has another size, OSError when it cannot be read.
        """
        path = self._path(meta.snapshot_id, meta.last_index, _COMPLETE)
        with _opened(path, meta) as file:
            data = os.pread(file.fileno(), length_max, offset)
        return data, offset + len(data) >= meta.size_bytes

    def store_chunk(self, meta: SnapshotMeta, offset: int, data: bytes) -> None:
        """Write a received piece; offset 0 starts the file anew. Nothing is synced: what is installed is verified first.

        Raises SnapshotInvalid for a piece beyond the snapshot's size, OSError.
        """
        if offset < 0 or offset + len(data) > meta.size_bytes:
            raise SnapshotInvalid(
                f"a piece [{offset}, {offset + len(data)}) of a snapshot of {meta.size_bytes} bytes"
            )
        path = self._path(meta.snapshot_id, meta.last_index, _PARTIAL)
        if offset == 0:
            self._remove_all(keep=(), suffixes=(_PARTIAL,))
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if offset == 0 else 0), 0o600)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], offset + written)
        finally:
            os.close(descriptor)

    def open_received(self, meta: SnapshotMeta, cluster_id: bytes | None) -> SnapshotContents:
        """Open a received file for `StateStore.build`: its pairs are verified as they are read, the whole at their end.

        `cluster_id` None accepts any. Raises SnapshotInvalid, here and from the pairs, and OSError.
        """
        return self._read(self._path(meta.snapshot_id, meta.last_index, _PARTIAL), meta, cluster_id)

    def _read(self, path: Path, meta: SnapshotMeta, cluster_id: bytes | None) -> SnapshotContents:
        expected = ExpectedSnapshot(
            snapshot_id=meta.snapshot_id,
            cluster_id=cluster_id,
            group_id=self._group_id,
            last_index=meta.last_index,
            last_term=meta.last_term,
        )
        return read_snapshot(_chunks(path, meta), expected=expected)

    def remove_others(self, keep: Iterable[bytes]) -> None:
        """Remove every file, complete or not, but those of the snapshots with these ids. Raises OSError."""
        self._remove_all(keep=keep, suffixes=_SUFFIXES)

    def _remove_all(self, *, keep: Iterable[bytes], suffixes: tuple[str, ...]) -> None:
        kept = {snapshot_id.hex() for snapshot_id in keep}
        for path in sorted(self._directory.iterdir()):
            if path.suffix in suffixes and path.stem.rpartition("-")[2] not in kept:
                path.unlink(missing_ok=True)


def _write_durably(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def header_of(
    pinned: PinnedState, cluster_id: bytes, source: NodeId, *, snapshot_id: bytes | None = None
) -> SnapshotHeader:
    """Return the header of a file with the pinned state; `snapshot_id` None draws one. Raises StoreError."""
    return SnapshotHeader(
        snapshot_id=os.urandom(16) if snapshot_id is None else snapshot_id,
        cluster_id=cluster_id,
        group_id=pinned.group_id,
        last_index=pinned.state.applied_index,
        last_term=pinned.state.applied_term,
        membership=membership_payload(pinned.store, pinned.group_id),
        source=source,
    )


def yielding(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Pass the pairs on and let other threads run now and then."""
    for number, pair in enumerate(pairs):
        if number % PAIRS_BETWEEN_YIELDS == 0:
            time.sleep(0)
        yield pair


def _opened(path: Path, meta: SnapshotMeta) -> BufferedReader:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise SnapshotInvalid(f"{path} is not there any more") from error
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes != meta.size_bytes:
        file.close()
        raise SnapshotInvalid(f"{path} has {size_bytes} bytes; expected were {meta.size_bytes}")
    return file


def _chunks(path: Path, meta: SnapshotMeta) -> Iterator[bytes]:
    with _opened(path, meta) as file:
        while chunk := file.read(READ_BYTES):
            yield chunk
