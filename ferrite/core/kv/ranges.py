"""Reading ranges of keys, now or at a revision: filters, sort, limits and counts as etcd has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge, nlargest, nsmallest
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import FROM_KEY, Range, SortOrder, SortTarget
from ferrite.core.kv.records import DELETED, Pointer, StateCorrupt, decode_change, decode_pointer
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import CommandErrorCode, KeyValue, RangeResult
from ferrite.core.kv.store import Pair, ReadableStore
from ferrite.core.values import value

Found = tuple[bytes, Pointer]
"""A key and one of its versions."""


@value
class ReadLimits:
    """Bounds of one answer. Those of a query bound no replicated state, so members may differ. A command takes the defaults."""

    list_keys_max: int = 10_000
    list_bytes_max: int = 4 << 20
    """Bytes of keys and values; one key comes back in any case, so that a listing always gets on."""


class View(NamedTuple):
    """A store to read, and its revision (within a transaction the transaction's own)."""

    layout: Layout
    store: ReadableStore
    revision: int


class Budget:
    """What is left of the `ReadLimits` for the ranges of one answer."""

    __slots__ = ("_begun", "bytes_left", "keys_left")

    def __init__(self, limits: ReadLimits) -> None:
        """Begin with all of it."""
        self.keys_left = limits.list_keys_max
        self.bytes_left = limits.list_bytes_max
        self._begun = False

    def take(self, size: int) -> bool:
        """Is there room for a key of so many bytes with its value? For the first one always."""
        if self._begun and (size > self.bytes_left or not self.keys_left):
            return False
        self._begun = True
        self.bytes_left -= size
        self.keys_left -= 1
        return True


def check_revision(meta: Meta, revision: int) -> None:
    """Can the state at this revision be read? Raises Refused."""
    if not revision:
        return
    if revision > meta.revision:
        raise Refused(
            CommandErrorCode.FUTURE_REVISION,
            f"revision {revision} is not there yet; the store is at {meta.revision}",
        )
    if revision < meta.compacted_revision:
        raise Refused(
            CommandErrorCode.COMPACTED,
            f"revision {revision} was compacted; the oldest that can be read is {meta.compacted_revision}",
            meta.compacted_revision,
        )


# ------------------------------------------------------------------------------------------------ finding versions


def end_of_range(key: bytes, range_end: bytes) -> bytes | None:
    """Return where a range ends, exclusive; None: after the last key."""
    if not range_end:
        return key + b"\x00"
    return None if range_end == FROM_KEY else range_end


def pointers(view: View, key: bytes, range_end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
    """Yield the present keys of a range with their pointers' records, ascending, or descending with `reverse`."""
    layout, store = view.layout, view.store
    if not range_end:
        data = store.get(layout.key(key))
        if data is not None:
            yield key, data
        return
    start, end = layout.keys_between(key, end_of_range(key, range_end))
    if start < end:
        for place, data in store.scan(start, end, reverse=reverse):
            yield layout.user_key(place), data


def latest(view: View, key: bytes, range_end: bytes, *, reverse: bool = False) -> Iterator[Found]:
    """Yield the present keys of a range, ascending, or descending with `reverse`."""
    for user_key, data in pointers(view, key, range_end, reverse=reverse):
        yield user_key, decode_pointer(data)


def versions_at(view: View, key: bytes, range_end: bytes, revision: int) -> Iterator[Found]:
    """Yield the keys of a range that were there at a revision that can be read, ascending."""
    if revision >= view.revision:
        yield from latest(view, key, range_end)
        return
    older = (
        _older(view, key, end_of_range(key, range_end), revision)
        if range_end
        else _one_older(view, key, revision)
    )
    newest: Iterable[tuple[bytes, Pointer | None]] = latest(view, key, range_end)
    seen: bytes | None = None
    for user_key, pointer in merge(newest, older, key=itemgetter(0)):
        if user_key != seen and (pointer is None or pointer.mod_revision <= revision):
            seen = user_key
            if pointer is not None:
                yield user_key, pointer


def _one_older(view: View, key: bytes, revision: int) -> Iterator[tuple[bytes, Pointer | None]]:
    """Yield the history's newest version of one key up to a revision; None stands for a deletion."""
    first, end = view.layout.history(key, 0), view.layout.history(key, revision + 1)
    for _, data in view.store.scan(first, end, reverse=True):
        yield key, None if data == DELETED else decode_pointer(data)
        return


def _older(
    view: View, key: bytes, end: bytes | None, revision: int
) -> Iterator[tuple[bytes, Pointer | None]]:
    """Yield the history's newest version of each key up to a revision; None stands for a deletion."""
    start, stop = view.layout.history_between(key, end)
    if start >= stop:
        return
    split = view.layout.split_history
    records = ((*split(place), data) for place, data in view.store.scan(start, stop))
    for user_key, versions in groupby(records, key=itemgetter(0)):
        newest = None
        for _, mod_revision, data in versions:
            if mod_revision <= revision:
                newest = data
        if newest is not None:
            yield user_key, None if newest == DELETED else decode_pointer(newest)


# ------------------------------------------------------------------------------------------------ values


def value_of(view: View, key: bytes, pointer: Pointer) -> bytes:
    """Return the value of a version. Raises StateCorrupt."""
    place = f"revision {pointer.mod_revision}/{pointer.sub}"
    data = view.store.get(view.layout.revision(pointer.mod_revision, pointer.sub))
    if data is None:
        raise StateCorrupt(f"key {key!r} points to {place}, which is not there")
    change = decode_change(data, pointer.mod_revision)
    if change.key != key or change.deleted:
        raise StateCorrupt(f"key {key!r} points to {place}, which is about {change.key!r}")
    return change.value


def key_value(view: View, key: bytes, pointer: Pointer, *, with_value: bool = True) -> KeyValue:
    """Return a version as clients see it."""
    return KeyValue(
        key=key,
        value=value_of(view, key, pointer) if with_value else b"",
        create_revision=pointer.create_revision,
        mod_revision=pointer.mod_revision,
        version=pointer.version,
        lease=pointer.lease,
    )


# ------------------------------------------------------------------------------------------------ ranges


def read_range(view: View, query: Range, budget: Budget) -> RangeResult:
    """Answer a range whose revision was checked."""
    at = query.revision or view.revision
    if query.count_only:
        return RangeResult(revision=view.revision, entries=(), more=False, count=_count(view, query, at))
    wanted = min(query.limit, budget.keys_left) if query.limit else budget.keys_left
    entries: list[KeyValue] = []
    more = False
    for key, pointer in _ordered(view, query, at, max(wanted, 0) + 1):
        if len(entries) >= wanted:
            more = True
            break
        entry = key_value(view, key, pointer, with_value=not query.keys_only)
        if not budget.take(len(entry.key) + len(entry.value)):
            more = True
            break
        entries.append(entry)
    count = -1
    if query.with_count:
        count = _count(view, query, at) if more or _filters(query) else len(entries)
    return RangeResult(revision=view.revision, entries=tuple(entries), more=more, count=count)


def _count(view: View, query: Range, at: int) -> int:
    if at >= view.revision:
        return sum(1 for _ in pointers(view, query.key, query.range_end))
    return sum(1 for _ in versions_at(view, query.key, query.range_end, at))


def _ordered(view: View, query: Range, at: int, most: int) -> Iterable[Found]:
    """Return the first `most` (or more) of what passes the filters, in the order asked for; equal ones in key order."""
    descending = query.sort_order == SortOrder.DESCEND
    if query.sort_target == SortTarget.KEY:
        if not descending:
            return _filtered(query, versions_at(view, query.key, query.range_end, at))
        if at >= view.revision:
            return _filtered(query, latest(view, query.key, query.range_end, reverse=True))
    pick = nlargest if descending else nsmallest
    found = _filtered(query, versions_at(view, query.key, query.range_end, at))
    return pick(most, found, key=_SORTED_BY.get(query.sort_target) or (lambda one: value_of(view, *one)))


_SORTED_BY: Final[dict[SortTarget, Callable[[Found], bytes | int]]] = {
    SortTarget.KEY: lambda found: found[0],
    SortTarget.VERSION: lambda found: found[1].version,
    SortTarget.CREATE: lambda found: found[1].create_revision,
    SortTarget.MOD: lambda found: found[1].mod_revision,
}


def _filters(query: Range) -> bool:
    return bool(
        query.min_mod_revision
        or query.max_mod_revision
        or query.min_create_revision
        or query.max_create_revision
    )


def _filtered(query: Range, found: Iterable[Found]) -> Iterable[Found]:
    if not _filters(query):
        return found
    return (one for one in found if _passes(query, one[1]))


def _passes(query: Range, pointer: Pointer) -> bool:
    return (
        (not query.min_mod_revision or pointer.mod_revision >= query.min_mod_revision)
        and (not query.max_mod_revision or pointer.mod_revision <= query.max_mod_revision)
        and (not query.min_create_revision or pointer.create_revision >= query.min_create_revision)
        and (not query.max_create_revision or pointer.create_revision <= query.max_create_revision)
    )
