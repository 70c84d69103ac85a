"""The state of one Raft group on disk: a RocksDB with the KV machine on it, and its replacement by a snapshot.

    <directory>/CURRENT     the number of the database in force, replaced atomically
    <directory>/000001/     RocksDB; an install builds the next number beside it and then moves CURRENT

`CURRENT` is written before the first database is made, so databases without it never come from a crash.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgpack

from ferrite.core import Entry, Identity, Index, RecoveredState, RequestId
from ferrite.core.kv import (
    AppliedBatch,
    Change,
    CommandResult,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    MachineFacts,
    Query,
    QueryResult,
    ReadLimits,
    SnapshotContents,
    StateCorrupt,
    StateMachine,
    Write,
    install_batches,
    load_state,
    local_key,
    read_history,
)
from ferrite.io.durable import fsync_directory, make_directory, replace_file
from ferrite.io.rocks import (
    RocksOptions,
    RocksPin,
    RocksStore,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreForeign,
    StoreStalled,
)

__all__ = ["BuiltState", "PinnedState", "RocksOptions", "StateStore", "StoreStalled"]

POINTER: Final = "CURRENT"
IDENTITY_VERSION: Final = 1
STALL_PAUSE_S: Final = 0.01
STALL_S_MAX: Final = 60.0
"""An install that RocksDB does not let write for so long has a disk that does not work."""
_NUMBERED: Final = re.compile(r"[0-9]{6,}")


@dataclass(slots=True, kw_only=True)
class PinnedState:
    """The state at `state.applied_index`, for building a snapshot while applies go on. Close it when done."""

    store: RocksPin
    group_id: int
    state: RecoveredState
    _release: Callable[[], None]

    def close(self) -> None:
        """Let go of the view. Closing twice is harmless."""
        self.store.close()
        release, self._release = self._release, _nothing
        release()


def _nothing() -> None:
    pass


def _nothing_of(_: object) -> None:
    pass


class _Database:
    """One numbered database. Once it was replaced it is closed and removed, as soon as nobody uses it any more."""

    __slots__ = ("_lock", "_retired", "_users", "directory", "number", "rocks")

    def __init__(self, number: int, directory: Path, rocks: RocksStore) -> None:
        self.number = number
        self.directory = directory
        self.rocks = rocks
        self._lock = threading.Lock()  # pins are let go by the threads that used them
        self._users = 0
        self._retired = False

    def hold(self) -> None:
        """Keep it open until `release`."""
        with self._lock:
            if self._retired:
                raise StoreFailed(f"{self.directory} was replaced by a snapshot")
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            remove = self._retired and not self._users
        if remove:
            self.remove()

    def retire(self) -> None:
        with self._lock:
            self._retired = True
            remove = not self._users
        if remove:
            self.remove()

    def remove(self) -> None:
        self.rocks.close()
        # What cannot be removed now is a leftover, and goes at the next start.
        shutil.rmtree(self.directory, ignore_errors=True)


class BuiltState:
    """A complete, durable state beside the one in force: `StateStore.switch` puts it in force, `abandon` removes it."""

    __slots__ = ("database",)

    def __init__(self, database: _Database) -> None:
        """Made by `StateStore.build`."""
        self.database = database

    def abandon(self) -> None:
        """Remove it; the state in force was never touched."""
        self.database.remove()


class StateStore:
    """The replicated state of one group.

    One thread applies, reads and closes. Others may flush, pin and install meanwhile, one at a time each; an install takes the
    place of everything applied before it, so the host applies nothing between ordering it and its end.
    """

    __slots__ = (
        "_database",
        "_directory",
        "_group_id",
        "_identity",
        "_lock",
        "_machine",
        "_on_applied",
        "_on_installed",
        "_options",
        "_read_limits",
    )

    def __init__(
        self,
        directory: Path | str,
        *,
        identity: Identity,
        group_id: int = 0,
        options: RocksOptions | None = None,
        read_limits: ReadLimits | None = None,
    ) -> None:
        """Open the state in this directory (its parent must exist), an empty one at the first start.

        Removes what interrupted installs left. Raises StoreError, and OSError for the pointer file.
        """
        self._directory = Path(directory)
        self._identity = identity
        self._group_id = group_id
        self._options = options or RocksOptions()
        self._read_limits = read_limits
        self._lock = threading.Lock()  # held for reads and applies, and for the moment of a switch
        self._on_applied: Callable[[AppliedBatch], None] = _nothing_of
        self._on_installed: Callable[[MachineFacts], None] = _nothing_of
        number = self._current()
        self._remove_leftovers(number)
        self._database = self._open_database(number, create=number == 1)
        self._machine = self._start_machine(self._database)

    @classmethod
    def open(
        cls,
        directory: Path | str,
        *,
        identity: Identity,
        group_id: int = 0,
        options: RocksOptions | None = None,
        read_limits: ReadLimits | None = None,
    ) -> StateStore:
        """Open the state; the same as the constructor."""
        return cls(directory, identity=identity, group_id=group_id, options=options, read_limits=read_limits)

    def _current(self) -> int:
        make_directory(self._directory)
        pointer = self._directory / POINTER
        if not pointer.exists():
            if self._numbered():
                raise StoreCorrupt(
                    f"{pointer} is missing, but databases are there: {', '.join(self._numbered())}. No crash leaves this; "
                    "restore the file with the number of the right one"
                )
            replace_file(pointer, b"1\n")
        text = pointer.read_bytes()
        if not re.fullmatch(rb"[1-9][0-9]{0,17}\n", text):
            raise StoreCorrupt(f"{pointer} holds {text[:40]!r}; expected was the number of a database")
        return int(text)

    def _numbered(self) -> list[str]:
        return sorted(path.name for path in self._directory.iterdir() if _NUMBERED.fullmatch(path.name))

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:06}"

    def _remove_leftovers(self, number: int) -> None:
        for name in self._numbered():
            if name != self._path(number).name:
                shutil.rmtree(self._directory / name)
        (self._directory / f"{POINTER}.tmp").unlink(missing_ok=True)

    def _open_database(self, number: int, *, create: bool) -> _Database:
        path = self._path(number)
        if not create and not path.is_dir():
            raise StoreCorrupt(f"{self._directory / POINTER} names {path.name}, which is not there")
        rocks = RocksStore(path, self._options, create=create)
        fsync_directory(self._directory)
        return _Database(number, path, rocks)

    def _start_machine(self, database: _Database) -> StateMachine:
        try:
            self._check_identity(database.rocks)
            return StateMachine(
                database.rocks, self._identity, group_id=self._group_id, read_limits=self._read_limits
            )
        except StateCorrupt as error:
            database.rocks.close()
            raise StoreCorrupt(str(error)) from error
        except BaseException:
            database.rocks.close()
            raise

    def _check_identity(self, rocks: RocksStore) -> None:
        key, own = self._identity_record()
        found = rocks.get(key)
        if found is None:
            if load_state(rocks, self._group_id).applied_index:
                raise StoreCorrupt(f"the state in {self._directory} does not say whose it is")
            rocks.write([(key, own)])
        elif found != own:
            raise StoreForeign(
                f"the state in {self._directory} belongs to {_shown(found)}, not to {_shown(own)}. "
                "A data directory cannot be copied or shared between nodes"
            )

    def _identity_record(self) -> tuple[bytes, bytes]:
        fields = [IDENTITY_VERSION, self._group_id, self._identity.node_id, self._identity.instance]
        packed: bytes = msgpack.packb(fields)
        return local_key(self._group_id, b"identity"), packed

    @property
    def recovered(self) -> RecoveredState:
        """What a replica needs to know of the state, as it is now. Raises StoreError."""
        with self._lock:
            try:
                return self._machine.recovered_state()
            except StateCorrupt as error:
                raise StoreCorrupt(str(error)) from error

    @property
    def applied_index(self) -> Index:
        """The last entry that was applied."""
        return self._machine.applied_index

    @property
    def revision(self) -> int:
        """The store's revision."""
        return self._machine.revision

    @property
    def session_count(self) -> int:
        """Live sessions."""
        return self._machine.session_count

    @property
    def facts(self) -> MachineFacts:
        """What housekeeping, watches and metrics want to know."""
        return MachineFacts.of(self._machine)

    def listen(
        self, on_applied: Callable[[AppliedBatch], None], on_installed: Callable[[MachineFacts], None]
    ) -> None:
        """Tell of every apply, on its thread, once it was written; and of every install, on the installing thread."""
        self._on_applied, self._on_installed = on_applied, on_installed

    def apply(
        self, first_index: Index, entries: Sequence[Entry]
    ) -> tuple[Index, tuple[tuple[RequestId, CommandResult], ...]]:
        """Apply committed entries in one atomic write; return the applied index and this boot's outcomes.

        Nothing is synced. Raises StoreError; whatever it is, nothing was applied, and after StoreStalled it may be tried again.
        """
        with self._lock:
            try:
                applied = self._machine.apply(first_index, entries)
            except StateCorrupt as error:
                raise StoreCorrupt(str(error)) from error
            self._database.rocks.write(applied.batch)
            self._machine.advance(applied)
        self._on_applied(applied)
        return applied.applied_index, applied.outcomes

    def read(self, query: Query) -> QueryResult:
        """Answer a query from the state as it is now. Raises StoreError."""
        with self._lock:
            try:
                return self._machine.read(query)
            except StateCorrupt as error:
                raise StoreCorrupt(str(error)) from error

    def previous(self, change: Change) -> KeyValue | None:
        """Return what the key was before a change, None when that is compacted. Raises StoreError."""
        with self._lock:
            try:
                return self._machine.previous(change)
            except StateCorrupt as error:
                raise StoreCorrupt(str(error)) from error

    def history(self, read: HistoryRead, *, bytes_max: int) -> HistoryPiece | None:
        """Read a piece of history while applies go on: for a worker thread. Raises StoreError."""
        database, _ = self._hold()
        try:
            view = database.rocks.pin()
            try:
                machine = StateMachine(view, self._identity, group_id=self._group_id)
                return read_history(machine, read, bytes_max=bytes_max)
            except StateCorrupt as error:
                raise StoreCorrupt(str(error)) from error
            finally:
                view.close()
        finally:
            database.release()

    def state_hash(self) -> bytes:
        """Return the SHA-256 of everything replicated; reads all of it."""
        return self._machine.state_hash()

    def flush(self) -> Index:
        """Make the state durable; return the index up to which it certainly is. Blocks: for a worker thread.

        Raises StoreError.
        """
        database, applied_index = self._hold()
        try:
            database.rocks.flush()
        finally:
            database.release()
        return applied_index

    def _hold(self) -> tuple[_Database, Index]:
        with self._lock:
            database = self._database
            database.hold()
            return database, self._machine.applied_index

    def pin(self) -> PinnedState:
        """Return a view of the state at its applied index, that later applies and installs do not change. Raises StoreError."""
        database, _ = self._hold()
        try:
            view = database.rocks.pin()
            state = load_state(view, self._group_id)
        except StateCorrupt as error:
            database.release()
            raise StoreCorrupt(str(error)) from error
        except BaseException:
            database.release()
            raise
        return PinnedState(store=view, group_id=self._group_id, state=state, _release=database.release)

    def install(self, contents: SnapshotContents) -> RecoveredState:
        """Replace the state by a snapshot, durably and atomically: `build`, then `switch`."""
        return self.switch(self.build(contents))

    def build(self, contents: SnapshotContents) -> BuiltState:
        """Write the snapshot's state beside the one in force and make it durable. Blocks: for a worker thread.

        Raises SnapshotInvalid when it does not verify, StoreError and OSError; the state in force was not touched.
        """
        number = self._database.number + 1
        path = self._path(number)
        if path.exists():
            shutil.rmtree(path)
        database = self._open_database(number, create=True)
        try:
            for batch in install_batches(contents):
                _write_patiently(database.rocks, batch)
            _write_patiently(database.rocks, [self._identity_record()])
            database.rocks.flush()
        except BaseException:
            database.remove()
            raise
        return BuiltState(database)

    def switch(self, built: BuiltState) -> RecoveredState:
        """Put a built state in force and let the old one go. Raises StoreError and OSError."""
        machine = self._start_machine(built.database)
        replace_file(self._directory / POINTER, b"%d\n" % built.database.number)
        with self._lock:
            old, self._database = self._database, built.database
            self._machine = machine
        self._on_installed(MachineFacts.of(machine))
        old.retire()
        return self.recovered

    def close(self) -> StoreError | None:
        """Flush and close. Pinned views and worker threads must be done before. Closing twice is harmless.

        Returns what went wrong with that last flush, None for nothing: the log has what it did not make durable.
        """
        return self._database.rocks.close()


def _shown(record: bytes) -> str:
    try:
        version, group_id, node_id, instance = msgpack.unpackb(record)
        return f"node {node_id}, group {group_id}, instance {instance.hex()} (format {version})"
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
        return f"{record!r}"


def _write_patiently(rocks: RocksStore, batch: Sequence[Write]) -> None:
    """Write to a store that is being built, waiting while RocksDB is behind. The pauses let the other threads run."""
    deadline = time.monotonic() + STALL_S_MAX
    time.sleep(0)
    while True:
        try:
            rocks.write_bulk(batch)
            return
        except StoreStalled as error:
            if time.monotonic() >= deadline:
                raise StoreFailed(f"RocksDB took no write for {STALL_S_MAX:.0f} s: {error}") from error
        time.sleep(STALL_PAUSE_S)
