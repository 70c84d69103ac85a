"""Backups of a serving node: a pinned state as a stream of bytes, each piece made on a thread when somebody asks for it.

So a reader that is slow holds one piece in memory, and the applies go on: what is pinned does not change.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Final

import ferrite
from ferrite.core import NO_CLUSTER, NodeId, RefusalCode
from ferrite.core.kv import BackupNote, Pair, backup_pairs, write_snapshot
from ferrite.io.organs import PostEvents
from ferrite.io.request_path import RequestRefused
from ferrite.io.rocks import StoreError
from ferrite.io.snapshots import header_of
from ferrite.io.state_store import PinnedState, StateStore
from ferrite.io.storage_errors import storage_failed

BACKUPS_MAX: Final = 2
"""At once on one node. Each keeps the files of its moment on disk and takes a third of the interpreter's time at most."""
RETRY_MS: Final = 10_000
"""A backup takes seconds to minutes; asking again sooner is in vain."""
PIECE_BYTES: Final = 256 << 10
"""What one turn of the thread makes: one message over gRPC, well below what clients accept."""
PAIRS_BETWEEN_PAUSES: Final = 64
PAUSE_S: Final = 0.0005
"""Reading 64 pairs takes about 0.3 ms, and holds the interpreter's lock. Then the event loop surely gets it: giving it up for
no time at all would take it back before the loop has woken, until the interpreter forces the change after 5 ms. This is the
least: whoever had to wait for the lock or for a core pauses as long as that took, so that a busy node is left alone."""
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


class NodeBackup:
    """One backup (`ferrite.io.request_path.Backup`). On the loop, but for the thread that it makes its pieces on."""

    def __init__(
        self,
        name: str,
        pinned: PinnedState,
        pieces: Iterator[bytes],
        *,
        on_failure: Callable[[StoreError], None],
        on_end: Callable[[NodeBackup, Future[None]], None],
    ) -> None:
        """Only `Backups.begin` calls this. `on_end` gets the future of the pin's release."""
        self.name = name
        self.size_bytes = 0
        self._pinned = pinned
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self._on_failure = on_failure
        self._on_end = on_end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backup")
        self._refused: RequestRefused | None = None
        self._closed = False

    @property
    def sha256(self) -> bytes:
        """Of everything that `next_piece` returned."""
        return self._digest.digest()

    async def next_piece(self) -> bytes:
        """Return the next piece; nothing at the end. Raises `RequestRefused`: what came so far is no backup."""
        if self._refused is not None:
            raise self._refused
        try:
            piece = await asyncio.get_running_loop().run_in_executor(self._thread, self._make)
        except StoreError as error:
            self._on_failure(error)
            raise _unreadable(error) from error
        self.size_bytes += len(piece)
        return piece

    def _make(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in self._pieces:
            parts.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                break
        piece = b"".join(parts)
        self._digest.update(piece)
        return piece

    def refuse(self, refused: RequestRefused) -> None:
        """No piece comes any more; the stream breaks off."""
        self._refused = refused

    def close(self) -> None:
        """Nobody reads any more. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            # Behind the piece that may be being made: no other thread may be in the view.
            released = self._thread.submit(self._pinned.close)
            self._thread.shutdown(wait=False)
            self._on_end(self, released)


class Backups:
    """The backups of one node."""

    def __init__(
        self,
        state: StateStore,
        *,
        cluster_id: Callable[[], bytes],
        cluster_name: str,
        source: NodeId,
        post: PostEvents,
    ) -> None:
        """`post` hears of a store that fails. `source` is this node."""
        self._state = state
        self._cluster_id = cluster_id
        self._cluster_name = cluster_name
        self._source = source
        self._post = post
        self._running: list[NodeBackup] = []
        self._releases: set[Future[None]] = set()
        self._ended = ""

    @property
    def count(self) -> int:
        """Backups that have not ended."""
        return len(self._running)

    def begin(self) -> NodeBackup:
        """Pin the state as it is now. Raises `RequestRefused`."""
        if self._ended:
            raise RequestRefused(RefusalCode.SHUTTING_DOWN.value, self._ended)
        if self._cluster_id() == NO_CLUSTER or not self._state.applied_index:
            raise RequestRefused(RefusalCode.NOT_INITIALIZED.value, "this node has no data yet to copy")
        if len(self._running) >= BACKUPS_MAX:
            raise RequestRefused(
                RefusalCode.OVERLOADED.value,
                f"{BACKUPS_MAX} backups of this node are running; wait for one, or ask another node",
                retry_after_ms=RETRY_MS,
            )
        try:
            backup = self._of(self._state.pin())
        except StoreError as error:
            self._on_failure(error)
            raise _unreadable(error) from error
        self._running.append(backup)
        return backup

    def _of(self, pinned: PinnedState) -> NodeBackup:
        try:
            header = header_of(pinned, self._cluster_id(), self._source)
        except StoreError:
            pinned.close()
            raise
        saved_at_s = time.time()
        note = BackupNote(
            saved_unix_ms=int(saved_at_s * 1000),
            version=ferrite.__version__,
            cluster_name=self._cluster_name,
        )
        pairs = _paced(backup_pairs(pinned.store, pinned.group_id, note))
        moment = datetime.fromtimestamp(saved_at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        return NodeBackup(
            f"{_NOT_IN_NAMES.sub('-', self._cluster_name)}-{moment}-{header.last_index}.backup",
            pinned,
            write_snapshot(header, pairs),
            on_failure=self._on_failure,
            on_end=self._on_end,
        )

    def _on_failure(self, error: StoreError) -> None:
        self._post([storage_failed("backup", error)])

    def _on_end(self, backup: NodeBackup, released: Future[None]) -> None:
        self._running.remove(backup)
        self._releases.add(released)
        released.add_done_callback(self._releases.discard)

    def end(self, detail: str) -> None:
        """The node goes: what runs breaks off with its next piece, and nothing begins."""
        self._ended = detail
        for backup in self._running:
            backup.refuse(RequestRefused(RefusalCode.SHUTTING_DOWN.value, detail))

    def close(self) -> None:
        """Let go of the state, whoever still reads. Blocks: for a worker thread, after the loop's last use of this."""
        for backup in list(self._running):
            backup.close()
        wait(list(self._releases))


def _unreadable(error: StoreError) -> RequestRefused:
    return RequestRefused(RefusalCode.STORAGE_FAILED.value, f"the state cannot be read: {error}")


def _paced(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Pass the pairs on and leave the other threads their time: half of it at least."""
    began_s = time.perf_counter()
    for number, pair in enumerate(pairs, 1):
        if number % PAIRS_BETWEEN_PAUSES == 0:
            time.sleep(max(PAUSE_S, time.perf_counter() - began_s))
            began_s = time.perf_counter()
        yield pair
