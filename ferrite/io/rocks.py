"""RocksDB: the one place that imports rocksdict, sets its options and reads its errors.

What rocksdict does that one would not expect (0.3.29, measured): every call but flush and close holds the GIL, so a stalled write
would freeze the process (hence `no_slowdown`); a batch is used up by `write` even when that fails; `items()` and the like end
silently at a corrupt block, only `iter()` with `status()` tells; iterators and snapshots keep the directory's
lock after `close()`; `set_iterate_lower_bound` sets the upper bound; the iterators of a `Snapshot` read
the present, not the snapshot; errors are bare exceptions with RocksDB's text.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from ferrite.core.disk import CHECK_DISK, MAKE_SPACE, REPLACE_NODE
from ferrite.core.kv import Pair, Write

MEMTABLES: Final = 2
"""One is written, one is flushed. A third did not prevent stalls, and above 3 RocksDB slows writes down long before it must."""
OPEN_FILES_MAX: Final = 256
"""16 GB of tables at 64 MB; RocksDB opens the others as needed."""
INFO_LOG_BYTES_MAX: Final = 1 << 20
INFO_LOGS_MAX: Final = 2
MANIFEST_BYTES_MAX: Final = 4 << 20
BACKGROUND_JOBS_MAX: Final = 2
"""One flush and one compaction: they compete with the event loop for few cores."""
BLOCK_BYTES: Final = 16 << 10
BLOOM_BITS_PER_KEY: Final = 10
"""1 % false positives: a new key's get costs 2 us instead of 11 (1 M keys)."""
BYTES_PER_SYNC: Final = 1 << 20
"""Written back as it grows, so that the fsync at a file's end has little left to do."""


class StoreError(Exception):
    """What went wrong in the state store; the text is RocksDB's, and ours about what to do."""

    disk_full = False
    corrupt = False


class StoreStalled(StoreError):
    """RocksDB cannot take writes at the moment. Nothing was written; try again a little later."""


class StoreFull(StoreError):
    """No space left on the disk. The node must stop (exit code 10)."""

    disk_full = True


class StoreCorrupt(StoreError):
    """What is on the disk is not what was written. The node must stop (exit code 12)."""

    corrupt = True

    def __init__(self, detail: str) -> None:
        """The text ends with what to do."""
        super().__init__(f"{detail}; {REPLACE_NODE}")


class StoreForeign(StoreError):
    """The store belongs to another node or data directory. The node must stop (exit code 13)."""


class StoreFailed(StoreError):
    """The disk, or RocksDB, failed otherwise. The node must stop (exit code 11)."""


def classify(error: Exception, where: str = "") -> StoreError:
    """Return the typed error for an exception of rocksdict; RocksDB's text is all that there is to go by.

    `where` is put before a text that may not name the place.
    """
    if str(error).startswith("Result incomplete: Write stall"):
        return StoreStalled(str(error))
    text = f"{where}{error}"
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return StoreFull(f"{text}; {MAKE_SPACE}")
    missing = "No such file or directory" in text or "does not exist (create_if_missing is false)" in text
    if "Corruption:" in text or missing:
        return StoreCorrupt(text)
    return StoreFailed(f"{text}; {CHECK_DISK}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RocksOptions:
    """What can be chosen about a store. Sizes in bytes."""

    block_cache_bytes: int = 32 << 20
    """Blocks, indexes and filters that were read: the memory of a store does not grow with its keys."""
    write_buffer_bytes: int = 16 << 20
    """All memtables together."""
    compression: bool = True
    """LZ4."""
    compaction: Literal["level", "universal"] = "level"
    wal: bool = True
    """RocksDB's own log. Without it a killed process applies again, from the Raft log, what came after the last flush."""


def _options(options: RocksOptions, *, create: bool) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(Cache(options.block_cache_bytes))
    table.set_block_size(BLOCK_BYTES)
    table.set_format_version(5)
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    # Indexes and filters live in the cache, in pieces: else they grow with the keys and are bounded by nothing.
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(4096)
    made = Options(raw_mode=True)
    made.create_if_missing(create)
    made.set_block_based_table_factory(table)
    made.set_write_buffer_size(options.write_buffer_bytes // MEMTABLES)
    made.set_max_write_buffer_number(MEMTABLES)
    made.set_compression_type(DBCompressionType.lz4() if options.compression else DBCompressionType.none())
    level = options.compaction == "level"
    made.set_compaction_style(DBCompactionStyle.level() if level else DBCompactionStyle.universal())
    made.set_max_background_jobs(BACKGROUND_JOBS_MAX)
    made.set_max_open_files(OPEN_FILES_MAX)
    made.set_max_file_opening_threads(1)
    made.set_keep_log_file_num(INFO_LOGS_MAX)
    made.set_max_log_file_size(INFO_LOG_BYTES_MAX)
    made.set_max_manifest_file_size(MANIFEST_BYTES_MAX)
    made.set_manifest_preallocation_size(64 << 10)
    made.set_bytes_per_sync(BYTES_PER_SYNC)
    made.set_stats_dump_period_sec(0)
    made.set_stats_persist_period_sec(0)
    made.set_is_fd_close_on_exec(True)
    return made


def _write_options(*, wal: bool) -> WriteOptions:
    options = WriteOptions()
    options.no_slowdown = True
    # rocksdict's stub declares a method here; it is a property.
    cast(Any, options).disable_wal = not wal
    return options


def _walk(cursor: RdictIter, start: bytes, *, reverse: bool) -> Iterator[Pair]:
    """Yield the pairs from where the cursor stands, as long as they are not below `start`."""
    while cursor.valid():
        key = cursor.key()
        if key < start:
            break
        yield key, cursor.value()
        cursor.prev() if reverse else cursor.next()
    cursor.status()  # valid() is false at the end and at a corrupt block alike


def _scan(db: Rdict, start: bytes, end: bytes, *, reverse: bool) -> Iterator[Pair]:
    if start >= end:
        return
    options = ReadOptions()
    options.set_iterate_upper_bound(end)
    try:
        cursor = db.iter(options)
        cursor.seek_to_last() if reverse else cursor.seek(start)
        yield from _walk(cursor, start, reverse=reverse)
    except Exception as error:
        raise classify(error) from error


class RocksPin:
    """A consistent view of a store, while writes go on. Another thread may use it; `close` it before its store.

    It is one iterator, which sees the store as it was when it was made: iterators of rocksdict's `Snapshot` do not, they
    read the present. Hence one scan at a time: a `get` or another scan ends the one before with StoreFailed.
    """

    __slots__ = ("_cursor", "_scans", "_turn")

    def __init__(self, db: Rdict) -> None:
        """Made by `RocksStore.pin`."""
        options = ReadOptions()
        # It reads everything once; the cache is for the clients' blocks. (rocksdict's stub has lost the argument.)
        cast(Any, options).fill_cache(False)
        self._cursor: RdictIter | None = db.iter(options)
        self._scans: weakref.WeakSet[Any] = weakref.WeakSet()
        self._turn = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the value, None when the key is absent. Raises StoreError."""
        for _, value in self.scan(key, key + b"\x00"):
            return value
        return None

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Yield the pairs of `[start, end)`. Raises StoreError, also at a block that cannot be read."""
        self._turn += 1
        scan = self._scan(start, end, self._turn, reverse=reverse)
        self._scans.add(scan)
        return scan

    def _scan(self, start: bytes, end: bytes, turn: int, *, reverse: bool) -> Iterator[Pair]:
        if start >= end:
            return
        try:
            self._seek(start, end, turn, reverse=reverse)
            cursor = self._mine(turn)
            for key, value in _walk(cursor, start, reverse=reverse):
                if key >= end:
                    break
                yield key, value
                self._mine(turn)
        except StoreError:
            raise
        except Exception as error:
            raise classify(error) from error

    def _seek(self, start: bytes, end: bytes, turn: int, *, reverse: bool) -> None:
        cursor = self._mine(turn)
        if not reverse:
            cursor.seek(start)
            return
        cursor.seek_for_prev(end)
        if cursor.valid() and cursor.key() == end:
            cursor.prev()

    def _mine(self, turn: int) -> RdictIter:
        if self._cursor is None:
            raise StoreFailed("the pinned view is closed")
        if turn != self._turn:
            raise StoreFailed("another scan of the pinned view was begun before this one ended")
        return self._cursor

    def close(self) -> None:
        """Let go of the view and end its scans; no other thread may be in one."""
        for scan in list(self._scans):
            scan.close()
        self._cursor = None


class RocksStore:
    """An `OrderedStore` on RocksDB. Writes and reads by one thread; `flush` and pinned views by any.

    It owns its scans: a live iterator would keep the directory's lock after `close`.
    """

    __slots__ = ("_bulk_options", "_db", "_open", "_scans", "_write_options")

    def __init__(self, directory: Path, options: RocksOptions | None = None, *, create: bool = True) -> None:
        """Open the database in this directory. Raises StoreError."""
        options = options or RocksOptions()
        try:
            self._db = Rdict(str(directory), _options(options, create=create))
        except Exception as error:
            raise classify(error, f"state in {directory}: ") from error
        self._write_options = _write_options(wal=options.wal)
        self._bulk_options = _write_options(wal=False)
        self._scans: weakref.WeakSet[Any] = weakref.WeakSet()
        self._open = True

    def get(self, key: bytes) -> bytes | None:
        """Return the value, None when the key is absent. Raises StoreError."""
        try:
            return cast(bytes | None, self._db.get(key))
        except Exception as error:
            raise classify(error) from error

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Yield the pairs of `[start, end)` as they were when the first was asked for. Raises StoreError."""
        if not self._open:
            raise StoreFailed("the store is closed")
        scan = _scan(self._db, start, end, reverse=reverse)
        self._scans.add(scan)
        return scan

    def write(self, batch: Iterable[Write]) -> None:
        """Do all of it or nothing. Not synced: `flush` makes it durable. Raises StoreError; after StoreStalled, try again."""
        self._write(batch, self._write_options)

    def write_bulk(self, batch: Iterable[Write]) -> None:
        """Write to a store that is being built: without RocksDB's own log, whatever the options say."""
        self._write(batch, self._bulk_options)

    def _write(self, batch: Iterable[Write], options: WriteOptions) -> None:
        writes = WriteBatch(raw_mode=True)
        put, delete = writes.put, writes.delete
        for key, value in batch:
            if value is None:
                delete(key)
            else:
                put(key, value)
        try:
            self._db.write(writes, options)
        except Exception as error:
            raise classify(error) from error

    def pin(self) -> RocksPin:
        """Return a view of the present state that later writes do not change. Raises StoreError."""
        try:
            return RocksPin(self._db)
        except Exception as error:
            raise classify(error) from error

    def flush(self) -> None:
        """Make everything written before the call survive a power loss. Blocks without the GIL. Raises StoreError."""
        try:
            self._db.flush(wait=True)
        except Exception as error:
            raise classify(error) from error

    def close(self) -> StoreError | None:
        """Flush, end all scans and close. Pinned views must be closed before. Closing twice is harmless.

        Returns what RocksDB had to complain about, None for nothing. It is no exception, because it is the end in any case, and
        what was promised to anybody was flushed before.
        """
        if not self._open:
            return None
        self._open = False
        for scan in list(self._scans):
            scan.close()
        failure: StoreError | None = None
        try:
            self.flush()
        except StoreError as error:
            failure = error
        try:
            self._db.close()
        except Exception as error:  # noqa: BLE001 - rocksdict raises bare exceptions; it is returned
            failure = failure or classify(error)
        return failure
