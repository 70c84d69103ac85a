"""The keys and their versions: changes on an overlay, queries on a store. Layout: `ferrite.core.kv.layout`."""

from __future__ import annotations

from typing import Final, assert_never

from ferrite.core.kv.layout import (
    Layout,
    Pointer,
    StateCorrupt,
    decode_change,
    decode_pointer,
    encode_history,
    encode_pointer,
    encode_put,
    encode_tombstone,
)
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Batch, Delete, Exists, Get, ListKeys, Operation, Put, Query
from ferrite.core.kv.results import (
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    DeleteResult,
    ExistsResult,
    GetResult,
    KeyValue,
    ListKeysResult,
    PutResult,
    QueryResult,
)
from ferrite.core.kv.store import Overlay, ReadableStore
from ferrite.core.values import value


@value
class ReadLimits:
    """Bounds of one page of a listing. They bound answers, not the replicated state, so members may differ."""

    list_keys_max: int = 10_000
    list_bytes_max: int = 4 << 20
    """Bytes of keys and values; one key comes back in any case, so that a listing always gets on."""


def execute(layout: Layout, overlay: Overlay, meta: Meta, operation: Operation) -> CommandResult:
    """Carry out a change and move the revision, or change nothing and say why."""
    if isinstance(operation, Batch):
        keys = [single.key for single in operation.operations]
        if len(set(keys)) < len(keys):
            return _invalid(
                "a key occurs twice in the batch; all of it happens at one revision, so name it once"
            )
        if b"" in keys:
            return _invalid(_EMPTY_KEY)
    elif not operation.key:
        return _invalid(_EMPTY_KEY)
    return _carry_out(layout, overlay, meta, operation)


_EMPTY_KEY: Final = "the key is empty; a key has at least one byte"


def _invalid(detail: str) -> CommandFailed:
    return CommandFailed(code=CommandErrorCode.INVALID, detail=detail)


def _carry_out(layout: Layout, overlay: Overlay, meta: Meta, operation: Operation) -> CommandResult:
    transaction = _Transaction(layout, overlay, meta.revision + 1)
    if isinstance(operation, Put):
        transaction.put(operation.key, operation.value)
        meta.revision = transaction.finish()
        return PutResult(revision=meta.revision)
    if isinstance(operation, Delete):
        existed = transaction.delete(operation.key)
        meta.revision = transaction.finish()
        return DeleteResult(revision=meta.revision, existed=existed)
    if isinstance(operation, Batch):
        flags = tuple(
            transaction.put(single.key, single.value)
            if isinstance(single, Put)
            else transaction.delete(single.key)
            for single in operation.operations
        )
        meta.revision = transaction.finish()
        return BatchResult(revision=meta.revision, existed=flags)
    assert_never(operation)


class _Transaction:
    """The changes of one revision; `sub` numbers them."""

    __slots__ = ("_changes", "_layout", "_overlay", "_revision")

    def __init__(self, layout: Layout, overlay: Overlay, revision: int) -> None:
        self._layout = layout
        self._overlay = overlay
        self._revision = revision
        self._changes = 0

    def finish(self) -> int:
        """Return the store's revision after it: the transaction's own if it changed anything, else the one before."""
        return self._revision if self._changes else self._revision - 1

    def put(self, key: bytes, data: bytes) -> bool:
        """Set a key; was it there before?"""
        place = self._layout.key(key)
        before = self._overlay.get(place)
        created, version = self._revision, 1
        if before is not None:
            latest = decode_pointer(before)
            created, version = latest.create_revision, latest.version + 1
            self._remember(key, latest.mod_revision, latest.sub)
        sub = self._record(encode_put(key, data, created, version, 0))
        pointer = Pointer(self._revision, sub, created, version, lease=0)
        self._overlay.put(place, encode_pointer(pointer))
        return before is not None

    def delete(self, key: bytes) -> bool:
        """Delete a key; was it there?"""
        place = self._layout.key(key)
        before = self._overlay.get(place)
        if before is None:
            return False
        latest = decode_pointer(before)
        self._remember(key, latest.mod_revision, latest.sub)
        self._remember(key, self._revision, self._record(encode_tombstone(key)))
        self._overlay.delete(place)
        return True

    def _remember(self, key: bytes, revision: int, sub: int) -> None:
        self._overlay.put(self._layout.history(key, revision), encode_history(sub))

    def _record(self, change: bytes) -> int:
        sub = self._changes
        self._overlay.put(self._layout.revision(self._revision, sub), change)
        self._changes += 1
        return sub


def answer(
    layout: Layout, store: ReadableStore, revision: int, query: Query, limits: ReadLimits
) -> QueryResult:
    """Answer a query about the latest state; `revision` is the store's. Raises StateCorrupt."""
    match query:
        case Get(key=key):
            data = store.get(layout.key(key))
            entry = None if data is None else _key_value(layout, store, key, data, with_value=True)
            return GetResult(revision=revision, entry=entry)
        case Exists(key=key):
            return ExistsResult(revision=revision, exists=store.get(layout.key(key)) is not None)
        case ListKeys():
            return _list_keys(layout, store, revision, query, limits)


def _list_keys(
    layout: Layout, store: ReadableStore, revision: int, query: ListKeys, limits: ReadLimits
) -> ListKeysResult:
    start, end = layout.key_range(query.prefix)
    if query.after:
        start = max(start, layout.key(query.after) + b"\x00")
    keys_max = min(query.limit, limits.list_keys_max) if query.limit > 0 else limits.list_keys_max
    entries: list[KeyValue] = []
    bytes_left = limits.list_bytes_max
    if start < end:
        for place, data in store.scan(start, end):
            if len(entries) == keys_max:
                return ListKeysResult(revision=revision, entries=tuple(entries), more=True)
            entry = _key_value(layout, store, layout.user_key(place), data, with_value=not query.keys_only)
            bytes_left -= len(entry.key) + len(entry.value)
            if bytes_left < 0 and entries:
                return ListKeysResult(revision=revision, entries=tuple(entries), more=True)
            entries.append(entry)
    return ListKeysResult(revision=revision, entries=tuple(entries), more=False)


def _key_value(
    layout: Layout, store: ReadableStore, key: bytes, data: bytes, *, with_value: bool
) -> KeyValue:
    pointer = decode_pointer(data)
    return KeyValue(
        key=key,
        value=_value_at(layout, store, key, pointer) if with_value else b"",
        create_revision=pointer.create_revision,
        mod_revision=pointer.mod_revision,
        version=pointer.version,
        lease=pointer.lease,
    )


def _value_at(layout: Layout, store: ReadableStore, key: bytes, pointer: Pointer) -> bytes:
    data = store.get(layout.revision(pointer.mod_revision, pointer.sub))
    if data is None:
        raise StateCorrupt(
            f"key {key!r} points to revision {pointer.mod_revision}/{pointer.sub}, which is not there"
        )
    change = decode_change(data)
    if change.key != key or change.deleted:
        raise StateCorrupt(
            f"key {key!r} points to revision {pointer.mod_revision}/{pointer.sub}, which is about {change.key!r}"
        )
    return change.value
