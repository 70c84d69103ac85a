"""The marks of a finished run: what the checks saw, and what counters and history tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ferrite.core import PAYLOAD_HEADER_BYTES, EntryKind, StopCode, payload_kind
from ferrite.core.kv import CommandInvalid, decode_command
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.history import FAIL, INFO, OK, READS, History
from ferrite.sim.node import Node
from ferrite.sim.world import World

_COUNTED: Final = {
    "snapshot_refused": "snapshots_refused",
    "frame_damaged": "frames_damaged",
    "transfer_done": "transfers_replied",
    "change_done": "changes_replied",
    "change_refused": "changes_refused",
    "watch_cut": "watch_slow",
    "watch_resumed": "watches_resumed",
    "watch_compacted": "watch_compacted",
    "watch_past": "watches_past",
    "watch_future": "watches_future",
    "watch_joined": "watches_joined",
    "watch_progress": "watch_progress",
    "watch_installed": "watches_installed",
    "core_only": "core_only",
    "unrecoverable": "unrecoverable",
}
"""Mark -> the counter of the world that shows it."""


def collect_marks(world: World, nodes: Iterable[Node], history: History) -> dict[str, int]:
    """Return how often each mark was reached, zeros included, and each kind of fault struck (`fault_KIND`)."""
    marks = world.invariants.checks.marks
    for mark, counter in _COUNTED.items():
        marks.hit(mark, world.counters[counter])
    for node in nodes:
        marks.hit("crash_lost_writes", node.disk.counters["writes_lost"])
        marks.hit("crash_tore_write", node.disk.counters["writes_torn"])
        marks.hit("node_refused", node.stop_code in (StopCode.CORRUPTION, StopCode.IDENTITY))
        marks.hit("dead_incarnation", node.dropped_messages)
    _from_history(marks.hit, history)
    unknown = {each for o in history.operations if o.outcome == INFO for each in o.requests}
    _repeated(marks.hit, world.invariants.ghost, unknown)
    faults = {name: count for name, count in world.counters.items() if name.startswith("fault_")}
    return dict(sorted(marks.counts.items())) | dict(sorted(faults.items()))


def _from_history(hit: Callable[[str, int], None], history: History) -> None:
    for operation in history.operations:
        writes = operation.kind not in READS
        hit("retried_write", writes and operation.outcome == OK and operation.attempts > 1)
        hit(
            "library_retried_write",
            bool(operation.tried_as) and operation.outcome == OK and operation.attempts > 1,
        )
        hit("refused_write", writes and operation.outcome == FAIL)
        hit("stale_read", operation.outcome == OK and operation.revision < operation.floor_revision)
        hit(
            "read_across_leaders",
            operation.outcome == OK and operation.linearizable and operation.leaders_seen > 0,
        )


def _repeated(hit: Callable[[str, int], None], ghost: Ghost, unknown: set[tuple[bytes, int]]) -> None:
    """Requests that stand in the log more than once, and those of unknown outcome that stand there at all."""
    seen: set[tuple[bytes, int]] = set()
    for index in range(1, len(ghost.committed)):
        entry = ghost.committed_entry(index)
        assert entry is not None, "the committed log has no holes"
        name = _request(entry.payload)
        hit("repeated_request", name in seen)
        hit("unknown_write_took_effect", name in unknown and name not in seen)
        if name is not None:
            seen.add(name)


def _request(payload: bytes) -> tuple[bytes, int] | None:
    """The session's request in an entry, None when it is none."""
    if payload_kind(payload) != EntryKind.COMMAND:
        return None
    try:
        session = decode_command(payload[PAYLOAD_HEADER_BYTES:]).session
    except CommandInvalid:
        return None
    return (session.client_id, session.request_id) if session else None
