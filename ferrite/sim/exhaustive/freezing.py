"""The canonical form of a node, of a message, of the cluster's history: nested tuples, equal when nothing can tell two apart.

Two views. The *exact* one tells apart whatever can change what a node says or writes: states that it holds equal share one
replica. The *loose* one also forgets what only numbers things (writes, times of entries), and gives nodes other names: states
that it holds equal are explored once.

In both, times count from the node's own present, and what lies longer ago than an election timeout is all the same.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    Membership,
    ReplicaConfig,
    payload_kind,
    payload_time_us,
)
from ferrite.sim.checks.ghost import Ghost
from ferrite.sim.exhaustive.host import CONFIG, NEVER_US, Host, Setting
from ferrite.sim.exhaustive.steps import Letter

Frozen = Any
"""Integers, strings, bytes, None, and tuples of such."""

LONG_AGO: Final = "long ago"
NEVER: Final = "never"

_IGNORED: Final = frozenset(
    {
        # The present itself; what counts or announces but decides nothing.
        *("now_us", "counters", "_announced"),
        # Jitter: a timer runs out when the search says so.
        *("dice", "election_deadline_us"),
        # The role, by another name; what tells or remembers what stands elsewhere.
        *("office", "_status", "_glance", "_deadline_us", "headers", "accepted"),
        # What only tells that something stands as it did.
        *("standing", "_announced_standing", "_glance_standing"),
    }
)
_CLUSTER_TIMES: Final = frozenset({"time_base_us", "last_time_us"})
"""Not of the node's clock: they only become the times that entries bear."""
_LOOSELY_IGNORED: Final = frozenset({"elected_us"}) | _CLUSTER_TIMES
_WRITE_NUMBERS: Final = frozenset({"write_seq", "durable_seq", "hard_state_seq"})
"""With nothing un-synced nothing waits for them, and they only grow."""
_BAGS: Final = frozenset({"_held"})
"""Queues of messages to several nodes: each has its place in the network anyway."""
_HISTORY_IGNORED: Final = frozenset({"disks", "entry_of", "_decoded"})
"""Disks mirror the hosts'; the others are dictionaries of what stands in the rest."""


class View:
    """One way to look at things. `names` gives every node's id the id that it goes by."""

    def __init__(self, setting: Setting, names: Mapping[int, int], *, exact: bool) -> None:
        """Look with these names."""
        self._names = names
        self._exact = exact
        self._setting = setting
        self._instances = {instance: names[node] for node, instance in setting.instances.items()}
        self._entries: dict[bytes, Entry] = {}
        self._now_us = 0
        self._ignored = _IGNORED
        self._fields: dict[type, tuple[str, ...]] = {}
        self._kinds: dict[type, Callable[[Any], Frozen]] = {
            bytes: self._bytes,
            Entry: self._entry,
            **dict.fromkeys((list, tuple, deque), self._sequence),
            **dict.fromkeys((set, frozenset), self._set),
            **dict.fromkeys((dict, Counter, MappingProxyType), self._mapping),
            **dict.fromkeys((ReplicaConfig, Membership), self._nothing),
        }

    def host(self, host: Host) -> Frozen:
        """Freeze a node."""
        self._now_us = host.now_us
        self._ignored = _IGNORED if self._exact else _IGNORED | _LOOSELY_IGNORED
        if not self._exact and not host.disk.waiting:
            self._ignored |= _WRITE_NUMBERS
        return self._attributes(host)

    def letter(self, letter: Letter) -> Frozen:
        """Freeze a message."""
        self._ignored = frozenset()
        return self._attributes(letter)

    def history(self, ghost: Ghost) -> Frozen:
        """Freeze what the checks know of the whole cluster."""
        self._entries = ghost.entry_of
        self._ignored = _HISTORY_IGNORED
        frozen = self._attributes(ghost)
        self._entries = {}
        return frozen

    def _freeze(self, value: Any) -> Frozen:
        kind = type(value)
        if kind is int:
            return self._names.get(value, value)
        if value is None or kind is bool or kind is str:
            return value
        found = self._kinds.get(kind)
        if found is not None:
            return found(value)
        if isinstance(value, tuple):
            return self._sequence(value)  # With names for its places.
        return value.name if isinstance(value, enum.Enum) else self._attributes(value)

    def _attributes(self, value: Any) -> Frozen:
        kind = type(value)
        names = self._fields.get(kind)
        if names is None:
            if not dataclasses.is_dataclass(kind):
                return (kind.__name__, *[self._attribute(name, item) for name, item in self._plain(value)])
            names = self._fields[kind] = tuple(field.name for field in dataclasses.fields(kind))
        ignored = self._ignored
        frozen = [self._attribute(name, getattr(value, name)) for name in names if name not in ignored]
        return (kind.__name__, *frozen)

    def _plain(self, value: Any) -> list[tuple[str, Any]]:
        return sorted((name, item) for name, item in vars(value).items() if name not in self._ignored)

    def _attribute(self, name: str, value: Any) -> Frozen:
        if name.endswith("_us") and type(value) is int and name not in _CLUSTER_TIMES:
            return self._time(name, value)
        if name in _BAGS:
            return tuple(sorted([self._freeze(item) for item in value], key=repr))
        return self._freeze(value)

    def _time(self, name: str, value: int) -> Frozen:
        if value == 0 or value >= NEVER_US:
            return NEVER if value else 0
        since_us = value - self._now_us
        recent = name == "elected_us" or since_us > -CONFIG.election_timeout_min_us
        return since_us if recent else LONG_AGO

    def _bytes(self, value: bytes) -> Frozen:
        entry = self._entries.get(value)
        if entry is not None:
            return self._entry(entry)
        if value == self._setting.founding.payload:
            return "founding"
        instance = self._instances.get(value)
        return self._command(value) if instance is None else instance

    def _command(self, body: bytes) -> Frozen:
        origin = self._setting.origins.get(body)
        return body if origin is None else (self._names[origin[0]], *origin[1:])

    def _entry(self, entry: Entry) -> Frozen:
        payload = entry.payload
        kind = payload_kind(payload)
        if kind == EntryKind.MEMBERSHIP:
            return (entry.term, self._bytes(payload))
        time_us = payload_time_us(payload) if self._exact else 0
        return (entry.term, kind, time_us, self._command(payload[PAYLOAD_HEADER_BYTES:]))

    def _sequence(self, value: Any) -> Frozen:
        return tuple([self._freeze(item) for item in value])

    def _set(self, value: Any) -> Frozen:
        return tuple(sorted([self._freeze(item) for item in value]))

    def _mapping(self, value: Any) -> Frozen:
        frozen = [(self._freeze(key), self._freeze(item)) for key, item in value.items()]
        return tuple(sorted(frozen, key=lambda pair: pair[0]))

    def _nothing(self, value: Any) -> Frozen:
        """The settings, and the one membership there is, tell no two states apart."""
        return type(value).__name__
