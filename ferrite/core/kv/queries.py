"""Answers to queries, from a store as it is."""

from __future__ import annotations

from collections.abc import Iterator

from ferrite.core.kv.leases import list_leases
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.operations import Exists, Get, ListKeys, ListLeases, Query, Range, Txn, is_read_only
from ferrite.core.kv.ranges import Budget, Found, ReadLimits, View, check_revision, key_value, read_range
from ferrite.core.kv.records import decode_pointer
from ferrite.core.kv.refused import Refused
from ferrite.core.kv.results import (
    CommandErrorCode,
    ExistsResult,
    GetResult,
    KeyValue,
    ListKeysResult,
    QueryResult,
)
from ferrite.core.kv.txn import read_txn
from ferrite.core.kv.txn_check import check_key, check_txn


def answer(view: View, meta: Meta, query: Query, limits: ReadLimits) -> QueryResult:
    """Answer a query; `meta` is that of the store. Raises StateCorrupt."""
    try:
        return _answer(view, meta, query, limits)
    except Refused as refused:
        return refused.answer(meta.revision)


def _answer(view: View, meta: Meta, query: Query, limits: ReadLimits) -> QueryResult:
    revision = view.revision
    match query:
        case Get(key=key):
            data = view.store.get(view.layout.key(key))
            entry = None if data is None else key_value(view, key, decode_pointer(data))
            return GetResult(revision=revision, entry=entry)
        case Exists(key=key):
            return ExistsResult(revision=revision, exists=view.store.get(view.layout.key(key)) is not None)
        case ListKeys():
            return _list_keys(view, query, limits)
        case Range(key=key):
            check_key(key)
            check_revision(meta, query.revision)
            return read_range(view, query, Budget(limits))
        case Txn():
            check_txn(query)
            if not is_read_only(query):
                raise Refused(
                    CommandErrorCode.INVALID,
                    "the transaction may change something: it is a command, no query",
                )
            return read_txn(view, meta, query, limits)
        case ListLeases(after=after):
            return list_leases(view, after, limits.list_keys_max)


def _list_keys(view: View, query: ListKeys, limits: ReadLimits) -> ListKeysResult:
    budget = Budget(limits)
    wanted = min(query.limit, budget.keys_left) if query.limit > 0 else budget.keys_left
    entries: list[KeyValue] = []
    more = False
    for key, pointer in _listed(view, query):
        if len(entries) == wanted:
            more = True
            break
        entry = key_value(view, key, pointer, with_value=not query.keys_only)
        if not budget.take(len(entry.key) + len(entry.value)):
            more = True
            break
        entries.append(entry)
    return ListKeysResult(revision=view.revision, entries=tuple(entries), more=more)


def _listed(view: View, query: ListKeys) -> Iterator[Found]:
    layout = view.layout
    start, end = layout.key_range(query.prefix)
    if query.after:
        start = max(start, layout.key(query.after) + b"\x00")
    if start < end:
        for place, data in view.store.scan(start, end):
            yield layout.user_key(place), decode_pointer(data)
