"""Everything of a node that is on disk: opened in order, closed in the opposite one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

import structlog

from ferrite.core import Recovered, RecoveredState, SnapshotMeta
from ferrite.core.disk import LogStore, OpenReport
from ferrite.core.kv import ReadLimits
from ferrite.io.config import Config
from ferrite.io.data_dir import DataDir
from ferrite.io.files import DirectoryFiles
from ferrite.io.log_thread import LogThread
from ferrite.io.organs import PostEvents
from ferrite.io.snapshots import SnapshotFiles
from ferrite.io.state_store import RocksOptions, StateStore

MB: Final = 1 << 20
LOG_CLOSE_TIMEOUT_S: Final = 5.0
DISK_STALL_PROBLEM_MS: Final = 1_000
"""A sync that takes longer is a fault of the disk, not load (etcd warns at the same figure)."""
"""For the last sync and the mark; a disk that hangs longer is left to the process's end."""

_log = structlog.get_logger(__name__)


class Snapshots:
    """The snapshot files and the state they are made of (`SnapshotOrgan`).

    Kept are the snapshot saved last and the one being received: older ones end with it, and a peer that was being sent one gets
    the new one.
    """

    def __init__(self, files: SnapshotFiles, state: StateStore) -> None:
        """The lock: what is received must not be tidied away between its name and its first byte."""
        self._lock = threading.Lock()
        self._files = files
        self._state = state
        self._saved: bytes | None = None
        self._received: bytes | None = None

    def begin_save(self, cluster_id: bytes) -> Callable[[], SnapshotMeta]:
        pinned = self._state.pin()

        def save() -> SnapshotMeta:
            try:
                saved = self._files.save(pinned, cluster_id)
            finally:
                pinned.close()
            self._saved = saved.snapshot_id
            self._tidy()
            return saved

        return save

    def read_chunk(self, snapshot: SnapshotMeta, offset: int, length_max: int) -> tuple[bytes, bool]:
        return self._files.read_chunk(snapshot, offset, length_max)

    def store_chunk(self, snapshot: SnapshotMeta, offset: int, data: bytes) -> None:
        with self._lock:
            self._received = snapshot.snapshot_id
            self._files.store_chunk(snapshot, offset, data)

    def install(self, snapshot: SnapshotMeta, cluster_id: bytes) -> RecoveredState:
        state = self._state.install(self._files.open_received(snapshot, cluster_id))
        self._received = None
        self._tidy()
        return state

    def _tidy(self) -> None:
        with self._lock:
            kept = [each for each in (self._saved, self._received) if each is not None]
            self._files.remove_others(kept)


class Storage:
    """An open data directory with log, state and snapshots. `log` exists from `start` on."""

    def __init__(
        self,
        *,
        data_dir: DataDir,
        files: DirectoryFiles,
        log_store: LogStore,
        state: StateStore,
        snapshots: Snapshots,
        recovered: Recovered,
        sync_writes: bool,
    ) -> None:
        """Only `open_storage` calls this."""
        self.state = state
        self.snapshots = snapshots
        self.recovered = recovered
        self._data_dir = data_dir
        self._files = files
        self._log_store = log_store
        self._sync_writes = sync_writes
        self._log: LogThread | None = None

    @property
    def log(self) -> LogThread:
        """The log behind its thread."""
        assert self._log is not None, "started before it is used"
        return self._log

    def start(self, post: PostEvents) -> None:
        """Start the log thread; it reports by `post`, from its own thread."""
        self._log = LogThread(self._log_store, post, sync_writes=self._sync_writes)
        self._log.start()

    def problems(self) -> list[str]:
        """What keeps the disk from serving: a write of the log that does not come back."""
        stalled_ms = self.log.stalled_us // 1000
        if stalled_ms < DISK_STALL_PROBLEM_MS:
            return []
        return [f"disk: a write of the Raft log has not finished for {stalled_ms} ms"]

    def counters(self) -> Mapping[str, int]:
        """Numbers of the disk for metrics."""
        stats = self.log.stats
        return {
            "log_batches": stats.batches,
            "log_entries_written": stats.entries,
            "log_payload_bytes_written": stats.payload_bytes,
            "log_fsyncs": stats.fsyncs,
            "log_fsync_us_total": stats.sync_us_total,
            "log_size_bytes": stats.size_bytes,
            "log_segments_discarded": stats.segments_discarded,
            "log_queue_depth": self.log.queue_depth,
            "sessions": self.state.session_count,
        }

    def close(self) -> None:
        """Finish the log, flush and close the state, give the directory back. Blocks: for a worker thread."""
        if self._log is not None and not self._log.close(LOG_CLOSE_TIMEOUT_S):
            _log.error("the log's disk does not answer; its last write is in doubt")
            return  # the state must not be flushed past a log that hangs, and the lock ends with the process
        self.state.close()
        self._files.close()
        self._data_dir.close()


def open_storage(config: Config) -> Storage:
    """Open and recover everything. Blocks: for a worker thread. Raises what `ferrite.io.start_errors` knows by its code."""
    with ExitStack() as undo:
        data_dir = DataDir.open(str(config.node.data_dir), config.node.id)
        undo.callback(data_dir.close)
        identity = data_dir.identity
        files = DirectoryFiles(data_dir.log_path)
        undo.callback(files.close)
        log_store, recovered_log = LogStore.open(files, identity)
        limits = ReadLimits(
            list_keys_max=config.limits.list_keys_max, list_bytes_max=config.limits.list_bytes_max
        )
        state = StateStore.open(
            data_dir.state_path, identity=identity, options=_rocks_options(config), read_limits=limits
        )
        undo.callback(state.close)
        snapshots = Snapshots(SnapshotFiles(data_dir.snapshots_path, node_id=identity.node_id), state)
        recovered = Recovered(identity=identity, log=recovered_log, state=state.recovered)
        undo.pop_all()
    _tell(data_dir, log_store.report, recovered)
    return Storage(
        data_dir=data_dir,
        files=files,
        log_store=log_store,
        state=state,
        snapshots=snapshots,
        recovered=recovered,
        sync_writes=config.storage.sync_writes,
    )


def _rocks_options(config: Config) -> RocksOptions:
    storage = config.storage
    return RocksOptions(
        block_cache_bytes=storage.block_cache_size * MB,
        write_buffer_bytes=storage.write_buffer_size * MB,
        compression=storage.enable_compression,
        compaction=storage.compaction_strategy,
        wal=storage.enable_wal,
    )


def _tell(data_dir: DataDir, report: OpenReport, recovered: Recovered) -> None:
    """What opening found and did, for the operator's log."""
    for warning in data_dir.warnings:
        _log.warning(warning)
    if report.cut is not None:
        _log.warning(
            "an interrupted write at the log's end was cut; it was never acknowledged",
            segment=report.cut.number,
            offset=report.cut.offset,
            end=report.cut.end,
            copy=report.torn_copy,
        )
    if report.foreign_files:
        _log.warning(
            "the log directory contains what is not Ferrite's, left alone", files=report.foreign_files
        )
    if report.lost_tail is not None:
        _log.error("the log lost its end, which was durable once", last_index=report.lost_tail.last_index)
    identity, log, state = recovered.identity, recovered.log, recovered.state
    _log.info(
        "recovered",
        instance=identity.instance.hex(),
        boot=identity.boot,
        cluster_id=log.hard_state.cluster_id.hex(),
        term=log.hard_state.term,
        log_from=log.base_index + 1,
        log_to=log.last_index,
        applied=state.applied_index,
    )
